//! `DeploymentPreference`: a function's alias moves by deployments of CodeDeploy.
//!
//! As AWS's transform does it: one application for the template, a deployment group for each function, and the alias
//! says that it moves through them.

use super::super::Resource;
use super::super::catalog::DEPLOYMENT;
use super::super::node::{Node, Problem};
use super::Expansion;

const APPLICATION: &str = "ServerlessDeploymentApplication";
/// What AWS has under a name of its own; others are configurations of the user.
const PREDEFINED: [&str; 9] = [
    "AllAtOnce",
    "Canary10Percent10Minutes",
    "Canary10Percent15Minutes",
    "Canary10Percent30Minutes",
    "Canary10Percent5Minutes",
    "Linear10PercentEvery10Minutes",
    "Linear10PercentEvery1Minute",
    "Linear10PercentEvery2Minutes",
    "Linear10PercentEvery3Minutes",
];
const ROLLED_BACK_ON: [&str; 3] =
    ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"];

pub(super) fn expand(to: &mut Expansion<'_>, function: &Resource, alias: &str) -> Result<(), Problem> {
    let Some(preference) = function.properties.entry("DeploymentPreference") else { return Ok(()) };
    let (line, preference) = (preference.line, &preference.node);
    let known =
        ["Alarms", "Enabled", "Hooks", "PassthroughCondition", "Role", "TriggerConfigurations", "Type"];
    if let Some(other) = preference.entries().iter().find(|entry| !known.contains(&entry.key.as_str())) {
        let what = format!("a DeploymentPreference has no {}; it has {}", other.key, known.join(", "));
        return Err(Problem::new(other.line, what));
    }
    if preference.get("Enabled").and_then(Node::as_flag) == Some(false) {
        return Ok(());
    }
    let kind = preference.get("Type").and_then(Node::scalar);
    let kind = kind.ok_or_else(|| Problem::new(line, "a DeploymentPreference needs a Type"))?;
    let config = match PREDEFINED.contains(&kind.as_str()) {
        true => format!("CodeDeployDefault.Lambda{kind}"),
        false => kind,
    };
    let group = format!("{}DeploymentGroup", function.id);
    application(to, function, line);
    to.resources.push(function.with(
        &group,
        "AWS::CodeDeploy::DeploymentGroup",
        line,
        group_properties(to, preference, line, &config),
    ));
    let mut by = Node::map(
        line,
        [
            ("ApplicationName", Node::reference(line, APPLICATION)),
            ("DeploymentGroupName", Node::reference(line, &group)),
        ],
    );
    let hooks = preference.get("Hooks");
    for (from, property) in
        [("PreTraffic", "BeforeAllowTrafficHook"), ("PostTraffic", "AfterAllowTrafficHook")]
    {
        if let Some(hook) = hooks.and_then(|hooks| hooks.get(from)) {
            by.set(property, hook.clone());
        }
    }
    if let Some(alias) = to.resources.iter_mut().find(|made| made.id == alias) {
        alias.properties.set(DEPLOYMENT, by);
    }
    Ok(())
}

fn application(to: &mut Expansion<'_>, function: &Resource, line: usize) {
    if !to.resources.iter().any(|made| made.id == APPLICATION) {
        let properties = Node::map(line, [("ComputePlatform", Node::text(line, "Lambda"))]);
        let made = function.with(APPLICATION, "AWS::CodeDeploy::Application", line, properties);
        to.resources.push(made);
    }
}

fn group_properties(to: &Expansion<'_>, preference: &Node, line: usize, config: &str) -> Node {
    let on = || Node::text(line, "true");
    let texts = |names: &[&str]| names.iter().map(|name| Node::text(line, *name)).collect();
    let events = Node::list(line, texts(&ROLLED_BACK_ON));
    let role = format!("arn:aws:iam::{}:role/CodeDeployServiceRole", to.place.account);
    let mut group = Node::map(
        line,
        [
            ("ApplicationName", Node::reference(line, APPLICATION)),
            ("DeploymentConfigName", Node::text(line, config)),
            ("ServiceRoleArn", preference.get("Role").cloned().unwrap_or_else(|| Node::text(line, role))),
            ("AutoRollbackConfiguration", Node::map(line, [("Enabled", on()), ("Events", events)])),
        ],
    );
    let alarms: Vec<Node> = preference.get("Alarms").map(Node::items).unwrap_or_default().to_vec();
    if !alarms.is_empty() {
        let named = alarms.into_iter().map(|alarm| Node::map(alarm.line, [("Name", alarm)])).collect();
        let alarms = Node::map(line, [("Enabled", on()), ("Alarms", Node::list(line, named))]);
        group.set("AlarmConfiguration", alarms);
    }
    if let Some(triggers) = preference.get("TriggerConfigurations") {
        group.set("TriggerConfigurations", triggers.clone());
    }
    group
}
