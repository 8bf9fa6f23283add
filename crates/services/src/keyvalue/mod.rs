//! Keys and values of WebAssembly functions: what they see as `wasi:keyvalue`.
//!
//! A bucket is a part of an account's keys in a region, and is there once something is in it. Who may open
//! which is in the function's configuration, which the runtime reads; here the caller is asked for as
//! everywhere. Each function below is a part of one transaction.
//!
//! Not here: operations of an API, expiry, watches. Keys: `VALUES(account, region, bucket, key)`.

mod faults;
mod keys;
mod model;
#[cfg(test)]
mod tests;

pub use model::Value;

use crate::Cx;
use bytes::Bytes;
use keys::VALUES;
use mayfly_kernel::Fault;
use mayfly_store::Scan;

/// Keys of one batch, and of one page of a listing.
pub const KEYS_MAX: usize = 1000;

/// Rows that are read at once for a page of keys.
const STEP: usize = 40;

/// Asks whether the caller may use the bucket; every way in begins here.
fn enter<'b>(cx: &mut Cx<'_>, bucket: &'b str) -> Result<(String, String, &'b str), Fault> {
    let resource = cx.arn("mayfly", format!("keyvalue/{bucket}"));
    cx.allow(&resource)?;
    if bucket.is_empty() || bucket.len() > model::BUCKET_BYTES {
        return Err(faults::bad_bucket());
    }
    Ok((cx.caller.account.clone(), cx.caller.region.clone(), bucket))
}

/// The values of these keys, in their order.
pub fn get(cx: &mut Cx<'_>, bucket: &str, keys: &[String]) -> Result<Vec<Option<Value>>, Fault> {
    let (account, region, bucket) = enter(cx, bucket)?;
    model::check_count(keys.len())?;
    let (mut found, mut left) = (Vec::with_capacity(keys.len()), cx.limits.keyvalue_batch_bytes);
    for key in keys {
        let value = VALUES.get(cx.tx, &(&account, &region, bucket, key))?;
        let length = value.as_ref().map_or(0, |value| value.bytes.len() as u64);
        left = left
            .checked_sub(length)
            .ok_or_else(|| faults::batch_too_large(cx.limits.keyvalue_batch_bytes))?;
        found.push(value);
    }
    Ok(found)
}

/// Sets the keys that have a value, and deletes those that have none.
pub fn change(cx: &mut Cx<'_>, bucket: &str, changes: &[(String, Option<Bytes>)]) -> Result<(), Fault> {
    let (account, region, bucket) = enter(cx, bucket)?;
    model::check_count(changes.len())?;
    let total: u64 = changes.iter().flat_map(|(_, value)| value).map(|value| value.len() as u64).sum();
    if total > cx.limits.keyvalue_batch_bytes {
        return Err(faults::batch_too_large(cx.limits.keyvalue_batch_bytes));
    }
    for (key, value) in changes {
        model::check_key(key)?;
        let row = (&account, &region, bucket, key);
        match value {
            None => VALUES.delete(cx.tx, &row),
            Some(bytes) => {
                let value = draft(cx, bytes.clone())?;
                VALUES.put(cx.tx, &row, &value);
            }
        }
    }
    Ok(())
}

/// Adds to a number in decimal digits, and says what it is then.
pub fn add(cx: &mut Cx<'_>, bucket: &str, key: &str, delta: i64) -> Result<i64, Fault> {
    let (account, region, bucket) = enter(cx, bucket)?;
    model::check_key(key)?;
    let row = (&account, &region, bucket, key);
    let before = match VALUES.get(cx.tx, &row)? {
        None => 0,
        Some(value) => value.number().ok_or_else(|| faults::no_number(key))?,
    };
    let after = before.checked_add(delta).ok_or_else(|| faults::out_of_range(key))?;
    let value = draft(cx, after.to_string().into())?;
    VALUES.put(cx.tx, &row, &value);
    Ok(after)
}

/// Sets a key if nobody has changed it since it was seen with this revision; `None` stands for no such key.
pub fn swap(
    cx: &mut Cx<'_>,
    bucket: &str,
    key: &str,
    seen: Option<u64>,
    bytes: &Bytes,
) -> Result<bool, Fault> {
    let (account, region, bucket) = enter(cx, bucket)?;
    model::check_key(key)?;
    let row = (&account, &region, bucket, key);
    if VALUES.get(cx.tx, &row)?.map(|value| value.revision) != seen {
        return Ok(false);
    }
    let value = draft(cx, bytes.clone())?;
    VALUES.put(cx.tx, &row, &value);
    Ok(true)
}

/// A page of the keys behind this one, in their order, and whether there are more.
pub fn keys(cx: &mut Cx<'_>, bucket: &str, after: Option<&str>) -> Result<(Vec<String>, bool), Fault> {
    let (account, region, bucket) = enter(cx, bucket)?;
    let mut keys: Vec<String> = Vec::new();
    let (mut last, mut read) = (after.map(str::to_owned), 0);
    // Rows come with their values, so a page is read in steps, and is shorter where values are large.
    while keys.len() < KEYS_MAX && read < cx.limits.keyvalue_batch_bytes {
        let scan = Scan::prefix(&(&account, &region, bucket), STEP);
        let scan = match &last {
            Some(last) => scan.after(&(&account, &region, bucket, last)),
            None => scan,
        };
        let rows = VALUES.scan(cx.tx, scan)?;
        let ended = rows.len() < STEP;
        for ((_, _, _, key), value) in rows {
            read += value.bytes.len() as u64;
            keys.push(key);
        }
        if ended {
            return Ok((keys, false));
        }
        last = keys.last().cloned();
    }
    Ok((keys, true))
}

fn draft(cx: &Cx<'_>, bytes: Bytes) -> Result<Value, Fault> {
    let limit = cx.limits.keyvalue_value_bytes;
    match bytes.len() as u64 > limit {
        true => Err(faults::value_too_large(limit)),
        false => Ok(Value { bytes, revision: cx.ids.number() }),
    }
}
