//! `AWS::SNS::Topic`, `AWS::SNS::Subscription`, `AWS::SNS::TopicPolicy` and `AWS::SNS::TopicInlinePolicy`.

use super::properties::{Properties, flag, text};
use super::{Context, Made, Wanted};
use crate::cli::client::{element, is_absent};
use crate::cli::deploy::stack::Deployed;
use serde_json::Value as Json;

/// The properties of a topic that are attributes of the same name, and what they are if a template stops
/// naming them.
const OF_TOPIC: [(&str, &str); 5] = [
    ("ContentBasedDeduplication", "false"),
    ("DisplayName", ""),
    ("FifoThroughputScope", "Topic"),
    ("SignatureVersion", "1"),
    ("TracingConfig", "PassThrough"),
];
/// The same of a subscription.
const OF_SUBSCRIPTION: [(&str, &str); 5] = [
    ("DeliveryPolicy", ""),
    ("FilterPolicy", "{}"),
    ("FilterPolicyScope", "MessageAttributes"),
    ("RawMessageDelivery", "false"),
    ("RedrivePolicy", "{}"),
];

/// A property as an attribute: documents as JSON.
fn attribute(properties: Properties<'_>, name: &str) -> Option<String> {
    match properties.get(name)? {
        document @ Json::Object(_) => Some(document.to_string()),
        scalar => text(scalar),
    }
}

fn attributes(properties: Properties<'_>, known: &[(&str, &str)]) -> Vec<(String, String)> {
    let value = |name: &str| Some((name.to_owned(), attribute(properties, name)?));
    known.iter().filter_map(|(name, _)| value(name)).collect()
}

/// What an update has to set: what the template says, and what it has stopped to say.
fn changes(was: &Deployed, wanted: Properties<'_>, known: &[(&str, &str)]) -> Vec<(String, String)> {
    let change = |(name, default): &(&str, &str)| {
        let before = attribute(Properties(&was.properties), name);
        let now = attribute(wanted, name);
        (before != now).then(|| ((*name).to_owned(), now.unwrap_or_else(|| (*default).to_owned())))
    };
    known.iter().filter_map(change).collect()
}

/// Members of a map: `Attributes.entry.1.key` and so on.
fn map(name: &str, pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    let entry = |(index, (key, value)): (usize, (String, String))| {
        let entry = format!("{name}.entry.{}", index + 1);
        [(format!("{entry}.key"), key), (format!("{entry}.value"), value)]
    };
    pairs.into_iter().enumerate().flat_map(entry).collect()
}

fn tags(properties: Properties<'_>) -> Vec<(String, String)> {
    let Some(Json::Object(tags)) = properties.tags() else { return Vec::new() };
    let tag = |(index, (key, value)): (usize, (String, Json))| {
        let member = format!("Tags.member.{}", index + 1);
        let value = text(&value).unwrap_or_default();
        [(format!("{member}.Key"), key), (format!("{member}.Value"), value)]
    };
    tags.into_iter().enumerate().flat_map(tag).collect()
}

async fn call(cx: &Context<'_>, action: &str, members: &[(String, String)]) -> anyhow::Result<String> {
    let members: Vec<(&str, &str)> = members.iter().map(|(name, value)| (&**name, &**value)).collect();
    cx.client.form("sns", action, &members).await
}

