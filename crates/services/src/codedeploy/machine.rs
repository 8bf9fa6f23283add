//! How a deployment goes on: each function here is one step, written in the transaction of whoever calls it.
//!
//! ```text
//! Created ─▶ before hook ─▶ traffic: share, wait, share, … whole ─▶ after hook ─▶ Succeeded
//!                │             │                                        │
//!                └─────────────┴──────── Failed or Stopped ◀────────────┘   and the alias goes back, if it is to
//! ```
//!
//! A deployment moves the alias only while it leads where the last step left it. If somebody else has moved
//! it, the deployment fails and leaves it alone.

use super::deployments::{self, Revision};
use super::keys::{DEPLOYMENTS, GROUPS, GroupKey, NamedKey, RUNNING, deployment_arn, deployment_of};
use super::model::{Course, Deployment, End, Moment, Plan, Routing, Status, WHOLE, Waiting};
use super::{configs, tell};
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use crate::lambda::{self, Lead};
use crate::{Cx, cloudwatch};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use serde_json::json;
use std::time::Duration;

/// How long a hook may take to say how it ended.
const HOOK_LIMIT: Duration = Duration::from_secs(3600);
const PAGE: usize = 500;

/// Why a deployment ended early: AWS's code, and words.
type Why<'a> = (&'static str, &'a str);

/// A new deployment is on its way as soon as it is written down.
pub(super) fn begin(cx: &mut Cx<'_>, key: &NamedKey, deployment: &mut Deployment) -> Result<(), Fault> {
    wait(cx, key, deployment, Duration::ZERO)
}

fn wait(cx: &mut Cx<'_>, key: &NamedKey, deployment: &mut Deployment, span: Duration) -> Result<(), Fault> {
    let (due, delivery) = (cx.now + span, cx.ids.uuid());
    deployment.waiting = Some(Waiting { delivery: delivery.clone(), due_ms: due.ms() });
    let arn = deployment_arn(key);
    cx.deliver(Delivery {
        source: arn.to_string(),
        target: Target::Timer(arn),
        event_type: "aws.codedeploy.Step".into(),
        payload: Vec::new(),
        id: Some(delivery),
        due: Some(due),
        depth: 0,
        tenant: None,
    })
}

fn wait_no_more(cx: &mut Cx<'_>, key: &NamedKey, deployment: &mut Deployment) {
    if let Some(waiting) = deployment.waiting.take() {
        let target = Target::Timer(deployment_arn(key));
        fabric::cancel(cx, &target, Time::from_ms(waiting.due_ms), &waiting.delivery);
    }
}

/// What a deployment waited for has come. A delivery that it does not wait for any more ends here.
pub fn fire(cx: &mut Cx<'_>, record: &Record) -> Result<(), Fault> {
    fabric::settle(cx, record.clone(), Verdict::Done)?;
    let Target::Timer(arn) = record.target()? else {
        return Err(Fault::internal("go on with a deployment", "the delivery is not a timer's"));
    };
    let Some(key) = deployment_of(&arn) else { return Ok(()) };
    let Some(mut deployment) = DEPLOYMENTS.get(cx.tx, &key)? else { return Ok(()) };
    if deployment.waiting.as_ref().is_none_or(|waiting| waiting.delivery != record.id) {
        return Ok(());
    }
    deployment.waiting = None;
    go_on(cx, &key, &mut deployment)?;
    DEPLOYMENTS.put(cx.tx, &key, &deployment);
    Ok(())
}

