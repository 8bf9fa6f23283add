use super::{ARN, Cloud, function, invalid};
use crate::operation::Content;
use serde_json::{Value, json};

/// `{"k":` on one line, and on the next `"ü😀\n"}`.
const CONTEXT: &str = "eyJrIjoKIsO88J+YgFxuIn0=";
const INVOKE: &str = "POST /2015-03-31/functions/f/invocations";

fn invoke(cloud: &Cloud, headers: &[(&str, &str)], body: &str) -> Result<crate::Reply, mayfly_kernel::Fault> {
    cloud.0.http("lambda", INVOKE, headers, body.to_owned()).map(|answer| answer.reply)
}

#[test]
fn a_synchronous_invocation_leaves_with_the_version_to_run() {
    let cloud = Cloud::with_function();
    let headers = [("x-amz-log-type", "Tail"), ("x-amz-client-context", CONTEXT)];
    let reply = invoke(&cloud, &headers, r#"{"n": 1}"#).unwrap();
    let Content::Invoke(invoke) = reply.content else { panic!("an invocation") };
    assert!(invoke.log_tail);
    assert_eq!((invoke.version.label.as_str(), invoke.version.timeout_ms), ("$LATEST", 3000));
    assert_eq!(invoke.version.log_group, "/aws/lambda/f");
    assert_eq!(invoke.invocation.event, br#"{"n": 1}"#);
    assert_eq!(invoke.invocation.invoked_arn, ARN);
    assert_eq!(invoke.invocation.client_context.as_deref(), Some(r#"{"k":"\u00fc\ud83d\ude00\n"}"#));
}

#[test]
fn no_body_is_the_empty_event_and_a_dry_run_runs_nothing() {
    let cloud = Cloud::with_function();
    let Content::Invoke(invoked) = invoke(&cloud, &[], "").unwrap().content else { panic!("an invocation") };
    assert_eq!(invoked.invocation.event, b"{}");
    let reply = invoke(&cloud, &[("x-amz-invocation-type", "DryRun")], "{}").unwrap();
    assert_eq!(reply.status, 204);
    assert!(matches!(reply.content, Content::Empty));
    assert!(cloud.claim_due().is_empty());
}

#[test]
fn an_event_is_written_down_before_the_202() {
    let cloud = Cloud::with_function();
    let reply = invoke(&cloud, &[("x-amz-invocation-type", "Event")], "[1]").unwrap();
    assert_eq!(reply.status, 202);
    let due = cloud.claim_due();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].id.as_str(), &due[0].payload[..]), ("request", &b"[1]"[..]));
    assert_eq!(cloud.runs(&due[0]).as_deref(), Some("$LATEST"));
    assert_eq!(
        cloud.send("POST /2014-11-13/functions/f/invoke-async", &json!({})).unwrap().reply.status,
        202
    );
    assert_eq!(cloud.claim_due().len(), 1);
}

#[test]
fn a_bad_invocation_is_refused() {
    let cloud = Cloud::with_function();
    let refused = |headers: &[(&str, &str)], body: &str| {
        let fault = invoke(&cloud, headers, body).unwrap_err();
        (fault.code.into_owned(), fault.message)
    };
    let (code, message) = refused(&[], "{nonsense");
    assert_eq!(code, "InvalidRequestContentException");
    assert!(message.starts_with("Could not parse request body into json: "), "{message}");
    let long = "A".repeat(3584);
    for context in ["{}", "WzFd", "e30", &long] {
        let (code, message) = refused(&[("x-amz-client-context", context)], "{}");
        assert_eq!(code, "InvalidRequestContentException");
        assert!(message.starts_with("Client context must be "), "{message}");
    }
    assert_eq!(
        refused(&[("x-amz-invocation-type", "Sometime")], ""),
        invalid(
            "ValidationException",
            "1 validation error detected: Value 'Sometime' at 'invocationType' failed to satisfy constraint: \
             Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
        )
    );
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    assert_eq!(
        refused(&[("x-amz-invocation-type", "Event")], &large),
        invalid(
            "RequestTooLargeException",
            "Request must be smaller than 1048576 bytes for the InvokeFunction operation"
        )
    );
    assert!(invoke(&cloud, &[], &large).is_ok(), "synchronous events may be larger");
    let larger = format!("\"{}\"", "x".repeat(6 * 1024 * 1024));
    assert_eq!(refused(&[], &larger).0, "RequestTooLargeException");
}

#[test]
fn a_function_url_leads_to_its_version() {
    let cloud = Cloud::with_function();
    let path = "/2021-10-31/functions/f/url";
    let refused = |input: Value| cloud.refusal(&format!("POST {path}"), &input);
    assert!(refused(json!({ "AuthType": "MAYBE" })).1.contains("[NONE, AWS_IAM]"));
    assert!(
        refused(json!({ "AuthType": "NONE", "Cors": { "AllowMethods": ["BREW"] } }))
            .1
            .contains("cors.allowMethods")
    );
    let cors = json!({ "AllowOrigins": ["*"], "AllowMethods": ["GET"], "MaxAge": 60 });
    let made = cloud.ok(&format!("POST {path}"), &json!({ "AuthType": "NONE", "Cors": cors }));
    let url = made["FunctionUrl"].as_str().unwrap();
    let id =
        url.strip_prefix("http://").unwrap().strip_suffix(".lambda-url.localhost:4566/").unwrap().to_owned();
    assert_eq!((&made["Cors"], &made["InvokeMode"]), (&cors, &json!("BUFFERED")));
    assert_eq!(
        refused(json!({ "AuthType": "NONE" })),
        invalid(
            "ResourceConflictException",
            format!(
                "Failed to create function url config for [functionArn = {ARN}]. \
                 Error message:  FunctionUrlConfig exists for this Lambda function"
            )
        )
    );
    let target = |id: &str| cloud.0.run(|cx| crate::lambda::url_target(cx, id));
    assert_eq!(target(&id).unwrap().auth, crate::lambda::UrlAuth::Nobody, "the public has no permission");
    let statement = json!({
        "StatementId": "public",
        "Action": "lambda:InvokeFunctionUrl",
        "Principal": "*",
        "FunctionUrlAuthType": "NONE",
    });
    cloud.ok("POST /2015-03-31/functions/f/policy", &statement);
    let found = target(&id).unwrap();
    assert_eq!((found.auth, found.streams), (crate::lambda::UrlAuth::Anyone, false));
    assert_eq!(found.cors.unwrap().allow_origins.unwrap(), ["*"]);
    assert_eq!((found.invoked_arn.as_str(), found.choice.main().name.as_str()), (ARN, "f"));

    let update = json!({ "AuthType": "AWS_IAM", "InvokeMode": "RESPONSE_STREAM", "Cors": {} });
    assert_eq!(cloud.ok(&format!("PUT {path}"), &update).get("Cors"), None);
    let found = target(&id).unwrap();
    assert_eq!((found.auth, found.streams), (crate::lambda::UrlAuth::Iam, true));
    assert_eq!(cloud.get("/2021-10-31/functions/f/urls")["FunctionUrlConfigs"][0]["FunctionUrl"], url);
    assert!(cloud.refusal(&format!("GET {path}?Qualifier=1"), &Value::Null).1.contains("'qualifier'"));
    cloud.ok(&format!("DELETE {path}"), &Value::Null);
    assert!(target(&id).is_none());
    assert_eq!(
        cloud.refusal(&format!("GET {path}"), &Value::Null),
        invalid("ResourceNotFoundException", "The resource you requested does not exist.")
    );
    assert!(target("nothing").is_none());
}

#[test]
fn an_alias_has_a_url_of_its_own() {
    let cloud = Cloud::with_function();
    let path = "/2021-10-31/functions/f/url?Qualifier=prod";
    let create = json!({ "AuthType": "AWS_IAM" });
    assert_eq!(
        cloud.refusal(&format!("POST {path}"), &create),
        invalid("ResourceNotFoundException", "Function does not exist")
    );
    cloud.ok("POST /2015-03-31/functions/f/versions", &json!({}));
    cloud.ok("POST /2015-03-31/functions/f/aliases", &json!({ "Name": "prod", "FunctionVersion": "1" }));
    let made = cloud.ok(&format!("POST {path}"), &create);
    assert_eq!(made["FunctionArn"], format!("{ARN}:prod"));
    let id = made["FunctionUrl"].as_str().unwrap()["http://".len()..].split('.').next().unwrap().to_owned();
    let target = || cloud.0.run(|cx| crate::lambda::url_target(cx, &id));
    assert_eq!(target().unwrap().choice.main().label, "1");
    cloud.ok("DELETE /2015-03-31/functions/f/aliases/prod", &Value::Null);
    assert!(target().is_none());
}

#[test]
fn what_mayfly_lacks_is_not_in_the_table() {
    let service = crate::lambda::service();
    let names: Vec<&str> = service.operations.iter().map(|operation| operation.name).collect();
    for name in ["PutFunctionScalingConfig", "GetFunctionScalingConfig", "CreateCodeSigningConfig"] {
        assert!(!names.contains(&name), "{name}");
    }
    let vpc = super::with(function("f"), json!({ "VpcConfig": { "SubnetIds": ["s"] } }));
    assert_eq!(Cloud::new().fault("POST /2015-03-31/functions", &vpc).status, 501);
}

#[test]
fn an_event_for_a_tenant_says_so_and_any_other_does_not() {
    let cloud = Cloud::with_function();
    let isolated =
        super::with(function("apart"), json!({ "TenancyConfig": { "TenantIsolationMode": "PER_TENANT" } }));
    cloud.ok("POST /2015-03-31/functions", &isolated);
    cloud.prepare(&Ok(Vec::new()));
    let apart = |headers: &[(&str, &str)]| {
        let request = "POST /2015-03-31/functions/apart/invocations";
        cloud.0.http("lambda", request, headers, "{}".to_owned()).map(|answer| answer.reply)
    };
    let parameter = |fault: mayfly_kernel::Fault| {
        assert_eq!(fault.code, "InvalidParameterValueException");
        fault.message
    };
    let blue = [("x-amz-tenant-id", "blue")];
    assert!(parameter(apart(&[]).unwrap_err()).contains("Add a valid tenant ID"));
    assert!(parameter(invoke(&cloud, &blue, "{}").unwrap_err()).contains("Remove the tenant ID"));
    assert_eq!(apart(&[("x-amz-tenant-id", "a,b")]).unwrap_err().code, "ValidationException");
    let Content::Invoke(invoked) = apart(&blue).unwrap().content else { panic!("an invocation") };
    assert!(invoked.version.per_tenant);
    assert_eq!(invoked.invocation.tenant.as_deref(), Some("blue"));
    apart(&[("x-amz-invocation-type", "Event"), ("x-amz-tenant-id", "blue")]).unwrap();
    let mut record = cloud.claim_due().pop().unwrap();
    assert_eq!(record.tenant.as_deref(), Some("blue"));
    let runs = |record: &crate::fabric::Record| cloud.0.run(|cx| crate::lambda::version_to_run(cx, record));
    assert!(runs(&record).is_ok());
    // What comes from elsewhere names no tenant: it does not run, and is kept.
    record.tenant = None;
    let why = runs(&record).unwrap_err();
    cloud.settle(&record, &Err(why));
    let dead = crate::fabric::dead(cloud.0.store(), 10).unwrap();
    assert!(dead[0].last_error.contains("tenancy configuration"), "{}", dead[0].last_error);
}
