//! Publish and PublishBatch.

use super::fanout::{self, Audience};
use super::faults;
use super::keys::{FORGET, SEEN, TAILS};
use super::message::{Draft, Message, sequence};
use super::model::{Mark, REMEMBERED, Seen, Tail};
use super::topics::{Opened, find, open};
use super::{policy, push, texts};
use crate::access::Agent;
use crate::{Cx, sqs};
use mayfly_kernel::{Arn, Fault, Time};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;

const BATCH: usize = 10;
/// Numbers of one millisecond: what makes those of a topic that is made again follow those that it had
/// before.
const NUMBERS_PER_MS_BITS: u32 = 20;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Published {
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

impl Published {
    /// To somebody without a topic.
    pub(super) fn new(message_id: String) -> Published {
        Published { message_id, sequence_number: None }
    }
}

pub(super) fn publish(cx: &mut Cx<'_>, input: Draft) -> Result<Published, Fault> {
    if let Some(number) = input.phone_number.clone() {
        let message = input.read(cx.limits.sns_message_bytes)?;
        return texts::publish(cx, &number, message);
    }
    let missing = || faults::invalid("TopicArn or TargetArn Reason: no value for required parameter");
    let target = input.topic_arn.as_ref().or(input.target_arn.as_ref()).ok_or_else(missing)?;
    if push::is_endpoint(target) {
        let endpoint = target.clone();
        let message = input.read(cx.limits.sns_message_bytes)?;
        return push::publish(cx, &endpoint, message);
    }
    let topic = open(cx, target)?;
    let audience = Audience::of(cx, &topic)?;
    publish_one(cx, &topic, &audience, input)
}

fn publish_one(
    cx: &mut Cx<'_>,
    topic: &Opened,
    audience: &Audience,
    draft: Draft,
) -> Result<Published, Fault> {
    let (group, dedup) = (draft.message_group_id.clone(), draft.message_deduplication_id.clone());
    let mut message = draft.read(cx.limits.sns_message_bytes)?;
    message.group = group.unwrap_or_default();
    message.dedup = dedup.unwrap_or_default();
    check_place(topic, &mut message)?;
    deliver(cx, topic, audience, message, cx.caller.depth)
}

/// Checks group and deduplication id; a topic may take the latter from the content.
fn check_place(topic: &Opened, message: &mut Message) -> Result<(), Fault> {
    let token = |name: &str, text: &str| match text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic())
    {
        true => Ok(()),
        false => Err(faults::invalid(format_args!(
            "{name} Reason: {name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
        ))),
    };
    token("MessageGroupId", &message.group)?;
    token("MessageDeduplicationId", &message.dedup)?;
    if !topic.record.fifo {
        return match message.dedup.is_empty() {
            true => Ok(()),
            false => Err(faults::invalid(
                "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid \
                 for this topic type",
            )),
        };
    }
    if message.group.is_empty() {
        return Err(faults::invalid("The MessageGroupId parameter is required for FIFO topics"));
    }
    if message.dedup.is_empty() {
        if !topic.record.content_dedup {
            return Err(faults::invalid(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                 explicitly",
            ));
        }
        message.dedup = hex::encode(Sha256::digest(&message.body));
    }
    Ok(())
}

/// Gives a message its id and its number, and hands it to everyone, in this transaction.
fn deliver(
    cx: &mut Cx<'_>,
    topic: &Opened,
    audience: &Audience,
    mut message: Message,
    depth: u32,
) -> Result<Published, Fault> {
    message.id = cx.ids.uuid();
    if topic.record.fifo {
        let scope = if topic.record.dedup_per_group { message.group.clone() } else { String::new() };
        let key = (topic.record.id, scope, message.dedup.clone());
        if let Some(seen) = SEEN.get(cx.tx, &key)?
            && cx.now < Time::from_ms(seen.at_ms) + REMEMBERED
        {
            return Ok(Published { message_id: seen.message, sequence_number: Some(sequence(seen.seq)) });
        }
        let last = TAILS.get(cx.tx, &(topic.record.id,))?.map_or(0, |tail| tail.seq);
        let seq = (last + 1).max(cx.now.ms() << NUMBERS_PER_MS_BITS);
        TAILS.put(cx.tx, &(topic.record.id,), &Tail { seq });
        SEEN.put(cx.tx, &key, &Seen { at_ms: cx.now.ms(), message: message.id.clone(), seq });
        FORGET.put(cx.tx, &(cx.now + REMEMBERED, key.0, key.1, key.2), &Mark {});
        message.seq = Some(seq);
    }
    // What follows is the topic's own, whoever has published.
    let (account, region, _) = &topic.key;
    cx.on_behalf("sns.amazonaws.com", (account, region), |cx| {
        fanout::fan_out(cx, topic, audience, &message, depth)
    })?;
    Ok(Published { sequence_number: message.seq.map(sequence), message_id: message.id })
}

