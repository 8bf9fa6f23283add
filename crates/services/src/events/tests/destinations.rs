//! API destinations: what goes out, when it is tried again, and where it ends.

use super::{ACCOUNT, call, entry, put, queue, received, refused, rule};
use crate::fabric::{Record, claim, dead, lanes};
use crate::targets::{self, Called};
use crate::testing::Bench;
use serde_json::{Value, json};
use std::time::Duration;

fn with_destination(t: &Bench, name: &str) -> String {
    let connection = call(
        t,
        "CreateConnection",
        json!({ "Name": name, "AuthorizationType": "BASIC", "AuthParameters": {
            "BasicAuthParameters": { "Username": "me", "Password": "s3cret" } } }),
    );
    assert_eq!(connection["ConnectionState"], "AUTHORIZED");
    let made = call(
        t,
        "CreateApiDestination",
        json!({ "Name": name, "ConnectionArn": connection["ConnectionArn"], "HttpMethod": "POST",
            "InvocationEndpoint": "https://shop.test/orders/*" }),
    );
    made["ApiDestinationArn"].as_str().unwrap().to_owned()
}

/// The call that is due.
fn take(t: &Bench) -> Option<Record> {
    let (lane, _) = lanes(t.store()).unwrap().into_iter().find(|(lane, _)| lane.starts_with("call "))?;
    t.run(|cx| claim(cx, t.store(), &lane, 1)).pop()
}

/// How long until the next call.
fn pause(t: &Bench) -> Duration {
    let due = lanes(t.store()).unwrap().into_iter().find(|(lane, _)| lane.starts_with("call "));
    due.expect("a call waits").1.since(t.now())
}

fn answered(status: u16) -> Called {
    Called::Answered { status, retry_after: None }
}

fn settle(t: &Bench, record: &Record, called: &Called) {
    t.run(|cx| targets::called(cx, record, Some(called)));
}

/// Rests until the next call and lets it end so.
fn next(t: &Bench, called: &Called) -> Record {
    t.advance(pause(t));
    let record = take(t).expect("a call is due");
    settle(t, &record, called);
    record
}

fn attribute(message: &Value, name: &str) -> String {
    message["MessageAttributes"][name]["StringValue"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_event_goes_out_with_what_the_target_and_the_connection_say() {
    let t = Bench::seed(1);
    let arn = with_destination(&t, "shop");
    let target = json!({ "Id": "t", "Arn": arn, "HttpParameters": {
        "PathParameterValues": ["$.detail.id"], "HeaderParameters": { "x-kind": "$.detail-type" },
        "QueryStringParameters": { "none": "$.detail.none" } } });
    rule(&t, "r", "default", json!({ "source": ["shop"] }), json!([target]));
    let shown = call(&t, "ListTargetsByRule", json!({ "Rule": "r" }));
    assert_eq!(shown["Targets"][0], target);
    put(&t, &[entry("shop", json!({ "id": "a b" }))]);
    let record = take(&t).expect("a call is due");
    let request = t.run(|cx| targets::request(cx, &record)).expect("a request");
    assert_eq!((request.method.as_str(), request.rate), ("POST", 300));
    assert_eq!(request.url, "https://shop.test/orders/a%20b?none=");
    let header = |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, v)| &**v);
    assert_eq!((header("x-kind"), header("authorization")), (Some("Order"), Some("Basic bWU6czNjcmV0")));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["source"], &body["detail"]), (&json!("shop"), &json!({ "id": "a b" })));
    settle(&t, &record, &answered(204));
    assert!(lanes(t.store()).unwrap().is_empty() && dead(t.store(), 1).unwrap().is_empty());
}

