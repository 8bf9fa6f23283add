//! Deployment configurations: AWS's own, and those of users.

use super::applications::{PAGE, check_platform};
use super::faults;
use super::keys::{CONFIGS, GROUPS, NamedKey, config_arn};
use super::model::{Config, Routing, Way};
use crate::{Cx, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};

pub(super) const AT_ONCE: &str = "CodeDeployDefault.LambdaAllAtOnce";

/// Those that AWS has for functions: how, how much at a time, and after how many minutes.
const PREDEFINED: [(&str, Way, u32, u32); 9] = [
    (AT_ONCE, Way::AllAtOnce, 0, 0),
    ("CodeDeployDefault.LambdaCanary10Percent10Minutes", Way::Canary, 10, 10),
    ("CodeDeployDefault.LambdaCanary10Percent15Minutes", Way::Canary, 10, 15),
    ("CodeDeployDefault.LambdaCanary10Percent30Minutes", Way::Canary, 10, 30),
    ("CodeDeployDefault.LambdaCanary10Percent5Minutes", Way::Canary, 10, 5),
    ("CodeDeployDefault.LambdaLinear10PercentEvery10Minutes", Way::Linear, 10, 10),
    ("CodeDeployDefault.LambdaLinear10PercentEvery1Minute", Way::Linear, 10, 1),
    ("CodeDeployDefault.LambdaLinear10PercentEvery2Minutes", Way::Linear, 10, 2),
    ("CodeDeployDefault.LambdaLinear10PercentEvery3Minutes", Way::Linear, 10, 3),
];

const MINUTES_MAX: u32 = 2880;

fn predefined(name: &str) -> Option<Routing> {
    let found = PREDEFINED.iter().find(|(known, ..)| *known == name);
    found.map(|(_, way, percent, minutes)| Routing::new(*way, *percent, *minutes))
}

fn key(cx: &Cx<'_>, name: &str) -> NamedKey {
    (cx.caller.account.clone(), cx.caller.region.clone(), name.to_owned())
}

/// How traffic moves under the configuration with this name.
pub(super) fn find(cx: &Cx<'_>, name: &str) -> Result<Routing, Fault> {
    check_name(name)?;
    if let Some(routing) = predefined(name) {
        return Ok(routing);
    }
    let config = CONFIGS.get(cx.tx, &key(cx, name))?.ok_or_else(|| faults::no_config(name))?;
    Ok(config.routing.unwrap_or(Routing::AT_ONCE))
}

