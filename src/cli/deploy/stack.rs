//! What has been deployed under a stack's name: the record that the next deployment compares with.
//!
//! The record is kept on the server and written after every step, so whoever comes next goes on from what is
//! really there. The server refuses a write that builds on an old revision: of two deployers, one stops.

use super::resources::PACKAGE;
use crate::cli::client::{Client, code};
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The version of the document's form. A deployer does not touch a stack written by a newer one.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stack {
    format: u32,
    /// In the order in which they were made.
    pub(crate) resources: Vec<Deployed>,
    /// What was replaced and still has to go.
    pub(crate) leftovers: Vec<Deployed>,
    /// The resource that was being made when this was written. If the deployment ended there, it may exist.
    pub(crate) making: Option<String>,
    pub(crate) outputs: BTreeMap<String, String>,
}

/// A resource as it was last made or updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployed {
    /// The logical id.
    pub(crate) id: String,
    pub(crate) kind: String,
    /// What `Ref` gives.
    pub(crate) physical: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The properties, with all references filled in and code by its digest.
    pub(crate) properties: Json,
    pub(crate) needs: BTreeSet<String>,
    /// How often the resource was replaced; part of generated names.
    pub(crate) generation: u32,
    /// Whether it stays when the stack no longer has it.
    pub(crate) retain: bool,
}

impl Default for Stack {
    fn default() -> Stack {
        Stack {
            format: FORMAT,
            resources: Vec::new(),
            leftovers: Vec::new(),
            making: None,
            outputs: BTreeMap::new(),
        }
    }
}

impl Stack {
    pub(crate) fn find(&self, id: &str) -> Option<&Deployed> {
        self.resources.iter().find(|resource| resource.id == id)
    }

    /// Records a resource, in its place if it has one.
    pub(crate) fn put(&mut self, made: Deployed) {
        match self.resources.iter_mut().find(|resource| resource.id == made.id) {
            Some(place) => *place = made,
            None => self.resources.push(made),
        }
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Deployed> {
        let at = self.resources.iter().position(|resource| resource.id == id)?;
        Some(self.resources.remove(at))
    }

    /// The digests of all packages in use.
    pub(crate) fn packages(&self) -> BTreeSet<String> {
        let code =
            self.resources.iter().flat_map(|made| [&made.properties["Code"], &made.properties["Content"]]);
        code.filter_map(|code| code[PACKAGE].as_str()).map(str::to_owned).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.leftovers.is_empty()
    }
}

/// The record of one stack on the server.
pub(crate) struct Shelf<'a> {
    client: &'a Client,
    name: &'a str,
    /// The revision that this deployer has read or written last.
    revision: Option<u64>,
    /// What the next write tells of the stack, and of its resources.
    status: Option<Json>,
    changes: Vec<Json>,
}

impl<'a> Shelf<'a> {
    /// Reads the stack, if there is one.
    pub(crate) async fn open(
        client: &'a Client,
        name: &'a str,
    ) -> anyhow::Result<(Shelf<'a>, Option<Stack>)> {
        let mut shelf = Shelf { client, name, revision: None, status: None, changes: Vec::new() };
        let reply =
            match client.json("mayfly", "Mayfly_20261101.GetStack", &json!({ "StackName": name })).await {
                Ok(reply) => reply,
                Err(error) if code(&error) == Some("StackNotFoundException") => return Ok((shelf, None)),
                Err(error) => return Err(error.context("read the stack's record")),
            };
        let document = reply["Stack"]["Document"].as_str().unwrap_or_default();
        shelf.revision = reply["Stack"]["Revision"].as_u64();
        let format = serde_json::from_str::<Json>(document).ok().and_then(|stack| stack["format"].as_u64());
        if format.is_some_and(|format| format > u64::from(FORMAT)) {
            bail!("the stack {name} was deployed by a newer mayfly; deploy it with that one");
        }
        let stack = serde_json::from_str(document).context("the stack's record cannot be read")?;
        Ok((shelf, Some(stack)))
    }

    /// Whether the stack has been written before.
    pub(crate) fn is_new(&self) -> bool {
        self.revision.is_none()
    }

    /// Says what the stack has come to, in CloudFormation's words; told with the next write.
    pub(crate) fn status(&mut self, status: &str, reason: &str) {
        self.status = Some(json!({ "Status": status, "Reason": reason }));
    }

    /// The same of a resource; the physical id is empty before there is one.
    pub(crate) fn change(&mut self, (id, kind, physical): (&str, &str, &str), status: &str, reason: &str) {
        self.changes.push(json!({
            "LogicalResourceId": id,
            "PhysicalResourceId": physical,
            "ResourceType": kind,
            "Status": status,
            "Reason": reason,
        }));
    }

    pub(crate) async fn save(&mut self, stack: &Stack) -> anyhow::Result<()> {
        let mut request = json!({
            "StackName": self.name,
            "Document": serde_json::to_string(stack)?,
            "Status": self.status,
            "Changes": self.changes,
        });
        if let Some(revision) = self.revision {
            request["Revision"] = revision.into();
        }
        let reply = self.client.json("mayfly", "Mayfly_20261101.PutStack", &request).await;
        let reply = reply.context("write the stack's record")?;
        self.revision = reply["Revision"].as_u64();
        self.told();
        Ok(())
    }

    fn told(&mut self) {
        self.status = None;
        self.changes.clear();
    }

    pub(crate) async fn discard(&mut self) -> anyhow::Result<()> {
        if self.revision.take().is_some() {
            let request = json!({ "StackName": self.name, "Status": self.status, "Changes": self.changes });
            let gone = self.client.json("mayfly", "Mayfly_20261101.DeleteStack", &request).await;
            gone.context("remove the stack's record")?;
            self.told();
        }
        Ok(())
    }
}

/// The names of all stacks.
pub(crate) async fn names(client: &Client) -> anyhow::Result<Vec<String>> {
    let reply = client.json("mayfly", "Mayfly_20261101.ListStacks", &json!({})).await?;
    let stacks = reply["Stacks"].as_array().into_iter().flatten();
    Ok(stacks.filter_map(|stack| stack["StackName"].as_str()).map(str::to_owned).collect())
}