fn go_on(cx: &mut Cx<'_>, key: &NamedKey, deployment: &mut Deployment) -> Result<(), Fault> {
    if deployment.status() == Status::Created {
        deployment.set_status(Status::InProgress);
        deployment.started_ms = cx.now.ms();
        tell::change(cx, key, deployment, tell::Event::Start)?;
    }
    let watched = deployment.alarms.as_ref().map(|alarms| alarms.watched().to_vec()).unwrap_or_default();
    let firing = cloudwatch::firing(cx, &watched)?;
    if !firing.is_empty() {
        return stop_for(cx, key, deployment, &firing);
    }
    loop {
        let open = |course: Course| matches!(course, Course::Pending | Course::InProgress);
        let Some(place) = deployment.stages.iter().position(|stage| open(stage.course())) else {
            return succeed(cx, key, deployment);
        };
        let stage = &mut deployment.stages[place];
        let begins = stage.course() == Course::Pending;
        if begins {
            stage.set_course(Course::InProgress);
            stage.started_ms = cx.now.ms();
        }
        let moment = stage.moment();
        match (moment, begins) {
            (Moment::Before | Moment::After, true) => return call_hook(cx, key, deployment, place),
            (Moment::Before | Moment::After, false) => {
                let text = format!("The hook {} did not say how it ended within an hour.", moment.name());
                return fail(cx, key, deployment, ("HOOK_EXECUTION_FAILURE", &text));
            }
            (Moment::Traffic, _) => {
                if let Err(text) = shift(cx, deployment)? {
                    return fail(cx, key, deployment, ("INVALID_LAMBDA_CONFIGURATION", &text));
                }
                if deployment.share < WHOLE {
                    let interval = deployment.routing_or_at_once().interval();
                    return wait(cx, key, deployment, interval);
                }
            }
        }
        let stage = &mut deployment.stages[place];
        stage.set_course(Course::Succeeded);
        stage.ended_ms = cx.now.ms();
    }
}

/// Where the alias leads when the new version has this share.
fn lead(plan: &Plan, share: u32) -> Lead {
    match share {
        0 => Lead { version: plan.current, other: None },
        WHOLE => Lead { version: plan.target, other: None },
        share => {
            Lead { version: plan.current, other: Some((plan.target, f64::from(share) / f64::from(WHOLE))) }
        }
    }
}

/// Gives the new version its next share; or says why that cannot be.
fn shift(cx: &mut Cx<'_>, deployment: &mut Deployment) -> Result<Result<(), String>, Fault> {
    let plan = deployment.plan.clone().unwrap_or_default();
    if let Err(text) = check_alias(cx, deployment)? {
        return Ok(Err(text));
    }
    let share = deployment.routing_or_at_once().next(deployment.share);
    let alias = (plan.function.as_str(), plan.alias.as_str());
    let moved = lambda::check_lead(cx, alias, plan.target)
        .and_then(|()| lambda::set_lead(cx, alias, &lead(&plan, share)));
    match moved {
        Ok(()) => {
            deployment.share = share;
            Ok(Ok(()))
        }
        Err(fault) if !fault.is_server() => Ok(Err(fault.message)),
        Err(fault) => Err(fault),
    }
}

/// Whether the alias leads where this deployment has left it.
fn check_alias(cx: &Cx<'_>, deployment: &Deployment) -> Result<Result<(), String>, Fault> {
    let plan = deployment.plan.clone().unwrap_or_default();
    let name = format!("the alias {} of the function {}", plan.alias, plan.function);
    let Some(found) = lambda::lead(cx, (&plan.function, &plan.alias))? else {
        return Ok(Err(format!("There is no such alias: {name}.")));
    };
    let left = lead(&plan, deployment.share);
    Ok(match found == left {
        true => Ok(()),
        false if deployment.share == 0 => Err(format!(
            "The CurrentVersion of the AppSpec is {}, but {name} leads to {}.",
            plan.current, found.version
        )),
        false => Err(format!("Somebody else has changed {name} during the deployment.")),
    })
}