/// What the platform has to say to a topic: notifications of buckets, records of invocations.
pub(crate) struct Announcement<'a> {
    pub(crate) subject: &'a str,
    pub(crate) body: Vec<u8>,
    pub(crate) attributes: &'a [sqs::Attribute],
    pub(crate) depth: u32,
}

/// Why the platform cannot publish to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unheard {
    /// There is none, or it is FIFO, which would need a group.
    NoSuchTopic,
    TooLarge,
    /// Its policy does not let the sender in, in the words of IAM.
    Denied(String),
}

impl std::fmt::Display for Unheard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unheard::NoSuchTopic => "there is no such standard topic",
            Unheard::TooLarge => "the message is larger than the topic takes",
            Unheard::Denied(why) => why,
        })
    }
}

/// Publishes for the platform in this transaction; or says why it cannot, and nothing is published.
pub(crate) fn announce(
    cx: &mut Cx<'_>,
    arn: &Arn,
    agent: &Agent<'_>,
    announcement: Announcement<'_>,
) -> Result<Result<(), Unheard>, Fault> {
    let Some(topic) = find(cx, arn)?.filter(|topic| !topic.record.fifo) else {
        return Ok(Err(Unheard::NoSuchTopic));
    };
    if let Err(why) = policy::admits(cx, &topic, agent) {
        return Ok(Err(Unheard::Denied(why)));
    }
    let Announcement { subject, body, attributes, depth } = announcement;
    let body = String::from_utf8_lossy(&body).into_owned();
    if body.len() as u64 > cx.limits.sns_message_bytes {
        return Ok(Err(Unheard::TooLarge));
    }
    let audience = Audience::of(cx, &topic)?;
    deliver(cx, &topic, &audience, Message::of_platform(subject, body, attributes), depth)?;
    Ok(Ok(()))
}

/// Whether a topic can be a target of what the agent says.
pub(crate) fn is_target(cx: &Cx<'_>, arn: &Arn, agent: &Agent<'_>) -> Result<bool, Fault> {
    let topic = find(cx, arn)?.filter(|topic| !topic.record.fifo);
    Ok(topic.is_some_and(|topic| policy::admits(cx, &topic, agent).is_ok()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PublishBatch {
    topic_arn: String,
    #[serde(default)]
    publish_batch_request_entries: Vec<Draft>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answers {
    successful: Vec<Success>,
    failed: Vec<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Success {
    id: String,
    #[serde(flatten)]
    published: Published,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    id: String,
    code: String,
    message: String,
    sender_fault: bool,
}

pub(super) fn batch(cx: &mut Cx<'_>, input: PublishBatch) -> Result<Answers, Fault> {
    let topic = open(cx, &input.topic_arn)?;
    check_batch(&input.publish_batch_request_entries, cx.limits.sns_message_bytes)?;
    let audience = Audience::of(cx, &topic)?;
    let mut answers = Answers { successful: Vec::new(), failed: Vec::new() };
    for draft in input.publish_batch_request_entries {
        let id = draft.id.clone();
        match publish_one(cx, &topic, &audience, draft) {
            Ok(published) => answers.successful.push(Success { id, published }),
            Err(fault) if fault.is_server() => return Err(fault),
            Err(fault) => {
                let (code, message) = (fault.code.into_owned(), fault.message);
                answers.failed.push(Failure { id, code, message, sender_fault: true });
            }
        }
    }
    Ok(answers)
}

fn check_batch(entries: &[Draft], bytes_max: u64) -> Result<(), Fault> {
    if entries.is_empty() {
        return Err(faults::empty_batch());
    }
    if entries.len() > BATCH {
        return Err(faults::too_many_entries());
    }
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let fits = |id: &str| (1..=80).contains(&id.len()) && id.bytes().all(word);
    if !entries.iter().all(|entry| fits(&entry.id)) {
        return Err(faults::bad_entry_id());
    }
    let distinct: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    if distinct.len() < entries.len() {
        return Err(faults::ids_not_distinct());
    }
    match entries.iter().map(|entry| entry.size()).sum::<u64>() > bytes_max {
        true => Err(faults::batch_too_long()),
        false => Ok(()),
    }
}
