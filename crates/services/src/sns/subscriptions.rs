//! Subscriptions: who gets a topic's messages.

use super::keys::{SUBSCRIPTIONS, SubscriptionKey, TOPICS};
use super::model::{Protocol, Subscription};
use super::settings;
use super::topics::{Opened, find as find_topic, open, read_arn};
use super::webhooks;
use super::{faults, retry};
use crate::identity::Identity;
use crate::{Cx, lambda, sqs};
use mayfly_kernel::caller::Principal;
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Attributes = BTreeMap<String, String>;

const PAGE: usize = 100;

/// A subscription that exists.
pub(super) struct Found {
    pub(super) key: SubscriptionKey,
    pub(super) record: Subscription,
}

impl Found {
    pub(super) fn arn(&self) -> Arn {
        let (account, region, topic, id) = &self.key;
        Arn::new("sns", region, account, format!("{topic}:{id}"))
    }

    pub(super) fn topic_arn(&self) -> Arn {
        let (account, region, topic, _) = &self.key;
        Arn::new("sns", region, account, topic.as_str())
    }
}

/// Every subscription of a topic, held to: whoever subscribes meanwhile makes this run again.
pub(super) fn of_topic(cx: &Cx<'_>, topic: &Opened) -> Result<Vec<Found>, Fault> {
    let rows = SUBSCRIPTIONS.scan(cx.tx, Scan::prefix(&topic.key, usize::MAX))?;
    Ok(rows.into_iter().map(|(key, record)| Found { key, record }).collect())
}

/// The subscription of this ARN.
pub(super) fn find(cx: &Cx<'_>, arn: &Arn) -> Result<Option<Found>, Fault> {
    let Some((topic, id)) = arn.resource.split_once(':') else { return Ok(None) };
    let key = (arn.account.clone(), arn.region.clone(), topic.to_owned(), id.to_owned());
    Ok(SUBSCRIPTIONS.get(cx.tx, &key)?.map(|record| Found { key, record }))
}

