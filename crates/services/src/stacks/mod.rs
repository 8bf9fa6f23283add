//! Stacks: what `mayfly deploy` has deployed, kept where the resources are.
//!
//! A stack is a name, a revision and a document that only the deployer understands. Keeping it on the server
//! lets any machine go on with a deployment that another began. A write names the revision it builds on, so
//! two deployers of one stack cannot both win.
//!
//! A write also says what has happened since the last one, to the stack and to its resources; the default
//! event bus is told of it in the same commit, in the words of CloudFormation (`tell.rs`).
//!
//! Deliberately absent: CloudFormation's API. The template is evaluated by the client, which calls the
//! services' public APIs.
//!
//! Keys: `STACKS(account, region, name)`.

mod tell;
#[cfg(test)]
mod tests;

use crate::{Cx, Service, spaces};
use mayfly_kernel::Fault;
use mayfly_store::{Map, Scan};
use mayfly_wire::Protocol;
use serde::{Deserialize, Serialize};
use tell::{Change, Status};

const STACKS: Map<(String, String, String), Record> = Map::new(spaces::STACKS);
const PAGE: usize = 1000;

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    #[prost(string, tag = "1")]
    document: String,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(uint64, tag = "3")]
    updated_ms: u64,
    /// Part of the ARN that events name; of one that was written before there were events, its next write
    /// makes one.
    #[prost(string, tag = "4")]
    id: String,
}

pub fn service() -> Service {
    Service::json("mayfly", Protocol::Json11, "Mayfly_20261101")
        .view("GetStack", get)
        .op("PutStack", put)
        .op("DeleteStack", delete)
        .view("ListStacks", list)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Name {
    stack_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stack {
    document: String,
    revision: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    stack: Stack,
}

fn key(cx: &mut Cx<'_>, name: &str) -> Result<(String, String, String), Fault> {
    let resource = cx.arn("mayfly", format!("stack/{name}"));
    cx.allow(&resource)?;
    Ok((cx.caller.account.clone(), cx.caller.region.clone(), name.into()))
}

fn not_found(name: &str) -> Fault {
    Fault::new(400, "StackNotFoundException", format!("Stack {name} does not exist"))
}

fn get(cx: &mut Cx<'_>, input: Name) -> Result<Got, Fault> {
    let key = key(cx, &input.stack_name)?;
    let record = STACKS.get(cx.tx, &key)?.ok_or_else(|| not_found(&input.stack_name))?;
    Ok(Got { stack: Stack { document: record.document, revision: record.revision } })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    stack_name: String,
    document: String,
    /// The revision this one replaces; absent for a stack that must not exist yet.
    revision: Option<u64>,
    /// What the stack has come to, if that is new.
    status: Option<Status>,
    /// What has happened to its resources, the oldest first.
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    revision: u64,
}

fn put(cx: &mut Cx<'_>, input: Put) -> Result<Written, Fault> {
    let key = key(cx, &input.stack_name)?;
    let current = STACKS.get(cx.tx, &key)?;
    let id = current.as_ref().map(|record| record.id.clone()).filter(|id| !id.is_empty());
    let current = current.map(|record| record.revision);
    if current != input.revision {
        let text = format!("Stack {} was changed by another deployment", input.stack_name);
        return Err(Fault::new(400, "StackConflictException", text));
    }
    let revision = current.unwrap_or(0) + 1;
    let id = id.unwrap_or_else(|| cx.ids.uuid());
    let record = Record { document: input.document, revision, updated_ms: cx.now.ms(), id };
    STACKS.put(cx.tx, &key, &record);
    tell::all(cx, &key, &record.id, input.status.as_ref(), &input.changes)?;
    Ok(Written { revision })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    stack_name: String,
    status: Option<Status>,
    #[serde(default)]
    changes: Vec<Change>,
}

fn delete(cx: &mut Cx<'_>, input: Delete) -> Result<(), Fault> {
    let key = key(cx, &input.stack_name)?;
    let record = STACKS.get(cx.tx, &key)?.ok_or_else(|| not_found(&input.stack_name))?;
    STACKS.delete(cx.tx, &key);
    tell::all(cx, &key, &record.id, input.status.as_ref(), &input.changes)
}

#[derive(Deserialize)]
struct List {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    stack_name: String,
    updated_at: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    stacks: Vec<Summary>,
}

fn list(cx: &mut Cx<'_>, _input: List) -> Result<Listed, Fault> {
    let (account, region, _) = key(cx, "*")?;
    let rows = STACKS.scan(cx.tx, Scan::prefix(&(account, region), PAGE))?;
    let summary = |((_, _, stack_name), record): ((String, String, String), Record)| Summary {
        stack_name,
        updated_at: mayfly_kernel::Time::from_ms(record.updated_ms).epoch_seconds(),
    };
    Ok(Listed { stacks: rows.into_iter().map(summary).collect() })
}
