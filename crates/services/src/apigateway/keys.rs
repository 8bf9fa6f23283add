//! The maps of API Gateway.

use super::model::{Api, Deployment, Integration, Route, Stage};
use crate::spaces;
use mayfly_store::{Map, Raw};

pub(super) const APIS: Map<(String,), Api> = Map::new(spaces::APIGATEWAY_APIS);
/// Account, region, API: what a listing walks.
pub(super) const OWNED: Map<(String, String, String), Raw> = Map::new(spaces::APIGATEWAY_OWNED);
pub(super) const ROUTES: Map<(String, String), Route> = Map::new(spaces::APIGATEWAY_ROUTES);
pub(super) const INTEGRATIONS: Map<(String, String), Integration> = Map::new(spaces::APIGATEWAY_INTEGRATIONS);
pub(super) const STAGES: Map<(String, String), Stage> = Map::new(spaces::APIGATEWAY_STAGES);
pub(super) const DEPLOYMENTS: Map<(String, String), Deployment> = Map::new(spaces::APIGATEWAY_DEPLOYMENTS);
