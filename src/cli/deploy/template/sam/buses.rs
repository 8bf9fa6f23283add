//! Events that come from a bus or from the clock: rules and schedules that call the function.

use super::super::node::{Entry, Node, Problem};
use super::Expansion;
use super::events::{permission, properties_known};
use super::function::Target;

/// The properties of an event that are members of a rule's target under the same name.
const TARGET_MEMBERS: [&str; 4] = ["Input", "InputPath", "InputTransformer", "RetryPolicy"];

/// `EventBridgeRule` and `CloudWatchEvent`.
pub(super) fn rule(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
) -> Result<(), Problem> {
    let own = ["Pattern", "EventBusName", "RuleName", "State", "Enabled", "DeadLetterConfig", "Target"];
    let known: Vec<&str> = own.into_iter().chain(TARGET_MEMBERS).collect();
    properties_known(properties, &known)?;
    let line = event.line;
    let pattern = properties.get("Pattern");
    let pattern = pattern.ok_or_else(|| Problem::new(line, "the event needs a Pattern"))?;
    let mut rule = Node::map(line, [("EventPattern", pattern.clone())]);
    for (from, name) in [("EventBusName", "EventBusName"), ("RuleName", "Name")] {
        if let Some(value) = properties.get(from) {
            rule.set(name, value.clone());
        }
    }
    add_rule(to, target, event, properties, rule)
}

/// `Schedule`
pub(super) fn schedule(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
) -> Result<(), Problem> {
    let own = ["Schedule", "Name", "Description", "State", "Enabled", "DeadLetterConfig"];
    let known: Vec<&str> = own.into_iter().chain(TARGET_MEMBERS).collect();
    properties_known(properties, &known)?;
    let line = event.line;
    let expression = properties.get("Schedule");
    let expression = expression.ok_or_else(|| Problem::new(line, "the event needs a Schedule"))?;
    let mut rule = Node::map(line, [("ScheduleExpression", expression.clone())]);
    for name in ["Name", "Description"] {
        if let Some(value) = properties.get(name) {
            rule.set(name, value.clone());
        }
    }
    add_rule(to, target, event, properties, rule)
}

fn add_rule(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
    mut rule: Node,
) -> Result<(), Problem> {
    let line = event.line;
    let id = format!("{}{}", target.resource.id, event.key);
    let name = properties.get("Target").and_then(|target| target.get("Id")).and_then(Node::scalar);
    let name = name.unwrap_or_else(|| format!("{id}LambdaTarget").chars().take(64).collect());
    let mut goal = Node::map(line, [("Arn", target.arn.clone()), ("Id", Node::text(line, name))]);
    for member in TARGET_MEMBERS {
        if let Some(value) = properties.get(member) {
            goal.set(member, value.clone());
        }
    }
    if let Some(letters) = dead_letters(properties)? {
        goal.set("DeadLetterConfig", letters);
    }
    rule.set("Targets", Node::list(line, vec![goal]));
    match (properties.get("State"), properties.get("Enabled").and_then(Node::as_flag)) {
        (Some(state), _) => rule.set("State", state.clone()),
        (None, Some(false)) => rule.set("State", Node::text(line, "DISABLED")),
        (None, Some(true) | None) => {}
    }
    let source = Node::attribute(line, &id, "Arn");
    let allowed = permission(target, line, "events.amazonaws.com", ("SourceArn", source));
    let from = target.resource;
    to.resources.push(from.with(&id, "AWS::Events::Rule", line, rule));
    to.resources.push(from.with(&format!("{id}Permission"), "AWS::Lambda::Permission", line, allowed));
    Ok(())
}

/// A queue that is there; SAM would also make one, which a template can do itself.
fn dead_letters(properties: &Node) -> Result<Option<Node>, Problem> {
    let Some(config) = properties.entry("DeadLetterConfig") else { return Ok(None) };
    match config.node.get("Arn") {
        Some(arn) => Ok(Some(Node::map(config.line, [("Arn", arn.clone())]))),
        None => Err(Problem::new(config.line, "DeadLetterConfig needs the Arn of a queue")),
    }
}

/// `ScheduleV2`
pub(super) fn schedule_v2(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
) -> Result<(), Problem> {
    const COPIED: [&str; 9] = [
        "Description",
        "EndDate",
        "FlexibleTimeWindow",
        "GroupName",
        "Name",
        "ScheduleExpression",
        "ScheduleExpressionTimezone",
        "StartDate",
        "State",
    ];
    let own = ["DeadLetterConfig", "Input", "RetryPolicy", "RoleArn", "OmitName"];
    let known: Vec<&str> = COPIED.into_iter().chain(own).collect();
    properties_known(properties, &known)?;
    let line = event.line;
    if properties.get("ScheduleExpression").is_none() {
        return Err(Problem::new(line, "the event needs a ScheduleExpression"));
    }
    let id = format!("{}{}", target.resource.id, event.key);
    let role = format!("arn:aws:iam::{}:role/{id}Role", to.place.account);
    let role = properties.get("RoleArn").cloned().unwrap_or_else(|| Node::text(line, role));
    let mut goal = Node::map(line, [("Arn", target.arn.clone()), ("RoleArn", role)]);
    for member in ["Input", "RetryPolicy"] {
        if let Some(value) = properties.get(member) {
            goal.set(member, value.clone());
        }
    }
    if let Some(letters) = dead_letters(properties)? {
        goal.set("DeadLetterConfig", letters);
    }
    let off = Node::map(line, [("Mode", Node::text(line, "OFF"))]);
    let mut schedule = Node::map(line, [("FlexibleTimeWindow", off), ("Target", goal)]);
    for name in COPIED {
        if let Some(value) = properties.get(name) {
            schedule.set(name, value.clone());
        }
    }
    // Without a name of its own SAM names a schedule after the function and the event.
    let unnamed = properties.get("OmitName").and_then(Node::as_flag) == Some(true);
    if properties.get("Name").is_none() && !unnamed {
        schedule.set("Name", Node::text(line, &*id));
    }
    to.resources.push(target.resource.with(&id, "AWS::Scheduler::Schedule", line, schedule));
    Ok(())
}
