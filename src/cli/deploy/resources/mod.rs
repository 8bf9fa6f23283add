//! How each kind of resource is made, changed and removed, through the AWS API that owns it.
//!
//! A module per service's noun, each with `create`, `update` and `delete`. They get properties with every
//! reference filled in. Removing what is already gone is a success: a deployment that was cut off is taken up
//! again.

mod alarm;
mod bus;
mod endpoint;
mod function;
mod gateway;
mod gradual;
mod identity;
mod layer;
mod log_group;
mod mapping;
mod permission;
mod pipe;
mod properties;
mod queue;
mod s3;
mod scaling;
mod tags;
mod topic;
mod url;
mod version;

use super::archives::Archives;
use super::package::Package;
use super::stack::Deployed;
use super::template::Place;
use super::template::catalog::{self, Kind};
use crate::cli::client::{Client, is_absent};
use anyhow::bail;
use bytes::Bytes;
use properties::Properties;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// In a resource's properties, the digest of the package that stands in its place.
pub(super) const PACKAGE: &str = "Mayfly::Package";

/// What the modules share during one deployment.
pub(super) struct Context<'a> {
    pub(super) client: &'a Client,
    pub(super) place: &'a Place,
    /// Every package that this deployment may have to send, by its digest.
    pub(super) packages: &'a std::cell::RefCell<BTreeMap<String, Package>>,
    pub(super) archives: Archives,
    pub(super) force: bool,
    /// Aliases move at once, even those that are to move by steps.
    pub(super) at_once: std::cell::Cell<bool>,
}

/// A resource as it is to be.
pub(super) struct Wanted<'a> {
    /// The logical id.
    pub(super) id: &'a str,
    pub(super) kind: &'a str,
    pub(super) generation: u32,
    pub(super) properties: &'a Json,
}

/// A resource as it has become: what `Ref` and `Fn::GetAtt` give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) physical: String,
    pub(super) attributes: BTreeMap<String, String>,
}

impl Made {
    fn new<const N: usize>(physical: impl Into<String>, attributes: [(&str, String); N]) -> Made {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Made { physical: physical.into(), attributes }
    }
}

impl Wanted<'_> {
    fn properties(&self) -> Properties<'_> {
        Properties(self.properties)
    }

    /// The name that the template gives, or one made for it.
    fn name(&self, property: &str, place: &Place) -> String {
        self.properties().text(property).unwrap_or_else(|| self.generated_name(place))
    }

    /// A name of the stack's and the resource's, the same each time it is asked for.
    ///
    /// A replacement needs a name of its own, since the old resource goes only once the new one is there.
    fn generated_name(&self, place: &Place) -> String {
        match self.generation {
            0 => format!("{}-{}", place.stack, self.id),
            generation => format!("{}-{}-{generation}", place.stack, self.id),
        }
    }
}

impl Context<'_> {
    fn arn(&self, service: &str, resource: impl Into<String>) -> String {
        mayfly_kernel::Arn::new(service, &self.place.region, &self.place.account, resource).to_string()
    }

    /// The archive of a package, which is also kept for a later rollback.
    fn archive(&self, digest: &str) -> anyhow::Result<Bytes> {
        let Some(package) = self.packages.borrow().get(digest).cloned() else {
            bail!("the package {digest} is not at hand");
        };
        let archive = package.zip()?;
        self.archives.keep(digest, &archive);
        Ok(archive)
    }
}

