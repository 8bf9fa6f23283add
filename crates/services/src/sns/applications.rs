//! Platform applications: what push messages are sent in the name of.
//!
//! What an application is set up with, credentials included, is what the operator's gateway of push messages
//! is told with each message; none of it is shown again.

use super::keys::{APPLICATIONS, ApplicationKey, DEVICE_SWEEPS};
use super::model::{Application, Mark};
use super::publish::Announcement;
use super::topics;
use super::{fanout, faults};
use crate::{Cx, paging};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

type Attributes = BTreeMap<String, String>;

pub(super) const PAGE: usize = 100;

const PLATFORMS: [&str; 12] = [
    "ADM",
    "APNS",
    "APNS_SANDBOX",
    "APNS_PASSBOOK",
    "APNS_VOIP",
    "APNS_VOIP_SANDBOX",
    "BAIDU",
    "GCM",
    "MACOS",
    "MACOS_SANDBOX",
    "MPNS",
    "WNS",
];
/// Attributes that the gateway alone reads.
const FOR_GATEWAY: [&str; 4] =
    ["PlatformCredential", "PlatformPrincipal", "ApplePlatformBundleID", "ApplePlatformTeamID"];
/// Of those, what is never shown.
const SECRET: [&str; 2] = ["PlatformCredential", "PlatformPrincipal"];
/// Attributes that name a topic which is told of something.
const EVENTS: [&str; 4] =
    ["EventDeliveryFailure", "EventEndpointCreated", "EventEndpointDeleted", "EventEndpointUpdated"];

/// An application that exists.
pub(super) struct Opened {
    pub(super) key: ApplicationKey,
    pub(super) record: Application,
}

impl Opened {
    pub(super) fn arn(&self) -> Arn {
        let (account, region, platform, name) = &self.key;
        Arn::new("sns", region, account, format!("app/{platform}/{name}"))
    }

    /// What the gateway is told of it.
    pub(super) fn for_gateway(&self) -> serde_json::Value {
        let told = self.record.attributes.iter().filter(|(name, _)| FOR_GATEWAY.contains(&name.as_str()));
        json!({ "arn": self.arn().to_string(), "attributes": told.collect::<BTreeMap<_, _>>() })
    }

    /// Tells the topic that wants to know about something of an endpoint, if there is one.
    pub(super) fn announce(
        &self,
        cx: &mut Cx<'_>,
        event: &str,
        endpoint: &Arn,
        more: serde_json::Value,
    ) -> Result<(), Fault> {
        let Some(topic) = self.record.attributes.get(&format!("Event{event}")) else { return Ok(()) };
        let Ok(topic) = topic.parse::<Arn>() else { return Ok(()) };
        let mut told = json!({
            "EventType": event,
            "EndpointArn": endpoint.to_string(),
            "Resource": self.arn().to_string(),
            "Service": "SNS",
            "Time": mayfly_wire::time::iso8601(cx.now),
        });
        if let (Some(told), serde_json::Value::Object(more)) = (told.as_object_mut(), more) {
            told.extend(more);
        }
        let depth = cx.caller.depth;
        let (source, body) = (self.arn().to_string(), told.to_string().into_bytes());
        let said = Announcement { subject: "", body, attributes: &[], depth };
        super::announce(cx, &topic, &fanout::agent(&source), said).map(drop)
    }
}

pub(super) fn find(cx: &Cx<'_>, arn: &Arn) -> Result<Option<Opened>, Fault> {
    let mut parts = arn.resource.splitn(3, '/');
    let (Some("app" | "endpoint"), Some(platform), Some(rest)) = (parts.next(), parts.next(), parts.next())
    else {
        return Ok(None);
    };
    // An endpoint's ARN goes on after its application's name.
    let name = rest.split('/').next().unwrap_or_default();
    let key = (arn.account.clone(), arn.region.clone(), platform.to_owned(), name.to_owned());
    Ok(APPLICATIONS.get(cx.tx, &key)?.map(|record| Opened { key, record }))
}

pub(super) fn open(cx: &mut Cx<'_>, text: &str) -> Result<Opened, Fault> {
    let arn = topics::read_arn(text, "PlatformApplicationArn")?;
    cx.allow(&arn)?;
    if !arn.resource.starts_with("app/") {
        return Err(faults::invalid("PlatformApplicationArn"));
    }
    find(cx, &arn)?.ok_or_else(faults::no_application)
}

