//! Deletes what nothing names any more: bodies and packages beside the store, and log events past their
//! retention.
//!
//! A body that lost its last holder has a row saying so; those are deleted as soon as they appear. A body
//! that a crash left before any row named it is found by a slow walk over the directory.

use crate::cloud::Cloud;
use mayfly_kernel::{Caller, Fault};
use mayfly_services::{blobs, cloudwatch, ecr, events, logs, scheduler, sns, sqs};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

const PAGE: usize = 256;
/// How long a body may lie without a name before it counts as left behind. Longer than any upload's last
/// step.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);
/// How long messages may outlive their queue's retention.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
const WALK_EVERY: Duration = Duration::from_secs(6 * 3600);

pub(crate) async fn drive(cloud: Arc<Cloud>) {
    let site = cloud.runner.site();
    let caller = Caller::service("collector.mayfly", &site.account, &site.region);
    let mut walk = tokio::time::interval(WALK_EVERY);
    walk.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick is at once, and a start has better things to do.
    walk.tick().await;
    let mut minute = tokio::time::interval(EXPIRE_EVERY);
    minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    cloud.garbage.notify_one();
    loop {
        let swept = tokio::select! {
            () = cloud.garbage.notified() => match sweep(&cloud, &caller).await {
                Ok(()) => expire_rows(&cloud, &caller).await,
                failed => failed,
            },
            _ = walk.tick() => patrol(&cloud, &caller).await,
            _ = minute.tick() => expire_rows(&cloud, &caller).await,
        };
        if let Err(fault) = swept {
            warn!(%fault, "cannot collect garbage");
        }
    }
}

/// Deletes messages and archived events past their retention, what was deleted or purged has left behind, and
/// layers that no image names.
async fn expire_rows(cloud: &Cloud, caller: &Caller) -> Result<(), Fault> {
    while cloud.transact_relaxed(caller, |cx| sqs::expire(cx, PAGE)).await? > 0 {}
    while cloud.transact_relaxed(caller, |cx| events::expire(cx, PAGE)).await? > 0 {}
    while cloud.transact_relaxed(caller, |cx| scheduler::sweep(cx, PAGE)).await? > 0 {}
    while cloud.transact_relaxed(caller, |cx| ecr::expire(cx, PAGE)).await? > 0 {}
    while cloud.transact_relaxed(caller, |cx| sns::expire(cx, PAGE)).await? > 0 {}
    while cloud.transact_relaxed(caller, |cx| cloudwatch::expire(cx, PAGE)).await? > 0 {}
    Ok(())
}

/// Deletes every body that waits for it, in steps that a crash may separate.
async fn sweep(cloud: &Cloud, caller: &Caller) -> Result<(), Fault> {
    loop {
        let garbage = blobs::garbage(cloud.runner.store(), PAGE)?;
        if garbage.is_empty() {
            return Ok(());
        }
        for id in garbage {
            let _nobody_stages = cloud.packages.write().await;
            if !cloud.transact(caller, "", |cx| blobs::doom(cx, &id)).await? {
                continue;
            }
            cloud.blobs.delete(&id).await?;
            forget_layer(cloud, &id).await;
            cloud
                .transact(caller, "", |cx| {
                    blobs::forget(cx, &id);
                    Ok(())
                })
                .await?;
        }
    }
}

/// A layer's archive is gone: what was unpacked of it may go too.
async fn forget_layer(cloud: &Cloud, blob: &str) {
    let Some(digest) = blob.strip_prefix("layer-").map(str::to_owned) else { return };
    let host = cloud.host().clone();
    let forgotten = tokio::task::spawn_blocking(move || host.forget_layer(&digest)).await;
    if let Ok(Err(error)) = forgotten {
        warn!(%error, "cannot remove an unpacked layer");
    }
}

async fn patrol(cloud: &Cloud, caller: &Caller) -> Result<(), Fault> {
    let expired = expire(cloud, caller).await?;
    let cutoff = cloud.runner.clock().now() - ORPHAN_AGE;
    let mut orphans = 0;
    for shard in 0..=u8::MAX {
        for blob in cloud.blobs.list_older_than(shard, cutoff).await? {
            let _nobody_stages = cloud.packages.write().await;
            if !blobs::is_known(cloud.runner.store(), &blob.id)? && cloud.blobs.delete(&blob.id).await.is_ok()
            {
                orphans += 1;
            }
        }
    }
    info!(orphans, expired, "patrol done");
    Ok(())
}

async fn expire(cloud: &Cloud, caller: &Caller) -> Result<usize, Fault> {
    let mut expired = 0;
    loop {
        let page = cloud.transact_relaxed(caller, |cx| logs::expire(cx, PAGE)).await?;
        if page == 0 {
            return Ok(expired);
        }
        expired += page;
    }
}
