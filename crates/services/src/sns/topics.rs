//! Topics: their life, and their attributes.

use super::keys::{ENDED, SUBSCRIPTIONS, TAILS, TOPICS, TopicKey};
use super::model::Topic;
use super::{delivery, faults, policy};
use crate::tags::{self, Tag};
use crate::{Cx, paging};
use mayfly_kernel::policy::Facts;
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Attributes = BTreeMap<String, String>;

const PAGE: usize = 100;
const DISPLAY_NAME_MAX: usize = 100;

/// A topic that exists.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) key: TopicKey,
    pub(super) record: Topic,
}

impl Opened {
    pub(super) fn arn(&self) -> Arn {
        let (account, region, name) = &self.key;
        Arn::new("sns", region, account, name.as_str())
    }
}

/// The topic of this ARN, if the caller may use it.
pub(super) fn open(cx: &mut Cx<'_>, text: &str) -> Result<Opened, Fault> {
    open_for(cx, text, Facts::default())
}

/// The same for what its policy may have conditions on.
pub(super) fn open_for(cx: &mut Cx<'_>, text: &str, facts: Facts) -> Result<Opened, Fault> {
    let arn = read_arn(text, "TopicArn")?;
    let topic = find(cx, &arn)?;
    policy::admit(cx, &arn, topic.as_ref(), facts)?;
    topic.ok_or_else(faults::no_topic)
}

/// The ARN of a topic, or of a subscription, which has one part more.
pub(super) fn read_arn(text: &str, member: &str) -> Result<Arn, Fault> {
    let elements = text.split(':').count();
    if elements < 6 {
        let reason = format!("{member} Reason: An ARN must have at least 6 elements, not {elements}");
        return Err(faults::invalid(reason));
    }
    let arn: Option<Arn> = text.parse().ok();
    arn.filter(|arn| arn.service == "sns").ok_or_else(|| faults::invalid(member))
}

pub(super) fn find(cx: &Cx<'_>, arn: &Arn) -> Result<Option<Opened>, Fault> {
    let key = (arn.account.clone(), arn.region.clone(), arn.resource.clone());
    Ok(TOPICS.get(cx.tx, &key)?.map(|record| Opened { key, record }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    tags: Vec<Tag>,
    data_protection_policy: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    topic_arn: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    let fifo = input.attributes.get("FifoTopic").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    check_name(&input.name, fifo)?;
    let arn = cx.arn("sns", input.name);
    cx.allow(&arn)?;
    if input.data_protection_policy.is_some_and(|policy| !policy.is_empty()) {
        return Err(Fault::not_implemented("data protection policies"));
    }
    let mut record = Topic { fifo, ..Topic::default() };
    for (name, value) in &input.attributes {
        set(&mut record, name, value)?;
    }
    record.tags = tags::checked::<Opened>(cx, input.tags)?;
    let topic_arn = arn.to_string();
    if let Some(existing) = find(cx, &arn)? {
        let differs = |name: &&String| {
            get(&existing, name) != get(&Opened { key: existing.key.clone(), record: record.clone() }, name)
        };
        if input.attributes.keys().any(|name| differs(&name)) {
            return Err(faults::invalid("Attributes Reason: Topic already exists with different attributes"));
        }
        if !record.tags.is_empty() && record.tags != existing.record.tags {
            return Err(faults::invalid("Tags Reason: Topic already exists with different tags"));
        }
        return Ok(Created { topic_arn });
    }
    record.id = cx.ids.number();
    TOPICS.put(cx.tx, &(arn.account, arn.region, arn.resource), &record);
    Ok(Created { topic_arn })
}

fn check_name(name: &str, fifo: bool) -> Result<(), Fault> {
    let bad = || faults::invalid("Topic Name");
    let stem = match (name.strip_suffix(".fifo"), fifo) {
        (Some(stem), true) => stem,
        (None, false) => name,
        (None, true) => {
            return Err(faults::invalid(
                "Fifo Topic names must end with .fifo and must be made up of only uppercase and \
                 lowercase ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long.",
            ));
        }
        (Some(_), false) => return Err(bad()),
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match !stem.is_empty() && name.len() <= 256 && stem.bytes().all(word) {
        true => Ok(()),
        false => Err(bad()),
    }
}

/// Changes the record by an attribute as a caller writes it.
fn set(topic: &mut Topic, name: &str, value: &str) -> Result<(), Fault> {
    let bad = || faults::attribute_value(name, "Invalid value");
    let flag = || value.to_ascii_lowercase().parse::<bool>().map_err(|_| bad());
    match name {
        "DisplayName" if value.chars().count() <= DISPLAY_NAME_MAX => topic.display_name = value.to_owned(),
        "DisplayName" => return Err(faults::invalid("DisplayName")),
        "Policy" if value.is_empty() => topic.policy.clear(),
        "Policy" => {
            policy::check(value)?;
            topic.policy = value.to_owned();
        }
        "DeliveryPolicy" if value.is_empty() => topic.delivery_policy.clear(),
        "DeliveryPolicy" => {
            delivery::check_topic(value)?;
            topic.delivery_policy = value.to_owned();
        }
        "FifoTopic" if flag()? == topic.fifo => {}
        "FifoTopic" => return Err(bad()),
        "ContentBasedDeduplication" if topic.fifo => topic.content_dedup = flag()?,
        "FifoThroughputScope" if topic.fifo => {
            topic.dedup_per_group = match value {
                "Topic" => false,
                "MessageGroup" => true,
                _ => return Err(bad()),
            }
        }
        "SignatureVersion" if matches!(value, "1" | "2") => topic.signature_version = value.to_owned(),
        "SignatureVersion" => return Err(bad()),
        "TracingConfig" if matches!(value, "PassThrough" | "Active") => topic.tracing = value.to_owned(),
        "TracingConfig" => return Err(bad()),
        "KmsMasterKeyId" if value.is_empty() => {}
        "ArchivePolicy" if matches!(value, "" | "{}") => {}
        "KmsMasterKeyId" => return Err(Fault::not_implemented("encryption of topics")),
        "ArchivePolicy" => return Err(Fault::not_implemented("archives of topics")),
        _ if name.ends_with("FeedbackRoleArn") || name.ends_with("FeedbackSampleRate") => {
            if !value.is_empty() {
                return Err(Fault::not_implemented("delivery status logging"));
            }
        }
        _ => return Err(faults::attribute_name()),
    }
    Ok(())
}

/// An attribute's value; `None` if the topic has it not.
fn get(opened: &Opened, name: &str) -> Option<String> {
    let topic = &opened.record;
    let kept = |text: &String| (!text.is_empty()).then(|| text.clone());
    match name {
        "TopicArn" => Some(opened.arn().to_string()),
        "Owner" => Some(opened.key.0.clone()),
        "DisplayName" => Some(topic.display_name.clone()),
        "Policy" => Some(kept(&topic.policy).unwrap_or_else(|| default_policy(opened))),
        "SubscriptionsConfirmed" => Some(topic.confirmed.to_string()),
        "SubscriptionsPending" => Some(topic.pending.to_string()),
        "SubscriptionsDeleted" => Some(topic.deleted.to_string()),
        "DeliveryPolicy" => kept(&topic.delivery_policy),
        "EffectiveDeliveryPolicy" => Some(delivery::shown_of_topic(&topic.delivery_policy)),
        "FifoTopic" => topic.fifo.then(|| "true".to_owned()),
        "ContentBasedDeduplication" => topic.fifo.then(|| topic.content_dedup.to_string()),
        "FifoThroughputScope" => topic
            .fifo
            .then(|| if topic.dedup_per_group { "MessageGroup".to_owned() } else { "Topic".to_owned() }),
        "SignatureVersion" => kept(&topic.signature_version),
        "TracingConfig" => kept(&topic.tracing),
        _ => None,
    }
}

const SHOWN: [&str; 14] = [
    "TopicArn",
    "Owner",
    "DisplayName",
    "Policy",
    "SubscriptionsConfirmed",
    "SubscriptionsPending",
    "SubscriptionsDeleted",
    "DeliveryPolicy",
    "EffectiveDeliveryPolicy",
    "FifoTopic",
    "ContentBasedDeduplication",
    "FifoThroughputScope",
    "SignatureVersion",
    "TracingConfig",
];

/// What a topic's policy says until somebody sets one.
pub(super) fn default_policy(topic: &Opened) -> String {
    let actions = [
        "SNS:GetTopicAttributes",
        "SNS:SetTopicAttributes",
        "SNS:AddPermission",
        "SNS:RemovePermission",
        "SNS:DeleteTopic",
        "SNS:Subscribe",
        "SNS:ListSubscriptionsByTopic",
        "SNS:Publish",
    ];
    serde_json::json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Effect": "Allow",
            "Sid": "__default_statement_ID",
            "Principal": { "AWS": "*" },
            "Action": actions,
            "Resource": topic.arn().to_string(),
            "Condition": { "StringEquals": { "AWS:SourceOwner": topic.key.0 } },
        }],
    })
    .to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    topic_arn: String,
}

