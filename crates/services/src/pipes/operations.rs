//! CreatePipe, and what else one does with pipes.

use super::model::{Phase, Pipe};
use super::parameters::{EnrichmentParameters, SourceParameters, TargetParameters};
use super::{PIPES, brokers, faults, pipe_arn, tags};
use crate::lambda::mappings::OK;
use crate::readers::{Key, Reader};
use crate::{Cx, Signal, paging};
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PAGE: usize = 100;

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Desired {
    Running,
    Stopped,
}

fn key(cx: &Cx<'_>, name: &str) -> Key {
    (cx.caller.account.clone(), cx.caller.region.clone(), name.to_owned())
}

fn check_name(name: &str) -> Result<(), Fault> {
    check_name_as("name", name)
}

fn check_name_as(member: &str, name: &str) -> Result<(), Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    match (1..=64).contains(&name.len()) && name.chars().all(fits) {
        true => Ok(()),
        false => {
            let rule =
                "Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+ (1 to 64 characters)";
            Err(faults::constraint(member, name, rule))
        }
    }
}

fn check_description(text: Option<&str>) -> Result<(), Fault> {
    match text {
        Some(text) if text.chars().count() > 512 => {
            let rule = "Member must have length less than or equal to 512";
            Err(faults::constraint("description", "...", rule))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_role(role: &str) -> Result<(), Fault> {
    match role.parse::<Arn>() {
        Ok(arn) if arn.service == "iam" && arn.resource.starts_with("role") => Ok(()),
        Ok(_) | Err(_) => Err(faults::constraint("roleArn", role, "Member must be the ARN of a role")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    description: Option<String>,
    desired_state: Option<Desired>,
    source: String,
    source_parameters: Option<SourceParameters>,
    enrichment: Option<String>,
    enrichment_parameters: Option<EnrichmentParameters>,
    target: String,
    target_parameters: Option<TargetParameters>,
    role_arn: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Made {
    arn: String,
    name: String,
    desired_state: &'static str,
    current_state: &'static str,
    #[serde(with = "epoch_seconds")]
    creation_time: Time,
    #[serde(with = "epoch_seconds")]
    last_modified_time: Time,
}

fn made(key: &Key, pipe: &Pipe) -> Made {
    Made {
        arn: pipe_arn(key).to_string(),
        name: key.2.clone(),
        desired_state: pipe.desired(),
        current_state: pipe.state(),
        creation_time: Time::from_ms(pipe.created_ms),
        last_modified_time: Time::from_ms(pipe.modified_ms),
    }
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Made, Fault> {
    check_name(&input.name)?;
    check_description(input.description.as_deref())?;
    check_role(&input.role_arn)?;
    let key = key(cx, &input.name);
    cx.allow(&pipe_arn(&key))?;
    if PIPES.contains(cx.tx, &key)? {
        return Err(faults::exists(&input.name));
    }
    let mut pipe = Pipe {
        created_ms: cx.now.ms(),
        description: input.description.unwrap_or_default(),
        running: input.desired_state != Some(Desired::Stopped),
        source: input.source,
        enrichment: input.enrichment.unwrap_or_default(),
        target: input.target,
        role: input.role_arn,
        tags: crate::tags::checked::<tags::Row>(cx, input.tags)?,
        ..Pipe::default()
    };
    pipe.set_source_parameters(&input.source_parameters.unwrap_or_default())?;
    pipe.set_enrichment_parameters(&input.enrichment_parameters.unwrap_or_default())?;
    pipe.set_target_parameters(&input.target_parameters.unwrap_or_default())?;
    pipe.check(cx, &key)?;
    Ok(write(cx, &key, pipe, Phase::Creating))
}

/// Writes what was asked for, and tells whoever runs the pipe.
fn write(cx: &mut Cx<'_>, key: &Key, mut pipe: Pipe, phase: Phase) -> Made {
    pipe.set_phase(phase);
    pipe.generation += 1;
    pipe.modified_ms = cx.now.ms();
    PIPES.put(cx.tx, key, &pipe);
    cx.signal(Signal::Reader(Reader::Pipe(key.clone())));
    made(key, &pipe)
}

/// The caller's pipe of this name.
pub(super) fn open(cx: &mut Cx<'_>, name: &str) -> Result<(Key, Pipe), Fault> {
    check_name(name)?;
    let key = key(cx, name);
    cx.allow(&pipe_arn(&key))?;
    let pipe = PIPES.get(cx.tx, &key)?.ok_or_else(|| faults::no_pipe(name))?;
    Ok((key, pipe))
}

/// The same, if it takes another order: one that is on its way to a state does not.
fn open_settled(cx: &mut Cx<'_>, name: &str) -> Result<(Key, Pipe), Fault> {
    let (key, pipe) = open(cx, name)?;
    match pipe.phase() {
        Phase::Settled => Ok((key, pipe)),
        Phase::Creating | Phase::Updating | Phase::Starting | Phase::Stopping | Phase::Deleting => {
            Err(faults::busy(name, pipe.state()))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    name: String,
    description: Option<String>,
    desired_state: Option<Desired>,
    source_parameters: Option<SourceParameters>,
    enrichment: Option<String>,
    enrichment_parameters: Option<EnrichmentParameters>,
    target: Option<String>,
    target_parameters: Option<TargetParameters>,
    role_arn: String,
}

/// What is not named stays as it is.
pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Made, Fault> {
    check_description(input.description.as_deref())?;
    check_role(&input.role_arn)?;
    let (key, mut pipe) = open_settled(cx, &input.name)?;
    pipe.description = input.description.unwrap_or(pipe.description);
    pipe.role = input.role_arn;
    pipe.running = input.desired_state.map_or(pipe.running, |desired| desired == Desired::Running);
    if let Some(parameters) = input.source_parameters {
        let parameters = parameters.over(pipe.source_parameters()?)?;
        pipe.set_source_parameters(&parameters)?;
    }
    if let Some(enrichment) = input.enrichment {
        if enrichment.is_empty() {
            pipe.set_enrichment_parameters(&EnrichmentParameters::default())?;
        }
        pipe.enrichment = enrichment;
    }
    if let Some(parameters) = input.enrichment_parameters {
        pipe.set_enrichment_parameters(&parameters)?;
    }
    if let Some(target) = input.target {
        if target != pipe.target && input.target_parameters.is_none() {
            pipe.set_target_parameters(&TargetParameters::default())?;
        }
        pipe.target = target;
    }
    if let Some(parameters) = input.target_parameters {
        pipe.set_target_parameters(&parameters)?;
    }
    pipe.check(cx, &key)?;
    Ok(write(cx, &key, pipe, Phase::Updating))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    name: String,
}

pub(super) fn start(cx: &mut Cx<'_>, input: Named) -> Result<Made, Fault> {
    switch(cx, &input.name, true)
}

pub(super) fn stop(cx: &mut Cx<'_>, input: Named) -> Result<Made, Fault> {
    switch(cx, &input.name, false)
}

fn switch(cx: &mut Cx<'_>, name: &str, running: bool) -> Result<Made, Fault> {
    let (key, mut pipe) = open_settled(cx, name)?;
    if pipe.running == running {
        return Err(faults::busy(name, pipe.state()));
    }
    pipe.running = running;
    let phase = if running { Phase::Starting } else { Phase::Stopping };
    Ok(write(cx, &key, pipe, phase))
}

/// It is gone once the batches that it has are done.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<Made, Fault> {
    let (key, pipe) = open(cx, &input.name)?;
    match pipe.phase() {
        Phase::Deleting => Err(faults::busy(&input.name, pipe.state())),
        _ => Ok(write(cx, &key, pipe, Phase::Deleting)),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    #[serde(flatten)]
    made: Made,
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    enrichment: String,
    target: String,
    state_reason: String,
}

/// A source that cannot be read, or a target that takes nothing, is told as the reason of the state.
fn shown(cx: &Cx<'_>, key: &Key, pipe: &Pipe) -> Result<Shown, Fault> {
    let trouble = brokers::said(cx, key)?.filter(|said| said != OK);
    Ok(Shown {
        made: made(key, pipe),
        source: pipe.source.clone(),
        enrichment: pipe.enrichment.clone(),
        target: pipe.target.clone(),
        state_reason: trouble.unwrap_or_else(|| "USER_INITIATED".to_owned()),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    #[serde(flatten)]
    shown: Shown,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    source_parameters: SourceParameters,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrichment_parameters: Option<EnrichmentParameters>,
    target_parameters: TargetParameters,
    role_arn: String,
    tags: BTreeMap<String, String>,
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Named) -> Result<Described, Fault> {
    let (key, pipe) = open(cx, &input.name)?;
    let enrichment = pipe.enrichment_parameters()?;
    let mut source_parameters = pipe.source_parameters()?;
    // The size that holds is told, whoever has said it.
    let size = source_parameters.batch_size(pipe.reads(), pipe.batch_max()?);
    source_parameters.batch(&pipe.source).batch_size = Some(size);
    Ok(Described {
        shown: shown(cx, &key, &pipe)?,
        source_parameters,
        enrichment_parameters: (enrichment != EnrichmentParameters::default()).then_some(enrichment),
        target_parameters: pipe.target_parameters()?,
        description: pipe.description,
        role_arn: pipe.role,
        tags: pipe.tags,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    name_prefix: Option<String>,
    desired_state: Option<Desired>,
    current_state: Option<String>,
    source_prefix: Option<String>,
    target_prefix: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pipes: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

const STATES: [&str; 15] = [
    "RUNNING",
    "STOPPED",
    "CREATING",
    "UPDATING",
    "DELETING",
    "STARTING",
    "STOPPING",
    "CREATE_FAILED",
    "UPDATE_FAILED",
    "START_FAILED",
    "STOP_FAILED",
    "DELETE_FAILED",
    "CREATE_ROLLBACK_FAILED",
    "DELETE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_FAILED",
];

impl List {
    fn check(&self) -> Result<(), Fault> {
        if let Some(prefix) = &self.name_prefix {
            check_name_as("namePrefix", prefix)?;
        }
        if let Some(state) = self.current_state.as_deref().filter(|state| !STATES.contains(state)) {
            let rule = format!("Member must satisfy enum value set: [{}]", STATES.join(", "));
            return Err(faults::constraint("currentState", state, &rule));
        }
        let texts = [
            ("sourcePrefix", &self.source_prefix, 1600),
            ("targetPrefix", &self.target_prefix, 1600),
            ("nextToken", &self.next_token, 2048),
        ];
        for (member, text, most) in texts {
            let length = text.as_ref().map_or(1, |text| text.chars().count());
            if !(1..=most).contains(&length) {
                let rule = format!("Member must have length between 1 and {most}");
                return Err(faults::constraint(member, "...", &rule));
            }
        }
        Ok(())
    }
}

/// A token is the name of the last pipe looked at.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let everything = cx.arn("pipes", "pipe/*");
    cx.allow(&everything)?;
    input.check()?;
    let limit = match input.limit.unwrap_or(PAGE) {
        limit @ 1..=PAGE => limit,
        limit => {
            let rule = "Member must have value between 1 and 100";
            return Err(faults::constraint("limit", &limit.to_string(), rule));
        }
    };
    let prefix = input.name_prefix.unwrap_or_default();
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&place, limit + 1).from(&key(cx, &prefix));
    if let Some(token) = &input.next_token {
        scan = scan.after(&key(cx, token));
    }
    let (rows, last) = paging::cut(PIPES.scan(cx.tx, scan)?, limit, |(key, _)| key.2.clone());
    let next_token = last.filter(|name| name.starts_with(&prefix));
    let begins = |prefix: &Option<String>, text: &str| {
        prefix.as_ref().is_none_or(|prefix| text.starts_with(prefix.as_str()))
    };
    let wanted = |key: &Key, pipe: &Pipe| {
        key.2.starts_with(&prefix)
            && input.desired_state.is_none_or(|state| pipe.running == (state == Desired::Running))
            && input.current_state.as_ref().is_none_or(|state| pipe.state() == state)
            && begins(&input.source_prefix, &pipe.source)
            && begins(&input.target_prefix, &pipe.target)
    };
    let found = rows.iter().filter(|(key, pipe)| wanted(key, pipe));
    let pipes = found.map(|(key, pipe)| shown(cx, key, pipe)).collect::<Result<_, _>>()?;
    Ok(Listed { pipes, next_token })
}
