use super::{ARN, Cloud, invalid};
use mayfly_kernel::Arn;
use serde_json::{Value, json};

const POLICY: &str = "/2015-03-31/functions/f/policy";

fn bucket(sid: &str) -> Value {
    json!({
        "StatementId": sid,
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
        "SourceArn": "arn:aws:s3:::photos",
        "SourceAccount": "000000000000",
    })
}

#[test]
fn a_policy_is_a_document_that_grows_and_shrinks() {
    let cloud = Cloud::with_function();
    assert_eq!(
        cloud.refusal(&format!("GET {POLICY}"), &Value::Null),
        invalid("ResourceNotFoundException", "The resource you requested does not exist.")
    );
    let added = cloud.ok(&format!("POST {POLICY}"), &bucket("s3"));
    let expected = json!({
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": { "Service": "s3.amazonaws.com" },
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        "Condition": {
            "ArnLike": { "AWS:SourceArn": "arn:aws:s3:::photos" },
            "StringEquals": { "AWS:SourceAccount": "000000000000" },
        },
    });
    let parsed = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    assert_eq!(parsed(&added["Statement"]), expected);
    let got = cloud.get(POLICY);
    let document = json!({ "Version": "2012-10-17", "Id": "default", "Statement": [expected] });
    assert_eq!(parsed(&got["Policy"]), document);
    let revision = cloud.get("/2015-03-31/functions/f/configuration")["RevisionId"].clone();
    assert_eq!(got["RevisionId"], revision);

    assert_eq!(
        cloud.refusal(&format!("POST {POLICY}"), &bucket("s3")),
        invalid(
            "ResourceConflictException",
            "The statement id (s3) provided already exists. \
             Please provide a new statement id, or remove the existing statement."
        )
    );
    assert_eq!(
        cloud.refusal(&format!("DELETE {POLICY}/other"), &Value::Null),
        invalid("ResourceNotFoundException", "Statement other is not found in resource policy.")
    );
    assert_eq!(cloud.fault(&format!("DELETE {POLICY}/s3?RevisionId=stale"), &Value::Null).status, 412);
    cloud.ok(&format!("DELETE {POLICY}/s3?RevisionId={}", revision.as_str().unwrap()), &Value::Null);
    assert_eq!(
        cloud.refusal(&format!("DELETE {POLICY}/s3"), &Value::Null),
        invalid("ResourceNotFoundException", "No policy is associated with the given resource.")
    );
}

#[test]
fn a_bad_statement_is_refused() {
    let cloud = Cloud::with_function();
    let refused =
        |members: Value| cloud.refusal(&format!("POST {POLICY}"), &super::with(bucket("s3"), members)).1;
    assert_eq!(
        refused(json!({ "Principal": "somebody" })),
        "The provided principal was invalid. Please check the principal and try again."
    );
    assert!(refused(json!({ "StatementId": "a b" })).contains("'statementId'"));
    assert!(refused(json!({ "Action": "s3:Get" })).contains("(lambda:[*]|lambda:[a-zA-Z]+|[*])"));
    assert!(refused(json!({ "SourceAccount": "1" })).contains("'sourceAccount'"));
    assert!(refused(json!({ "SourceArn": "photos" })).contains("'sourceArn'"));
    assert_eq!(
        refused(json!({ "Qualifier": "$LATEST" })),
        "We currently do not support adding policies for $LATEST."
    );
    let long = |n: usize| json!({ "StatementId": format!("s{n}"), "EventSourceToken": "x".repeat(200) });
    let mut full =
        (0..100).map(|n| cloud.send(&format!("POST {POLICY}"), &super::with(bucket("s"), long(n))));
    let fault = full.find_map(Result::err).expect("it gets full");
    assert_eq!(fault.code, "PolicyLengthExceededException");
    assert!(fault.message.ends_with("is bigger than the limit (20480)."), "{fault}");
}

#[test]
fn only_whom_the_policy_names_is_let_in() {
    let cloud = Cloud::with_function();
    cloud.ok("POST /2015-03-31/functions/f/versions", &json!({}));
    let permits = |arn: &str, principal: &'static str, source: &str| {
        let arn: Arn = arn.parse().unwrap();
        cloud.0.run(|cx| crate::lambda::permits(cx, &arn, principal, source)).is_ok()
    };
    let (s3, photos) = ("s3.amazonaws.com", "arn:aws:s3:::photos");
    assert!(!permits(ARN, s3, photos));
    cloud.ok(&format!("POST {POLICY}"), &bucket("s3"));
    assert!(permits(ARN, s3, photos));
    assert!(!permits(ARN, s3, "arn:aws:s3:::other"));
    assert!(!permits(ARN, "apigateway.amazonaws.com", photos));
    let version = format!("{ARN}:1");
    assert!(!permits(&version, s3, photos), "a version has a policy of its own");
    cloud.ok(&format!("POST {POLICY}?Qualifier=1"), &bucket("s3"));
    assert!(permits(&version, s3, photos));
    let gateway = json!({
        "StatementId": "api",
        "Action": "lambda:InvokeFunction",
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": "arn:aws:execute-api:us-east-1:000000000000:abc/*/*",
    });
    cloud.ok(&format!("POST {POLICY}"), &gateway);
    assert!(permits(
        ARN,
        "apigateway.amazonaws.com",
        "arn:aws:execute-api:us-east-1:000000000000:abc/$default/$default"
    ));
    assert!(!permits(
        ARN,
        "apigateway.amazonaws.com",
        "arn:aws:execute-api:us-east-1:000000000000:xyz/$default/$default"
    ));
}
