//! Where keys and values are.

use super::model::Value;
use crate::spaces;
use mayfly_store::Map;

/// Account, region, bucket, key.
pub(super) const VALUES: Map<(String, String, String, String), Value> = Map::new(spaces::KEYVALUE_VALUES);
