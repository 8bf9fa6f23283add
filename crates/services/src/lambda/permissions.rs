//! A function's resource policy: AddPermission, GetPolicy, RemovePermission, and whom it lets in.
//!
//! Other accounts may call a function that lets them in, and no more: every other operation is for its own
//! account.

use super::configuration::check_revision;
use super::keys::{ALIASES, POLICIES, VERSIONS};
use super::model::{PolicyRow, StatementRow};
use super::names::{self, Function, Qualifier};
use super::policy::{Principal, Statement};
use super::{check, faults, lookup, resolve};
use crate::Cx;
use crate::access::{Agent, Document, Gate};
use mayfly_kernel::policy::Facts;
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const INVOKE: &str = "lambda:InvokeFunction";
const INVOKE_URL: &str = "lambda:InvokeFunctionUrl";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Add {
    function_name: String,
    statement_id: String,
    action: String,
    principal: String,
    source_arn: Option<String>,
    source_account: Option<String>,
    event_source_token: Option<String>,
    qualifier: Option<String>,
    revision_id: Option<String>,
    #[serde(rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Added {
    statement: String,
}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<Added, Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    if function.qualifier.as_deref() == Some("$LATEST") {
        return Err(faults::parameter("We currently do not support adding policies for $LATEST."));
    }
    let owner = Owner::read(cx, &function)?;
    check_revision(input.revision_id.as_deref(), owner.revision_id())?;
    let statement = statement(&function, &input)?;
    let document = serde_json::to_string(&statement).map_err(|e| Fault::internal("write a statement", e))?;
    if serde_json::from_str::<mayfly_kernel::Policy>(&document_of(&[&document])).is_err() {
        return Err(faults::bad_principal());
    }
    let key = policy_key(&function);
    let mut row = POLICIES.get(cx.tx, &key)?.unwrap_or_default();
    if row.statements.iter().any(|other| other.sid == input.statement_id) {
        return Err(faults::statement_exists(&input.statement_id));
    }
    row.statements.push(StatementRow { sid: input.statement_id, document: document.clone() });
    let (size, limit) = (rendered(&row).len(), cx.limits.resource_policy_bytes);
    if size > limit {
        return Err(faults::policy_too_long(size, limit));
    }
    POLICIES.put(cx.tx, &key, &row);
    owner.touch(cx, &function);
    Ok(Added { statement: document })
}

fn policy_key(function: &Function) -> super::keys::QualifiedKey {
    function.qualified_key(function.qualifier.as_deref().unwrap_or_default())
}

fn statement(function: &Function, input: &Add) -> Result<Statement, Fault> {
    check::length(&input.statement_id, "statementId", 1, 100)?;
    if !check::is_word(&input.statement_id) {
        return Err(faults::pattern(&input.statement_id, "statementId", "([a-zA-Z0-9-_]+)"));
    }
    let verb = input.action.strip_prefix("lambda:");
    let verb = verb.is_some_and(|verb| {
        verb == "*" || (!verb.is_empty() && verb.bytes().all(|b| b.is_ascii_alphabetic()))
    });
    if !verb && input.action != "*" {
        return Err(faults::pattern(&input.action, "action", "(lambda:[*]|lambda:[a-zA-Z]+|[*])"));
    }
    let mut condition: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut term = |operator: &str, key: &str, value: Option<String>| {
        if let Some(value) = value {
            condition.entry(operator.into()).or_default().insert(key.into(), value);
        }
    };
    if let Some(arn) = &input.source_arn
        && arn.parse::<Arn>().is_err()
    {
        let pattern =
            r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
        return Err(faults::pattern(arn, "sourceArn", pattern));
    }
    if let Some(account) = &input.source_account
        && (account.len() != 12 || !check::is_number(account))
    {
        return Err(faults::pattern(account, "sourceAccount", r"\d{12}"));
    }
    if let Some(auth_type) = &input.function_url_auth_type {
        check::one_of(auth_type, "functionUrlAuthType", &["NONE", "AWS_IAM"])?;
    }
    term("StringEquals", "lambda:FunctionUrlAuthType", input.function_url_auth_type.clone());
    term("StringEquals", "aws:PrincipalOrgID", input.principal_org_id.clone());
    term("StringEquals", "AWS:SourceAccount", input.source_account.clone());
    term("StringEquals", "lambda:EventSourceToken", input.event_source_token.clone());
    term("ArnLike", "AWS:SourceArn", input.source_arn.clone());
    term("Bool", "lambda:InvokedViaFunctionUrl", input.invoked_via_function_url.map(|via| via.to_string()));
    Ok(Statement {
        sid: input.statement_id.clone(),
        effect: "Allow".into(),
        principal: principal(&input.principal)?,
        action: input.action.clone(),
        resource: function.named_arn().to_string(),
        condition,
    })
}

