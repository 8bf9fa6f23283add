//! What guests see of Mayfly's state: buckets of keys and values, and containers of objects. The binary
//! implements both over its own store and its own S3.

use crate::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use mayfly_kernel::Time;
use mayfly_kernel::function::Version;
use std::sync::Arc;

/// Why a call came to nothing, for the guest to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unstored {
    /// The function may not.
    Denied,
    Failed(String),
}

pub type Stored<T> = BoxFuture<'static, Result<T, Unstored>>;

/// A bucket or container of the function's account, and who comes to it.
#[derive(Clone, Debug)]
pub struct Place {
    pub version: Arc<Version>,
    /// How many invocations led to the call.
    pub depth: u32,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub bytes: Bytes,
    /// Another one after every change.
    pub revision: u64,
}

/// `wasi:keyvalue`. Every call is one transaction, and what it wrote is durable when it comes back.
pub trait KeyValue: Send + Sync {
    /// In the order of the keys.
    fn get(&self, at: Place, keys: Vec<String>) -> Stored<Vec<Option<Value>>>;

    /// Sets what has a value, and deletes what has none.
    fn change(&self, at: Place, changes: Vec<(String, Option<Bytes>)>) -> Stored<()>;

    /// Adds to a number in decimal digits; one that is not there is zero.
    fn add(&self, at: Place, key: String, delta: i64) -> Stored<i64>;

    /// Sets the key if its revision is still the one that was seen; `None` stands for a key that is not
    /// there.
    fn swap(&self, at: Place, key: String, seen: Option<u64>, value: Bytes) -> Stored<bool>;

    /// A page of the keys behind this one, in their order, and whether there are more.
    fn keys(&self, at: Place, after: Option<String>) -> Stored<(Vec<String>, bool)>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    pub size: u64,
    pub changed: Time,
}

/// `wasi:blobstore`: containers are buckets of S3. What changes something is durable when it comes back.
pub trait Objects: Send + Sync {
    /// When the container was made, if it is there.
    fn container(&self, at: Place) -> Stored<Option<Time>>;

    fn create(&self, at: Place) -> Stored<()>;

    /// Only an empty one can go.
    fn remove(&self, at: Place) -> Stored<()>;

    /// Writes an object; if the body ends in an error, there is none.
    fn put(&self, at: Place, name: String, body: Body) -> Stored<()>;

    /// The bytes from the first to the last named, and how many there are; all of it without a range.
    fn get(&self, at: Place, name: String, range: Option<(u64, u64)>) -> Stored<(u64, Body)>;

    fn info(&self, at: Place, name: String) -> Stored<Option<ObjectInfo>>;

    fn delete(&self, at: Place, name: String) -> Stored<()>;

    fn copy(&self, from: (Place, String), to: (Place, String)) -> Stored<()>;

    /// A page of the names behind this one, in their order, and whether there are more.
    fn names(&self, at: Place, after: Option<String>) -> Stored<(Vec<String>, bool)>;
}
