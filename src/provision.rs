//! Keeps what is provisioned and what is told of it in step: the runtime learns what is asked for, the store
//! learns what is there.
//!
//! The runtime holds the truth and the store a copy, which is written when it differs and may be lost: every
//! start begins with an empty one. An installation that provisions nothing costs nothing.

use crate::cloud::Cloud;
use crate::meters::Meters;
use mayfly_kernel::function::{Runtime, Version};
use mayfly_kernel::{Arn, Caller, Fault};
use mayfly_services::lambda;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// A start changes the figures several times; they are written down at most this often.
const SETTLE: Duration = Duration::from_millis(20);
/// How often it is written down how much of it is in use.
const LOOK: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_secs(1);

fn caller(cloud: &Cloud) -> Caller {
    let site = cloud.runner.site();
    Caller::service("provision.mayfly", &site.account, &site.region)
}

/// Whatever an earlier process said is wrong by now, so it is forgotten before anybody can ask.
pub(crate) async fn forget(cloud: &Cloud) -> Result<(), Fault> {
    cloud.transact(&caller(cloud), "", lambda::forget_standing).await
}

pub(crate) async fn drive(cloud: Arc<Cloud>, meters: Meters) {
    let caller = caller(&cloud);
    let mut wanted = Vec::new();
    let mut told = Vec::new();
    let mut changes = cloud.host().provision_changes();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // What is asked for is read at once.
    cloud.provision.notify_one();
    loop {
        tokio::select! {
            () = cloud.provision.notified() => match cloud.runner.view(&caller, "", lambda::wanted) {
                Ok(found) => {
                    cloud.host().provision(shares(&found));
                    wanted = found;
                    // A configuration may be new although the figures are the same.
                    told.clear();
                }
                Err(fault) => {
                    warn!(%fault, "cannot read what is to be provisioned");
                    tokio::time::sleep(TRY_AGAIN).await;
                    cloud.provision.notify_one();
                }
            },
            // Fails only when the host is gone, which the cloud holds.
            _ = changes.changed() => tokio::time::sleep(SETTLE).await,
            _ = look.tick(), if !wanted.is_empty() => {
                meters.provisioned(&cloud, &used(&cloud, &wanted)).await;
            }
        }
        let standing: Vec<_> = standing(&cloud, &wanted);
        if standing != told {
            match tell(&cloud, &caller, &wanted, &standing).await {
                Ok(()) => told = standing,
                Err(fault) => warn!(%fault, "cannot write down what is provisioned"),
            }
        }
    }
}

/// The names that have instances, and how many.
fn used(cloud: &Cloud, wanted: &[lambda::Wanted]) -> Vec<(Arn, String, u32)> {
    let standing = standing(cloud, wanted);
    let of = |(wanted, standing): (&lambda::Wanted, lambda::Standing)| {
        let (function, qualifier) = wanted.name();
        (function, qualifier.to_owned(), standing.available)
    };
    wanted.iter().zip(standing).map(of).collect()
}

/// Each version once, with all that is asked for under its names.
fn shares(wanted: &[lambda::Wanted]) -> Vec<(Arc<Version>, u32)> {
    let mut shares: HashMap<&str, (&Version, u32)> = HashMap::new();
    for (version, count) in wanted.iter().flat_map(|one| &one.shares) {
        shares.entry(&version.id).or_insert((version, 0)).1 += count;
    }
    shares.into_values().map(|(version, count)| (Arc::new(version.clone()), count)).collect()
}

/// How each configuration stands; what a version has is shared out among its names in their order.
fn standing(cloud: &Cloud, wanted: &[lambda::Wanted]) -> Vec<lambda::Standing> {
    let told = cloud.host().provisioned();
    let mut there: HashMap<&str, (u32, u32)> =
        told.iter().map(|one| (one.version.as_str(), (one.allocated, one.available))).collect();
    let failure = |id: &str| told.iter().find(|one| one.version == id).and_then(|one| one.failure.clone());
    let of = |one: &lambda::Wanted| {
        let mut sum = lambda::Standing::default();
        for (version, count) in &one.shares {
            if version.runtime == Runtime::Wasm {
                sum.allocated += count;
                sum.available += count;
                continue;
            }
            let Some((allocated, available)) = there.get_mut(version.id.as_str()) else { continue };
            let (a, b) = ((*allocated).min(*count), (*available).min(*count));
            (*allocated, *available) = (*allocated - a, *available - b);
            (sum.allocated, sum.available) = (sum.allocated + a, sum.available + b);
            if b < *count
                && let Some(failure) = failure(&version.id)
            {
                sum.failure = format!("FUNCTION_ERROR_INIT_FAILURE: {failure}");
            }
        }
        sum
    };
    wanted.iter().map(of).collect()
}

async fn tell(
    cloud: &Cloud,
    caller: &Caller,
    wanted: &[lambda::Wanted],
    standing: &[lambda::Standing],
) -> Result<(), Fault> {
    cloud
        .transact_relaxed(caller, |cx| {
            wanted.iter().zip(standing).try_for_each(|(wanted, standing)| lambda::note(cx, wanted, standing))
        })
        .await
}
