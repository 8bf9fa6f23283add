//! Who wants to know what happens to objects, and telling them in the same commit.

use super::buckets::{self, Nothing, Opened};
use super::element::Element;
use super::faults;
use super::keys::{NOTIFICATIONS, NOTIFICATIONS_CONFIG};
use super::model::Version;
use super::{bus_events, events};
use crate::access::Agent;
use crate::fabric::{Delivery, Target};
use crate::sns::{self, Announcement};
use crate::sqs::{self, Post};
use crate::{Cx, Reply};
use mayfly_kernel::{Arn, Fault};
use mayfly_wire::{Call, xml};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tracing::warn;

/// The service as which buckets send and call functions.
const PRINCIPAL: &str = "s3.amazonaws.com";
const CONFIGURATIONS_MAX: usize = 100;

/// What can happen to an object here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Put,
    /// A form upload.
    Post,
    Copy,
    CompleteMultipartUpload,
    Delete,
    DeleteMarkerCreated,
    TaggingPut,
    TaggingDelete,
}

impl Event {
    /// Without the `s3:` that configurations put before it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Event::Put => "ObjectCreated:Put",
            Event::Post => "ObjectCreated:Post",
            Event::Copy => "ObjectCreated:Copy",
            Event::CompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
            Event::Delete => "ObjectRemoved:Delete",
            Event::DeleteMarkerCreated => "ObjectRemoved:DeleteMarkerCreated",
            Event::TaggingPut => "ObjectTagging:Put",
            Event::TaggingDelete => "ObjectTagging:Delete",
        }
    }
}

/// All that a configuration may name ("Supported event types for SQS, SNS, and Lambda"). What never happens
/// here, such as a restore from an archive, may be asked for and is never told.
const EVENTS: [&str; 27] = [
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:Replication:OperationNotTracked",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectAcl:Put",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
];

/// The stored configurations of a bucket.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Notifications {
    #[prost(message, repeated, tag = "1")]
    functions: Vec<FunctionConfig>,
    /// Whether every event also goes to the default event bus.
    #[prost(bool, tag = "2")]
    bus: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct FunctionConfig {
    #[prost(string, tag = "1")]
    id: String,
    /// The ARN of a function, a queue or a topic.
    #[prost(string, tag = "2")]
    target: String,
    #[prost(string, repeated, tag = "3")]
    events: Vec<String>,
    #[prost(string, optional, tag = "4")]
    prefix: Option<String>,
    #[prost(string, optional, tag = "5")]
    suffix: Option<String>,
}

impl FunctionConfig {
    /// Whose the target is.
    fn service(&self) -> &str {
        self.target.split(':').nth(2).unwrap_or_default()
    }

    fn wants(&self, event: &str, key: &str) -> bool {
        self.events.iter().any(|wanted| covers(wanted, event))
            && key.starts_with(self.prefix.as_deref().unwrap_or_default())
            && key.ends_with(self.suffix.as_deref().unwrap_or_default())
    }

    /// Whether one event of one key could go to both.
    fn overlaps(&self, other: &FunctionConfig) -> bool {
        let either = |a: &str, b: &str| covers(a, b) || covers(b, a);
        let events = self.events.iter().any(|a| other.events.iter().any(|b| either(a, b)));
        let (p, q) =
            (self.prefix.as_deref().unwrap_or_default(), other.prefix.as_deref().unwrap_or_default());
        let (s, t) =
            (self.suffix.as_deref().unwrap_or_default(), other.suffix.as_deref().unwrap_or_default());
        events && (p.starts_with(q) || q.starts_with(p)) && (s.ends_with(t) || t.ends_with(s))
    }
}

/// `s3:ObjectCreated:*` covers `s3:ObjectCreated:Put`.
fn covers(pattern: &str, event: &str) -> bool {
    pattern == event || pattern.strip_suffix('*').is_some_and(|family| event.starts_with(family))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Configuration {
    #[serde(rename = "CloudFunctionConfiguration")]
    functions: Vec<Wanted>,
    #[serde(rename = "QueueConfiguration")]
    queues: Vec<Wanted>,
    #[serde(rename = "TopicConfiguration")]
    topics: Vec<Wanted>,
    #[serde(rename = "EventBridgeConfiguration")]
    bus: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "Id")]
    id: Option<String>,
    #[serde(rename = "CloudFunction", alias = "Queue", alias = "Topic")]
    target: String,
    #[serde(rename = "Event", default)]
    events: Vec<String>,
    #[serde(rename = "Filter", default)]
    filter: Filter,
}

#[derive(Deserialize, Default)]
struct Filter {
    #[serde(rename = "S3Key", default)]
    key: KeyFilter,
}

