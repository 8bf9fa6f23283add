//! The password of the registry: what `aws ecr get-login-password` prints.
//!
//! It names account, region and caller under the installation's seal and costs no row. The registry has one
//! address for all regions, so whose repositories a client sees is what its password says.

use super::faults;
use crate::{Cx, Site};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mayfly_kernel::caller::Principal;
use mayfly_kernel::{Arn, Caller, Fault, Time};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(12 * 3600);
const PURPOSE: &str = "registry";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Get {
    registry_ids: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Got {
    authorization_data: [Data; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    authorization_token: String,
    #[serde(with = "mayfly_wire::with::epoch_seconds")]
    expires_at: Time,
    proxy_endpoint: String,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Got, Fault> {
    let resource = cx.arn("ecr", "*");
    cx.allow(&resource)?;
    if let Some(ids) = input.registry_ids {
        if !(1..=10).contains(&ids.len()) {
            return Err(faults::invalid("registryIds", "must have length between 1 and 10"));
        }
        ids.iter().try_for_each(|id| super::repositories::check_registry(cx, Some(id)))?;
    }
    let expires = cx.now + LIFETIME;
    let function = match &cx.caller.principal {
        Principal::Function(arn) => arn.to_string(),
        Principal::Root | Principal::Service(_) | Principal::Anonymous => String::new(),
    };
    let subject = format!("{PURPOSE}/{}/{}/{function}", cx.caller.account, cx.caller.region);
    let password = URL_SAFE_NO_PAD.encode(cx.site.links.link(&subject, expires));
    Ok(Got {
        authorization_data: [Data {
            authorization_token: STANDARD.encode(format!("AWS:{password}")),
            expires_at: expires,
            proxy_endpoint: format!("{}://{}", cx.site.scheme(), cx.site.authority),
        }],
    })
}

/// Whose password it is, if this installation has given it out and its time is not over.
pub fn open(site: &Site, password: &str, now: Time) -> Option<Caller> {
    let link = String::from_utf8(URL_SAFE_NO_PAD.decode(password).ok()?).ok()?;
    let (subject, query) = link.split_once("?expires=")?;
    let (expires, signature) = query.split_once("&signature=")?;
    let expires: u64 = expires.parse().ok()?;
    if !site.links.is_mine(subject, expires, signature) || Time::from_secs(expires) < now {
        return None;
    }
    let mut parts = subject.splitn(4, '/');
    let (purpose, account, region, function) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let principal = match function {
        "" => Principal::Root,
        arn => Principal::Function(arn.parse::<Arn>().ok()?),
    };
    (purpose == PURPOSE).then(|| Caller {
        account: account.into(),
        region: region.into(),
        principal,
        access_key: String::new(),
        depth: 0,
        address: None,
    })
}
