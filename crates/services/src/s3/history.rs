//! What a key holds, and what becomes of it when it is written or deleted.
//!
//! The current version, if it is an object, is the one row of OBJECTS; VERSIONS holds what came before it,
//! and delete markers. So a bucket that was never versioned costs one metadata row per object, a plain
//! listing meets neither old versions nor markers, and a key whose newest row in VERSIONS is younger than
//! all is deleted.
//!
//! A version's id begins with its place among the versions of its key, so that finding it by id is one
//! read. The null version has no such id; NULLS remembers its place while it is in VERSIONS.

use super::keys::{BODIES, NULLS, OBJECTS, VERSIONS};
use super::model::{Body, Bucket, NULL_VERSION, NullVersion, Version, Versioning};
use super::{bodies, faults};
use crate::Cx;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Desc, Scan};

const RANDOM_BYTES: usize = 16;

/// A key in a bucket, with the rules of the bucket.
pub(super) struct Slot<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) versioning: Versioning,
}

/// What a deletion left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    /// Of the marker that was created, or of the version that was removed.
    pub(super) version_id: Option<String>,
    /// A marker was created, or a marker was removed.
    pub(super) delete_marker: bool,
    /// The place of the deletion in the key's history, for notifications.
    pub(super) seq: u64,
    /// Whether anything changed.
    pub(super) happened: bool,
}

/// What a version id means.
enum VersionRef<'a> {
    Null,
    Placed { seq: u64, id: &'a str },
}

fn parse_version_id(id: &str) -> Result<VersionRef<'_>, Fault> {
    if id == NULL_VERSION {
        return Ok(VersionRef::Null);
    }
    let bytes = URL_SAFE_NO_PAD.decode(id).unwrap_or_default();
    match bytes.split_first_chunk::<8>() {
        Some((seq, rest)) if rest.len() == RANDOM_BYTES => {
            Ok(VersionRef::Placed { seq: u64::from_be_bytes(*seq), id })
        }
        _ => Err(faults::invalid_version_id(id)),
    }
}

