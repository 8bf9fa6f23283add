//! Objects for guests: the operations of S3, called within the process, as the function.
//!
//! They run as for any client, so versions are kept, notifications are sent and limits hold; only the wire is
//! left out, and what it would say of a signature.

use super::caller;
use super::keyvalue::unstored;
use crate::cloud::Cloud;
use crate::gateway::local::{self, Wanted};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mayfly_kernel::{Fault, Time};
use mayfly_runtime::Body;
use mayfly_runtime::stores::{ObjectInfo, Objects, Place, Stored, Unstored};
use mayfly_services::s3;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::sync::Arc;

/// What a copy's source is written with: everything but what is plain in a header.
const SOURCE: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'+');

pub(super) struct Buckets(pub(super) Arc<Cloud>);

fn stored<T: Send + 'static>(work: impl Future<Output = Result<T, Fault>> + Send + 'static) -> Stored<T> {
    let work: BoxFuture<'static, Result<T, Unstored>> =
        async move { work.await.map_err(|fault| unstored(&fault)) }.boxed();
    work
}

/// Nothing, where something may be missing.
fn if_there<T>(found: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.status == 404 => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn wanted(operation: &'static str, at: &Place, key: Option<&str>) -> Wanted {
    let labels = [Some(("Bucket", at.name.as_str())), key.map(|key| ("Key", key))];
    let labels = labels.into_iter().flatten().map(|(name, value)| (name.into(), value.into())).collect();
    Wanted { service: "s3", operation, labels, headers: Vec::new(), caller: caller(at) }
}

impl Objects for Buckets {
    fn container(&self, at: Place) -> Stored<Option<Time>> {
        let cloud = self.0.clone();
        stored(async move {
            let id = cloud.runner.request_id();
            if_there(cloud.runner.view(&caller(&at), &id, |cx| s3::made(cx, &at.name)))
        })
    }

    fn create(&self, at: Place) -> Stored<()> {
        let cloud = self.0.clone();
        stored(async move { local::call(&cloud, wanted("CreateBucket", &at, None)).await.map(drop) })
    }

    fn remove(&self, at: Place) -> Stored<()> {
        let cloud = self.0.clone();
        stored(async move { local::call(&cloud, wanted("DeleteBucket", &at, None)).await.map(drop) })
    }

    fn put(&self, at: Place, name: String, body: Body) -> Stored<()> {
        let cloud = self.0.clone();
        stored(
            async move { local::upload(&cloud, wanted("PutObject", &at, Some(&name)), body).await.map(drop) },
        )
    }

    fn get(&self, at: Place, name: String, range: Option<(u64, u64)>) -> Stored<(u64, Body)> {
        let cloud = self.0.clone();
        stored(async move {
            let mut ranged = wanted("GetObject", &at, Some(&name));
            ranged.headers.extend(range.map(|(first, last)| ("range", format!("bytes={first}-{last}"))));
            let reply = match local::call(&cloud, ranged).await {
                // An object without bytes has no range either, and all of it can be read.
                Err(fault) if fault.code == "InvalidRange" && range.is_some_and(|(first, _)| first == 0) => {
                    local::call(&cloud, wanted("GetObject", &at, Some(&name))).await?
                }
                reply => reply?,
            };
            let size = local::header(&reply, "content-length").and_then(|length| length.parse().ok());
            Ok((size.unwrap_or(0), local::body(&cloud, reply)))
        })
    }

    fn info(&self, at: Place, name: String) -> Stored<Option<ObjectInfo>> {
        let cloud = self.0.clone();
        stored(async move {
            let id = cloud.runner.request_id();
            let found = cloud.runner.view(&caller(&at), &id, |cx| s3::info(cx, &at.name, &name));
            Ok(if_there(found)?.map(|(size, changed)| ObjectInfo { size, changed }))
        })
    }

    fn delete(&self, at: Place, name: String) -> Stored<()> {
        let cloud = self.0.clone();
        stored(async move { local::call(&cloud, wanted("DeleteObject", &at, Some(&name))).await.map(drop) })
    }

    fn copy(&self, from: (Place, String), to: (Place, String)) -> Stored<()> {
        let cloud = self.0.clone();
        stored(async move {
            let mut wanted = wanted("CopyObject", &to.0, Some(&to.1));
            let source = format!("/{}/{}", from.0.name, from.1);
            wanted.headers.push(("x-amz-copy-source", utf8_percent_encode(&source, SOURCE).to_string()));
            local::call(&cloud, wanted).await.map(drop)
        })
    }

    fn names(&self, at: Place, after: Option<String>) -> Stored<(Vec<String>, bool)> {
        let cloud = self.0.clone();
        stored(async move {
            let id = cloud.runner.request_id();
            let after = after.unwrap_or_default();
            cloud.runner.view(&caller(&at), &id, |cx| s3::names(cx, &at.name, &after))
        })
    }
}
