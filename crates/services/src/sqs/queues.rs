//! Queues: their life, their names, and their attributes.

use super::attributes::{self, Attributes};
use super::counts::{self, Counts};
use super::keys::{DLQ_SOURCES, QUEUE_IDS, QUEUES, QueueKey, SWEEPS};
use super::model::{Mark, Queue, QueueName, check_name};
use super::{faults, policy};
use crate::cx::Site;
use crate::{Cx, paging};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A queue that exists.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) key: QueueKey,
    pub(super) record: Queue,
}

impl Opened {
    pub(super) fn arn(&self) -> Arn {
        let (account, region, name) = &self.key;
        Arn::new("sqs", region, account, name.as_str())
    }
}

/// The queue of this URL, if the caller may use it. Of the URL only account and name count, so that it holds
/// under every name of this server.
pub(super) fn open(cx: &mut Cx<'_>, url: &str) -> Result<Opened, Fault> {
    let mut parts = url.trim_end_matches('/').rsplit('/');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next());
    let account = account.filter(|account| account.len() == 12).unwrap_or(&cx.caller.account);
    let arn = Arn::new("sqs", &cx.caller.region, account, name);
    open_arn(cx, &arn)
}

pub(super) fn open_arn(cx: &mut Cx<'_>, arn: &Arn) -> Result<Opened, Fault> {
    let queue = find(cx, arn)?;
    policy::admit(cx, arn, queue.as_ref())?;
    queue.ok_or_else(faults::no_queue)
}

/// The queue of this ARN, on behalf of the platform.
pub(super) fn find(cx: &Cx<'_>, arn: &Arn) -> Result<Option<Opened>, Fault> {
    let key = (arn.account.clone(), arn.region.clone(), arn.resource.clone());
    Ok(QUEUES.get(cx.tx, &key)?.map(|record| Opened { key, record }))
}

