//! Subscriptions: who gets a topic's messages.

use super::keys::{ASKED, ENDED, SUBSCRIPTIONS, SubscriptionKey, TOPICS};
use super::model::{Mark, Subscription};
use super::topics::{Opened, find as find_topic, open, open_for, read_arn};
use super::{addresses, delivery, faults, outside, settings};
use crate::identity::Identity;
use crate::{Cx, paging};
use mayfly_kernel::caller::Principal;
use mayfly_kernel::policy::Facts;
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

    /// The account that has subscribed, which need not be the topic's.
    fn owner(&self) -> String {
        let principal = self.record.principal.parse::<Arn>();
        principal.map_or_else(|_| self.key.0.clone(), |arn| arn.account)
    }

    /// Asks whether the caller may do this operation on it: its topic's account and its own may.
    fn admit(&self, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let resource = self.arn();
        match !cx.caller.account.is_empty() && self.owner() == cx.caller.account {
            true => cx.allow(&Arn { account: cx.caller.account.clone(), ..resource }),
            false => cx.allow(&resource),
        }
    }
}

/// Every subscription of a topic, held to: whoever subscribes meanwhile makes this run again.
pub(super) fn of_topic(cx: &Cx<'_>, topic: &Opened) -> Result<Vec<Found>, Fault> {
    let rows = SUBSCRIPTIONS.scan(cx.tx, Scan::prefix(&topic.key, usize::MAX))?;
    Ok(rows.into_iter().map(|(key, record)| Found { key, record }).collect())
}

fn key(arn: &Arn) -> Option<SubscriptionKey> {
    let (topic, id) = arn.resource.split_once(':')?;
    Some((arn.account.clone(), arn.region.clone(), topic.to_owned(), id.to_owned()))
}

/// The subscription of this ARN.
pub(super) fn find(cx: &Cx<'_>, arn: &Arn) -> Result<Option<Found>, Fault> {
    let Some(key) = key(arn) else { return Ok(None) };
    Ok(SUBSCRIPTIONS.get(cx.tx, &key)?.map(|record| Found { key, record }))
}

/// The same of one that its endpoint has ended, and may take back.
pub(super) fn find_ended(cx: &Cx<'_>, arn: &Arn) -> Result<Option<Found>, Fault> {
    let Some(key) = key(arn) else { return Ok(None) };
    Ok(ENDED.get(cx.tx, &key)?.map(|record| Found { key, record }))
}

/// Makes the token of a subscription hold from now on, and notes until when.
fn renew(cx: &mut Cx<'_>, found: &mut Found) {
    found.record.asked_ms = cx.now.ms();
    let (account, region, topic, id) = found.key.clone();
    ASKED.put(cx.tx, &(found.record.expires(), account, region, topic, id), &Mark {});
}

fn open_subscription(cx: &mut Cx<'_>, text: &str) -> Result<Found, Fault> {
    let arn = read_arn(text, "SubscriptionArn")?;
    if !arn.resource.contains(':') {
        return Err(faults::invalid("SubscriptionArn"));
    }
    match find(cx, &arn)? {
        Some(found) => found.admit(cx).map(|()| found),
        None => cx.allow(&arn).and(Err(faults::no_subscription())),
    }
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
    let protocol = addresses::protocol(&input.protocol)?;
    let endpoint = input.endpoint.unwrap_or_default();
    let facts = Facts::default().with("sns:Protocol", protocol.name()).with("sns:Endpoint", &*endpoint);
    let topic = open_for(cx, &input.topic_arn, facts)?;
    addresses::check(cx, &topic, protocol, &endpoint)?;
    let confirmed = !protocol.asks() && !addresses::is_foreign(cx, protocol, &endpoint);
    let mut record = Subscription {
        endpoint,
        confirmed,
        locked: confirmed,
        principal: Identity::of(cx.caller).arn.to_string(),
        created_ms: cx.now.ms(),
        ..Subscription::default()
    };
    if !confirmed {
        record.token = cx.ids.hex(64);
    }
    record.set_protocol(protocol);
    settings::apply(cx, &topic, &mut record, &input.attributes)?;
    let existing = of_topic(cx, &topic)?;
    let count_now = existing.len();
    let same =
        |found: &Found| found.record.protocol() == protocol && found.record.endpoint == record.endpoint;
    if let Some(mut found) = existing.into_iter().find(same) {
        if !settings::agree(&found.record, &record, &input.attributes) {
            let reason = "Attributes Reason: Subscription already exists with different attributes";
            return Err(faults::invalid(reason));
        }
        if !found.record.confirmed {
            ask(cx, &topic, &mut found)?;
        }
        return Ok(answer(&found, input.return_subscription_arn));
    }
    if count_now >= cx.limits.sns_subscriptions {
        return Err(faults::too_many_subscriptions(cx.limits.sns_subscriptions));
    }
    let (account, region, name) = topic.key.clone();
    let mut found = Found { key: (account, region, name, cx.ids.uuid()), record };
    if confirmed {
        SUBSCRIPTIONS.put(cx.tx, &found.key, &found.record);
        count(cx, &topic, |topic| topic.confirmed += 1);
    } else {
        count(cx, &topic, |topic| topic.pending += 1);
        ask(cx, &topic, &mut found)?;
    }
    Ok(answer(&found, input.return_subscription_arn))
}

