//! Keys and values for guests: each call is one transaction of the store.

use super::caller;
use crate::cloud::Cloud;
use bytes::Bytes;
use futures_util::FutureExt as _;
use mayfly_kernel::Fault;
use mayfly_runtime::stores::{KeyValue, Place, Stored, Unstored, Value};
use mayfly_services::{Cx, keyvalue};
use std::sync::Arc;

pub(super) struct Keys(pub(super) Arc<Cloud>);

impl Keys {
    fn read<T: Send + 'static>(
        &self,
        at: Place,
        f: impl FnOnce(&mut Cx<'_>, &str) -> Result<T, Fault> + Send + 'static,
    ) -> Stored<T> {
        let cloud = self.0.clone();
        async move {
            let id = cloud.runner.request_id();
            let read = cloud.runner.view(&caller(&at), &id, |cx| f(cx, &at.name));
            read.map_err(|fault| unstored(&fault))
        }
        .boxed()
    }

    fn write<T: Send + 'static>(
        &self,
        at: Place,
        mut f: impl FnMut(&mut Cx<'_>, &str) -> Result<T, Fault> + Send + 'static,
    ) -> Stored<T> {
        let cloud = self.0.clone();
        async move {
            let id = cloud.runner.request_id();
            let written = cloud.transact(&caller(&at), &id, |cx| f(cx, &at.name)).await;
            written.map_err(|fault| unstored(&fault))
        }
        .boxed()
    }
}

impl KeyValue for Keys {
    fn get(&self, at: Place, keys: Vec<String>) -> Stored<Vec<Option<Value>>> {
        let known = |value: keyvalue::Value| Value { bytes: value.bytes, revision: value.revision };
        self.read(at, move |cx, bucket| {
            let found = keyvalue::get(cx, bucket, &keys)?;
            Ok(found.into_iter().map(|value| value.map(known)).collect())
        })
    }

    fn change(&self, at: Place, changes: Vec<(String, Option<Bytes>)>) -> Stored<()> {
        self.write(at, move |cx, bucket| keyvalue::change(cx, bucket, &changes))
    }

    fn add(&self, at: Place, key: String, delta: i64) -> Stored<i64> {
        self.write(at, move |cx, bucket| keyvalue::add(cx, bucket, &key, delta))
    }

    fn swap(&self, at: Place, key: String, seen: Option<u64>, value: Bytes) -> Stored<bool> {
        self.write(at, move |cx, bucket| keyvalue::swap(cx, bucket, &key, seen, &value))
    }

    fn keys(&self, at: Place, after: Option<String>) -> Stored<(Vec<String>, bool)> {
        self.read(at, move |cx, bucket| keyvalue::keys(cx, bucket, after.as_deref()))
    }
}

pub(super) fn unstored(fault: &Fault) -> Unstored {
    match fault.status {
        403 => Unstored::Denied,
        _ => Unstored::Failed(fault.message.to_string()),
    }
}