/// Whether push messages have somewhere to go.
pub(super) fn open_outlet(cx: &Cx<'_>, member: &str) -> Result<(), Fault> {
    match cx.site.outlets.push {
        true => Ok(()),
        false => Err(faults::no_outlet(member, "push messages", "[push]")),
    }
}

fn check(cx: &Cx<'_>, attributes: &Attributes) -> Result<(), Fault> {
    for (name, value) in attributes {
        match name.as_str() {
            known if FOR_GATEWAY.contains(&known) => {}
            event if EVENTS.contains(&event) => {
                let topic = value.parse::<Arn>().ok();
                let known = match &topic {
                    Some(arn) => topics::find(cx, arn)?.is_some(),
                    None => value.is_empty(),
                };
                if !known {
                    return Err(faults::attribute_value(event, "the topic does not exist"));
                }
            }
            "SuccessFeedbackRoleArn" | "FailureFeedbackRoleArn" | "SuccessFeedbackSampleRate" => {
                return Err(Fault::not_implemented("delivery status logging"));
            }
            _ => return Err(faults::attribute_name()),
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    platform: String,
    attributes: Attributes,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    platform_application_arn: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    let arn = cx.arn("sns", format!("app/{}/{}", input.platform, input.name));
    cx.allow(&arn)?;
    open_outlet(cx, "Platform")?;
    if !PLATFORMS.contains(&input.platform.as_str()) {
        return Err(faults::invalid(format_args!("Platform Reason: {} is not supported", input.platform)));
    }
    let word = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if !(1..=256).contains(&input.name.len()) || !input.name.bytes().all(word) {
        return Err(faults::invalid("Name"));
    }
    check(cx, &input.attributes)?;
    let created = Created { platform_application_arn: arn.to_string() };
    if let Some(existing) = find(cx, &arn)? {
        return match existing.record.attributes == input.attributes {
            true => Ok(created),
            false => Err(faults::invalid(
                "Attributes Reason: Platform application already exists with different attributes",
            )),
        };
    }
    let record = Application { id: cx.ids.number(), attributes: input.attributes };
    APPLICATIONS.put(cx.tx, &(arn.account, arn.region, input.platform, input.name), &record);
    Ok(created)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    platform_application_arn: String,
}

/// One that does not exist is as good as deleted. Its endpoints cannot be found without it, and are swept
/// away.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let arn = topics::read_arn(&input.platform_application_arn, "PlatformApplicationArn")?;
    cx.allow(&arn)?;
    let Some(found) = find(cx, &arn)? else { return Ok(()) };
    APPLICATIONS.delete(cx.tx, &found.key);
    DEVICE_SWEEPS.put(cx.tx, &(found.record.id,), &Mark {});
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    attributes: Attributes,
}

fn shown(record: &Application) -> Attributes {
    let open = record.attributes.iter().filter(|(name, _)| !SECRET.contains(&name.as_str()));
    let mut shown: Attributes = open.map(|(name, value)| (name.clone(), value.clone())).collect();
    shown.insert("Enabled".into(), "true".into());
    shown
}

pub(super) fn get_attributes(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let found = open(cx, &input.platform_application_arn)?;
    Ok(Shown { attributes: shown(&found.record) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetAttributes {
    platform_application_arn: String,
    attributes: Attributes,
}

pub(super) fn set_attributes(cx: &mut Cx<'_>, input: SetAttributes) -> Result<(), Fault> {
    let mut found = open(cx, &input.platform_application_arn)?;
    check(cx, &input.attributes)?;
    found.record.attributes.extend(input.attributes);
    found.record.attributes.retain(|_, value| !value.is_empty());
    APPLICATIONS.put(cx.tx, &found.key, &found.record);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    platform_application_arn: String,
    attributes: Attributes,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    platform_applications: Vec<Member>,
    next_token: Option<String>,
}

/// A token is the platform and the name of the last one shown.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("sns", "*");
    cx.allow(&resource)?;
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&(account.clone(), region.clone()), PAGE + 1);
    if let Some(token) = input.next_token {
        let (platform, name) = token.split_once('/').ok_or_else(|| faults::invalid("NextToken"))?;
        scan = scan.after(&(account, region, platform.to_owned(), name.to_owned()));
    }
    let (rows, next_token) =
        paging::cut(APPLICATIONS.scan(cx.tx, scan)?, PAGE, |(key, _)| format!("{}/{}", key.2, key.3));
    let member = |(key, record)| {
        let found = Opened { key, record };
        Member { platform_application_arn: found.arn().to_string(), attributes: shown(&found.record) }
    };
    Ok(Listed { platform_applications: rows.into_iter().map(member).collect(), next_token })
}