fn call_hook(
    cx: &mut Cx<'_>,
    key: &NamedKey,
    deployment: &mut Deployment,
    place: usize,
) -> Result<(), Fault> {
    let plan = deployment.plan.clone().unwrap_or_default();
    let moment = deployment.stages[place].moment();
    let function = if moment == Moment::Before { &plan.before } else { &plan.after };
    let arn = match lambda::reference(cx, function) {
        Some(arn) if lambda::exists(cx, &arn)? => arn,
        Some(_) | None => {
            let text = format!("The function {function} of the hook {} does not exist.", moment.name());
            return fail(cx, key, deployment, ("HOOK_EXECUTION_FAILURE", &text));
        }
    };
    let execution = cx.ids.lower(32);
    deployment.stages[place].execution.clone_from(&execution);
    let event = json!({ "DeploymentId": key.2, "LifecycleEventHookExecutionId": execution });
    cx.deliver(Delivery {
        target: Target::Function(arn),
        event_type: "aws.codedeploy.Hook".into(),
        payload: event.to_string().into_bytes(),
        source: deployment_arn(key).to_string(),
        id: None,
        due: None,
        depth: cx.caller.depth,
        tenant: None,
    })?;
    wait(cx, key, deployment, HOOK_LIMIT)
}

/// A hook has said how it ended.
pub(super) fn hooked(
    cx: &mut Cx<'_>,
    key: &NamedKey,
    deployment: &mut Deployment,
    place: usize,
    good: bool,
) -> Result<(), Fault> {
    if !good {
        let text = format!("The hook {} failed.", deployment.stages[place].moment().name());
        return fail(cx, key, deployment, ("HOOK_EXECUTION_FAILURE", &text));
    }
    wait_no_more(cx, key, deployment);
    let stage = &mut deployment.stages[place];
    stage.set_course(Course::Succeeded);
    stage.ended_ms = cx.now.ms();
    go_on(cx, key, deployment)
}

fn succeed(cx: &mut Cx<'_>, key: &NamedKey, deployment: &mut Deployment) -> Result<(), Fault> {
    deployment.set_status(Status::Succeeded);
    deployment.completed_ms = cx.now.ms();
    let group = group_of(key, deployment);
    RUNNING.delete(cx.tx, &group);
    if let Some(mut row) = GROUPS.get(cx.tx, &group)? {
        row.succeeded.clone_from(&key.2);
        GROUPS.put(cx.tx, &group, &row);
    }
    tell::change(cx, key, deployment, tell::Event::Success)
}

fn group_of(key: &NamedKey, deployment: &Deployment) -> GroupKey {
    (key.0.clone(), key.1.clone(), deployment.application.clone(), deployment.group.clone())
}

fn fail(cx: &mut Cx<'_>, key: &NamedKey, deployment: &mut Deployment, why: Why<'_>) -> Result<(), Fault> {
    let back = deployment.rollback.as_ref().is_some_and(|rule| rule.wants(End::Failure));
    end(cx, key, deployment, End::Failure, why, back)
}

fn stop_for(
    cx: &mut Cx<'_>,
    key: &NamedKey,
    deployment: &mut Deployment,
    firing: &[String],
) -> Result<(), Fault> {
    let text = format!(
        "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and \
         the affected deployments have been stopped. Activated alarms: <{}>",
        firing.join(", ")
    );
    let back = deployment.rollback.as_ref().is_some_and(|rule| rule.wants(End::Alarm));
    end(cx, key, deployment, End::Alarm, ("ALARM_ACTIVE", &text), back)
}

/// An alarm of the caller's account has fired: deployments that watch it stop in this very transaction.
pub(crate) fn alarmed(cx: &mut Cx<'_>, alarm: &str) -> Result<(), Fault> {
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&place, PAGE);
    loop {
        let rows = RUNNING.scan(cx.tx, scan)?;
        let Some((last, _)) = rows.last().cloned() else { return Ok(()) };
        for (group, running) in rows {
            let key = (group.0, group.1, running.deployment);
            let Some(mut deployment) = DEPLOYMENTS.get(cx.tx, &key)? else { continue };
            let watched = deployment.alarms.as_ref().map(|alarms| alarms.watched()).unwrap_or_default();
            if watched.iter().any(|name| name == alarm) {
                stop_for(cx, &key, &mut deployment, &[alarm.to_owned()])?;
                DEPLOYMENTS.put(cx.tx, &key, &deployment);
            }
        }
        scan = Scan::prefix(&place, PAGE).after(&last);
    }
}

