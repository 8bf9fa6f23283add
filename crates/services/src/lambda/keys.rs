//! Lambda's maps. Every key begins with account and region; a qualifier is empty where the whole function is
//! meant.

use super::mappings::model::{CursorRow, MappingRow, Mark, ResultRow};
use super::model::{
    AliasRow, AsyncRow, FunctionRow, LayerHeadRow, LayerRow, PolicyRow, ProvisionedRow, StandingRow, TagsRow,
    UrlIdRow, UrlRow, UsageRow, VersionRow,
};
use crate::spaces;
use mayfly_store::{Map, Tally};

/// Account, region, function.
pub(super) type FunctionKey = (String, String, String);
/// Account, region, function, and an alias, version or qualifier.
pub(super) type QualifiedKey = (String, String, String, String);
/// Account, region, function or layer, number.
pub(super) type NumberedKey = (String, String, String, u64);

pub(super) const FUNCTIONS: Map<FunctionKey, FunctionRow> = Map::new(spaces::LAMBDA_FUNCTIONS);
/// Number 0 is `$LATEST`.
pub(super) const VERSIONS: Map<NumberedKey, VersionRow> = Map::new(spaces::LAMBDA_VERSIONS);
pub(super) const ALIASES: Map<QualifiedKey, AliasRow> = Map::new(spaces::LAMBDA_ALIASES);
pub(super) const POLICIES: Map<QualifiedKey, PolicyRow> = Map::new(spaces::LAMBDA_POLICIES);
pub(super) const URLS: Map<QualifiedKey, UrlRow> = Map::new(spaces::LAMBDA_URLS);
pub(super) const URL_IDS: Map<(String,), UrlIdRow> = Map::new(spaces::LAMBDA_URL_IDS);
pub(super) const ASYNC: Map<QualifiedKey, AsyncRow> = Map::new(spaces::LAMBDA_ASYNC);
pub(super) const TAGS: Map<FunctionKey, TagsRow> = Map::new(spaces::LAMBDA_TAGS);
pub(super) const LAYER_HEADS: Map<FunctionKey, LayerHeadRow> = Map::new(spaces::LAMBDA_LAYER_HEADS);
pub(super) const LAYERS: Map<NumberedKey, LayerRow> = Map::new(spaces::LAMBDA_LAYERS);
pub(super) const LAYER_POLICIES: Map<NumberedKey, PolicyRow> = Map::new(spaces::LAMBDA_LAYER_POLICIES);
pub(super) const PROVISIONED: Map<QualifiedKey, ProvisionedRow> = Map::new(spaces::LAMBDA_PROVISIONED);
pub(super) const STANDING: Map<QualifiedKey, StandingRow> = Map::new(spaces::LAMBDA_STANDING);
pub(super) const COUNTS: Tally<(String, String, u8)> = Tally::new(spaces::LAMBDA_COUNTS);
pub(super) const USAGE: Map<(String, String), UsageRow> = Map::new(spaces::LAMBDA_USAGE);
pub(super) const MAPPINGS: Map<(String, String, String), MappingRow> = Map::new(spaces::LAMBDA_MAPPINGS);
/// Account, region, function, mapping.
pub(super) const MAPPINGS_OF_FUNCTION: Map<QualifiedKey, Mark> =
    Map::new(spaces::LAMBDA_MAPPINGS_OF_FUNCTION);
/// Account, region, source's ARN, mapping.
pub(super) const MAPPINGS_OF_SOURCE: Map<QualifiedKey, Mark> = Map::new(spaces::LAMBDA_MAPPINGS_OF_SOURCE);
/// Account, region, mapping, and a line of its source.
pub(super) const MAPPING_CURSORS: Map<QualifiedKey, CursorRow> = Map::new(spaces::LAMBDA_MAPPING_CURSORS);
pub(super) const MAPPING_RESULTS: Map<(String, String, String), ResultRow> =
    Map::new(spaces::LAMBDA_MAPPING_RESULTS);