/// One that does not exist is as good as deleted. Its subscriptions go with it.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let arn = read_arn(&input.topic_arn, "TopicArn")?;
    let topic = find(cx, &arn)?;
    policy::admit(cx, &arn, topic.as_ref(), Facts::default())?;
    let Some(topic) = topic else { return Ok(()) };
    for (key, _) in SUBSCRIPTIONS.scan(cx.tx, Scan::prefix(&topic.key, usize::MAX))? {
        SUBSCRIPTIONS.delete(cx.tx, &key);
    }
    for (key, _) in ENDED.scan(cx.tx, Scan::prefix(&topic.key, usize::MAX))? {
        ENDED.delete(cx.tx, &key);
    }
    TAILS.delete(cx.tx, &(topic.record.id,));
    TOPICS.delete(cx.tx, &topic.key);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    topics: Vec<Created>,
    next_token: Option<String>,
}

/// A token is the name of the last topic shown.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("sns", "*");
    cx.allow(&resource)?;
    let prefix = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&prefix, PAGE + 1);
    if let Some(token) = input.next_token {
        scan = scan.after(&(prefix.0.clone(), prefix.1.clone(), token));
    }
    let (rows, next_token) = paging::cut(TOPICS.scan(cx.tx, scan)?, PAGE, |(key, _)| key.2.clone());
    let topic = |(key, record)| Created { topic_arn: Opened { key, record }.arn().to_string() };
    Ok(Listed { topics: rows.into_iter().map(topic).collect(), next_token })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    attributes: Attributes,
}

pub(super) fn get_attributes(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let topic = open(cx, &input.topic_arn)?;
    let value = |name: &str| get(&topic, name).map(|value| (name.to_owned(), value));
    Ok(Shown { attributes: SHOWN.iter().filter_map(|name| value(name)).collect() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetAttribute {
    topic_arn: String,
    attribute_name: String,
    #[serde(default)]
    attribute_value: String,
}

pub(super) fn set_attributes(cx: &mut Cx<'_>, input: SetAttribute) -> Result<(), Fault> {
    let mut topic = open(cx, &input.topic_arn)?;
    if input.attribute_name == "FifoTopic" {
        return Err(faults::attribute_name());
    }
    set(&mut topic.record, &input.attribute_name, &input.attribute_value)?;
    TOPICS.put(cx.tx, &topic.key, &topic.record);
    Ok(())
}
