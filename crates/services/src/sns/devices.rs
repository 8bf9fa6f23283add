//! Platform endpoints: the app on one device, by the token that its platform gave it.

use super::applications::{self, PAGE};
use super::faults;
use super::keys::{DEVICE_SWEEPS, DEVICE_TOKENS, DEVICES};
use super::model::{Device, DeviceToken};
use super::topics::read_arn;
use crate::{Cx, paging};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

type Attributes = BTreeMap<String, String>;

const USER_DATA_MAX: usize = 2048;
const TOKEN_MAX: usize = 4096;

/// An endpoint that exists, with its application.
pub(super) struct Found {
    pub(super) application: applications::Opened,
    pub(super) id: String,
    pub(super) record: Device,
}

impl Found {
    pub(super) fn arn(&self) -> Arn {
        arn(&self.application, &self.id)
    }

    pub(super) fn platform(&self) -> &str {
        &self.application.key.2
    }

    pub(super) fn put(&self, cx: &mut Cx<'_>) {
        DEVICES.put(cx.tx, &(self.application.record.id, self.id.clone()), &self.record);
    }
}

fn arn(application: &applications::Opened, id: &str) -> Arn {
    let (account, region, platform, name) = &application.key;
    Arn::new("sns", region, account, format!("endpoint/{platform}/{name}/{id}"))
}

pub(super) fn find(cx: &Cx<'_>, arn: &Arn) -> Result<Option<Found>, Fault> {
    let Some(application) = applications::find(cx, arn)? else { return Ok(None) };
    let mut parts = arn.resource.splitn(4, '/');
    let (Some("endpoint"), Some(id)) = (parts.next(), parts.nth(2)) else { return Ok(None) };
    let record = DEVICES.get(cx.tx, &(application.record.id, id.to_owned()))?;
    Ok(record.map(|record| Found { application, id: id.to_owned(), record }))
}

fn open(cx: &mut Cx<'_>, text: &str) -> Result<Found, Fault> {
    let arn = read_arn(text, "EndpointArn")?;
    cx.allow(&arn)?;
    if !arn.resource.starts_with("endpoint/") {
        return Err(faults::invalid("EndpointArn"));
    }
    find(cx, &arn)?.ok_or_else(faults::no_endpoint)
}

/// Changes the record by attributes as a caller writes them.
fn apply(record: &mut Device, attributes: Attributes) -> Result<(), Fault> {
    for (name, value) in attributes {
        match name.as_str() {
            "CustomUserData" if value.len() <= USER_DATA_MAX => record.user_data = value,
            "Enabled" => {
                let flag = value.to_ascii_lowercase().parse::<bool>();
                record.disabled = !flag.map_err(|_| faults::attribute_value("Enabled", "Invalid value"))?;
            }
            "Token" => record.token = value,
            "CustomUserData" => return Err(faults::attribute_value("CustomUserData", "it is too long")),
            _ => return Err(faults::attribute_name()),
        }
    }
    match (1..=TOKEN_MAX).contains(&record.token.len()) {
        true => Ok(()),
        false => Err(faults::invalid("Token")),
    }
}

fn shown(record: &Device) -> Attributes {
    let mut shown = Attributes::from([
        ("Enabled".to_owned(), (!record.disabled).to_string()),
        ("Token".to_owned(), record.token.clone()),
    ]);
    if !record.user_data.is_empty() {
        shown.insert("CustomUserData".into(), record.user_data.clone());
    }
    shown
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    platform_application_arn: String,
    token: String,
    custom_user_data: Option<String>,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    endpoint_arn: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    let application = applications::open(cx, &input.platform_application_arn)?;
    applications::open_outlet(cx, "PlatformApplicationArn")?;
    let user_data = input.custom_user_data.map(|data| ("CustomUserData".to_owned(), data));
    let mut record = Device { token: input.token, ..Device::default() };
    apply(&mut record, user_data.into_iter().chain(input.attributes).collect())?;
    if let Some(same) = DEVICE_TOKENS.get(cx.tx, &(application.record.id, record.token.clone()))? {
        let existing = DEVICES.get(cx.tx, &(application.record.id, same.id.clone()))?;
        let arn = arn(&application, &same.id);
        return match existing.is_some_and(|existing| existing == record) {
            true => Ok(Created { endpoint_arn: arn.to_string() }),
            false => Err(faults::invalid(format_args!(
                "Token Reason: Endpoint {arn} already exists with the same Token, but different attributes."
            ))),
        };
    }
    let found = Found { application, id: cx.ids.uuid(), record };
    found.put(cx);
    keep_token(cx, &found);
    let arn = found.arn();
    found.application.announce(cx, "EndpointCreated", &arn, json!({}))?;
    Ok(Created { endpoint_arn: arn.to_string() })
}

