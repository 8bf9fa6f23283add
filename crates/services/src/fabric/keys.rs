//! The fabric's maps.

use super::model::Record;
use crate::spaces;
use mayfly_kernel::Time;
use mayfly_store::Map;

pub(super) const READY: Map<(String, Time, String), Record> = Map::new(spaces::FABRIC_READY);
pub(super) const FLIGHT: Map<(String, String), Record> = Map::new(spaces::FABRIC_FLIGHT);
pub(super) const DEAD: Map<(Time, String), Record> = Map::new(spaces::FABRIC_DEAD);