fn new_version_id(cx: &Cx<'_>, seq: u64) -> String {
    let mut bytes = seq.to_be_bytes().to_vec();
    bytes.extend_from_slice(&cx.ids.bytes::<RANDOM_BYTES>());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A place after `previous` that also tells the time, so that places of a key that was gone in between
/// still rise.
pub(super) fn next_seq(now: Time, previous: u64) -> u64 {
    (now.ms() << 20).max(previous + 1)
}

impl<'a> Slot<'a> {
    pub(super) fn new(bucket: &'a str, key: &'a str, record: &Bucket) -> Slot<'a> {
        Slot { bucket, key, versioning: record.versioning() }
    }

    fn row(&self) -> (&'a str, &'a str) {
        (self.bucket, self.key)
    }

    fn place(&self, seq: u64) -> (&'a str, &'a str, Desc<u64>) {
        (self.bucket, self.key, Desc(seq))
    }

    /// The current object.
    pub(super) fn current(&self, cx: &Cx<'_>) -> Result<Option<Version>, Fault> {
        Ok(OBJECTS.get(cx.tx, &self.row())?)
    }

    /// The newest row of VERSIONS.
    fn newest(&self, cx: &Cx<'_>) -> Result<Option<Version>, Fault> {
        let rows = VERSIONS.scan(cx.tx, Scan::prefix(&self.row(), 1))?;
        Ok(rows.into_iter().next().map(|(_, version)| version))
    }

    /// The delete marker that hides the key, if its absence has that cause.
    pub(super) fn hiding_marker(&self, cx: &Cx<'_>) -> Result<Option<Version>, Fault> {
        match self.versioning {
            Versioning::Never => Ok(None),
            Versioning::Enabled | Versioning::Suspended => self.newest(cx),
        }
    }

    /// The version of this id, wherever it is; it may be a delete marker.
    pub(super) fn version(&self, cx: &Cx<'_>, id: &str) -> Result<Option<Version>, Fault> {
        let wanted = parse_version_id(id)?;
        let current = self.current(cx)?;
        match wanted {
            VersionRef::Null => match current {
                Some(version) if version.id.is_empty() => Ok(Some(version)),
                _ => self.null_in_versions(cx),
            },
            VersionRef::Placed { id, seq } => match current {
                Some(version) if version.id == id => Ok(Some(version)),
                _ => Ok(VERSIONS.get(cx.tx, &self.place(seq))?.filter(|version| version.id == id)),
            },
        }
    }

    fn null_in_versions(&self, cx: &Cx<'_>) -> Result<Option<Version>, Fault> {
        match NULLS.get(cx.tx, &self.row())? {
            Some(null) => Ok(VERSIONS.get(cx.tx, &self.place(null.seq))?),
            None => Ok(None),
        }
    }

    /// The place of a version id in a listing: listings go on behind it.
    pub(super) fn seq_of(&self, cx: &Cx<'_>, id: &str) -> Result<u64, Fault> {
        match parse_version_id(id)? {
            VersionRef::Placed { seq, .. } => Ok(seq),
            // A null version that is gone meanwhile had nothing behind it that is not older than all.
            VersionRef::Null => Ok(self.version(cx, id)?.map_or(0, |version| version.seq)),
        }
    }

    pub(super) fn body(&self, cx: &Cx<'_>, version: &Version) -> Result<Body, Fault> {
        if version.size == 0 && version.parts == 0 {
            return Ok(Body::default());
        }
        let body = BODIES.get(cx.tx, &(self.bucket, self.key, version.seq))?;
        body.ok_or_else(|| Fault::internal("read an object", "its body's row is missing"))
    }

    /// Makes `version` the current one. Its place and id are given here; the body's blobs are held already.
    pub(super) fn write(&self, cx: &mut Cx<'_>, mut version: Version, body: &Body) -> Result<Version, Fault> {
        let current = self.current(cx)?;
        let previous = self.latest_seq(cx, current.as_ref())?;
        version.seq = next_seq(cx.now, previous);
        version.modified_ms = cx.now.ms();
        self.make_room(cx, current)?;
        if self.versioning == Versioning::Enabled {
            version.id = new_version_id(cx, version.seq);
        }
        OBJECTS.put(cx.tx, &self.row(), &version);
        if version.size > 0 || version.parts > 0 {
            BODIES.put(cx.tx, &(self.bucket, self.key, version.seq), body);
        }
        Ok(version)
    }

    /// Changes what is said about a version and leaves its bytes and its place.
    pub(super) fn amend(&self, cx: &mut Cx<'_>, version: &Version) -> Result<(), Fault> {
        match self.current(cx)? {
            Some(current) if current.seq == version.seq => OBJECTS.put(cx.tx, &self.row(), version),
            _ => VERSIONS.put(cx.tx, &self.place(version.seq), version),
        }
        Ok(())
    }

    fn latest_seq(&self, cx: &Cx<'_>, current: Option<&Version>) -> Result<u64, Fault> {
        match current {
            Some(current) => Ok(current.seq),
            None => Ok(self.hiding_marker(cx)?.map_or(0, |marker| marker.seq)),
        }
    }

    /// Takes the current version out of the way of a newer one: into history, or out of existence.
    fn make_room(&self, cx: &mut Cx<'_>, current: Option<Version>) -> Result<(), Fault> {
        let replaces_null = match self.versioning {
            Versioning::Never => true,
            Versioning::Enabled => false,
            Versioning::Suspended => {
                if let Some(null) = self.null_in_versions(cx)? {
                    self.drop_from_history(cx, &null)?;
                }
                true
            }
        };
        match current {
            Some(version) if version.id.is_empty() && replaces_null => self.drop_body(cx, &version),
            Some(version) => {
                if version.id.is_empty() {
                    NULLS.put(cx.tx, &self.row(), &NullVersion { seq: version.seq });
                }
                VERSIONS.put(cx.tx, &self.place(version.seq), &version);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Deletes without naming a version: for good, or behind a delete marker.
    pub(super) fn delete(&self, cx: &mut Cx<'_>) -> Result<Deleted, Fault> {
        let current = self.current(cx)?;
        let seq = next_seq(cx.now, self.latest_seq(cx, current.as_ref())?);
        if self.versioning == Versioning::Never {
            let Some(version) = current else { return Ok(Deleted::default()) };
            OBJECTS.delete(cx.tx, &self.row());
            self.drop_body(cx, &version)?;
            return Ok(Deleted { seq, happened: true, ..Deleted::default() });
        }
        self.make_room(cx, current)?;
        OBJECTS.delete(cx.tx, &self.row());
        let id = match self.versioning {
            Versioning::Enabled => new_version_id(cx, seq),
            Versioning::Never | Versioning::Suspended => {
                NULLS.put(cx.tx, &self.row(), &NullVersion { seq });
                String::new()
            }
        };
        let marker = Version { seq, id, delete_marker: true, modified_ms: cx.now.ms(), ..Version::default() };
        VERSIONS.put(cx.tx, &self.place(seq), &marker);
        let version_id = Some(marker.public_id().to_owned());
        Ok(Deleted { version_id, delete_marker: true, seq, happened: true })
    }

    /// Deletes one version for good. What is then the newest becomes current. A version that is not there
    /// is deleted already.
    pub(super) fn delete_version(&self, cx: &mut Cx<'_>, id: &str) -> Result<Deleted, Fault> {
        let version_id = Some(id.to_owned());
        let Some(version) = self.version(cx, id)? else {
            return Ok(Deleted { version_id, ..Deleted::default() });
        };
        let current = self.current(cx)?;
        let seq = next_seq(cx.now, self.latest_seq(cx, current.as_ref())?);
        match current {
            Some(current) if current.seq == version.seq => {
                OBJECTS.delete(cx.tx, &self.row());
                self.drop_body(cx, &version)?;
                self.promote(cx)?;
            }
            Some(_) => self.drop_from_history(cx, &version)?,
            None => {
                self.drop_from_history(cx, &version)?;
                self.promote(cx)?;
            }
        }
        Ok(Deleted { version_id, delete_marker: version.delete_marker, seq, happened: true })
    }

    /// With nothing current, the newest version in history becomes so, unless it is a delete marker.
    fn promote(&self, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let Some(version) = self.newest(cx)?.filter(|newest| !newest.delete_marker) else { return Ok(()) };
        if version.id.is_empty() {
            NULLS.delete(cx.tx, &self.row());
        }
        VERSIONS.delete(cx.tx, &self.place(version.seq));
        OBJECTS.put(cx.tx, &self.row(), &version);
        Ok(())
    }

    fn drop_from_history(&self, cx: &mut Cx<'_>, version: &Version) -> Result<(), Fault> {
        if version.id.is_empty() {
            NULLS.delete(cx.tx, &self.row());
        }
        VERSIONS.delete(cx.tx, &self.place(version.seq));
        self.drop_body(cx, version)
    }

    fn drop_body(&self, cx: &mut Cx<'_>, version: &Version) -> Result<(), Fault> {
        let body = if version.delete_marker { Body::default() } else { self.body(cx, version)? };
        if !body.parts.is_empty() {
            BODIES.delete(cx.tx, &(self.bucket, self.key, version.seq));
        }
        bodies::release(cx, body.parts.iter().flat_map(|part| &part.pieces))
    }
}
