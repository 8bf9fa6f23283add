//! Lambda: functions, their versions and aliases, layers, who may invoke them, and invoking.
//!
//! A version is a row with everything that running it takes; its package lies beside the store under the hash
//! of its bytes, and is held by every version and layer that uses it. Running is not done here: a synchronous
//! invocation leaves as a value for the binary, an asynchronous one as a delivery row, and what comes back
//! from the fabric is settled here ([`settled`]). Making a version ready ahead of its first invocation is a
//! delivery too, and [`prepared`] is its end.
//!
//! Deliberately absent: VPCs and file systems, code signing, SnapStart of other runtimes than Python,
//! runtimes that stay as they were.
//!
//! | space | key | record |
//! |---|---|---|
//! | `LAMBDA_FUNCTIONS` | account, region, function | what is true of the function as a whole |
//! | `LAMBDA_VERSIONS` | … function, number | code and configuration; number 0 is `$LATEST` |
//! | `LAMBDA_ALIASES` | … function, alias | version and weights |
//! | `LAMBDA_POLICIES` | … function, qualifier or nothing | statements |
//! | `LAMBDA_URLS` | … function, alias or nothing | a function URL |
//! | `LAMBDA_URL_IDS` | URL id | whose URL it is |
//! | `LAMBDA_ASYNC` | … function, qualifier | retries and destinations of asynchronous invocations |
//! | `LAMBDA_TAGS` | … function | tags |
//! | `LAMBDA_LAYER_HEADS` | account, region, layer | the layer's numbers |
//! | `LAMBDA_LAYERS` | … layer, number | a layer version |
//! | `LAMBDA_LAYER_POLICIES` | … layer, number | statements |
//! | `LAMBDA_PROVISIONED` | … function, qualifier | how many instances are to be ready |
//! | `LAMBDA_STANDING` | … function, qualifier | how many of them are, in this process |
//! | `LAMBDA_USAGE` | account, region | how much is reserved |
//! | `LAMBDA_COUNTS` | account, region, kind | counters: functions, bytes of code |
//! | `LAMBDA_MAPPINGS` | account, region, id | an event source mapping |
//! | `LAMBDA_MAPPINGS_OF_FUNCTION` | … function, id | which mappings a function has |
//! | `LAMBDA_MAPPINGS_OF_SOURCE` | … ARN or name, id | which mappings a source has |
//! | `LAMBDA_MAPPING_CURSORS` | … id, line | how far an external source has been read |
//! | `LAMBDA_MAPPING_RESULTS` | … id | how the last batch of an external source went |

mod account;
mod aliases;
mod async_config;
mod check;
mod code;
mod configuration;
mod faults;
mod functions;
mod invoke;
mod keys;
mod layer_permissions;
mod layers;
mod leads;
mod lifecycle;
mod lookup;
pub mod mappings;
mod model;
mod names;
mod paging;
mod permissions;
mod policy;
mod provisioned;
mod reactions;
mod recursion;
mod resolve;
mod runtime_management;
mod settings;
mod settle;
mod tags;
#[cfg(test)]
mod tests;
mod urls;
mod versions;

pub use code::PACKAGE_PATH;
pub(crate) use leads::{Lead, check_lead, lead, reference, set_lead};
pub use model::package_blob;
pub(crate) use permissions::{admits, exists};
pub use permissions::{admits_to_url, permits};
pub use provisioned::{Standing, Wanted, forget_standing, note, wanted};
pub(crate) use provisioned::{provisioned_concurrency, set_provisioned_concurrency};
pub use reactions::{NotReady, Prepared, Why, prepared};
pub(crate) use resolve::version_now;
pub use resolve::{Choice, READ_FROM, resolve, version_for};
pub use settle::{NotRun, settled, version_to_run};
pub use urls::{Cors, UrlAuth, UrlTarget, url_target};

use crate::Service;

