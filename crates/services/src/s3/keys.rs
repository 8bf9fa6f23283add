//! The maps of objects. Nothing else touches these rows.

use super::cors::Cors;
use super::model::{Body, Brief, Bucket, NullVersion, Part, Tags, Upload, Version};
use super::notifications::Notifications;
use crate::spaces;
use mayfly_store::{Desc, Map};

/// `(bucket)`
pub(super) const BUCKETS: Map<(String,), Bucket> = Map::new(spaces::S3_BUCKETS);
/// `(account, bucket)`: which buckets an account has.
pub(super) const OWNED: Map<(String, String), Owned> = Map::new(spaces::S3_BUCKETS_OWNED);

/// `(bucket, which configuration)`; the numbers are for ever.
pub(super) const TAGS: Map<(String, u8), Tags> = Map::new(spaces::S3_BUCKET_CONFIG);
pub(super) const CORS: Map<(String, u8), Cors> = Map::new(spaces::S3_BUCKET_CONFIG);
pub(super) const NOTIFICATIONS: Map<(String, u8), Notifications> = Map::new(spaces::S3_BUCKET_CONFIG);
pub(super) const TAGS_CONFIG: u8 = 1;
pub(super) const CORS_CONFIG: u8 = 2;
pub(super) const NOTIFICATIONS_CONFIG: u8 = 3;
pub(super) const CONFIGS: [u8; 3] = [TAGS_CONFIG, CORS_CONFIG, NOTIFICATIONS_CONFIG];

/// `(bucket, key)`: the current version, if it is an object.
pub(super) const OBJECTS: Map<(String, String), Version> = Map::new(spaces::S3_OBJECTS);
/// The same rows, as far as a listing shows them.
pub(super) const SHOWN: Map<(String, String), Brief> = Map::new(spaces::S3_OBJECTS);
/// `(bucket, key, newest first)`: every other version, and all delete markers.
pub(super) const VERSIONS: Map<(String, String, Desc<u64>), Version> = Map::new(spaces::S3_VERSIONS);
/// `(bucket, key)`: where in VERSIONS the null version is, if it is there.
pub(super) const NULLS: Map<(String, String), NullVersion> = Map::new(spaces::S3_NULL_VERSIONS);
/// `(bucket, key, seq)`: the bytes of a version; an empty object has no row.
pub(super) const BODIES: Map<(String, String, u64), Body> = Map::new(spaces::S3_BODIES);

/// `(bucket, key, upload id)`
pub(super) const UPLOADS: Map<(String, String, String), Upload> = Map::new(spaces::S3_UPLOADS);
/// `(upload id, part number)`
pub(super) const PARTS: Map<(String, u32), Part> = Map::new(spaces::S3_PARTS);

/// That a row exists is all that it says.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Owned {}
