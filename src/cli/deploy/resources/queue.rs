//! `AWS::SQS::Queue`, `AWS::SQS::QueuePolicy` and `AWS::SQS::QueueInlinePolicy`.

use super::properties::{Properties, flag, text};
use super::{Context, Made, Wanted};
use crate::cli::client::is_absent;
use crate::cli::deploy::stack::Deployed;
use serde_json::{Map, Value as Json, json};

/// The properties that are attributes of the same name, and what they are if a template stops naming them.
const ATTRIBUTES: [(&str, &str); 10] = [
    ("ContentBasedDeduplication", "false"),
    ("DeduplicationScope", "queue"),
    ("DelaySeconds", "0"),
    ("FifoThroughputLimit", "perQueue"),
    ("MaximumMessageSize", "1048576"),
    ("MessageRetentionPeriod", "345600"),
    ("ReceiveMessageWaitTimeSeconds", "0"),
    ("RedriveAllowPolicy", ""),
    ("RedrivePolicy", ""),
    ("VisibilityTimeout", "30"),
];

fn attributes(properties: Properties<'_>) -> Map<String, Json> {
    let value = |name: &str| match properties.get(name)? {
        document @ Json::Object(_) => Some(document.to_string()),
        scalar => text(scalar),
    };
    ATTRIBUTES.iter().filter_map(|(name, _)| Some(((*name).to_owned(), json!(value(name)?)))).collect()
}

fn name(cx: &Context<'_>, wanted: &Wanted<'_>) -> String {
    let name = wanted.name("QueueName", cx.place);
    let fifo = is_fifo(wanted.properties()) && !name.ends_with(".fifo");
    if fifo { format!("{name}.fifo") } else { name }
}

fn is_fifo(properties: Properties<'_>) -> bool {
    properties.get("FifoQueue").and_then(flag).unwrap_or_default()
}

fn made(cx: &Context<'_>, url: &str) -> Made {
    let name = url.rsplit('/').next().unwrap_or_default();
    let arn = cx.arn("sqs", name);
    Made::new(url, [("Arn", arn), ("QueueName", name.to_owned()), ("QueueUrl", url.to_owned())])
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let mut attributes = attributes(wanted.properties());
    if is_fifo(wanted.properties()) {
        attributes.insert("FifoQueue".into(), json!("true"));
    }
    let tags = wanted.properties().tags().unwrap_or_else(|| json!({}));
    let request = json!({ "QueueName": name(cx, wanted), "Attributes": attributes, "tags": tags });
    let answer = call(cx, "CreateQueue", &request).await?;
    Ok(made(cx, answer["QueueUrl"].as_str().unwrap_or_default()))
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let mut changed = attributes(wanted.properties());
    for (name, default) in ATTRIBUTES {
        if was.properties.get(name).is_some() && !changed.contains_key(name) {
            changed.insert(name.into(), json!(default));
        }
    }
    let url = &was.physical;
    if !changed.is_empty() {
        call(cx, "SetQueueAttributes", &json!({ "QueueUrl": url, "Attributes": changed })).await?;
    }
    let (old, new) = (Properties(&was.properties).tags(), wanted.properties().tags());
    let keys = |tags: &Option<Json>| -> Vec<String> {
        tags.as_ref().and_then(Json::as_object).into_iter().flat_map(|map| map.keys().cloned()).collect()
    };
    let kept = keys(&new);
    let dropped: Vec<String> = keys(&old).into_iter().filter(|key| !kept.contains(key)).collect();
    if !dropped.is_empty() {
        call(cx, "UntagQueue", &json!({ "QueueUrl": url, "TagKeys": dropped })).await?;
    }
    if let Some(tags) = new.filter(|_| !kept.is_empty()) {
        call(cx, "TagQueue", &json!({ "QueueUrl": url, "Tags": tags })).await?;
    }
    Ok(made(cx, url))
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    call(cx, "DeleteQueue", &json!({ "QueueUrl": gone.physical })).await.map(drop)
}

/// Sets the policy of every queue that the resource names.
pub(super) async fn put_policy(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let document = wanted.properties().get("PolicyDocument").map(Json::to_string).unwrap_or_default();
    set_policies(cx, wanted.properties(), &document).await?;
    Ok(Made::new(wanted.generated_name(cx.place), []))
}

pub(super) async fn delete_policy(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    set_policies(cx, Properties(&gone.properties), "").await
}

async fn set_policies(cx: &Context<'_>, properties: Properties<'_>, document: &str) -> anyhow::Result<()> {
    // The inline form names one.
    let queues = properties.get("Queues").and_then(Json::as_array).into_iter().flatten();
    for url in queues.chain(properties.get("Queue")) {
        let request = json!({ "QueueUrl": url, "Attributes": { "Policy": document } });
        match call(cx, "SetQueueAttributes", &request).await {
            Err(error) if document.is_empty() && is_absent(&error) => {}
            done => drop(done?),
        }
    }
    Ok(())
}

async fn call(cx: &Context<'_>, operation: &str, request: &Json) -> anyhow::Result<Json> {
    cx.client.json("sqs", &format!("AmazonSQS.{operation}"), request).await
}