pub fn service() -> Service {
    let parts =
        [with_functions, with_versions, with_invoking, mappings::with_mappings, with_urls, with_layers];
    let account = Service::rest_json("lambda").rest(
        "GetAccountSettings",
        "GET /2016-08-19/account-settings",
        account::get_settings,
    );
    parts.into_iter().fold(account, |service, add| add(service))
}

fn with_functions(service: Service) -> Service {
    service
        .staged(
            "CreateFunction",
            "POST /2015-03-31/functions 201",
            functions::create_source,
            functions::create,
        )
        .rest("GetFunction", "GET /2015-03-31/functions/{FunctionName}", functions::get)
        .rest("ListFunctions", "GET /2015-03-31/functions", functions::list)
        .rest("DeleteFunction", "DELETE /2015-03-31/functions/{FunctionName} 204", functions::delete)
        .staged(
            "UpdateFunctionCode",
            "PUT /2015-03-31/functions/{FunctionName}/code",
            code::update_source,
            code::update,
        )
        .rest(
            "GetFunctionConfiguration",
            "GET /2015-03-31/functions/{FunctionName}/configuration",
            configuration::get,
        )
        .rest(
            "UpdateFunctionConfiguration",
            "PUT /2015-03-31/functions/{FunctionName}/configuration",
            configuration::update,
        )
        .rest(
            "PutFunctionConcurrency",
            "PUT /2017-10-31/functions/{FunctionName}/concurrency",
            account::put_concurrency,
        )
        .rest(
            "GetFunctionConcurrency",
            "GET /2019-09-30/functions/{FunctionName}/concurrency",
            account::get_concurrency,
        )
        .rest(
            "DeleteFunctionConcurrency",
            "DELETE /2017-10-31/functions/{FunctionName}/concurrency 204",
            account::delete_concurrency,
        )
        .rest(
            "PutProvisionedConcurrencyConfig",
            "PUT /2019-09-30/functions/{FunctionName}/provisioned-concurrency 202",
            provisioned::put,
        )
        .rest(
            "GetProvisionedConcurrencyConfig",
            "GET /2019-09-30/functions/{FunctionName}/provisioned-concurrency",
            provisioned::get,
        )
        .rest(
            "DeleteProvisionedConcurrencyConfig",
            "DELETE /2019-09-30/functions/{FunctionName}/provisioned-concurrency 204",
            provisioned::delete,
        )
        .rest(
            "ListProvisionedConcurrencyConfigs",
            "GET /2019-09-30/functions/{FunctionName}/provisioned-concurrency?List=ALL",
            provisioned::list,
        )
}

fn with_versions(service: Service) -> Service {
    service
        .rest(
            "GetFunctionRecursionConfig",
            "GET /2024-08-31/functions/{FunctionName}/recursion-config",
            recursion::get,
        )
        .rest(
            "PutFunctionRecursionConfig",
            "PUT /2024-08-31/functions/{FunctionName}/recursion-config",
            recursion::put,
        )
        .rest(
            "GetRuntimeManagementConfig",
            "GET /2021-07-20/functions/{FunctionName}/runtime-management-config",
            runtime_management::get,
        )
        .rest(
            "PutRuntimeManagementConfig",
            "PUT /2021-07-20/functions/{FunctionName}/runtime-management-config",
            runtime_management::put,
        )
        .rest("PublishVersion", "POST /2015-03-31/functions/{FunctionName}/versions 201", versions::publish)
        .rest("ListVersionsByFunction", "GET /2015-03-31/functions/{FunctionName}/versions", versions::list)
        .rest("CreateAlias", "POST /2015-03-31/functions/{FunctionName}/aliases 201", aliases::create)
        .rest("GetAlias", "GET /2015-03-31/functions/{FunctionName}/aliases/{Name}", aliases::get)
        .rest("ListAliases", "GET /2015-03-31/functions/{FunctionName}/aliases", aliases::list)
        .rest("UpdateAlias", "PUT /2015-03-31/functions/{FunctionName}/aliases/{Name}", aliases::update)
        .rest(
            "DeleteAlias",
            "DELETE /2015-03-31/functions/{FunctionName}/aliases/{Name} 204",
            aliases::delete,
        )
        .rest("TagResource", "POST /2017-03-31/tags/{Resource} 204", tags::tag)
        .rest("UntagResource", "DELETE /2017-03-31/tags/{Resource} 204", tags::untag)
        .rest("ListTags", "GET /2017-03-31/tags/{Resource}", tags::list)
}