fn keep_token(cx: &mut Cx<'_>, found: &Found) {
    let key = (found.application.record.id, found.record.token.clone());
    DEVICE_TOKENS.put(cx.tx, &key, &DeviceToken { id: found.id.clone() });
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    endpoint_arn: String,
}

/// One that does not exist is as good as deleted.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let arn = read_arn(&input.endpoint_arn, "EndpointArn")?;
    cx.allow(&arn)?;
    let Some(found) = find(cx, &arn)? else { return Ok(()) };
    DEVICES.delete(cx.tx, &(found.application.record.id, found.id.clone()));
    DEVICE_TOKENS.delete(cx.tx, &(found.application.record.id, found.record.token.clone()));
    found.application.announce(cx, "EndpointDeleted", &arn, json!({}))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    attributes: Attributes,
}

pub(super) fn get_attributes(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let found = open(cx, &input.endpoint_arn)?;
    Ok(Shown { attributes: shown(&found.record) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetAttributes {
    endpoint_arn: String,
    attributes: Attributes,
}

pub(super) fn set_attributes(cx: &mut Cx<'_>, input: SetAttributes) -> Result<(), Fault> {
    let mut found = open(cx, &input.endpoint_arn)?;
    let before = found.record.token.clone();
    apply(&mut found.record, input.attributes)?;
    if before != found.record.token {
        let application = found.application.record.id;
        if DEVICE_TOKENS.contains(cx.tx, &(application, found.record.token.clone()))? {
            return Err(faults::invalid("Token Reason: another endpoint has this Token"));
        }
        DEVICE_TOKENS.delete(cx.tx, &(application, before));
        keep_token(cx, &found);
    }
    found.put(cx);
    found.application.announce(cx, "EndpointUpdated", &found.arn(), json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    platform_application_arn: String,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    endpoint_arn: String,
    attributes: Attributes,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    endpoints: Vec<Member>,
    next_token: Option<String>,
}

/// A token is the id of the last one shown.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let application = applications::open(cx, &input.platform_application_arn)?;
    let mut scan = Scan::prefix(&(application.record.id,), PAGE + 1);
    if let Some(token) = input.next_token {
        scan = scan.after(&(application.record.id, token));
    }
    let (rows, next_token) = paging::cut(DEVICES.scan(cx.tx, scan)?, PAGE, |(key, _)| key.1.clone());
    let member = |(key, record): ((u64, String), Device)| Member {
        endpoint_arn: arn(&application, &key.1).to_string(),
        attributes: shown(&record),
    };
    Ok(Listed { endpoints: rows.into_iter().map(member).collect(), next_token })
}

/// Deletes endpoints whose application is gone. How many rows it took.
pub(super) fn sweep(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    let Some((sweep, _)) = DEVICE_SWEEPS.peek_scan(cx.tx, Scan::all(1))?.pop() else { return Ok(0) };
    let devices = DEVICES.peek_scan(cx.tx, Scan::prefix(&sweep, limit))?;
    for (key, device) in &devices {
        DEVICES.delete(cx.tx, key);
        DEVICE_TOKENS.delete(cx.tx, &(key.0, device.token.clone()));
    }
    if devices.len() < limit {
        DEVICE_SWEEPS.delete(cx.tx, &sweep);
    }
    Ok(devices.len() + 1)
}