#[test]
fn attempts_end_when_the_retry_policy_says_and_the_dead_letter_says_why() {
    let t = Bench::seed(1);
    let arn = with_destination(&t, "shop");
    let letters = queue(&t, "letters", json!({}));
    let target = json!({ "Id": "t", "Arn": arn, "DeadLetterConfig": { "Arn": letters },
        "RetryPolicy": { "MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600 } });
    rule(&t, "r", "default", json!({ "source": ["shop"] }), json!([target]));
    put(&t, &[entry("shop", json!({ "n": 1 }))]);
    let mut id = None;
    for (status, middle) in [(500, 1000), (429, 2000), (401, 4000)] {
        let record = next(&t, &answered(status));
        assert_eq!(*id.get_or_insert(record.id.clone()), record.id, "its id stays");
        let pause = pause(&t).as_millis();
        assert!((middle * 3 / 4..=middle * 5 / 4).contains(&pause), "{pause} ms about {middle}");
    }
    next(&t, &answered(503));
    assert!(lanes(t.store()).unwrap().is_empty());
    let [letter] = &received(&t, "letters")[..] else { panic!("one letter") };
    let rule_arn = format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/r");
    let said = ["ERROR_CODE", "ERROR_MESSAGE", "EXHAUSTED_RETRY_CONDITION", "RETRY_ATTEMPTS", "RULE_ARN"];
    let wanted = [
        "API_DESTINATION_ERROR",
        "The API destination answered with status 503.",
        "MaximumRetryAttempts",
        "3",
        &rule_arn,
    ];
    assert_eq!(said.map(|name| attribute(letter, name)), wanted);
    assert_eq!(attribute(letter, "TARGET_ARN"), arn);
    let body: Value = serde_json::from_str(letter["Body"].as_str().unwrap()).unwrap();
    assert_eq!(body["detail"], json!({ "n": 1 }));

    // A refusal ends it at once, and without dead letters it is kept.
    call(&t, "PutTargets", json!({ "Rule": "r", "Targets": [{ "Id": "t", "Arn": arn }] }));
    put(&t, &[entry("shop", json!({}))]);
    next(&t, &answered(404));
    let kept = dead(t.store(), 2).unwrap();
    assert_eq!(kept[0].last_error, "SDK_CLIENT_ERROR: The API destination answered with status 404.");
}

#[test]
fn attempts_end_at_the_events_age_and_wait_as_long_as_they_are_asked_to() {
    let t = Bench::seed(1);
    let arn = with_destination(&t, "shop");
    let letters = queue(&t, "letters", json!({}));
    let target = json!({ "Id": "t", "Arn": arn, "DeadLetterConfig": { "Arn": letters },
        "RetryPolicy": { "MaximumEventAgeInSeconds": 60 } });
    rule(&t, "r", "default", json!({ "source": ["shop"] }), json!([target]));
    let asked = |header: &str| Called::Answered { status: 429, retry_after: Some(header.to_owned()) };
    put(&t, &[entry("shop", json!({}))]);
    next(&t, &asked("30"));
    assert_eq!(pause(&t).as_secs(), 30);
    next(&t, &asked("Thu, 01 Jan 2026 00:00:50 GMT"));
    assert_eq!(pause(&t).as_secs(), 20);
    next(&t, &asked("30"));
    let [letter] = &received(&t, "letters")[..] else { panic!("one letter") };
    assert_eq!(attribute(letter, "EXHAUSTED_RETRY_CONDITION"), "MaximumEventAgeInSeconds");
    assert_eq!(attribute(letter, "RETRY_ATTEMPTS"), "2");
    put(&t, &[entry("shop", json!({}))]);
    next(&t, &asked("-1"));
    let [letter] = &received(&t, "letters")[..] else { panic!("who says so is not asked again") };
    assert_eq!(attribute(letter, "EXHAUSTED_RETRY_CONDITION"), "");
    // By itself a call is tried for a day.
    call(&t, "PutTargets", json!({ "Rule": "r", "Targets": [{ "Id": "t", "Arn": arn }] }));
    put(&t, &[entry("shop", json!({}))]);
    let began = t.now();
    let mut attempts = 0;
    while lanes(t.store()).unwrap().iter().any(|(lane, _)| lane.starts_with("call ")) {
        next(&t, &Called::Unanswered("no answer within 5 s".to_owned()));
        attempts += 1;
    }
    let hours = t.now().since(began).as_secs() / 3600;
    assert!((150..=186).contains(&attempts) && (22..=24).contains(&hours), "{attempts} in {hours} h");
}

#[test]
fn what_is_deleted_on_the_way_is_missed_and_a_new_secret_is_met_by_the_next_attempt() {
    let t = Bench::seed(1);
    let arn = with_destination(&t, "shop");
    rule(&t, "r", "default", json!({ "source": ["shop"] }), json!([{ "Id": "t", "Arn": arn }]));
    put(&t, &[entry("shop", json!({}))]);
    next(&t, &answered(500));
    let key = json!({ "ApiKeyAuthParameters": { "ApiKeyName": "x-key", "ApiKeyValue": "k" } });
    call(
        &t,
        "UpdateConnection",
        json!({ "Name": "shop", "AuthorizationType": "API_KEY", "AuthParameters": key }),
    );
    t.advance(pause(&t));
    let record = take(&t).unwrap();
    let request = t.run(|cx| targets::request(cx, &record)).expect("a request");
    assert!(request.headers.contains(&("x-key".to_owned(), "k".to_owned())));
    settle(&t, &record, &answered(500));
    call(&t, "DeauthorizeConnection", json!({ "Name": "shop" }));
    let shown = call(&t, "DescribeApiDestination", json!({ "Name": "shop" }));
    assert_eq!(shown["ApiDestinationState"], "INACTIVE");
    t.advance(pause(&t));
    let record = take(&t).unwrap();
    assert!(t.run(|cx| targets::request(cx, &record)).is_none());
    t.run(|cx| targets::called(cx, &record, None));
    assert!(dead(t.store(), 1).unwrap()[0].last_error.contains("is not authorized"));
    call(&t, "DeleteApiDestination", json!({ "Name": "shop" }));
    put(&t, &[entry("shop", json!({}))]);
    assert!(dead(t.store(), 2).unwrap()[1].last_error.starts_with("RESOURCE_NOT_FOUND"));
}

#[test]
fn secrets_are_never_shown_and_bad_connections_are_refused() {
    let t = Bench::seed(1);
    let one =
        |key: &str, value: &str, secret: bool| json!({ "Key": key, "Value": value, "IsValueSecret": secret });
    let oauth = json!({ "OAuthParameters": {
            "ClientParameters": { "ClientID": "me", "ClientSecret": "hidden-1" },
            "AuthorizationEndpoint": "https://id.test/token", "HttpMethod": "POST",
            "OAuthHttpParameters": { "BodyParameters": [one("scope", "all", false), one("pin", "hidden-2", true)] } },
        "InvocationHttpParameters": { "HeaderParameters": [one("x-open", "seen", false), one("x-shut", "hidden-3", true)] } });
    let create =
        json!({ "Name": "c", "AuthorizationType": "OAUTH_CLIENT_CREDENTIALS", "AuthParameters": oauth });
    assert_eq!(call(&t, "CreateConnection", create.clone())["ConnectionState"], "AUTHORIZING");
    let shown = call(&t, "DescribeConnection", json!({ "Name": "c" }));
    assert!(!shown.to_string().contains("hidden"), "{shown}");
    let parameters = &shown["AuthParameters"];
    assert_eq!(parameters["OAuthParameters"]["ClientParameters"], json!({ "ClientID": "me" }));
    let headers = &parameters["InvocationHttpParameters"]["HeaderParameters"];
    assert_eq!(
        *headers,
        json!([{ "Key": "x-open", "Value": "seen", "IsValueSecret": false },
        { "Key": "x-shut", "IsValueSecret": true }])
    );
    assert_eq!(refused(&t, "CreateConnection", create).code, "ResourceAlreadyExistsException");

    let record = take(&t).expect("it wants its token");
    assert!(t.run(|cx| crate::events::token_of(cx, &record)).is_some());
    t.run(|cx| crate::events::authorized(cx, &record, &Err("no".to_owned())));
    let shown = call(&t, "ListConnections", json!({ "ConnectionState": "DEAUTHORIZED" }));
    assert_eq!(shown["Connections"][0]["StateReason"], "no");
    call(&t, "UpdateConnection", json!({ "Name": "c" }));
    let record = take(&t).expect("an update wants one again");
    t.run(|cx| crate::events::authorized(cx, &record, &Ok(())));
    assert_eq!(call(&t, "DescribeConnection", json!({ "Name": "c" }))["ConnectionState"], "AUTHORIZED");
    assert_eq!(call(&t, "DeleteConnection", json!({ "Name": "c" }))["ConnectionState"], "DELETING");

    let basic = |user: &str| {
        json!({ "Name": "b", "AuthorizationType": "BASIC", "AuthParameters": {
        "BasicAuthParameters": { "Username": user, "Password": "p" } } })
    };
    for bad in
        [basic(""), basic("a\nb"), json!({ "Name": "b", "AuthorizationType": "BASIC", "AuthParameters": {} })]
    {
        assert_eq!(refused(&t, "CreateConnection", bad).code, "ValidationException");
    }
    let made = call(&t, "CreateConnection", basic("me"));
    let destination = |url: &str, method: &str| {
        json!({ "Name": "d", "ConnectionArn": made["ConnectionArn"],
        "InvocationEndpoint": url, "HttpMethod": method })
    };
    for (url, method) in [("ftp://x", "POST"), ("/path", "POST"), ("https://x", "TRACE")] {
        assert_eq!(refused(&t, "CreateApiDestination", destination(url, method)).code, "ValidationException");
    }
    let missing = json!({ "Name": "d", "ConnectionArn": format!("{}x", made["ConnectionArn"].as_str().unwrap()),
        "InvocationEndpoint": "https://x", "HttpMethod": "GET" });
    assert_eq!(refused(&t, "CreateApiDestination", missing).code, "ResourceNotFoundException");
}
