//! Stored records of ECR. Tags are for ever.

use bytes::Bytes;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Repository {
    /// Tells a repository from an earlier one of the same name.
    #[prost(string, tag = "1")]
    pub(super) uid: String,
    #[prost(uint64, tag = "2")]
    pub(super) created_ms: u64,
    /// A tag that is taken stays where it is.
    #[prost(bool, tag = "3")]
    pub(super) immutable: bool,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Manifest {
    #[prost(string, tag = "1")]
    pub(super) media_type: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) body: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) pushed_ms: u64,
    /// Of the configuration or the artifact.
    #[prost(string, tag = "4")]
    pub(super) artifact_type: String,
    /// The configuration and the layers, each digest once; it is counted as one user of each.
    #[prost(string, repeated, tag = "5")]
    pub(super) layers: Vec<String>,
    /// The manifests of an index.
    #[prost(string, repeated, tag = "6")]
    pub(super) manifests: Vec<String>,
    /// What its configuration and layers weigh together.
    #[prost(uint64, tag = "7")]
    pub(super) size: u64,
    /// Under which tags it is found.
    #[prost(string, repeated, tag = "8")]
    pub(super) tags: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Tag {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Layer {
    #[prost(uint64, tag = "1")]
    pub(super) size: u64,
    /// How many manifests of the repository name it.
    #[prost(uint64, tag = "2")]
    pub(super) users: u64,
}

/// An upload, and once it is finished or given up by a manifest, the layer that may be unused.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Upload {
    #[prost(string, tag = "1")]
    pub(super) repository: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) chunks: Vec<Chunk>,
    /// What it has become; empty while it goes on.
    #[prost(string, tag = "3")]
    pub(super) layer: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Chunk {
    #[prost(string, tag = "1")]
    pub(super) blob: String,
    /// Of a chunk that is too small for a body beside the store.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) inline: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) size: u64,
    /// Hexadecimal.
    #[prost(string, tag = "4")]
    pub(super) sha256: String,
}

impl Upload {
    pub(super) fn size(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.size).sum()
    }
}

/// The body that holds the layer with this digest, `sha256:` and hexadecimal or the latter alone.
pub fn layer_blob(digest: &str) -> String {
    format!("layer-{}", digest.strip_prefix("sha256:").unwrap_or(digest))
}