pub(super) fn url(site: &Site, key: &QueueKey) -> String {
    format!("{}://{}/{}/{}", site.scheme(), site.authority, key.0, key.2)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    queue_name: String,
    #[serde(default)]
    attributes: Attributes,
    /// Spelled with a small letter in JSON alone.
    #[serde(default, alias = "tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Url {
    queue_url: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Url, Fault> {
    let fifo = input.attributes.get("FifoQueue").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    check_name(&input.queue_name, fifo)?;
    let arn = cx.arn("sqs", input.queue_name);
    cx.allow(&arn)?;
    let mut record = Queue { fifo, ..attributes::defaults(cx.limits) };
    attributes::apply(&mut record, &input.attributes, cx.limits)?;
    super::tags::check(&input.tags, cx.limits)?;
    record.tags = input.tags;
    if let Some(existing) = find(cx, &arn)? {
        return same(&existing, &record, &input.attributes)
            .map(|()| Url { queue_url: url(cx.site, &existing.key) });
    }
    record.id = cx.ids.number();
    record.birth = record.id;
    (record.created_ms, record.modified_ms) = (cx.now.ms(), cx.now.ms());
    let queue = Opened { key: (arn.account, arn.region, arn.resource), record };
    link_dead_letters(cx, &queue, None)?;
    put(cx, &queue);
    Ok(Url { queue_url: url(cx.site, &queue.key) })
}

/// Creating a queue that exists is no fault if nothing is asked of it that it is not.
fn same(existing: &Opened, asked: &Queue, attributes: &Attributes) -> Result<(), Fault> {
    let none = Counts { visible: 0, in_flight: 0, delayed: 0 };
    let asked = Opened { key: existing.key.clone(), record: asked.clone() };
    let differs =
        |name: &&String| attributes::get(existing, name, &none) != attributes::get(&asked, name, &none);
    match attributes.keys().find(differs) {
        Some(name) => Err(faults::queue_exists(name)),
        None => Ok(()),
    }
}

fn put(cx: &mut Cx<'_>, queue: &Opened) {
    let (account, region, name) = queue.key.clone();
    QUEUES.put(cx.tx, &queue.key, &queue.record);
    QUEUE_IDS.put(cx.tx, &(queue.record.id,), &QueueName { account, region, name });
}

/// Checks the queue's redrive policy against its target, and keeps the list of the target's sources.
fn link_dead_letters(cx: &mut Cx<'_>, queue: &Opened, before: Option<&Queue>) -> Result<(), Fault> {
    let target = |record: &Queue| record.redrive.as_ref().map(|redrive| redrive.target_arn.clone());
    let (now, before) = (target(&queue.record), before.and_then(target));
    if let Some(before) = before.filter(|before| Some(before) != now.as_ref()) {
        DLQ_SOURCES.delete(cx.tx, &source_key(&before, queue)?);
    }
    let Some(target) = now else { return Ok(()) };
    let bad = |reason: &str| faults::parameter("RedrivePolicy", &target, reason);
    let arn: Arn = target.parse().map_err(|e| Fault::internal("read a redrive policy", e))?;
    if arn.account != queue.key.0 {
        return Err(bad("Dead-letter target owner should be same as the source."));
    }
    let dead_letters = find(cx, &arn)?.ok_or_else(|| bad("Dead letter target does not exist."))?;
    if dead_letters.record.fifo != queue.record.fifo {
        return Err(bad("Dead-letter queue must be same type of queue as the source."));
    }
    if !attributes::admits_source(&dead_letters.record, &queue.arn().to_string()) {
        return Err(bad("The dead-letter queue's redrive allow policy does not permit this source queue."));
    }
    DLQ_SOURCES.put(cx.tx, &source_key(&target, queue)?, &Mark {});
    Ok(())
}

fn source_key(target: &str, queue: &Opened) -> Result<(String, String, String, String), Fault> {
    let arn: Arn = target.parse().map_err(|e| Fault::internal("read a redrive policy", e))?;
    Ok((arn.account, arn.region, arn.resource, queue.key.2.clone()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetUrl {
    queue_name: String,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

pub(super) fn get_url(cx: &mut Cx<'_>, input: GetUrl) -> Result<Url, Fault> {
    let mut arn = cx.arn("sqs", input.queue_name);
    arn.account = input.owner.unwrap_or(arn.account);
    // Who may not know of a queue is told that there is none.
    let own = arn.account == cx.caller.account;
    let hidden = |fault: Fault| if own || fault.is_server() { fault } else { faults::no_queue() };
    let queue = open_arn(cx, &arn).map_err(hidden)?;
    Ok(Url { queue_url: url(cx.site, &queue.key) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    #[serde(default)]
    queue_name_prefix: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// How many names a listing has that did not say how many it wants.
const PAGE: usize = 1000;

/// Checks a listing's size.
pub(super) fn page(max_results: Option<usize>) -> Result<usize, Fault> {
    match max_results.unwrap_or(PAGE) {
        size @ 1..=PAGE => Ok(size),
        size => {
            Err(faults::parameter("MaxResults", size, "MaxResults must be an integer between 1 and 1000."))
        }
    }
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("sqs", "*");
    cx.allow(&resource)?;
    let size = page(input.max_results)?;
    let (account, region) = (&cx.caller.account, &cx.caller.region);
    let key = |name: &str| (account.clone(), region.clone(), name.to_owned());
    let mut scan =
        Scan::prefix(&(account.clone(), region.clone()), size + 1).from(&key(&input.queue_name_prefix));
    if let Some(token) = &input.next_token {
        scan = scan.after(&key(token));
    }
    let found = QUEUES.scan(cx.tx, scan)?.into_iter().map(|(key, _)| key);
    let found = found.take_while(|key| key.2.starts_with(&input.queue_name_prefix)).collect();
    let (keys, next_token) = paging::cut(found, size, |key: &QueueKey| key.2.clone());
    // Who has not asked for pages gets one, and no word of others.
    let next_token = next_token.filter(|_| input.max_results.is_some());
    Ok(Listed { queue_urls: keys.iter().map(|key| url(cx.site, key)).collect(), next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    pub(super) queue_url: String,
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let queue = open(cx, &input.queue_url)?;
    leave_rows_behind(cx, queue.record.id);
    if let Some(redrive) = &queue.record.redrive {
        DLQ_SOURCES.delete(cx.tx, &source_key(&redrive.target_arn, &queue)?);
    }
    QUEUES.delete(cx.tx, &queue.key);
    Ok(())
}

/// Done when the call is: what the queue held can no longer be found.
pub(super) fn purge(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let mut queue = open(cx, &input.queue_url)?;
    leave_rows_behind(cx, queue.record.id);
    queue.record.id = cx.ids.number();
    put(cx, &queue);
    Ok(())
}

fn leave_rows_behind(cx: &mut Cx<'_>, id: u64) {
    QUEUE_IDS.delete(cx.tx, &(id,));
    SWEEPS.put(cx.tx, &(id,), &Mark {});
    cx.signal(crate::Signal::Garbage);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetAttributes {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: Attributes,
}

pub(super) fn get_attributes(cx: &mut Cx<'_>, input: GetAttributes) -> Result<Shown, Fault> {
    let queue = open(cx, &input.queue_url)?;
    let counts = counts::of(cx.tx, queue.record.id, cx.now)?;
    Ok(Shown { attributes: attributes::show(&queue, &input.attribute_names, &counts)? })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetAttributes {
    queue_url: String,
    attributes: Attributes,
}

pub(super) fn set_attributes(cx: &mut Cx<'_>, input: SetAttributes) -> Result<(), Fault> {
    let mut queue = open(cx, &input.queue_url)?;
    let before = queue.record.clone();
    attributes::apply(&mut queue.record, &input.attributes, cx.limits)?;
    queue.record.modified_ms = cx.now.ms();
    link_dead_letters(cx, &queue, Some(&before))?;
    put(cx, &queue);
    Ok(())
}