fn check_name(name: &str) -> Result<(), Fault> {
    match (1..=100).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(faults::bad_config_name(name)),
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoutingForm {
    #[serde(rename = "type")]
    way: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_based_canary: Option<CanaryForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_based_linear: Option<LinearForm>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct CanaryForm {
    canary_percentage: u32,
    canary_interval: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct LinearForm {
    linear_percentage: u32,
    linear_interval: u32,
}

impl RoutingForm {
    fn checked(self) -> Result<Routing, Fault> {
        let (way, percent, minutes) =
            match (self.way.as_deref(), self.time_based_canary, self.time_based_linear) {
                (None | Some("AllAtOnce"), None, None) => return Ok(Routing::AT_ONCE),
                (Some("TimeBasedCanary"), Some(form), None) => {
                    (Way::Canary, form.canary_percentage, form.canary_interval)
                }
                (Some("TimeBasedLinear"), None, Some(form)) => {
                    (Way::Linear, form.linear_percentage, form.linear_interval)
                }
                (Some("TimeBasedCanary" | "TimeBasedLinear" | "AllAtOnce") | None, _, _) => {
                    return Err(faults::bad_routing("The type and what it is given do not fit each other."));
                }
                (Some(other), ..) => {
                    return Err(faults::bad_routing(format!("Unknown traffic routing type: {other}")));
                }
            };
        match (1..=99).contains(&percent) && (1..=MINUTES_MAX).contains(&minutes) {
            true => Ok(Routing::new(way, percent, minutes)),
            false => Err(faults::bad_routing(format!(
                "A percentage lies between 1 and 99, an interval between 1 and {MINUTES_MAX} minutes."
            ))),
        }
    }

    fn shown(routing: Routing) -> RoutingForm {
        let (percent, minutes) = (routing.percent, routing.minutes);
        let canary = CanaryForm { canary_percentage: percent, canary_interval: minutes };
        let linear = LinearForm { linear_percentage: percent, linear_interval: minutes };
        let (way, time_based_canary, time_based_linear) = match routing.way() {
            Way::AllAtOnce => ("AllAtOnce", None, None),
            Way::Canary => ("TimeBasedCanary", Some(canary), None),
            Way::Linear => ("TimeBasedLinear", None, Some(linear)),
        };
        RoutingForm { way: Some(way.into()), time_based_canary, time_based_linear }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    deployment_config_name: String,
    traffic_routing_config: Option<RoutingForm>,
    compute_platform: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    deployment_config_id: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    let name = &input.deployment_config_name;
    check_name(name)?;
    if name.starts_with("CodeDeployDefault.") {
        return Err(faults::bad_config_name(name));
    }
    check_platform(input.compute_platform.as_deref())?;
    let key = key(cx, name);
    cx.allow(&config_arn(&key))?;
    if CONFIGS.contains(cx.tx, &key)? {
        return Err(faults::config_exists(name));
    }
    let routing = input.traffic_routing_config.map(RoutingForm::checked).transpose()?;
    let routing = routing.unwrap_or(Routing::AT_ONCE);
    let config = Config { id: cx.ids.uuid(), created_ms: cx.now.ms(), routing: Some(routing) };
    CONFIGS.put(cx.tx, &key, &config);
    Ok(Created { deployment_config_id: config.id })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    deployment_config_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Got {
    deployment_config_info: Shown,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    deployment_config_id: String,
    deployment_config_name: String,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds::option")]
    create_time: Option<Time>,
    compute_platform: &'static str,
    traffic_routing_config: RoutingForm,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Got, Fault> {
    let name = input.deployment_config_name;
    let key = key(cx, &name);
    cx.allow(&config_arn(&key))?;
    let routing = RoutingForm::shown(find(cx, &name)?);
    let own = CONFIGS.get(cx.tx, &key)?;
    let deployment_config_info = Shown {
        deployment_config_id: own.as_ref().map_or_else(|| name.clone(), |own| own.id.clone()),
        deployment_config_name: name,
        create_time: own.map(|own| Time::from_ms(own.created_ms)),
        compute_platform: "Lambda",
        traffic_routing_config: routing,
    };
    Ok(Got { deployment_config_info })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    deployment_configs_list: Vec<String>,
    next_token: Option<String>,
}

/// AWS's own come first.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("codedeploy", "deploymentconfig:*");
    cx.allow(&resource)?;
    let mut scan = Scan::prefix(&(cx.caller.account.clone(), cx.caller.region.clone()), PAGE + 1);
    let mut names = Vec::new();
    match &input.next_token {
        Some(token) => scan = scan.after(&key(cx, token)),
        None => names.extend(PREDEFINED.iter().map(|(name, ..)| (*name).to_owned())),
    }
    let own = CONFIGS.scan(cx.tx, scan)?.into_iter().map(|(key, _)| key.2).collect();
    let (own, next_token) = paging::cut(own, PAGE, String::clone);
    names.extend(own);
    Ok(Listed { deployment_configs_list: names, next_token })
}

/// Deleting one that is not there succeeds, as AWS's does.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let name = &input.deployment_config_name;
    check_name(name)?;
    let key = key(cx, name);
    cx.allow(&config_arn(&key))?;
    if predefined(name).is_some() {
        return Err(faults::config_is_aws_s(name));
    }
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&place, PAGE);
    loop {
        let groups = GROUPS.scan(cx.tx, scan)?;
        if groups.iter().any(|(_, group)| group.config == *name) {
            return Err(faults::config_in_use(name));
        }
        let Some((last, _)) = groups.last() else { break };
        scan = Scan::prefix(&place, PAGE).after(last);
    }
    CONFIGS.delete(cx.tx, &key);
    Ok(())
}