/// Ends a deployment early; with `back`, its alias leads to its old version again when this commits.
pub(super) fn end(
    cx: &mut Cx<'_>,
    key: &NamedKey,
    deployment: &mut Deployment,
    how: End,
    why: Why<'_>,
    back: bool,
) -> Result<(), Fault> {
    wait_no_more(cx, key, deployment);
    for stage in &mut deployment.stages {
        match stage.course() {
            Course::InProgress => {
                stage.set_course(Course::Failed);
                stage.ended_ms = cx.now.ms();
            }
            Course::Pending => stage.set_course(Course::Skipped),
            Course::Succeeded | Course::Failed | Course::Skipped => {}
        }
    }
    deployment.set_status(match how {
        End::Failure => Status::Failed,
        End::Alarm | End::Request => Status::Stopped,
    });
    deployment.completed_ms = cx.now.ms();
    (deployment.error_code, deployment.error) = (why.0.to_owned(), why.1.to_owned());
    RUNNING.delete(cx.tx, &group_of(key, deployment));
    let event = if how == End::Failure { tell::Event::Failure } else { tell::Event::Stop };
    tell::change(cx, key, deployment, event)?;
    match back && deployment.share > 0 && check_alias(cx, deployment)?.is_ok() {
        true => roll_back(cx, key, deployment),
        false => Ok(()),
    }
}

/// The alias goes back at once. What did so is a deployment of its own, which is over when it is written
/// down.
fn roll_back(cx: &mut Cx<'_>, key: &NamedKey, deployment: &mut Deployment) -> Result<(), Fault> {
    let plan = deployment.plan.clone().unwrap_or_default();
    lambda::set_lead(cx, (&plan.function, &plan.alias), &lead(&plan, 0))?;
    let back = Plan {
        current: plan.target,
        target: plan.current,
        before: String::new(),
        after: String::new(),
        ..plan
    };
    let revision = serde_json::to_string(&Revision::of_text(written(&back)))
        .map_err(|e| Fault::internal("keep a revision", e))?;
    let stage = super::model::Stage {
        moment: Moment::Traffic.into(),
        course: Course::Succeeded.into(),
        started_ms: cx.now.ms(),
        ended_ms: cx.now.ms(),
        execution: String::new(),
    };
    let undoing = Deployment {
        application: deployment.application.clone(),
        group: deployment.group.clone(),
        config: configs::AT_ONCE.to_owned(),
        routing: Some(Routing::AT_ONCE),
        status: Status::Succeeded.into(),
        revision,
        plan: Some(back),
        share: WHOLE,
        stages: vec![stage],
        created_ms: cx.now.ms(),
        started_ms: cx.now.ms(),
        completed_ms: cx.now.ms(),
        of_rollback: true,
        other: key.2.clone(),
        ..Deployment::default()
    };
    let undoing_key = deployments::new_key(cx);
    deployment.other.clone_from(&undoing_key.2);
    deployments::remember(cx, &group_of(key, deployment), &undoing_key, &undoing)?;
    tell::change(cx, key, deployment, tell::Event::Rollback)
}

/// A plan as an AppSpec.
fn written(plan: &Plan) -> String {
    let properties = json!({
        "Name": plan.function, "Alias": plan.alias,
        "CurrentVersion": plan.current.to_string(), "TargetVersion": plan.target.to_string(),
    });
    let resource = json!({ &plan.resource: { "Type": "AWS::Lambda::Function", "Properties": properties } });
    json!({ "version": 0.0, "Resources": [resource] }).to_string()
}
