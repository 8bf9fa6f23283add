use super::compile;
use crate::testing::Bench;
use serde_json::{Value, json};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

fn call(bench: &Bench, request: &str, body: &Value) -> Value {
    let answer = bench.http("apigatewayv2", request, &[], serde_json::to_vec(body).unwrap());
    answer.unwrap_or_else(|fault| panic!("{request}: {fault}")).json()
}

#[test]
fn a_quick_created_api_sends_everything_to_its_function() {
    let bench = Bench::seed(1);
    let api =
        call(&bench, "POST /v2/apis", &json!({"name": "a", "protocolType": "HTTP", "target": FUNCTION}));
    let id = api["apiId"].as_str().unwrap();
    let compiled = bench.run(|cx| compile(cx, id)).unwrap();
    let hit = compiled.route("GET", "/any/thing").unwrap();
    let target = hit.target.unwrap();
    assert_eq!((target.function.as_str(), target.route_key.as_str()), (FUNCTION, "$default"));
    assert_eq!(hit.stage.name, "$default");
}

#[test]
fn a_stage_without_auto_deploy_serves_what_was_deployed() {
    let bench = Bench::seed(2);
    let api = call(&bench, "POST /v2/apis", &json!({"name": "a", "protocolType": "HTTP"}));
    let id = api["apiId"].as_str().unwrap().to_owned();
    let path = |rest: &str| format!("POST /v2/apis/{id}/{rest}");
    let integration = json!({
        "integrationType": "AWS_PROXY", "integrationUri": FUNCTION, "payloadFormatVersion": "2.0"
    });
    let integration = call(&bench, &path("integrations"), &integration);
    let target = format!("integrations/{}", integration["integrationId"].as_str().unwrap());
    call(&bench, &path("routes"), &json!({"routeKey": "GET /pets/{id}", "target": target}));
    call(&bench, &path("stages"), &json!({"stageName": "prod"}));
    let find = |path: &str| {
        let compiled = bench.run(|cx| compile(cx, &id)).unwrap();
        let hit = compiled.route("GET", path)?;
        hit.target.map(|_| hit.path_parameters())
    };
    assert!(find("/prod/pets/7").is_none(), "nothing is deployed yet");
    call(&bench, &path("deployments"), &json!({"stageName": "prod"}));
    assert_eq!(find("/prod/pets/7").unwrap()["id"], "7");
    call(&bench, &path("routes"), &json!({"routeKey": "GET /new", "target": target}));
    assert!(find("/prod/new").is_none(), "not in the deployment");
    let compiled = bench.run(|cx| compile(cx, &id)).unwrap();
    assert!(compiled.route("GET", "/pets/7").is_none(), "there is no $default stage");
}

#[test]
fn bad_calls_get_the_documented_faults() {
    let bench = Bench::seed(3);
    let fault = |request: &str, body: Value| {
        bench.http("apigatewayv2", request, &[], serde_json::to_vec(&body).unwrap()).unwrap_err()
    };
    assert_eq!(fault("GET /v2/apis/nope", json!({})).code, "NotFoundException");
    let socket = json!({"name": "a", "protocolType": "WEBSOCKET"});
    assert_eq!(fault("POST /v2/apis", socket).code, "NotImplemented");
    let api =
        call(&bench, "POST /v2/apis", &json!({"name": "a", "protocolType": "HTTP", "target": FUNCTION}));
    let routes = format!("POST /v2/apis/{}/routes", api["apiId"].as_str().unwrap());
    assert_eq!(fault(&routes, json!({"routeKey": "$default"})).code, "ConflictException");
    assert_eq!(fault(&routes, json!({"routeKey": "FETCH /a"})).code, "BadRequestException");
    assert_eq!(fault(&routes, json!({"routeKey": "GET /{a+}/b"})).code, "BadRequestException");
}

#[test]
fn a_listing_walks_the_caller_s_apis_alone() {
    let bench = Bench::seed(3);
    let names = |token: &str| {
        let page = call(&bench, &format!("GET /v2/apis?maxResults=2{token}"), &json!({}));
        let names: Vec<String> =
            page["items"].as_array().unwrap().iter().map(|api| api["name"].to_string()).collect();
        (names, page["nextToken"].as_str().map(str::to_owned))
    };
    let made = |name: &str| call(&bench, "POST /v2/apis", &json!({"name": name, "protocolType": "HTTP"}));
    let ids: Vec<String> =
        ["a", "b", "c"].iter().map(|n| made(n)["apiId"].as_str().unwrap().into()).collect();
    let (first, next) = names("");
    let (second, end) = names(&format!("&nextToken={}", next.unwrap()));
    assert_eq!((first.len(), second.len(), end), (2, 1, None));
    call(&bench, &format!("DELETE /v2/apis/{}", ids[0]), &json!({}));
    assert_eq!(names("").0.len(), 2);
}

#[test]
fn what_is_not_honoured_is_refused_and_what_asks_for_nothing_passes() {
    let bench = Bench::seed(4);
    let api = call(&bench, "POST /v2/apis", &json!({"name": "a", "protocolType": "HTTP"}));
    let id = api["apiId"].as_str().unwrap().to_owned();
    let routes = format!("POST /v2/apis/{id}/routes");
    let refused = |body: Value| {
        let answer = bench.http("apigatewayv2", &routes, &[], serde_json::to_vec(&body).unwrap());
        answer.unwrap_err().message
    };
    let secured = refused(json!({"routeKey": "GET /a", "authorizerId": "x"}));
    assert_eq!(secured, "Mayfly does not implement the member authorizerId. See docs/coverage.md.");
    let nothing = json!({"apiKeyRequired": false, "authorizationScopes": [], "requestModels": {}});
    for key in ["GET /a", "GET /b", "GET /c"] {
        let mut route = nothing.clone();
        route["routeKey"] = key.into();
        call(&bench, &routes, &route);
    }
    let page = |rest: &str| call(&bench, &format!("GET /v2/apis/{id}/routes?maxResults=2{rest}"), &json!({}));
    let first = page("");
    let second = page(&format!("&nextToken={}", first["nextToken"].as_str().unwrap()));
    let keys = [&first, &second].map(|page| page["items"].as_array().unwrap().len());
    assert_eq!((keys, &second["nextToken"]), ([2, 1], &Value::Null));
    let post = json!({
        "integrationType": "AWS_PROXY", "integrationMethod": "GET", "integrationUri": FUNCTION,
        "payloadFormatVersion": "2.0", "connectionType": "INTERNET"
    });
    let integrations = format!("POST /v2/apis/{id}/integrations");
    let answer = bench.http("apigatewayv2", &integrations, &[], serde_json::to_vec(&post).unwrap());
    assert_eq!(answer.unwrap_err().code, "BadRequestException");
}