fn kind(name: &str) -> anyhow::Result<Kind> {
    match catalog::find(name) {
        Some(kind) => Ok(kind.kind),
        None => bail!("this mayfly does not know resources of type {name}"),
    }
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    match kind(wanted.kind)? {
        Kind::Function => function::create(cx, wanted).await,
        Kind::Version => version::publish(cx, wanted).await,
        Kind::Alias => version::create_alias(cx, wanted).await,
        Kind::Permission => permission::create(cx, wanted).await,
        Kind::Url => url::create(cx, wanted).await,
        Kind::EventInvoke => url::put_event_invoke(cx, wanted).await,
        Kind::Layer => layer::create(cx, wanted).await,
        Kind::Bucket => s3::create(cx, wanted).await,
        Kind::BucketPolicy => s3::put_policy(cx, wanted).await,
        Kind::Notifications => s3::put_notifications(cx, wanted).await,
        Kind::Api => gateway::create_api(cx, wanted).await,
        Kind::Integration => gateway::create_integration(cx, wanted).await,
        Kind::Route => gateway::create_route(cx, wanted).await,
        Kind::Stage => gateway::create_stage(cx, wanted).await,
        Kind::LogGroup => log_group::create(cx, wanted).await,
        Kind::Mapping => mapping::create(cx, wanted).await,
        Kind::Queue => queue::create(cx, wanted).await,
        Kind::QueuePolicy => queue::put_policy(cx, wanted).await,
        Kind::Topic => topic::create(cx, wanted).await,
        Kind::TopicPolicy => topic::put_policy(cx, wanted).await,
        Kind::Subscription => topic::create_subscription(cx, wanted).await,
        Kind::Bus => bus::create_bus(cx, wanted).await,
        Kind::BusPolicy => bus::put_statement(cx, wanted).await,
        Kind::Rule => bus::create_rule(cx, wanted).await,
        Kind::Schedule => bus::create_schedule(cx, wanted).await,
        Kind::ScheduleGroup => bus::create_group(cx, wanted).await,
        Kind::Connection => endpoint::create_connection(cx, wanted).await,
        Kind::ApiDestination => endpoint::create_destination(cx, wanted).await,
        Kind::Pipe => pipe::create(cx, wanted).await,
        Kind::Alarm => alarm::create(cx, wanted).await,
        Kind::DeployApplication => gradual::create_application(cx, wanted).await,
        Kind::DeployConfig => gradual::create_config(cx, wanted).await,
        Kind::DeployGroup => gradual::create_group(cx, wanted).await,
        Kind::ScalableTarget => scaling::put_target(cx, None, wanted).await,
        Kind::ScalingPolicy => scaling::put_policy(cx, wanted).await,
        Kind::Identity => Ok(identity::name(cx, wanted)),
    }
}

