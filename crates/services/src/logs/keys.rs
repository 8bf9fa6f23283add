//! The maps of the logs service.

use super::model::{Event, Group, Retained, Stream, Sweep};
use crate::spaces;
use mayfly_kernel::Time;
use mayfly_store::{Map, Raw};

pub(super) const GROUPS: Map<(String, String, String), Group> = Map::new(spaces::LOGS_GROUPS);
pub(super) const STREAMS: Map<(u64, String), Stream> = Map::new(spaces::LOGS_STREAMS);
pub(super) const EVENTS: Map<(u64, String, Time, u64), Event> = Map::new(spaces::LOGS_EVENTS);
pub(super) const BY_TIME: Map<(u64, Time, u64, String), Raw> = Map::new(spaces::LOGS_BY_TIME);
pub(super) const SWEEPS: Map<(u64,), Sweep> = Map::new(spaces::LOGS_SWEEPS);
pub(super) const RETAINED: Map<(Time, u64), Retained> = Map::new(spaces::LOGS_RETAINED);
