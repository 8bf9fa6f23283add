//! Layers on their way in: an upload takes chunks, each safe on disk before it is acknowledged, and becomes a
//! layer of its repository once the whole has the digest that the client says.
//!
//! Ids begin with the time, so the oldest are found first. A finished upload leaves its row, which is now a
//! reminder to see whether any manifest came to name the layer.

use super::keys::{LAYERS, UPLOADS};
use super::model::{Chunk, Layer, Upload, layer_blob};
use super::registry::open;
use super::{faults, names};
use crate::operation::{self, Piece};
use crate::{Cx, blobs};
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use mayfly_wire::checksum::Algorithm;
use std::time::Duration;

fn new_id(cx: &Cx<'_>) -> String {
    format!("{:016x}-{}", cx.now.ms(), cx.ids.hex(16))
}

/// Begins an upload; its id.
pub fn begin(cx: &mut Cx<'_>, name: &str) -> Result<String, Fault> {
    let open = open(cx, name)?;
    let id = new_id(cx);
    UPLOADS.put(cx.tx, &(id.as_str(),), &Upload { repository: open.row.uid, ..Upload::default() });
    Ok(id)
}

/// An upload as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub size: u64,
    pub pieces: Vec<Piece>,
    /// Of the whole, in hexadecimal, if it came in one chunk.
    pub sha256: Option<String>,
}

pub fn pending(cx: &mut Cx<'_>, name: &str, id: &str) -> Result<Pending, Fault> {
    let (_, row) = find(cx, name, id)?;
    let piece = |chunk: &Chunk| match chunk.blob.is_empty() {
        true => Piece::Inline(chunk.inline.clone()),
        false => Piece::Blob { id: chunk.blob.clone(), range: 0..chunk.size },
    };
    let sha256 = match row.chunks.as_slice() {
        [only] => Some(only.sha256.clone()),
        _ => None,
    };
    Ok(Pending { size: row.size(), pieces: row.chunks.iter().map(piece).collect(), sha256 })
}

fn find(cx: &mut Cx<'_>, name: &str, id: &str) -> Result<(String, Upload), Fault> {
    let uid = open(cx, name)?.row.uid;
    let row = UPLOADS.get(cx.tx, &(id,))?.ok_or_else(faults::upload_unknown)?;
    match row.repository == uid && row.layer.is_empty() {
        true => Ok((uid, row)),
        false => Err(faults::upload_unknown()),
    }
}

/// Adds a chunk that has been received, if it begins where the last one ended; how many bytes there are now.
pub fn append(
    cx: &mut Cx<'_>,
    name: &str,
    id: &str,
    from: u64,
    chunk: &operation::Upload,
) -> Result<u64, Fault> {
    let (_, mut row) = find(cx, name, id)?;
    if row.size() != from {
        return Err(faults::out_of_order(row.size()));
    }
    let limit = cx.limits.registry_layer_bytes;
    if from + chunk.size > limit {
        return Err(faults::size_invalid(limit));
    }
    let sha256 = chunk.digests.hex(Algorithm::Sha256).unwrap_or_default();
    let mut added = Chunk { size: chunk.size, sha256, ..Chunk::default() };
    match &chunk.piece {
        None => return Ok(from),
        Some(Piece::Inline(bytes)) => added.inline = bytes.clone(),
        Some(Piece::Blob { id, .. }) => {
            blobs::hold(cx, id, chunk.size)?;
            added.blob.clone_from(id);
        }
    }
    row.chunks.push(added);
    UPLOADS.put(cx.tx, &(id,), &row);
    Ok(row.size())
}

/// What is known of a layer whose bytes lie where [`layer_blob`] says.
#[derive(Clone, Debug)]
pub struct Finished {
    pub digest: String,
    pub size: u64,
}

/// Makes a layer of an upload whose bytes have been checked.
pub fn finish(cx: &mut Cx<'_>, name: &str, id: &str, layer: &Finished) -> Result<(), Fault> {
    let (uid, mut row) = find(cx, name, id)?;
    if row.size() != layer.size {
        return Err(faults::out_of_order(row.size()));
    }
    for chunk in row.chunks.drain(..).filter(|chunk| !chunk.blob.is_empty()) {
        blobs::release(cx, &chunk.blob)?;
    }
    add(cx, &uid, &layer.digest, layer.size)?;
    row.layer.clone_from(&layer.digest);
    UPLOADS.put(cx.tx, &(id,), &row);
    Ok(())
}

fn add(cx: &mut Cx<'_>, uid: &str, digest: &str, size: u64) -> Result<(), Fault> {
    if !LAYERS.contains(cx.tx, &(uid, digest))? {
        blobs::hold(cx, &layer_blob(digest), size)?;
        LAYERS.put(cx.tx, &(uid, digest), &Layer { size, users: 0 });
    }
    Ok(())
}

/// Gives the repository a layer that another one has; `false` if that one has it not.
pub fn mount(cx: &mut Cx<'_>, name: &str, digest: &str, from: &str) -> Result<bool, Fault> {
    let to = open(cx, name)?.row.uid;
    if !names::is_digest(digest) {
        return Err(faults::digest_invalid(digest));
    }
    let Ok(from) = open(cx, from) else { return Ok(false) };
    let Some(layer) = LAYERS.get(cx.tx, &(from.row.uid.as_str(), digest))? else { return Ok(false) };
    add(cx, &to, digest, layer.size)?;
    watch(cx, &to, digest);
    Ok(true)
}

pub fn cancel(cx: &mut Cx<'_>, name: &str, id: &str) -> Result<(), Fault> {
    let (_, row) = find(cx, name, id)?;
    UPLOADS.delete(cx.tx, &(id,));
    drop_chunks(cx, &row)
}

fn drop_chunks(cx: &mut Cx<'_>, row: &Upload) -> Result<(), Fault> {
    let kept = row.chunks.iter().filter(|chunk| !chunk.blob.is_empty());
    kept.into_iter().try_for_each(|chunk| blobs::release(cx, &chunk.blob))
}

/// Sees to it that a layer which nothing may name is looked at when its time is over.
pub(super) fn watch(cx: &mut Cx<'_>, uid: &str, digest: &str) {
    let row = Upload { repository: uid.into(), layer: digest.into(), ..Upload::default() };
    let id = new_id(cx);
    UPLOADS.put(cx.tx, &(id,), &row);
}

/// Lets go of uploads that were given up and of layers that no manifest names, once their time is over. How
/// many rows it went through, at most `page`.
pub fn expire(cx: &mut Cx<'_>, page: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let cutoff = cx.now - Duration::from_secs(cx.limits.registry_unused_seconds);
    let until = format!("{:016x}", cutoff.ms());
    let rows = UPLOADS.scan(cx.tx, Scan::all(page))?;
    let due: Vec<_> = rows.into_iter().take_while(|((id,), _)| *id < until).collect();
    for ((id,), row) in &due {
        UPLOADS.delete(cx.tx, &(id.as_str(),));
        drop_chunks(cx, row)?;
        let key = (row.repository.as_str(), row.layer.as_str());
        if LAYERS.get(cx.tx, &key)?.is_some_and(|layer| layer.users == 0) {
            LAYERS.delete(cx.tx, &key);
            blobs::release(cx, &layer_blob(&row.layer))?;
        }
    }
    Ok(due.len())
}