/// Brings a resource that is there to the wanted properties.
pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    match kind(wanted.kind)? {
        Kind::Function => function::update(cx, was, wanted).await,
        Kind::Alias => version::update_alias(cx, was, wanted).await,
        Kind::Url => url::update(cx, was, wanted).await,
        Kind::EventInvoke => url::put_event_invoke(cx, wanted).await,
        Kind::Bucket => s3::update(cx, was, wanted).await,
        Kind::BucketPolicy => s3::put_policy(cx, wanted).await,
        Kind::Notifications => s3::put_notifications(cx, wanted).await,
        Kind::Api => gateway::update_api(cx, was, wanted).await,
        Kind::Integration => gateway::update_integration(cx, was, wanted).await,
        Kind::Route => gateway::update_route(cx, was, wanted).await,
        Kind::Stage => gateway::update_stage(cx, was, wanted).await,
        Kind::LogGroup => log_group::update(cx, was, wanted).await,
        Kind::Mapping => mapping::update(cx, was, wanted).await,
        Kind::Queue => queue::update(cx, was, wanted).await,
        Kind::QueuePolicy => queue::put_policy(cx, wanted).await,
        Kind::Topic => topic::update(cx, was, wanted).await,
        Kind::TopicPolicy => topic::put_policy(cx, wanted).await,
        Kind::Subscription => topic::update_subscription(cx, was, wanted).await,
        Kind::Bus => bus::update_bus(cx, was, wanted).await,
        Kind::BusPolicy => bus::put_statement(cx, wanted).await,
        Kind::Rule => bus::update_rule(cx, was, wanted).await,
        Kind::Schedule => bus::update_schedule(cx, was, wanted).await,
        Kind::ScheduleGroup => bus::update_group(cx, was, wanted).await,
        Kind::Connection => endpoint::update_connection(cx, was, wanted).await,
        Kind::ApiDestination => endpoint::update_destination(cx, was, wanted).await,
        Kind::Pipe => pipe::update(cx, was, wanted).await,
        Kind::Alarm => alarm::update(cx, was, wanted).await,
        Kind::DeployGroup => gradual::update_group(cx, was, wanted).await,
        Kind::ScalableTarget => scaling::put_target(cx, Some(was), wanted).await,
        Kind::ScalingPolicy => scaling::put_policy(cx, wanted).await,
        Kind::Identity => Ok(identity::name(cx, wanted)),
        Kind::Version | Kind::Permission | Kind::Layer | Kind::DeployApplication | Kind::DeployConfig => {
            bail!("{} cannot be changed in place", wanted.kind)
        }
    }
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let done = match kind(&gone.kind)? {
        Kind::Function => function::delete(cx, gone).await,
        Kind::Version => version::delete(cx, gone).await,
        Kind::Alias => version::delete_alias(cx, gone).await,
        Kind::Permission => permission::delete(cx, gone).await,
        Kind::Url => url::delete(cx, gone).await,
        Kind::EventInvoke => url::delete_event_invoke(cx, gone).await,
        Kind::Layer => layer::delete(cx, gone).await,
        Kind::Bucket => s3::delete(cx, gone).await,
        Kind::BucketPolicy => s3::delete_policy(cx, gone).await,
        Kind::Notifications => s3::delete_notifications(cx, gone).await,
        Kind::Api => gateway::delete_api(cx, gone).await,
        Kind::Integration => gateway::delete_part(cx, gone, "integrations").await,
        Kind::Route => gateway::delete_part(cx, gone, "routes").await,
        Kind::Stage => gateway::delete_part(cx, gone, "stages").await,
        Kind::LogGroup => log_group::delete(cx, gone).await,
        Kind::Mapping => mapping::delete(cx, gone).await,
        Kind::Queue => queue::delete(cx, gone).await,
        Kind::QueuePolicy => queue::delete_policy(cx, gone).await,
        Kind::Topic => topic::delete(cx, gone).await,
        Kind::TopicPolicy => topic::delete_policy(cx, gone).await,
        Kind::Subscription => topic::delete_subscription(cx, gone).await,
        Kind::Bus => bus::delete_bus(cx, gone).await,
        Kind::BusPolicy => bus::delete_statement(cx, gone).await,
        Kind::Rule => bus::delete_rule(cx, gone).await,
        Kind::Schedule => bus::delete_schedule(cx, gone).await,
        Kind::ScheduleGroup => bus::delete_group(cx, gone).await,
        Kind::Connection => endpoint::delete_connection(cx, gone).await,
        Kind::ApiDestination => endpoint::delete_destination(cx, gone).await,
        Kind::Pipe => pipe::delete(cx, gone).await,
        Kind::Alarm => alarm::delete(cx, gone).await,
        Kind::DeployApplication => gradual::delete_application(cx, gone).await,
        Kind::DeployConfig => gradual::delete_config(cx, gone).await,
        Kind::DeployGroup => gradual::delete_group(cx, gone).await,
        Kind::ScalableTarget => scaling::delete_target(cx, gone).await,
        Kind::ScalingPolicy => scaling::delete_policy(cx, gone).await,
        Kind::Identity => Ok(()),
    };
    match done {
        Err(error) if is_absent(&error) => Ok(()),
        done => done,
    }
}

/// What stood behind a resource whose creation was cut off, if the kind has a name of its own to find it by.
/// Its properties are unknown, so that an update sends all of them.
pub(super) fn cut_off(cx: &Context<'_>, wanted: &Wanted<'_>) -> Option<Deployed> {
    let made = match kind(wanted.kind).ok()? {
        Kind::Function => function::made(cx, &wanted.name("FunctionName", cx.place)),
        Kind::Bucket => s3::made(cx, &s3::bucket_name(cx, wanted)),
        Kind::LogGroup => log_group::made(cx, &wanted.name("LogGroupName", cx.place)),
        Kind::Alias => version::alias_made(cx, &wanted.properties()),
        _ => return None,
    };
    Some(Deployed {
        id: wanted.id.to_owned(),
        kind: wanted.kind.to_owned(),
        physical: made.physical,
        attributes: made.attributes,
        properties: Json::Object(serde_json::Map::new()),
        needs: std::collections::BTreeSet::new(),
        generation: wanted.generation,
        retain: false,
    })
}

pub(super) use function::keep_code;