#[derive(Deserialize, Default)]
struct KeyFilter {
    #[serde(rename = "FilterRule", default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    name: String,
    #[serde(default)]
    value: String,
}

fn bad_destination(arn: &Arn) -> Fault {
    const TEXT: &str = "Unable to validate the following destination configurations";
    let member = member(&arn.service);
    faults::invalid_argument(member, &arn.to_string(), TEXT)
}

/// What a target is called in a configuration.
fn member(service: &str) -> &'static str {
    match service {
        "sqs" => "Queue",
        "sns" => "Topic",
        _ => "CloudFunction",
    }
}

fn invalid(text: &str) -> Fault {
    Fault::new(400, "InvalidArgument", text)
}

impl Wanted {
    fn checked(self, cx: &Cx<'_>) -> Result<FunctionConfig, Fault> {
        if self.events.is_empty() {
            return Err(faults::malformed_xml());
        }
        if self.events.iter().any(|event| !EVENTS.contains(&event.as_str())) {
            return Err(invalid("The event is not supported for notifications"));
        }
        let (mut prefix, mut suffix) = (None, None);
        for rule in self.filter.key.rules {
            let place = match rule.name.to_ascii_lowercase().as_str() {
                "prefix" => &mut prefix,
                "suffix" => &mut suffix,
                _ => return Err(invalid("filter rule name must be either prefix or suffix")),
            };
            if place.replace(rule.value).is_some() {
                let text = "Cannot specify more than one prefix rule or suffix rule in a filter.";
                return Err(invalid(text));
            }
        }
        let id = self.id.filter(|id| !id.is_empty()).unwrap_or_else(|| cx.ids.uuid());
        Ok(FunctionConfig { id, target: self.target, events: self.events, prefix, suffix })
    }
}

pub(super) fn put(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let wanted: Configuration = xml::from_bytes(&call.body)?;
    if wanted.functions.len() + wanted.queues.len() + wanted.topics.len() > CONFIGURATIONS_MAX {
        return Err(invalid("The number of notification configurations exceeds 100"));
    }
    let bus = wanted.bus.is_some();
    let all = wanted.functions.into_iter().chain(wanted.queues).chain(wanted.topics);
    let functions: Vec<FunctionConfig> = all.map(|wanted| wanted.checked(cx)).collect::<Result<_, _>>()?;
    check_against_each_other(&functions)?;
    let unchecked = call.header("x-amz-skip-destination-validation").is_some_and(|value| value == "true");
    let source = bucket.arn().to_string();
    let agent = Agent::new(PRINCIPAL, &source, &bucket.record.account);
    for config in &functions {
        let arn: Arn = config.target.parse().map_err(|_| invalid("The ARN is not well formed"))?;
        let reachable = match arn.service.as_str() {
            "lambda" | "sqs" | "sns" if unchecked => true,
            "lambda" => crate::lambda::admits(cx, &arn, &agent)?.is_ok(),
            "sqs" | "sns" => {
                let test = events::test(cx, &bucket);
                tell(cx, &agent, &arn, "s3:TestEvent", test)?.is_ok()
            }
            _ => return Err(invalid("The ARN is not well formed")),
        };
        if !reachable {
            return Err(bad_destination(&arn));
        }
    }
    NOTIFICATIONS.put(cx.tx, &bucket.row(NOTIFICATIONS_CONFIG), &Notifications { functions, bus });
    Ok(Reply::status(200))
}

