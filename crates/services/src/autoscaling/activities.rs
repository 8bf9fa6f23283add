//! DescribeScalingActivities.

use super::faults;
use super::keys::{ACTIVITIES, ActivityKey};
use super::model::Activity;
use super::scope::{self, DIMENSION, NAMESPACE};
use crate::{Cx, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Desc, Scan};
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    service_namespace: String,
    resource_id: Option<String>,
    scalable_dimension: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    scaling_activities: Vec<Shown>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    activity_id: String,
    service_namespace: &'static str,
    resource_id: String,
    scalable_dimension: &'static str,
    description: String,
    cause: String,
    #[serde(with = "epoch_seconds")]
    start_time: Time,
    #[serde(with = "epoch_seconds")]
    end_time: Time,
    status_code: &'static str,
    status_message: String,
}

fn shown(key: ActivityKey, activity: Activity) -> Shown {
    let Desc(at) = key.3;
    let failed = !activity.failure.is_empty();
    Shown {
        activity_id: key.4,
        resource_id: key.2,
        service_namespace: NAMESPACE,
        scalable_dimension: DIMENSION,
        description: activity.description,
        cause: activity.cause,
        start_time: at,
        end_time: at,
        status_code: if failed { "Failed" } else { "Successful" },
        status_message: match failed {
            true => activity.failure,
            false => {
                "Successfully set desired concurrency. Change successfully fulfilled by lambda.".to_owned()
            }
        },
    }
}

/// Of one target the newest first; of all, target by target.
pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let place = (input.resource_id, input.scalable_dimension.as_deref());
    let listing = scope::listing(cx, &input.service_namespace, place, input.max_results)?;
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = match &listing.resource {
        Some(resource) => {
            Scan::prefix(&(account.clone(), region.clone(), resource.clone()), listing.limit + 1)
        }
        None => Scan::prefix(&(account.clone(), region.clone()), listing.limit + 1),
    };
    if let Some(token) = &input.next_token {
        let (at, id, resource): (u64, String, String) =
            serde_json::from_str(token).map_err(|_| faults::bad_token())?;
        scan = scan.after(&(account, region, resource, Desc(Time::from_ms(at)), id));
    }
    let (rows, next_token) = paging::cut(ACTIVITIES.scan(cx.tx, scan)?, listing.limit, |(key, _)| {
        serde_json::json!([key.3.0.ms(), key.4, key.2]).to_string()
    });
    Ok(Described {
        scaling_activities: rows.into_iter().map(|(key, row)| shown(key, row)).collect(),
        next_token,
    })
}
