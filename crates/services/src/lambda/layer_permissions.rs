//! The resource policy of a layer version: which other accounts may read it and build functions on it.

use super::keys::{LAYER_POLICIES, LAYERS};
use super::layers::{self, Layer};
use super::model::{PolicyRow, StatementRow};
use super::permissions::Policy;
use super::policy::{Principal, Statement};
use super::{check, faults};
use crate::Cx;
use crate::access::{Document, Gate};
use mayfly_kernel::policy::Facts;
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Add {
    layer_name: String,
    version_number: i64,
    statement_id: String,
    action: String,
    principal: String,
    organization_id: Option<String>,
    revision_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Added {
    statement: String,
    revision_id: String,
}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<Added, Fault> {
    let (layer, number) = existing(cx, &input.layer_name, input.version_number)?;
    if !check::is_word(&input.statement_id) {
        return Err(faults::pattern(&input.statement_id, "statementId", "([a-zA-Z0-9-_]+)"));
    }
    if input.action != "lambda:GetLayerVersion" {
        return Err(faults::pattern(&input.action, "action", "lambda:GetLayerVersion"));
    }
    let account = input.principal.len() == 12 && check::is_number(&input.principal);
    if !account && input.principal != "*" && !input.principal.ends_with(":root") {
        let pattern = r"\d{12}|\*|arn:(aws[a-zA-Z-]*):iam::\d{12}:root";
        return Err(faults::pattern(&input.principal, "principal", pattern));
    }
    let key = layer.version_key(number);
    let mut row = LAYER_POLICIES.get(cx.tx, &key)?.unwrap_or_default();
    if row.statements.iter().any(|other| other.sid == input.statement_id) {
        return Err(faults::statement_exists(&input.statement_id));
    }
    check_revision(input.revision_id.as_deref(), &row)?;
    let mut condition = BTreeMap::new();
    if let Some(organization) = input.organization_id {
        let term = BTreeMap::from([("aws:PrincipalOrgID".to_owned(), organization)]);
        condition.insert("StringEquals".to_owned(), term);
    }
    let principal = match account {
        true => Principal::Aws { aws: format!("arn:aws:iam::{}:root", input.principal) },
        false if input.principal == "*" => Principal::Anyone(input.principal),
        false => Principal::Aws { aws: input.principal },
    };
    let statement = Statement {
        sid: input.statement_id.clone(),
        effect: "Allow".into(),
        principal,
        action: input.action,
        resource: layer.version_arn(number),
        condition,
    };
    let document = serde_json::to_string(&statement).map_err(|e| Fault::internal("write a statement", e))?;
    row.statements.push(StatementRow { sid: input.statement_id, document: document.clone() });
    let (size, limit) = (super::permissions::rendered(&row).len(), cx.limits.resource_policy_bytes);
    if size > limit {
        return Err(faults::policy_too_long(size, limit));
    }
    row.revision_id = cx.ids.uuid();
    LAYER_POLICIES.put(cx.tx, &key, &row);
    Ok(Added { statement: document, revision_id: row.revision_id })
}

/// Asks whether the caller may use a version of a layer, which may be another account's.
pub(super) fn admit(cx: &mut Cx<'_>, layer: &Layer, number: u64) -> Result<(), Fault> {
    let arn = layer.arn();
    if arn.account == cx.caller.account {
        return cx.allow(&arn);
    }
    let row = LAYER_POLICIES.get(cx.tx, &layer.version_key(number))?;
    let owner = arn.account.clone();
    let gate = Gate {
        resource: &Arn { resource: format!("{}:{number}", arn.resource), ..arn },
        owner: &owner,
        action: "lambda:GetLayerVersion",
        policy: Document::Text(&row.as_ref().map(super::permissions::rendered).unwrap_or_default()),
        facts: Facts::default(),
        keeps_root_in: false,
    };
    gate.caller(cx).map_err(faults::access_denied)
}

fn existing(cx: &mut Cx<'_>, name: &str, number: i64) -> Result<(Layer, u64), Fault> {
    let (layer, number) = layers::numbered(cx, name, number)?;
    match LAYERS.contains(cx.tx, &layer.version_key(number))? {
        true => Ok((layer, number)),
        false => {
            Err(faults::not_found(format!("Layer version {} does not exist.", layer.version_arn(number))))
        }
    }
}

fn check_revision(wanted: Option<&str>, row: &PolicyRow) -> Result<(), Fault> {
    match wanted {
        Some(wanted) if wanted != row.revision_id => Err(faults::layer_revision_mismatch()),
        Some(_) | None => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Get {
    layer_name: String,
    version_number: i64,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Policy, Fault> {
    let (layer, number) = existing(cx, &input.layer_name, input.version_number)?;
    let row = LAYER_POLICIES.get(cx.tx, &layer.version_key(number))?.ok_or_else(faults::no_policy)?;
    let revision_id = row.revision_id.clone();
    Ok(Policy::new(&row, revision_id))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    layer_name: String,
    version_number: i64,
    statement_id: String,
    revision_id: Option<String>,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<(), Fault> {
    let (layer, number) = existing(cx, &input.layer_name, input.version_number)?;
    let key = layer.version_key(number);
    let mut row = LAYER_POLICIES.get(cx.tx, &key)?.ok_or_else(faults::no_policy)?;
    check_revision(input.revision_id.as_deref(), &row)?;
    let place = row.statements.iter().position(|statement| statement.sid == input.statement_id);
    row.statements.remove(place.ok_or_else(|| faults::no_statement(&input.statement_id))?);
    row.revision_id = cx.ids.uuid();
    match row.statements.is_empty() {
        true => LAYER_POLICIES.delete(cx.tx, &key),
        false => LAYER_POLICIES.put(cx.tx, &key, &row),
    }
    Ok(())
}