fn member(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn made(arn: &str) -> Made {
    let name = arn.rsplit(':').next().unwrap_or_default().to_owned();
    Made::new(arn, [("TopicArn", arn.to_owned()), ("TopicName", name)])
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let from = wanted.properties();
    let mut name = wanted.name("TopicName", cx.place);
    let mut attributes = attributes(from, &OF_TOPIC);
    if from.get("FifoTopic").and_then(flag).unwrap_or_default() {
        attributes.push(member("FifoTopic", "true"));
        if !name.ends_with(".fifo") {
            name.push_str(".fifo");
        }
    }
    let mut members = vec![member("Name", name)];
    members.extend(map("Attributes", attributes));
    members.extend(tags(from));
    let answer = call(cx, "CreateTopic", &members).await?;
    let arn = element(&answer, "TopicArn").unwrap_or_default().to_owned();
    for subscription in inline(from) {
        subscribe(cx, &arn, subscription).await?;
    }
    Ok(made(&arn))
}

/// The subscriptions that a topic itself names.
fn inline(properties: Properties<'_>) -> Vec<&Json> {
    properties.get("Subscription").and_then(Json::as_array).into_iter().flatten().collect()
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let (arn, from) = (&was.physical, wanted.properties());
    for (name, value) in changes(was, from, &OF_TOPIC) {
        let members =
            [member("TopicArn", arn), member("AttributeName", name), member("AttributeValue", value)];
        call(cx, "SetTopicAttributes", &members).await?;
    }
    let (old, new) = (Properties(&was.properties).tags(), from.tags());
    if old != new {
        let kept = new.as_ref().and_then(Json::as_object).cloned().unwrap_or_default();
        let dropped = old.as_ref().and_then(Json::as_object).into_iter().flat_map(|map| map.keys());
        let dropped = dropped.filter(|key| !kept.contains_key(*key)).enumerate();
        let mut members: Vec<_> =
            dropped.map(|(index, key)| member(&format!("TagKeys.member.{}", index + 1), key)).collect();
        if !members.is_empty() {
            members.push(member("ResourceArn", arn));
            call(cx, "UntagResource", &members).await?;
        }
        let mut members = tags(from);
        if !members.is_empty() {
            members.push(member("ResourceArn", arn));
            call(cx, "TagResource", &members).await?;
        }
    }
    for subscription in inline(from) {
        // One that is there already is no fault.
        subscribe(cx, arn, subscription).await?;
    }
    Ok(made(arn))
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    call(cx, "DeleteTopic", &[member("TopicArn", &gone.physical)]).await.map(drop)
}

async fn subscribe(cx: &Context<'_>, topic: &str, properties: &Json) -> anyhow::Result<String> {
    let from = Properties(properties);
    let mut members = vec![
        member("TopicArn", topic),
        member("Protocol", from.required("Protocol")?),
        member("Endpoint", from.text("Endpoint").unwrap_or_default()),
        member("ReturnSubscriptionArn", "true"),
    ];
    members.extend(map("Attributes", attributes(from, &OF_SUBSCRIPTION)));
    let answer = call(cx, "Subscribe", &members).await?;
    Ok(element(&answer, "SubscriptionArn").unwrap_or_default().to_owned())
}

pub(super) async fn create_subscription(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let arn = subscribe(cx, &wanted.properties().required("TopicArn")?, wanted.properties).await?;
    Ok(Made::new(arn.clone(), [("Arn", arn)]))
}

pub(super) async fn update_subscription(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let arn = &was.physical;
    for (name, value) in changes(was, wanted.properties(), &OF_SUBSCRIPTION) {
        let members =
            [member("SubscriptionArn", arn), member("AttributeName", name), member("AttributeValue", value)];
        call(cx, "SetSubscriptionAttributes", &members).await?;
    }
    Ok(Made::new(arn, [("Arn", arn.clone())]))
}

pub(super) async fn delete_subscription(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    call(cx, "Unsubscribe", &[member("SubscriptionArn", &gone.physical)]).await.map(drop)
}

/// Sets the policy of every topic that the resource names.
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
    let topics = properties.get("Topics").and_then(Json::as_array).into_iter().flatten();
    for topic in topics.chain(properties.get("TopicArn")) {
        let members = [
            member("TopicArn", text(topic).unwrap_or_default()),
            member("AttributeName", "Policy"),
            member("AttributeValue", document),
        ];
        match call(cx, "SetTopicAttributes", &members).await {
            Err(error) if document.is_empty() && is_absent(&error) => {}
            done => drop(done?),
        }
    }
    Ok(())
}
