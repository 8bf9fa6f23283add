//! `wasi:keyvalue`: buckets of the function's account, durable and transactional.
//!
//! The proposal promises little of what was written; here every call is one transaction of the store, so a
//! batch is written whole or not at all, what was set is read by everyone from then on, and it survives a
//! crash.

use super::super::guest::Guest;
use super::wasi::keyvalue::store::{self, Error, KeyResponse};
use super::wasi::keyvalue::{atomics, batch};
use super::{KEYVALUE, lists};
use crate::stores::{KeyValue, Place, Unstored, Value};
use bytes::Bytes;
use std::sync::Arc;
use wasmtime::component::Resource;

/// A bucket that the guest has opened.
pub struct Open(Place);

/// A key as it was when the guest looked.
pub struct Seen {
    bucket: Place,
    key: String,
    value: Option<Value>,
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl From<Unstored> for Error {
    fn from(failure: Unstored) -> Error {
        match failure {
            Unstored::Denied => Error::AccessDenied,
            Unstored::Failed(text) => Error::Other(text),
        }
    }
}

fn answer<T>(stored: Result<T, Unstored>) -> Answer<T> {
    Ok(stored.map_err(Error::from))
}

impl Guest {
    fn bucket(&self, open: &Resource<Open>) -> wasmtime::Result<Place> {
        Ok(self.table.get(open)?.0.clone())
    }

    fn keys_and_values(&self) -> Arc<dyn KeyValue> {
        self.platform.keyvalue()
    }

    async fn look(&mut self, bucket: Place, key: String) -> Result<Seen, Unstored> {
        let mut found = self.keys_and_values().get(bucket.clone(), vec![key.clone()]).await?;
        Ok(Seen { bucket, key, value: found.pop().flatten() })
    }

    async fn values(&mut self, bucket: Place, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, Unstored> {
        let found = self.keys_and_values().get(bucket, keys).await?;
        Ok(found.into_iter().map(|value| value.map(|value| value.bytes.to_vec())).collect())
    }
}

impl store::Host for Guest {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Open>> {
        if !lists(&self.version, KEYVALUE, &identifier) {
            (self.log)(
                format!("the bucket {identifier} was denied: the variable {KEYVALUE} does not name it")
                    .as_bytes(),
            );
            return Ok(Err(Error::AccessDenied));
        }
        let place = self.place(identifier);
        Ok(Ok(self.table.push(Open(place))?))
    }
}

impl store::HostBucket for Guest {
    async fn get(&mut self, bucket: Resource<Open>, key: String) -> Answer<Option<Vec<u8>>> {
        let found = self.values(self.bucket(&bucket)?, vec![key]).await;
        answer(found.map(|mut found| found.pop().flatten()))
    }

    async fn set(&mut self, bucket: Resource<Open>, key: String, value: Vec<u8>) -> Answer<()> {
        let change = vec![(key, Some(value.into()))];
        answer(self.keys_and_values().change(self.bucket(&bucket)?, change).await)
    }

    async fn delete(&mut self, bucket: Resource<Open>, key: String) -> Answer<()> {
        answer(self.keys_and_values().change(self.bucket(&bucket)?, vec![(key, None)]).await)
    }

    async fn exists(&mut self, bucket: Resource<Open>, key: String) -> Answer<bool> {
        answer(self.look(self.bucket(&bucket)?, key).await.map(|seen| seen.value.is_some()))
    }

    async fn list_keys(&mut self, bucket: Resource<Open>, cursor: Option<String>) -> Answer<KeyResponse> {
        let page = self.keys_and_values().keys(self.bucket(&bucket)?, cursor).await;
        answer(page.map(|(keys, more)| KeyResponse { cursor: keys.last().filter(|_| more).cloned(), keys }))
    }

    async fn drop(&mut self, bucket: Resource<Open>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Guest {
    async fn increment(&mut self, bucket: Resource<Open>, key: String, delta: i64) -> Answer<i64> {
        answer(self.keys_and_values().add(self.bucket(&bucket)?, key, delta).await)
    }

    async fn swap(
        &mut self,
        cas: Resource<Seen>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Seen { bucket, key, value: seen } = self.table.delete(cas)?;
        let store_error = |failure: Unstored| Ok(Err(atomics::CasError::StoreError(failure.into())));
        let seen = seen.map(|seen| seen.revision);
        let swapped =
            self.keys_and_values().swap(bucket.clone(), key.clone(), seen, Bytes::from(value)).await;
        match swapped {
            Ok(true) => Ok(Ok(())),
            Ok(false) => match self.look(bucket, key).await {
                Ok(now) => Ok(Err(atomics::CasError::CasFailed(self.table.push(now)?))),
                Err(failure) => store_error(failure),
            },
            Err(failure) => store_error(failure),
        }
    }
}

impl atomics::HostCas for Guest {
    async fn new(&mut self, bucket: Resource<Open>, key: String) -> Answer<Resource<Seen>> {
        match self.look(self.bucket(&bucket)?, key).await {
            Ok(seen) => Ok(Ok(self.table.push(seen)?)),
            Err(failure) => Ok(Err(failure.into())),
        }
    }

    async fn current(&mut self, cas: Resource<Seen>) -> Answer<Option<Vec<u8>>> {
        Ok(Ok(self.table.get(&cas)?.value.as_ref().map(|value| value.bytes.to_vec())))
    }

    async fn drop(&mut self, cas: Resource<Seen>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for Guest {
    async fn get_many(
        &mut self,
        bucket: Resource<Open>,
        keys: Vec<String>,
    ) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        let found = self.values(self.bucket(&bucket)?, keys.clone()).await;
        answer(found.map(|found| keys.into_iter().zip(found).collect()))
    }

    async fn set_many(&mut self, bucket: Resource<Open>, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let changes = pairs.into_iter().map(|(key, value)| (key, Some(value.into()))).collect();
        answer(self.keys_and_values().change(self.bucket(&bucket)?, changes).await)
    }

    async fn delete_many(&mut self, bucket: Resource<Open>, keys: Vec<String>) -> Answer<()> {
        let changes = keys.into_iter().map(|key| (key, None)).collect();
        answer(self.keys_and_values().change(self.bucket(&bucket)?, changes).await)
    }
}