fn check_against_each_other(configs: &[FunctionConfig]) -> Result<(), Fault> {
    for (index, config) in configs.iter().enumerate() {
        for other in &configs[index + 1..] {
            if config.id == other.id {
                return Err(invalid("Same ID used for multiple configurations. IDs must be unique"));
            }
            if config.overlaps(other) {
                return Err(invalid(
                    "Configurations overlap. Configurations on the same bucket cannot share a \
                                    common event type.",
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn get(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let stored = NOTIFICATIONS.get(cx.tx, &bucket.row(NOTIFICATIONS_CONFIG))?.unwrap_or_default();
    let rule = |name: &'static str, value: &Option<String>| {
        value.as_ref().map(|value| Element::new().text("Name", name).text("Value", value))
    };
    let element = |config: &FunctionConfig| {
        let member = member(config.service());
        let rules = [rule("Prefix", &config.prefix), rule("Suffix", &config.suffix)];
        let rules: Vec<Element> = rules.into_iter().flatten().collect();
        let element = Element::new()
            .text("Id", &config.id)
            .text(member, &config.target)
            .each_text("Event", &config.events);
        match rules.is_empty() {
            true => element,
            false => {
                let key = Element::new().child("S3Key", Element::new().each("FilterRule", rules));
                element.child("Filter", key)
            }
        }
    };
    let of = |service: &'static str| {
        stored.functions.iter().filter(move |config| config.service() == service).map(element)
    };
    let bus = stored.bus.then(Element::new);
    Ok(Element::new()
        .each("CloudFunctionConfiguration", of("lambda"))
        .each("QueueConfiguration", of("sqs"))
        .each("TopicConfiguration", of("sns"))
        .each("EventBridgeConfiguration", bus)
        .reply("NotificationConfiguration"))
}

/// Writes down a delivery, or the message itself, for everyone who wants to know of this event.
pub(super) fn notify(
    cx: &mut Cx<'_>,
    bucket: &Opened,
    key: &str,
    event: Event,
    version: &Version,
) -> Result<(), Fault> {
    let Some(stored) = NOTIFICATIONS.get(cx.tx, &bucket.row(NOTIFICATIONS_CONFIG))? else { return Ok(()) };
    if stored.bus {
        bus_events::tell(cx, bucket, key, event, version)?;
    }
    let name = format!("s3:{}", event.name());
    let source = bucket.arn().to_string();
    let agent = Agent::new(PRINCIPAL, &source, &bucket.record.account);
    for config in stored.functions.iter().filter(|config| config.wants(&name, key)) {
        let target: Arn = config.target.parse().map_err(|e| Fault::internal("read a notification", e))?;
        let payload = events::payload(cx, bucket, key, event, version, &config.id);
        if let Err(why) = tell(cx, &agent, &target, &name, payload)? {
            warn!(bucket = bucket.name, %target, %why, "a notification has nowhere to go");
        }
    }
    Ok(())
}

/// Sends in the bucket's name and in this transaction; or says why it cannot.
fn tell(
    cx: &mut Cx<'_>,
    bucket: &Agent<'_>,
    target: &Arn,
    event: &str,
    payload: Vec<u8>,
) -> Result<Result<(), String>, Fault> {
    let depth = cx.caller.depth;
    match target.service.as_str() {
        "sqs" => {
            let sent = sqs::post(cx, target, bucket, Post::new(payload, depth))?;
            return Ok(sent.map_err(|why| why.to_string()));
        }
        "sns" => {
            let said =
                Announcement { subject: "Amazon S3 Notification", body: payload, attributes: &[], depth };
            let sent = sns::announce(cx, target, bucket, said)?;
            return Ok(sent.map_err(|why| why.to_string()));
        }
        _ => {}
    }
    if let Err(why) = crate::lambda::admits(cx, target, bucket)? {
        return Ok(Err(why));
    }
    cx.deliver(Delivery {
        target: Target::Function(target.clone()),
        event_type: event.replacen("s3:", "aws.s3.", 1),
        payload,
        source: bucket.source.to_owned(),
        id: None,
        due: None,
        depth,
        tenant: None,
    })?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(events: &[&str], prefix: Option<&str>, suffix: Option<&str>) -> FunctionConfig {
        FunctionConfig {
            id: "id".into(),
            target: "f".into(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            prefix: prefix.map(str::to_owned),
            suffix: suffix.map(str::to_owned),
        }
    }

    #[test]
    fn a_configuration_wants_its_events_of_its_keys() {
        let all = config(&["s3:ObjectCreated:*"], Some("in/"), Some(".jpg"));
        assert!(all.wants("s3:ObjectCreated:Put", "in/a.jpg"));
        assert!(all.wants("s3:ObjectCreated:CompleteMultipartUpload", "in/.jpg"));
        assert!(!all.wants("s3:ObjectCreated:Put", "in/a.png"));
        assert!(!all.wants("s3:ObjectCreated:Put", "out/a.jpg"));
        assert!(!all.wants("s3:ObjectRemoved:Delete", "in/a.jpg"));
        let one = config(&["s3:ObjectRemoved:Delete"], None, None);
        assert!(one.wants("s3:ObjectRemoved:Delete", "anything"));
        assert!(!one.wants("s3:ObjectRemoved:DeleteMarkerCreated", "anything"));
    }

    #[test]
    fn configurations_overlap_if_an_event_could_go_to_both() {
        let created = ["s3:ObjectCreated:*"];
        let a = config(&created, Some("a"), None);
        assert!(a.overlaps(&config(&["s3:ObjectCreated:Put"], Some("ab"), Some(".x"))));
        assert!(!a.overlaps(&config(&created, Some("b"), None)));
        assert!(!a.overlaps(&config(&["s3:ObjectRemoved:*"], Some("a"), None)));
        let jpg = config(&created, None, Some(".jpg"));
        assert!(!jpg.overlaps(&config(&created, None, Some(".png"))));
        assert!(jpg.overlaps(&config(&created, Some("a"), Some("g"))));
    }
}
