//! A rule's targets, and the rules of a target.

use super::endpoints::HttpParameters;
use super::keys::{self, BY_TARGET, RULES, RuleKey, TARGETS, TargetKey};
use super::model::{Mark, Target, Transformer};
use super::names::{open_bus, open_rule};
use super::{buses, faults, input};
use crate::targets::Kind;
use crate::{Cx, paging};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const TARGETS_PER_RULE: usize = 5;
const RETRIES_MAX: u32 = 185;
const AGE_S: std::ops::RangeInclusive<u32> = 60..=86_400;

/// A target as it is asked for and shown.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Wanted {
    id: String,
    arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_transformer: Option<WantedTransformer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqs_parameters: Option<SqsParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_parameters: Option<HttpParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_config: Option<DeadLetters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_policy: Option<RetryPolicy>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WantedTransformer {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    input_paths_map: BTreeMap<String, String>,
    input_template: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SqsParameters {
    message_group_id: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetters {
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetryPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_retry_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_event_age_in_seconds: Option<u32>,
}

impl Wanted {
    fn checked(self) -> Result<Target, Fault> {
        let id = self.id;
        let arn: Arn = self.arn.parse().map_err(|_| {
            faults::validation(format!(
                "Parameter {} is not valid. Reason: Provided Arn is not in correct format.",
                self.arn
            ))
        })?;
        let Some(kind) = Kind::of(&arn) else {
            return Err(Fault::not_implemented(&format!("{} as the target of a rule", arn.service)));
        };
        let group = self.sqs_parameters.and_then(|sqs| sqs.message_group_id).unwrap_or_default();
        if kind == Kind::Queue && arn.resource.ends_with(".fifo") && group.is_empty() {
            let text = format!("Parameter(s) SqsParameters must be specified for target: {id}.");
            return Err(faults::validation(text));
        }
        let inputs = [self.input.is_some(), self.input_path.is_some(), self.input_transformer.is_some()];
        if inputs.iter().filter(|given| **given).count() > 1 {
            let text = format!(
                "Only one of Input, InputPath, or InputTransformer must be provided for target {id}."
            );
            return Err(faults::validation(text));
        }
        if kind == Kind::Bus && inputs.contains(&true) {
            let text = format!("Input, InputPath and InputTransformer are not valid for target {id}.");
            return Err(faults::validation(text));
        }
        check_input(&id, self.input.as_deref(), self.input_path.as_deref())?;
        let retry = self.retry_policy;
        let retries = retry.as_ref().and_then(|retry| retry.maximum_retry_attempts);
        let max_age_s = retry.as_ref().and_then(|retry| retry.maximum_event_age_in_seconds);
        if retries.is_some_and(|retries| retries > RETRIES_MAX) {
            let rule = "Member must have value less than or equal to 185";
            return Err(faults::constraint(
                "maximumRetryAttempts",
                &retries.unwrap_or_default().to_string(),
                rule,
            ));
        }
        if max_age_s.is_some_and(|age| !AGE_S.contains(&age)) {
            let rule = "Member must have value between 60 and 86400";
            let age = max_age_s.unwrap_or_default().to_string();
            return Err(faults::constraint("maximumEventAgeInSeconds", &age, rule));
        }
        Ok(Target {
            arn: self.arn,
            role: self.role_arn.unwrap_or_default(),
            input: self.input,
            input_path: self.input_path,
            transformer: self.input_transformer.map(|wanted| wanted.checked(&id)).transpose()?,
            group,
            dead_letters: dead_letters(&id, self.dead_letter_config)?,
            retries,
            max_age_s,
            http: checked_http(&id, kind, self.http_parameters)?,
            id,
        })
    }

    fn of(target: Target) -> Wanted {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let retry_policy = (target.retries.is_some() || target.max_age_s.is_some()).then_some(RetryPolicy {
            maximum_retry_attempts: target.retries,
            maximum_event_age_in_seconds: target.max_age_s,
        });
        Wanted {
            id: target.id,
            arn: target.arn,
            role_arn: text(target.role),
            input: target.input,
            input_path: target.input_path,
            input_transformer: target
                .transformer
                .map(|made| WantedTransformer { input_paths_map: made.paths, input_template: made.template }),
            sqs_parameters: text(target.group).map(|group| SqsParameters { message_group_id: Some(group) }),
            http_parameters: target.http,
            dead_letter_config: text(target.dead_letters).map(|arn| DeadLetters { arn: Some(arn) }),
            retry_policy,
        }
    }
}

fn check_input(id: &str, constant: Option<&str>, path: Option<&str>) -> Result<(), Fault> {
    if let Some(constant) = constant
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(constant)
    {
        return Err(faults::validation(format!("JSON syntax error in input for target {id} : {error}")));
    }
    match path {
        Some(path) if !input::is_path(path) => {
            Err(faults::validation(format!("InputPath for target {id} is invalid.")))
        }
        Some(_) | None => Ok(()),
    }
}

fn checked_http(
    id: &str,
    kind: Kind,
    given: Option<HttpParameters>,
) -> Result<Option<HttpParameters>, Fault> {
    let Some(parameters) = given.filter(|given| *given != HttpParameters::default()) else { return Ok(None) };
    if kind != Kind::ApiDestination {
        return Err(faults::validation(format!("HttpParameters is not valid for target {id}.")));
    }
    parameters.check()?;
    Ok(Some(parameters))
}

fn dead_letters(id: &str, config: Option<DeadLetters>) -> Result<String, Fault> {
    let Some(arn) = config.and_then(|config| config.arn) else { return Ok(String::new()) };
    match arn.parse::<Arn>() {
        Ok(queue) if queue.service == "sqs" && !queue.resource.ends_with(".fifo") => Ok(arn),
        Ok(_) | Err(_) => {
            let text = format!("The dead-letter queue of target {id} must be a standard queue: {arn}");
            Err(faults::validation(text))
        }
    }
}

impl WantedTransformer {
    fn checked(self, id: &str) -> Result<Transformer, Fault> {
        if self.input_paths_map.len() > 100 {
            return Err(faults::validation(format!("InputPathsMap for target {id} has more than 100 keys.")));
        }
        if let Some((name, _)) = self.input_paths_map.iter().find(|(_, path)| !input::is_path(path)) {
            let text = format!("InputPathsMap for target {id} has an invalid path for {name}.");
            return Err(faults::validation(text));
        }
        if let Some(name) =
            self.input_paths_map.keys().find(|name| name.to_ascii_lowercase().starts_with("aws"))
        {
            return Err(faults::validation(format!(
                "InputPathsMap for target {id} has a reserved key: {name}."
            )));
        }
        let known = |name: &&str| self.input_paths_map.contains_key(*name) || input::is_reserved(name);
        if let Some(name) = input::variables(&self.input_template).iter().find(|name| !known(name)) {
            let text = format!("InputTemplate for target {id} contains invalid placeholder {name}.");
            return Err(faults::validation(text));
        }
        Ok(Transformer { paths: self.input_paths_map, template: self.input_template })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    rule: String,
    event_bus_name: Option<String>,
    targets: Vec<Wanted>,
}

/// Every target is taken or none, so nothing is ever among the failed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    failed_entry_count: usize,
    failed_entries: [(); 0],
}

const DONE: Done = Done { failed_entry_count: 0, failed_entries: [] };

fn target_key(rule: &RuleKey, id: &str) -> TargetKey {
    (rule.0.clone(), rule.1.clone(), rule.2.clone(), rule.3.clone(), id.to_owned())
}

fn by_target(key: &TargetKey, arn: &str) -> (String, String, String, String, String, String) {
    (key.0.clone(), key.1.clone(), key.2.clone(), arn.to_owned(), key.3.clone(), key.4.clone())
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Done, Fault> {
    let (rule, _) = open_rule(cx, input.event_bus_name.as_deref(), &input.rule)?;
    let known = TARGETS.scan(cx.tx, Scan::prefix(&rule, usize::MAX))?;
    let mut ids: Vec<String> = known.iter().map(|(key, _)| key.4.clone()).collect();
    for wanted in input.targets {
        super::names::check("targets.id", &wanted.id, 64, false)?;
        let target = wanted.checked()?;
        let key = target_key(&rule, &target.id);
        if let Some(before) = TARGETS.get(cx.tx, &key)? {
            BY_TARGET.delete(cx.tx, &by_target(&key, &before.arn));
        } else {
            ids.push(target.id.clone());
        }
        BY_TARGET.put(cx.tx, &by_target(&key, &target.arn), &Mark {});
        TARGETS.put(cx.tx, &key, &target);
    }
    keys::changed(cx, (&rule.0, &rule.1, &rule.2));
    match ids.len() <= TARGETS_PER_RULE {
        true => Ok(DONE),
        false => Err(faults::too_many("The requested resource exceeds the maximum number allowed.")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    rule: String,
    event_bus_name: Option<String>,
    ids: Vec<String>,
    /// No rule is managed by a service.
    #[serde(rename = "Force", default)]
    _force: IgnoredAny,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<Done, Fault> {
    let (rule, _) = open_rule(cx, input.event_bus_name.as_deref(), &input.rule)?;
    for id in input.ids {
        let key = target_key(&rule, &id);
        if let Some(target) = TARGETS.get(cx.tx, &key)? {
            BY_TARGET.delete(cx.tx, &by_target(&key, &target.arn));
            TARGETS.delete(cx.tx, &key);
        }
    }
    keys::changed(cx, (&rule.0, &rule.1, &rule.2));
    Ok(DONE)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    rule: String,
    event_bus_name: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    targets: Vec<Wanted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let (rule, _) = open_rule(cx, input.event_bus_name.as_deref(), &input.rule)?;
    let limit = buses::limit(input.limit)?;
    let mut scan = Scan::prefix(&rule, limit + 1);
    if let Some(token) = &input.next_token {
        scan = scan.after(&target_key(&rule, token));
    }
    let (rows, next_token) = paging::cut(TARGETS.scan(cx.tx, scan)?, limit, |(key, _)| key.4.clone());
    Ok(Listed { targets: rows.into_iter().map(|(_, target)| Wanted::of(target)).collect(), next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRules {
    target_arn: String,
    event_bus_name: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RuleNames {
    rule_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list_rules(cx: &mut Cx<'_>, input: ListRules) -> Result<RuleNames, Fault> {
    let (bus, _) = open_bus(cx, input.event_bus_name.as_deref())?;
    let limit = buses::limit(input.limit)?;
    super::names::check_length("targetArn", Some(&input.target_arn), 1600)?;
    super::names::check_length("nextToken", input.next_token.as_deref(), 2048)?;
    let of_target = (bus.0.clone(), bus.1.clone(), bus.2.clone(), input.target_arn.clone());
    // A rule has the target up to five times.
    let mut scan = Scan::prefix(&of_target, (limit + 1) * TARGETS_PER_RULE);
    if let Some(token) = &input.next_token {
        // The shortest text after the rule's name: skips everything else of it.
        scan = scan.from(&(bus.0, bus.1, bus.2, input.target_arn, format!("{token}\0")));
    }
    let mut rules: Vec<String> = BY_TARGET.scan(cx.tx, scan)?.into_iter().map(|(key, _)| key.4).collect();
    rules.dedup();
    let (rule_names, next_token) = paging::cut(rules, limit, String::clone);
    Ok(RuleNames { rule_names, next_token })
}

/// A rule's targets, for whoever tells them of something that is no event.
pub(super) fn of_rule(cx: &Cx<'_>, rule: &RuleKey) -> Result<Vec<Target>, Fault> {
    if !RULES.contains(cx.tx, rule)? {
        return Ok(Vec::new());
    }
    let rows = TARGETS.scan(cx.tx, Scan::prefix(rule, usize::MAX))?;
    Ok(rows.into_iter().map(|(_, target)| target).collect())
}
