//! ECR: repositories of container images, and the registry that stock clients push to and pull from.
//!
//! Two faces of the same rows. The AWS API manages repositories and lists what is in them; the registry
//! ([`registry`]) is the OCI distribution protocol, whose HTTP is the gateway's. A layer is a body beside the
//! store under the hash of its bytes, held once for every repository that has it, so two repositories and any
//! number of functions share it. A manifest is a row, because it is read with every pull and never large.
//!
//! What no manifest names, an upload that was never finished or a layer whose last image was deleted, goes
//! after a while ([`expire`]): a client that pushes finds the layers it has sent, whatever is deleted
//! meanwhile.
//!
//! Deliberately absent: policies of repositories and their life cycles, scanning, replication, pull-through
//! caches, signatures; referrers, which clients then keep under tags of their own.
//!
//! | space | key | record |
//! |---|---|---|
//! | `ECR_REPOSITORIES` | account, region, name | a repository |
//! | `ECR_MANIFESTS` | repository's id, digest | a manifest |
//! | `ECR_TAGS` | repository's id, tag | the digest |
//! | `ECR_LAYERS` | repository's id, digest | a layer or configuration |
//! | `ECR_UPLOADS` | an id that begins with the time | an upload, then what it has become until that expires |

mod bus_events;
mod faults;
mod images;
mod keys;
mod model;
mod names;
mod reference;
pub mod registry;
mod repositories;
mod tags;
#[cfg(test)]
mod tests;
mod tokens;
mod uploads;

pub use model::layer_blob;
pub use names::{is_digest, is_tag};
pub use reference::{Located, locate};
pub use tokens::open as open_password;
pub use uploads::expire;

use crate::Service;
use mayfly_wire::Protocol;

pub fn service() -> Service {
    Service::json("ecr", Protocol::Json11, "AmazonEC2ContainerRegistry_V20150921")
        .op("CreateRepository", repositories::create)
        .view("DescribeRepositories", repositories::describe)
        .op("DeleteRepository", repositories::delete)
        .op("PutImageTagMutability", repositories::put_mutability)
        .view("GetAuthorizationToken", tokens::get)
        .op("PutImage", images::put)
        .view("ListImages", images::list)
        .view("DescribeImages", images::describe)
        .view("BatchGetImage", images::batch_get)
        .op("BatchDeleteImage", images::batch_delete)
        .view("BatchCheckLayerAvailability", images::check_layers)
        .op("TagResource", tags::tag)
        .op("UntagResource", tags::untag)
        .view("ListTagsForResource", tags::list)
}
