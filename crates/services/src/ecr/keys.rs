//! ECR's maps.

use super::model::{Layer, Manifest, Repository, Tag, Upload};
use crate::spaces;
use mayfly_store::Map;

/// Account, region, name.
pub(super) type RepositoryKey = (String, String, String);

pub(super) const REPOSITORIES: Map<RepositoryKey, Repository> = Map::new(spaces::ECR_REPOSITORIES);
pub(super) const MANIFESTS: Map<(String, String), Manifest> = Map::new(spaces::ECR_MANIFESTS);
pub(super) const TAGS: Map<(String, String), Tag> = Map::new(spaces::ECR_TAGS);
pub(super) const LAYERS: Map<(String, String), Layer> = Map::new(spaces::ECR_LAYERS);
pub(super) const UPLOADS: Map<(String,), Upload> = Map::new(spaces::ECR_UPLOADS);
