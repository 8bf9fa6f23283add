//! API Gateway v2: HTTP APIs that call functions.
//!
//! An API has routes, integrations and stages. A stage with auto-deploy serves the API as it is; another serves the
//! snapshot that its deployment took. The gateway has an API read whole by [`compile`], keeps it, and asks it what a request means, and [`payload`] turns a
//! request into the event a function expects and its answer back into HTTP.
//!
//! Deliberately absent: WebSocket APIs, authorizers, HTTP and private integrations, parameter mapping, custom
//! domains, throttling and access logs. REST APIs (v1) are another service.
//!
//! Keys: `APIS(api)`, `OWNED(account, region, api)`, `ROUTES(api, route)`, `INTEGRATIONS(api, integration)`,
//! `STAGES(api, stage)`, `DEPLOYMENTS(api, deployment)`.

mod apis;
mod deployments;
mod faults;
mod integrations;
mod keys;
mod model;
mod paging;
pub mod payload;
mod routes;
mod routing;
mod stages;
mod tags;
#[cfg(test)]
mod tests;

pub use model::Cors;
pub use routing::{Compiled, Hit, READ_FROM, Target, compile, cors_headers};

use crate::Service;

pub fn service() -> Service {
    Service::rest_json("apigatewayv2")
        .signed_as("apigateway")
        .rest("CreateApi", "POST /v2/apis 201", apis::create)
        .rest("GetApis", "GET /v2/apis", apis::list)
        .rest("GetApi", "GET /v2/apis/{apiId}", apis::get)
        .rest("UpdateApi", "PATCH /v2/apis/{apiId}", apis::update)
        .rest("DeleteApi", "DELETE /v2/apis/{apiId} 204", apis::delete)
        .rest("DeleteCorsConfiguration", "DELETE /v2/apis/{apiId}/cors 204", apis::delete_cors)
        .rest("CreateRoute", "POST /v2/apis/{apiId}/routes 201", routes::create)
        .rest("GetRoutes", "GET /v2/apis/{apiId}/routes", routes::list)
        .rest("GetRoute", "GET /v2/apis/{apiId}/routes/{routeId}", routes::get)
        .rest("UpdateRoute", "PATCH /v2/apis/{apiId}/routes/{routeId}", routes::update)
        .rest("DeleteRoute", "DELETE /v2/apis/{apiId}/routes/{routeId} 204", routes::delete)
        .rest("CreateIntegration", "POST /v2/apis/{apiId}/integrations 201", integrations::create)
        .rest("GetIntegrations", "GET /v2/apis/{apiId}/integrations", integrations::list)
        .rest("GetIntegration", "GET /v2/apis/{apiId}/integrations/{integrationId}", integrations::get)
        .rest(
            "UpdateIntegration",
            "PATCH /v2/apis/{apiId}/integrations/{integrationId}",
            integrations::update,
        )
        .rest(
            "DeleteIntegration",
            "DELETE /v2/apis/{apiId}/integrations/{integrationId} 204",
            integrations::delete,
        )
        .rest("CreateStage", "POST /v2/apis/{apiId}/stages 201", stages::create)
        .rest("GetStages", "GET /v2/apis/{apiId}/stages", stages::list)
        .rest("GetStage", "GET /v2/apis/{apiId}/stages/{stageName}", stages::get)
        .rest("UpdateStage", "PATCH /v2/apis/{apiId}/stages/{stageName}", stages::update)
        .rest("DeleteStage", "DELETE /v2/apis/{apiId}/stages/{stageName} 204", stages::delete)
        .rest("CreateDeployment", "POST /v2/apis/{apiId}/deployments 201", deployments::create)
        .rest("GetDeployments", "GET /v2/apis/{apiId}/deployments", deployments::list)
        .rest("GetDeployment", "GET /v2/apis/{apiId}/deployments/{deploymentId}", deployments::get)
        .rest(
            "DeleteDeployment",
            "DELETE /v2/apis/{apiId}/deployments/{deploymentId} 204",
            deployments::delete,
        )
        .rest("TagResource", "POST /v2/tags/{resource-arn} 201", tags::tag)
        .rest("UntagResource", "DELETE /v2/tags/{resource-arn} 204", tags::untag)
        .rest("GetTags", "GET /v2/tags/{resource-arn}", tags::get)
}
