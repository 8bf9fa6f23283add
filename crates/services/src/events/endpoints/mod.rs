//! Endpoints outside of Mayfly: API destinations, and the connections that say how to show oneself there.
//!
//! What a connection keeps secret is a row of its own, which no operation shows. A request is made here, from
//! those rows and what a rule or a pipe sends, at the moment at which it goes out: a changed connection is
//! met by the next attempt. Sending it, the tokens of OAuth and the pace at which an endpoint is called are
//! the binary's.
//!
//! Deliberately absent: endpoints in private networks, KMS, and Secrets Manager's view of the secrets.

mod connections;
mod destinations;
mod model;
mod parameters;
mod request;

pub use connections::{authorized, token_of};
pub(crate) use destinations::{Unusable, endpoint};
pub(crate) use parameters::HttpParameters;
pub(crate) use request::{Letter, request};
pub use request::{Request, TokenRequest};

use super::keys::BusKey;
use crate::{Service, spaces};
use mayfly_store::Map;
use model::{Connection, Destination, Secrets};

const CONNECTIONS: Map<BusKey, Connection> = Map::new(spaces::EVENTS_CONNECTIONS);
const SECRETS: Map<BusKey, Secrets> = Map::new(spaces::EVENTS_SECRETS);
const DESTINATIONS: Map<BusKey, Destination> = Map::new(spaces::EVENTS_DESTINATIONS);

pub(super) fn with_endpoints(service: Service) -> Service {
    service
        .op("CreateConnection", connections::create)
        .op("UpdateConnection", connections::update)
        .op("DeauthorizeConnection", connections::deauthorize)
        .op("DeleteConnection", connections::delete)
        .view("DescribeConnection", connections::describe)
        .view("ListConnections", connections::list)
        .op("CreateApiDestination", destinations::create)
        .op("UpdateApiDestination", destinations::update)
        .op("DeleteApiDestination", destinations::delete)
        .view("DescribeApiDestination", destinations::describe)
        .view("ListApiDestinations", destinations::list)
}
