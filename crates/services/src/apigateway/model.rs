//! Stored records of API Gateway. Tags are for ever.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Quotas of AWS's that bound a scan: an API has at most so many of each.
pub(super) const ROUTES_PER_API: usize = 300;
pub(super) const INTEGRATIONS_PER_API: usize = 300;
pub(super) const STAGES_PER_API: usize = 10;
pub(super) const DEPLOYMENTS_PER_API: usize = 1000;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Api {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) account: String,
    #[prost(string, tag = "3")]
    pub(super) region: String,
    #[prost(string, tag = "4")]
    pub(super) name: String,
    #[prost(string, tag = "5")]
    pub(super) description: String,
    #[prost(string, tag = "6")]
    pub(super) version: String,
    #[prost(uint64, tag = "7")]
    pub(super) created_ms: u64,
    #[prost(message, optional, tag = "8")]
    pub(super) cors: Option<Cors>,
    #[prost(map = "string, string", tag = "9")]
    pub(super) tags: HashMap<String, String>,
    #[prost(bool, tag = "10")]
    pub(super) endpoint_disabled: bool,
}

/// Which other origins a browser may let use the API.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    #[prost(string, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Seconds.
    #[prost(uint32, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
    #[prost(bool, tag = "6")]
    pub allow_credentials: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Route {
    #[prost(string, tag = "1")]
    #[serde(rename = "routeId")]
    pub(super) id: String,
    /// `METHOD /path/{label}`, or `$default`.
    #[prost(string, tag = "2")]
    #[serde(rename = "routeKey")]
    pub(super) key: String,
    /// `integrations/ID`.
    #[prost(string, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    #[prost(string, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation_name: Option<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Integration {
    #[prost(string, tag = "1")]
    #[serde(rename = "integrationId")]
    pub(super) id: String,
    /// The function's ARN, with a version or alias if one is meant.
    #[prost(string, tag = "2")]
    #[serde(rename = "integrationUri")]
    pub(super) uri: String,
    /// `1.0` or `2.0`.
    #[prost(string, tag = "3")]
    pub(super) payload_format_version: String,
    #[prost(uint64, tag = "4")]
    #[serde(rename = "timeoutInMillis")]
    pub(super) timeout_ms: u64,
    #[prost(string, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Stage {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bool, tag = "2")]
    pub(super) auto_deploy: bool,
    #[prost(string, optional, tag = "3")]
    pub(super) deployment: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) description: Option<String>,
    #[prost(uint64, tag = "5")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "6")]
    pub(super) updated_ms: u64,
    #[prost(map = "string, string", tag = "7")]
    pub(super) variables: HashMap<String, String>,
    #[prost(map = "string, string", tag = "8")]
    pub(super) tags: HashMap<String, String>,
}

/// A snapshot of an API's routes and integrations.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Deployment {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) created_ms: u64,
    #[prost(string, optional, tag = "3")]
    pub(super) description: Option<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) routes: Vec<Route>,
    #[prost(message, repeated, tag = "5")]
    pub(super) integrations: Vec<Integration>,
}