fn with_invoking(service: Service) -> Service {
    service
        .http("Invoke", "POST /2015-03-31/functions/{FunctionName}/invocations", invoke::invoke)
        .http(
            "InvokeWithResponseStream",
            "POST /2021-11-15/functions/{FunctionName}/response-streaming-invocations",
            invoke::invoke_streaming,
        )
        .http(
            "InvokeAsync",
            "POST /2014-11-13/functions/{FunctionName}/invoke-async 202",
            invoke::invoke_async,
        )
        .rest("AddPermission", "POST /2015-03-31/functions/{FunctionName}/policy 201", permissions::add)
        .rest("GetPolicy", "GET /2015-03-31/functions/{FunctionName}/policy", permissions::get)
        .rest(
            "RemovePermission",
            "DELETE /2015-03-31/functions/{FunctionName}/policy/{StatementId} 204",
            permissions::remove,
        )
        .rest(
            "PutFunctionEventInvokeConfig",
            "PUT /2019-09-25/functions/{FunctionName}/event-invoke-config",
            async_config::put,
        )
        .rest(
            "UpdateFunctionEventInvokeConfig",
            "POST /2019-09-25/functions/{FunctionName}/event-invoke-config",
            async_config::update,
        )
        .rest(
            "GetFunctionEventInvokeConfig",
            "GET /2019-09-25/functions/{FunctionName}/event-invoke-config",
            async_config::get,
        )
        .rest(
            "DeleteFunctionEventInvokeConfig",
            "DELETE /2019-09-25/functions/{FunctionName}/event-invoke-config 204",
            async_config::delete,
        )
        .rest(
            "ListFunctionEventInvokeConfigs",
            "GET /2019-09-25/functions/{FunctionName}/event-invoke-config/list",
            async_config::list,
        )
}

fn with_urls(service: Service) -> Service {
    service
        .rest("CreateFunctionUrlConfig", "POST /2021-10-31/functions/{FunctionName}/url 201", urls::create)
        .rest("GetFunctionUrlConfig", "GET /2021-10-31/functions/{FunctionName}/url", urls::get)
        .rest("UpdateFunctionUrlConfig", "PUT /2021-10-31/functions/{FunctionName}/url", urls::update)
        .rest("DeleteFunctionUrlConfig", "DELETE /2021-10-31/functions/{FunctionName}/url 204", urls::delete)
        .rest("ListFunctionUrlConfigs", "GET /2021-10-31/functions/{FunctionName}/urls", urls::list)
}

fn with_layers(service: Service) -> Service {
    service
        .staged(
            "PublishLayerVersion",
            "POST /2018-10-31/layers/{LayerName}/versions 201",
            layers::publish_source,
            layers::publish,
        )
        .rest("GetLayerVersion", "GET /2018-10-31/layers/{LayerName}/versions/{VersionNumber}", layers::get)
        .rest("GetLayerVersionByArn", "GET /2018-10-31/layers?find=LayerVersion", layers::get_by_arn)
        .rest("ListLayerVersions", "GET /2018-10-31/layers/{LayerName}/versions", layers::list_versions)
        .rest("ListLayers", "GET /2018-10-31/layers", layers::list)
        .rest(
            "DeleteLayerVersion",
            "DELETE /2018-10-31/layers/{LayerName}/versions/{VersionNumber} 204",
            layers::delete,
        )
        .rest(
            "AddLayerVersionPermission",
            "POST /2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy 201",
            layer_permissions::add,
        )
        .rest(
            "GetLayerVersionPolicy",
            "GET /2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy",
            layer_permissions::get,
        )
        .rest(
            "RemoveLayerVersionPermission",
            "DELETE /2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId} 204",
            layer_permissions::remove,
        )
}