fn principal(text: &str) -> Result<Principal, Fault> {
    if text == "*" {
        return Ok(Principal::Anyone(text.into()));
    }
    if text.ends_with(".amazonaws.com") || text.ends_with(".mayfly") {
        return Ok(Principal::Service { service: text.into() });
    }
    if text.len() == 12 && check::is_number(text) {
        return Ok(Principal::Aws { aws: format!("arn:aws:iam::{text}:root") });
    }
    match text.parse::<Arn>() {
        Ok(arn) if arn.service == "iam" => Ok(Principal::Aws { aws: text.into() }),
        Ok(_) | Err(_) => Err(faults::bad_principal()),
    }
}

/// What a policy belongs to, and whose revision changes with it.
enum Owner {
    Version(Box<super::model::VersionRow>),
    Alias(String, super::model::AliasRow),
}

impl Owner {
    fn read(cx: &Cx<'_>, function: &Function) -> Result<Owner, Fault> {
        lookup::function(cx, function)?;
        match function.meaning() {
            Qualifier::Version(number) => {
                Ok(Owner::Version(Box::new(lookup::numbered(cx, function, number)?)))
            }
            Qualifier::Alias(name) => {
                let row = lookup::alias(cx, function, &name)?;
                let missing =
                    || faults::not_found(format!("Cannot find alias arn: {}", function.named_arn()));
                Ok(Owner::Alias(name, row.ok_or_else(missing)?))
            }
        }
    }

    fn revision_id(&self) -> &str {
        match self {
            Owner::Version(row) => &row.revision_id,
            Owner::Alias(_, row) => &row.revision_id,
        }
    }