fn open_subscription(cx: &mut Cx<'_>, text: &str) -> Result<Found, Fault> {
    let arn = read_arn(text, "SubscriptionArn")?;
    cx.allow(&arn)?;
    if !arn.resource.contains(':') {
        return Err(faults::invalid("SubscriptionArn"));
    }
    find(cx, &arn)?.ok_or_else(faults::no_subscription)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Subscribe {
    topic_arn: String,
    protocol: String,
    endpoint: Option<String>,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    return_subscription_arn: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Subscribed {
    subscription_arn: String,
}

pub(super) fn subscribe(cx: &mut Cx<'_>, input: Subscribe) -> Result<Subscribed, Fault> {
    let topic = open(cx, &input.topic_arn)?;
    let protocol = protocol(&input.protocol)?;
    let endpoint = input.endpoint.unwrap_or_default();
    check_endpoint(cx, &topic, protocol, &endpoint)?;
    let mut record = Subscription {
        endpoint,
        confirmed: matches!(protocol, Protocol::Queue | Protocol::Function),
        principal: Identity::of(cx.caller).arn.to_string(),
        created_ms: cx.now.ms(),
        ..Subscription::default()
    };
    record.authenticated = record.confirmed;
    if !record.confirmed {
        record.token = cx.ids.hex(64);
    }
    record.set_protocol(protocol);
    settings::apply(cx, &topic, &mut record, &input.attributes)?;
    let existing = of_topic(cx, &topic)?;
    let same =
        |found: &&Found| found.record.protocol() == protocol && found.record.endpoint == record.endpoint;
    if let Some(found) = existing.iter().find(same) {
        if !settings::agree(&found.record, &record, &input.attributes) {
            let reason = "Attributes Reason: Subscription already exists with different attributes";
            return Err(faults::invalid(reason));
        }
        if !found.record.confirmed {
            webhooks::ask(cx, &topic.arn(), found)?;
        }
        return Ok(answer(found, input.return_subscription_arn));
    }
    if existing.len() >= cx.limits.sns_subscriptions {
        return Err(faults::too_many_subscriptions(cx.limits.sns_subscriptions));
    }
    let (account, region, name) = topic.key.clone();
    let found = Found { key: (account, region, name, cx.ids.uuid()), record };
    SUBSCRIPTIONS.put(cx.tx, &found.key, &found.record);
    if found.record.confirmed {
        count(cx, &topic, |topic| topic.confirmed += 1);
    } else {
        count(cx, &topic, |topic| topic.pending += 1);
        webhooks::ask(cx, &topic.arn(), &found)?;
    }
    Ok(answer(&found, input.return_subscription_arn))
}

fn answer(found: &Found, whole: bool) -> Subscribed {
    let arn = if found.record.confirmed || whole {
        found.arn().to_string()
    } else {
        "pending confirmation".to_owned()
    };
    Subscribed { subscription_arn: arn }
}

/// Changes a topic's figures.
fn count(cx: &mut Cx<'_>, topic: &Opened, change: impl FnOnce(&mut super::model::Topic)) {
    let mut record = topic.record.clone();
    change(&mut record);
    TOPICS.put(cx.tx, &topic.key, &record);
}

fn protocol(text: &str) -> Result<Protocol, Fault> {
    match text {
        "sqs" => Ok(Protocol::Queue),
        "lambda" => Ok(Protocol::Function),
        "http" => Ok(Protocol::Http),
        "https" | "email" | "email-json" | "sms" | "application" | "firehose" => {
            Err(Fault::not_implemented(&format!("subscriptions of protocol {text}")))
        }
        _ => Err(faults::invalid(format_args!("Amazon SNS does not support this protocol string: {text}"))),
    }
}

fn check_endpoint(cx: &Cx<'_>, topic: &Opened, protocol: Protocol, endpoint: &str) -> Result<(), Fault> {
    let bad = |reason: &str| Err(faults::invalid(format_args!("Endpoint Reason: {reason}")));
    let arn: Option<Arn> = endpoint.parse().ok();
    match protocol {
        Protocol::Queue => {
            let Some(arn) = arn.filter(|arn| arn.service == "sqs") else { return bad("SQS endpoint ARN") };
            match sqs::exists(cx, &arn)? {
                None => bad("The queue does not exist"),
                Some(facts) if facts.fifo && !topic.record.fifo => {
                    bad("FIFO SQS Queues can not be subscribed to standard SNS topics")
                }
                Some(_) => Ok(()),
            }
        }
        Protocol::Function if topic.record.fifo => {
            Err(faults::invalid("Protocol Reason: FIFO topics can only have SQS queues as subscribers"))
        }
        Protocol::Function => match arn.filter(|arn| arn.service == "lambda") {
            Some(arn) if lambda::exists(cx, &arn)? => Ok(()),
            Some(_) => bad("The function does not exist"),
            None => bad("Lambda endpoint ARN"),
        },
        Protocol::Http if topic.record.fifo => {
            Err(faults::invalid("Protocol Reason: FIFO topics can only have SQS queues as subscribers"))
        }
        Protocol::Http => match endpoint.parse::<http::Uri>() {
            Ok(uri) if uri.scheme_str() == Some("http") && uri.authority().is_some() => Ok(()),
            Ok(_) | Err(_) => Err(faults::invalid("Endpoint must match the specified protocol")),
        },
        Protocol::Https | Protocol::Unspecified => bad("It has no place here"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Confirm {
    topic_arn: String,
    token: String,
    #[serde(default)]
    authenticate_on_unsubscribe: String,
}

/// Whoever has the token may: it was sent to the endpoint alone. With a signature one may ask that only signed calls
/// end the subscription.
pub(super) fn confirm(cx: &mut Cx<'_>, input: Confirm) -> Result<Subscribed, Fault> {
    let arn = read_arn(&input.topic_arn, "TopicArn")?;
    let signed = cx.caller.principal != Principal::Anonymous;
    if signed {
        cx.allow(&arn)?;
    }
    cx.allowed_by_policy();
    let topic = find_topic(cx, &arn)?.ok_or_else(faults::no_topic)?;
    let all = of_topic(cx, &topic)?;
    let found = all.into_iter().find(|found| !input.token.is_empty() && found.record.token == input.token);
    let mut found = found.ok_or_else(|| faults::invalid("Token"))?;
    if !found.record.confirmed {
        found.record.confirmed = true;
        found.record.authenticated = signed && input.authenticate_on_unsubscribe.eq_ignore_ascii_case("true");
        SUBSCRIPTIONS.put(cx.tx, &found.key, &found.record);
        count(cx, &topic, |topic| {
            topic.pending = topic.pending.saturating_sub(1);
            topic.confirmed += 1;
        });
    }
    Ok(answer(&found, true))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    subscription_arn: String,
}

/// One that does not exist is as good as gone.
pub(super) fn unsubscribe(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let arn = read_arn(&input.subscription_arn, "SubscriptionArn")?;
    let found = find(cx, &arn)?;
    // A web endpoint may end what it has confirmed, by the link in every message.
    match &found {
        Some(found) if found.record.protocol() == Protocol::Http && !found.record.authenticated => {
            cx.allowed_by_policy();
        }
        Some(_) | None => cx.allow(&arn)?,
    }
    let Some(found) = found else { return Ok(()) };
    SUBSCRIPTIONS.delete(cx.tx, &found.key);
    if let Some(topic) = find_topic(cx, &found.topic_arn())? {
        count(cx, &topic, |topic| {
            let figure = if found.record.confirmed { &mut topic.confirmed } else { &mut topic.pending };
            *figure = figure.saturating_sub(1);
            topic.deleted += 1;
        });
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListByTopic {
    topic_arn: String,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    subscription_arn: String,
    owner: String,
    protocol: &'static str,
    endpoint: String,
    topic_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    subscriptions: Vec<Member>,
    next_token: Option<String>,
}

/// A token is the topic's name and the id of the last one shown.
fn page(cx: &Cx<'_>, scan: Scan<SubscriptionKey>, token: Option<String>) -> Result<Listed, Fault> {
    let (account, region) = (&cx.caller.account, &cx.caller.region);
    let scan = match token {
        None => scan,
        Some(token) => {
            let (topic, id) = token.split_once(':').ok_or_else(|| faults::invalid("NextToken"))?;
            scan.after(&(account.clone(), region.clone(), topic.to_owned(), id.to_owned()))
        }
    };
    let mut rows = SUBSCRIPTIONS.scan(cx.tx, scan)?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next_token = rows.last().filter(|_| more).map(|(key, _)| format!("{}:{}", key.2, key.3));
    let member = |(key, record)| {
        let found = Found { key, record };
        let arn = if found.record.confirmed { found.arn().to_string() } else { "PendingConfirmation".into() };
        Member {
            subscription_arn: arn,
            owner: found.key.0.clone(),
            protocol: found.record.protocol().name(),
            topic_arn: found.topic_arn().to_string(),
            endpoint: found.record.endpoint,
        }
    };
    Ok(Listed { subscriptions: rows.into_iter().map(member).collect(), next_token })
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("sns", "*");
    cx.allow(&resource)?;
    let prefix = (cx.caller.account.clone(), cx.caller.region.clone());
    page(cx, Scan::prefix(&prefix, PAGE + 1), input.next_token)
}

pub(super) fn list_by_topic(cx: &mut Cx<'_>, input: ListByTopic) -> Result<Listed, Fault> {
    let topic = open(cx, &input.topic_arn)?;
    page(cx, Scan::prefix(&topic.key, PAGE + 1), input.next_token)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    attributes: Attributes,
}

pub(super) fn get_attributes(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let found = open_subscription(cx, &input.subscription_arn)?;
    let mut attributes = settings::show(&found.record);
    for (name, value) in [
        ("SubscriptionArn", found.arn().to_string()),
        ("TopicArn", found.topic_arn().to_string()),
        ("Owner", found.key.0.clone()),
    ] {
        attributes.insert(name.to_owned(), value);
    }
    if found.record.protocol() == Protocol::Http {
        let topic = find_topic(cx, &found.topic_arn())?.ok_or_else(faults::no_topic)?;
        let policy =
            retry::of_subscription_shown(&topic.record.delivery_policy, &found.record.delivery_policy);
        attributes.insert("EffectiveDeliveryPolicy".to_owned(), policy);
    }
    Ok(Shown { attributes })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetAttribute {
    subscription_arn: String,
    attribute_name: String,
    #[serde(default)]
    attribute_value: String,
}

pub(super) fn set_attributes(cx: &mut Cx<'_>, input: SetAttribute) -> Result<(), Fault> {
    let mut found = open_subscription(cx, &input.subscription_arn)?;
    let topic = find_topic(cx, &found.topic_arn())?.ok_or_else(faults::no_topic)?;
    let attributes = Attributes::from([(input.attribute_name, input.attribute_value)]);
    settings::apply(cx, &topic, &mut found.record, &attributes)?;
    SUBSCRIPTIONS.put(cx.tx, &found.key, &found.record);
    Ok(())
}