/// Sends the endpoint the token that confirms the subscription.
fn ask(cx: &mut Cx<'_>, topic: &Opened, found: &mut Found) -> Result<(), Fault> {
    renew(cx, found);
    SUBSCRIPTIONS.put(cx.tx, &found.key, &found.record);
    outside::ask(cx, topic, found)
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Confirm {
    topic_arn: String,
    token: String,
    #[serde(default)]
    authenticate_on_unsubscribe: String,
}

/// Whoever has the token may, of whatever account: it was sent to the endpoint alone. With a signature one
/// may ask that only signed calls end the subscription.
pub(super) fn confirm(cx: &mut Cx<'_>, input: Confirm) -> Result<Subscribed, Fault> {
    let arn = read_arn(&input.topic_arn, "TopicArn")?;
    let signed = cx.caller.principal != Principal::Anonymous;
    cx.allowed_by_policy();
    let lock = input.authenticate_on_unsubscribe.eq_ignore_ascii_case("true");
    if lock && !signed {
        return Err(faults::invalid("AuthenticateOnUnsubscribe Reason: the request has no signature"));
    }
    let topic = find_topic(cx, &arn)?.ok_or_else(faults::no_topic)?;
    let now = cx.now;
    let fits = |record: &Subscription| {
        !input.token.is_empty() && record.token == input.token && now < record.expires()
    };
    if let Some(found) = of_topic(cx, &topic)?.into_iter().find(|found| fits(&found.record)) {
        if found.record.confirmed {
            return Ok(answer(&found, true));
        }
        count(cx, &topic, |topic| {
            topic.pending = topic.pending.saturating_sub(1);
            topic.confirmed += 1;
        });
        return Ok(confirmed(cx, found, signed, lock));
    }
    let ended = ENDED.scan(cx.tx, Scan::prefix(&topic.key, usize::MAX))?;
    let (key, record) =
        ended.into_iter().find(|(_, record)| fits(record)).ok_or_else(|| faults::invalid("Token"))?;
    ENDED.delete(cx.tx, &key);
    count(cx, &topic, |topic| {
        topic.confirmed += 1;
        topic.deleted = topic.deleted.saturating_sub(1);
    });
    Ok(confirmed(cx, Found { key, record }, signed, lock))
}

fn confirmed(cx: &mut Cx<'_>, mut found: Found, signed: bool, lock: bool) -> Subscribed {
    found.record.confirmed = true;
    found.record.authenticated = signed;
    found.record.locked = lock;
    SUBSCRIPTIONS.put(cx.tx, &found.key, &found.record);
    answer(&found, true)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    subscription_arn: String,
}

/// One that does not exist is as good as gone.
///
/// Whoever reads at a web endpoint or a mailbox may end what was confirmed there, by the link in every
/// message, unless that was confirmed for signed calls alone. As anybody may have got hold of a link, the
/// endpoint is told, and may take it back.
pub(super) fn unsubscribe(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let arn = read_arn(&input.subscription_arn, "SubscriptionArn")?;
    let found = find(cx, &arn)?;
    let open = |record: &Subscription| record.protocol().asks() && record.confirmed && !record.locked;
    match &found {
        Some(found) if open(&found.record) => cx.allowed_by_policy(),
        Some(found) => found.admit(cx)?,
        None => cx.allow(&arn)?,
    }
    let Some(mut found) = found else { return Ok(()) };
    SUBSCRIPTIONS.delete(cx.tx, &found.key);
    let Some(topic) = find_topic(cx, &found.topic_arn())? else { return Ok(()) };
    count(cx, &topic, |topic| {
        let figure = if found.record.confirmed { &mut topic.confirmed } else { &mut topic.pending };
        *figure = figure.saturating_sub(1);
        topic.deleted += 1;
    });
    if cx.caller.principal == Principal::Anonymous {
        found.record.token = cx.ids.hex(64);
        renew(cx, &mut found);
        ENDED.put(cx.tx, &found.key, &found.record);
        outside::farewell(cx, &topic, &found)?;
    }
    Ok(())
}

/// Ends what nobody has confirmed in time, and forgets what was ended and not taken back. How many rows it
/// took.
pub(super) fn expire(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    let rows = ASKED.peek_scan(cx.tx, Scan::all(limit).until(&(cx.now,)))?;
    for (asked, _) in &rows {
        let key = (asked.1.clone(), asked.2.clone(), asked.3.clone(), asked.4.clone());
        let late = |record: &Subscription, now| record.expires() <= now;
        if let Some(record) = SUBSCRIPTIONS.get(cx.tx, &key)?
            && !record.confirmed
            && late(&record, cx.now)
        {
            SUBSCRIPTIONS.delete(cx.tx, &key);
            let found = Found { key: key.clone(), record };
            if let Some(topic) = find_topic(cx, &found.topic_arn())? {
                count(cx, &topic, |topic| topic.pending = topic.pending.saturating_sub(1));
            }
        }
        if ENDED.get(cx.tx, &key)?.is_some_and(|record| late(&record, cx.now)) {
            ENDED.delete(cx.tx, &key);
        }
        ASKED.delete(cx.tx, asked);
    }
    Ok(rows.len())
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
fn page(
    cx: &Cx<'_>,
    (account, region): (&str, &str),
    scan: Scan<SubscriptionKey>,
    token: Option<String>,
) -> Result<Listed, Fault> {
    let scan = match token {
        None => scan,
        Some(token) => {
            let (topic, id) = token.split_once(':').ok_or_else(|| faults::invalid("NextToken"))?;
            scan.after(&(account.to_owned(), region.to_owned(), topic.to_owned(), id.to_owned()))
        }
    };
    let (rows, next_token) =
        paging::cut(SUBSCRIPTIONS.scan(cx.tx, scan)?, PAGE, |(key, _)| format!("{}:{}", key.2, key.3));
    let member = |(key, record)| {
        let found = Found { key, record };
        let arn = if found.record.confirmed { found.arn().to_string() } else { "PendingConfirmation".into() };
        Member {
            subscription_arn: arn,
            owner: found.owner(),
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
    page(cx, (&prefix.0, &prefix.1), Scan::prefix(&prefix, PAGE + 1), input.next_token)
}

pub(super) fn list_by_topic(cx: &mut Cx<'_>, input: ListByTopic) -> Result<Listed, Fault> {
    let topic = open(cx, &input.topic_arn)?;
    let place = (topic.key.0.as_str(), topic.key.1.as_str());
    page(cx, place, Scan::prefix(&topic.key, PAGE + 1), input.next_token)
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
        ("Owner", found.owner()),
    ] {
        attributes.insert(name.to_owned(), value);
    }
    if found.record.protocol().is_web() {
        let topic = find_topic(cx, &found.topic_arn())?.ok_or_else(faults::no_topic)?;
        let policy = delivery::shown(&topic.record.delivery_policy, &found.record.delivery_policy);
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