    fn touch(self, cx: &mut Cx<'_>, function: &Function) {
        match self {
            Owner::Version(mut row) => {
                row.revision_id = cx.ids.uuid();
                VERSIONS.put(cx.tx, &function.version_key(row.number), &*row);
            }
            Owner::Alias(name, mut row) => {
                row.revision_id = cx.ids.uuid();
                ALIASES.put(cx.tx, &function.qualified_key(&name), &row);
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Get {
    function_name: String,
    qualifier: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Policy {
    policy: String,
    revision_id: String,
}

impl Policy {
    pub(super) fn new(row: &PolicyRow, revision_id: String) -> Policy {
        Policy { policy: rendered(row), revision_id }
    }
}

/// The policy's document, of the statements' documents.
pub(super) fn rendered(row: &PolicyRow) -> String {
    let statements: Vec<&str> = row.statements.iter().map(|statement| statement.document.as_str()).collect();
    document_of(&statements)
}

fn document_of(statements: &[&str]) -> String {
    format!(r#"{{"Version":"2012-10-17","Id":"default","Statement":[{}]}}"#, statements.join(","))
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Policy, Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    let owner = Owner::read(cx, &function)?;
    let row = POLICIES.get(cx.tx, &policy_key(&function))?.ok_or_else(faults::no_such_resource)?;
    Ok(Policy::new(&row, owner.revision_id().to_owned()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    function_name: String,
    statement_id: String,
    qualifier: Option<String>,
    revision_id: Option<String>,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<(), Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    let key = policy_key(&function);
    let mut row = POLICIES.get(cx.tx, &key)?.ok_or_else(faults::no_policy)?;
    let owner = Owner::read(cx, &function)?;
    let place = row.statements.iter().position(|statement| statement.sid == input.statement_id);
    let place = place.ok_or_else(|| faults::no_statement(&input.statement_id))?;
    check_revision(input.revision_id.as_deref(), owner.revision_id())?;
    row.statements.remove(place);
    match row.statements.is_empty() {
        true => POLICIES.delete(cx.tx, &key),
        false => POLICIES.put(cx.tx, &key, &row),
    }
    owner.touch(cx, &function);
    Ok(())
}

/// Whether a function exists, and its version or alias if the ARN names one.
pub(crate) fn exists(cx: &Cx<'_>, arn: &Arn) -> Result<bool, Fault> {
    let Ok(function) = resolve::of_arn(arn) else { return Ok(false) };
    match super::lookup::version(cx, &function) {
        Ok(_) => Ok(true),
        Err(fault) if fault.status == 404 => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Whether the function's policy lets a service invoke it on behalf of `source_arn`; else why not, in the
/// words of IAM. The ARN's qualifier decides which policy is meant. Unlike a queue, a function wants a
/// statement of its own account's services too, as AWS's does: what makes them work writes it.
pub fn permits(
    cx: &Cx<'_>,
    function: &Arn,
    principal: &'static str,
    source_arn: &str,
) -> Result<Result<(), String>, Fault> {
    // What has no account in its ARN is of the account that acts.
    admits(cx, function, &Agent::new(principal, source_arn, &cx.caller.account))
}

/// The same of a service that acts for what may belong to another account than the caller.
pub(crate) fn admits(cx: &Cx<'_>, function: &Arn, agent: &Agent<'_>) -> Result<Result<(), String>, Fault> {
    let function = resolve::of_arn(function)?;
    let facts = Facts::default().with("lambda:InvokedViaFunctionUrl", "false");
    Ok(Guard::of(cx, &function)?.gate(INVOKE, facts).agent_by_statement(cx, agent))
}

/// Asks whether the caller may do this operation on a function.
pub(super) fn admit(cx: &mut Cx<'_>, function: &Function) -> Result<(), Fault> {
    let called = matches!(cx.operation, "Invoke" | "InvokeAsync" | "InvokeWithResponseStream");
    if function.account == cx.caller.account || !called {
        return cx.allow(&function.arn());
    }
    let facts = Facts::default().with("lambda:InvokedViaFunctionUrl", "false");
    Guard::of(cx, function)?.gate(INVOKE, facts).caller(cx).map_err(faults::access_denied)
}

/// Whether anyone may call a function by its URL.
pub(super) fn is_public(cx: &Cx<'_>, function: &Function) -> Result<bool, Fault> {
    Ok(Guard::of(cx, function)?.gate(INVOKE_URL, of_url("NONE")).anyone(cx))
}

/// Whether somebody who has signed may call a function by its URL.
pub fn admits_to_url(cx: &mut Cx<'_>, function: &str) -> Result<bool, Fault> {
    let arn: Arn = function.parse().map_err(|e| Fault::internal("read a URL's function", e))?;
    let function = resolve::of_arn(&arn)?;
    Ok(Guard::of(cx, &function)?.gate(INVOKE_URL, of_url("AWS_IAM")).caller(cx).is_ok())
}

fn of_url(auth_type: &str) -> Facts {
    Facts::default()
        .with("lambda:FunctionUrlAuthType", auth_type)
        .with("lambda:InvokedViaFunctionUrl", "true")
}

/// A function as its policy names it, and that policy.
struct Guard {
    arn: Arn,
    document: String,
}

impl Guard {
    fn of(cx: &Cx<'_>, function: &Function) -> Result<Guard, Fault> {
        let row = POLICIES.get(cx.tx, &policy_key(function))?;
        Ok(Guard { arn: function.named_arn(), document: row.as_ref().map(rendered).unwrap_or_default() })
    }

    fn gate<'a>(&'a self, action: &'a str, facts: Facts) -> Gate<'a> {
        let policy = Document::Text(&self.document);
        Gate { resource: &self.arn, owner: &self.arn.account, action, policy, facts, keeps_root_in: false }
    }
}
