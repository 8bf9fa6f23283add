//! The published rules, one by one.

mod model;

use super::*;
use serde_json::{Value, json};

const QUEUE: &str = "arn:aws:sqs:us-east-1:111111111111:orders";
const TOPIC: &str = "arn:aws:sns:us-east-1:222222222222:news";

fn policy(statements: Value) -> Result<Policy, String> {
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    serde_json::from_value(document).map_err(|error| error.to_string())
}

/// A statement that lets anyone send, with these elements in place of its own.
fn statement(elements: Value) -> Value {
    let mut statement =
        json!({ "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": QUEUE });
    for (name, value) in elements.as_object().unwrap() {
        match value.is_null() {
            true => statement.as_object_mut().unwrap().remove(name),
            false => statement.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    statement
}

fn root(account: &str) -> Asker<'_> {
    Asker::Of { account, arns: vec![format!("arn:aws:iam::{account}:root")] }
}

fn decide(statements: Value, asker: Asker<'_>, facts: &Facts) -> Decision {
    let request = Request { asker, action: "sqs:SendMessage", resource: QUEUE, facts };
    policy(statements).unwrap().decide(&request)
}

fn holds(condition: Value, facts: &Facts) -> bool {
    decide(statement(json!({ "Condition": condition })), root("2"), facts) == Decision::Allowed
}

#[test]
fn a_denial_wins_wherever_it_stands_and_silence_decides_nothing() {
    let (allow, deny) = (statement(json!({})), statement(json!({ "Effect": "Deny" })));
    let none = Facts::default();
    assert_eq!(decide(json!([allow]), root("2"), &none), Decision::Allowed);
    assert_eq!(decide(json!([allow, deny]), root("2"), &none), Decision::Denied);
    assert_eq!(decide(json!([deny, allow]), root("2"), &none), Decision::Denied);
    let other = statement(json!({ "Action": "sqs:ReceiveMessage" }));
    assert_eq!(decide(json!([other]), root("2"), &none), Decision::Silent);
    assert!(policy(json!([deny])).unwrap().may_deny() && !policy(json!([allow])).unwrap().may_deny());
}

#[test]
fn a_statement_names_whom_it_means() {
    let session = "arn:aws:sts::222222222222:assumed-role/worker/worker";
    let role = "arn:aws:iam::222222222222:role/worker";
    let worker = || Asker::Of { account: "222222222222", arns: vec![session.into(), role.into()] };
    let sns = || Asker::Service { name: "sns.amazonaws.com", account: "222222222222" };
    let is = |principal: Value, asker: Asker<'_>| {
        let meant = statement(json!({ "Principal": principal }));
        let others = statement(json!({ "Principal": null, "NotPrincipal": principal }));
        let none = Facts::default();
        let is = decide(meant, asker.clone(), &none) == Decision::Allowed;
        assert_ne!(is, decide(others, asker, &none) == Decision::Allowed, "NotPrincipal is the rest");
        is
    };
    for anyone in [json!("*"), json!({ "AWS": "*" })] {
        assert!(is(anyone.clone(), Asker::Anonymous) && is(anyone.clone(), root("2")) && is(anyone, sns()));
    }
    for account in [json!({ "AWS": "222222222222" }), json!({ "AWS": ["arn:aws:iam::222222222222:root"] })] {
        assert!(is(account.clone(), root("222222222222")) && is(account.clone(), worker()));
        assert!(is(account.clone(), sns()), "a service acts for an account");
        assert!(!is(account.clone(), root("333333333333")) && !is(account, Asker::Anonymous));
    }
    assert!(is(json!({ "AWS": session }), worker()) && is(json!({ "AWS": role }), worker()));
    assert!(!is(json!({ "AWS": role }), root("222222222222")));
    assert!(is(json!({ "Service": ["s3.amazonaws.com", "sns.amazonaws.com"] }), sns()));
    assert!(!is(json!({ "Service": "events.amazonaws.com" }), sns()));
    assert!(!is(json!({ "Service": "sns.amazonaws.com" }), root("222222222222")));
    assert!(!is(json!({ "Federated": "example.com" }), worker()));
}

#[test]
fn actions_have_no_case_and_resources_have() {
    let allowed =
        |elements: Value| decide(statement(elements), root("2"), &Facts::default()) == Decision::Allowed;
    for action in [
        json!("*"),
        json!("sqs:*"),
        json!("SQS:sendmessage"),
        json!("sqs:Send*"),
        json!(["a:b", "sqs:?endMessage"]),
    ] {
        assert!(allowed(json!({ "Action": action })), "{action}");
        assert!(!allowed(json!({ "Action": null, "NotAction": action })), "{action}");
    }
    for action in ["sns:*", "sqs:Send", "sqs:SendMessageBatch"] {
        assert!(!allowed(json!({ "Action": action })), "{action}");
    }
    for resource in
        [json!("*"), json!(QUEUE), json!("arn:aws:sqs:*:*:orders"), json!("arn:aws:sqs:us-east-1:1111*")]
    {
        assert!(allowed(json!({ "Resource": resource })), "{resource}");
        assert!(!allowed(json!({ "Resource": null, "NotResource": resource })), "{resource}");
    }
    assert!(!allowed(json!({ "Resource": "arn:aws:sqs:us-east-1:111111111111:Orders" })));
}

#[test]
fn operators_compare_what_they_are_for() {
    let facts = Facts::default()
        .with("aws:SourceArn", TOPIC)
        .with("aws:SourceAccount", "222222222222")
        .with("aws:CurrentTime", "2026-01-02T03:04:05Z")
        .with("aws:EpochTime", "1767323045")
        .with("aws:SecureTransport", "false")
        .with("aws:SourceIp", "10.1.2.3")
        .with("sns:Protocol", "sqs");
    for (operator, key, value, expected) in [
        ("StringEquals", "AWS:sourceaccount", "222222222222", true),
        ("StringEquals", "aws:SourceAccount", "2*", false),
        ("StringNotEquals", "aws:SourceAccount", "111111111111", true),
        ("StringNotEquals", "aws:SourceAccount", "222222222222", false),
        ("StringEqualsIgnoreCase", "sns:Protocol", "SQS", true),
        ("StringNotEqualsIgnoreCase", "sns:Protocol", "SQS", false),
        ("StringLike", "aws:SourceAccount", "2?2*", true),
        ("StringNotLike", "aws:SourceAccount", "2*", false),
        ("ArnEquals", "aws:SourceArn", TOPIC, true),
        ("ArnLike", "aws:SourceArn", "arn:aws:sns:*:*:n?ws", true),
        ("ArnEquals", "aws:SourceArn", "arn:aws:sns:*:*:*", true),
        ("ArnLike", "aws:SourceArn", "*", true),
        ("ArnLike", "aws:SourceArn", "arn:aws:*", false),
        ("ArnNotLike", "aws:SourceArn", "arn:aws:sns:*:*:other", true),
        ("NumericEquals", "aws:EpochTime", "1767323045.0", true),
        ("NumericLessThan", "aws:EpochTime", "1767323045", false),
        ("NumericLessThanEquals", "aws:EpochTime", "1767323045", true),
        ("NumericGreaterThan", "aws:EpochTime", "1", true),
        ("NumericNotEquals", "aws:EpochTime", "1", true),
        ("NumericGreaterThan", "sns:Protocol", "1", false),
        ("DateEquals", "aws:CurrentTime", "2026-01-02T04:04:05+01:00", true),
        ("DateEquals", "aws:CurrentTime", "1767323045", true),
        ("DateLessThan", "aws:CurrentTime", "2026-01-02T03:04:05.001Z", true),
        ("DateGreaterThan", "aws:CurrentTime", "2026-01-02", true),
        ("DateGreaterThanEquals", "aws:CurrentTime", "2027", false),
        ("DateNotEquals", "aws:CurrentTime", "2026-01", true),
        ("Bool", "aws:SecureTransport", "false", true),
        ("Bool", "aws:SecureTransport", "true", false),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", true),
        ("NotIpAddress", "aws:SourceIp", "10.1.2.3", false),
        ("IpAddress", "aws:SourceIp", "2001:db8::/32", false),
        ("Null", "aws:SourceArn", "false", true),
        ("Null", "aws:PrincipalOrgID", "true", true),
        ("Null", "aws:SourceArn", "true", false),
        ("BinaryEquals", "sns:Protocol", "sqs", true),
    ] {
        assert_eq!(holds(json!({ operator: { key: value } }), &facts), expected, "{operator} {key} {value}");
    }
    assert!(holds(json!({ "Bool": { "aws:SecureTransport": false } }), &facts), "JSON's own kinds will do");
    assert!(holds(json!({ "NumericGreaterThan": { "aws:EpochTime": 1.5 } }), &facts));
    assert!(holds(json!({ "Null": { "aws:SourceArn": [true, false] } }), &facts), "there or not there");
}

#[test]
fn all_conditions_hold_and_one_of_their_values() {
    let facts = Facts::default().with("a:one", "1").with("a:two", "2");
    assert!(holds(json!({ "StringEquals": { "a:one": ["0", "1"], "a:two": "2" } }), &facts));
    assert!(!holds(json!({ "StringEquals": { "a:one": "1", "a:two": "3" } }), &facts));
    assert!(!holds(json!({ "StringEquals": { "a:one": "1" }, "StringLike": { "a:two": "3" } }), &facts));
    assert!(!holds(json!({ "StringNotEquals": { "a:one": ["0", "1"] } }), &facts), "none of them may fit");
}

#[test]
fn what_a_request_does_not_say_fits_only_what_allows_for_it() {
    let none = Facts::default();
    for (operator, expected) in [
        ("StringEquals", false),
        ("StringEqualsIfExists", true),
        ("StringNotEquals", true),
        ("StringNotEqualsIfExists", true),
        ("ArnLike", false),
        ("ArnLikeIfExists", true),
        ("ForAnyValue:StringEquals", false),
        ("ForAnyValue:StringNotEquals", false),
        ("ForAnyValue:StringEqualsIfExists", false),
        ("ForAnyValue:StringNotEqualsIfExists", false),
        ("ForAllValues:StringEquals", true),
    ] {
        assert_eq!(holds(json!({ operator: { "a:key": "x" } }), &none), expected, "{operator}");
    }
    let other = Facts::default().with("a:key", "y");
    assert!(!holds(json!({ "StringEqualsIfExists": { "a:key": "x" } }), &other));
}

#[test]
fn keys_with_several_values_are_asked_for_any_or_all() {
    let tags = Facts::default().with("aws:TagKeys", "a").with("aws:TagKeys", "b");
    let any = |values: Value| holds(json!({ "ForAnyValue:StringEquals": { "aws:TagKeys": values } }), &tags);
    let all = |values: Value| holds(json!({ "ForAllValues:StringEquals": { "aws:TagKeys": values } }), &tags);
    assert!(any(json!(["b", "c"])) && !any(json!("c")));
    assert!(all(json!(["a", "b", "c"])) && !all(json!("a")));
    assert!(holds(json!({ "ForAnyValue:StringNotEquals": { "aws:TagKeys": "a" } }), &tags));
    assert!(!holds(json!({ "ForAllValues:StringNotEquals": { "aws:TagKeys": "a" } }), &tags));
}

#[test]
fn variables_stand_for_what_the_request_says() {
    let facts = Facts::default().with("aws:PrincipalAccount", "2*").with("a:key", "q-2*");
    let like = |pattern: &str| holds(json!({ "StringLike": { "a:key": pattern } }), &facts);
    assert!(like("?-${aws:PrincipalAccount}") && like("q-2${*}") && like("q${-}*") == like("q${none}*"));
    assert!(!like("${aws:username}*"), "nothing is known of it");
    assert!(like("${aws:username, 'q'}-*"));
    let wider = Facts::default().with("aws:PrincipalAccount", "2*").with("a:key", "q-222");
    let pattern = json!({ "StringLike": { "a:key": "q-${aws:PrincipalAccount}" } });
    assert!(!holds(pattern, &wider), "what a variable brings is no wildcard");
    let old = json!({ "Version": "2008-10-17", "Statement": statement(json!({
        "Condition": { "StringEquals": { "a:key": "${aws:PrincipalAccount}" } } })) });
    let old: Policy = serde_json::from_value(old).unwrap();
    let literal = Facts::default().with("aws:PrincipalAccount", "2").with("a:key", "${aws:PrincipalAccount}");
    let request =
        Request { asker: Asker::Anonymous, action: "sqs:SendMessage", resource: QUEUE, facts: &literal };
    assert_eq!(old.decide(&request), Decision::Allowed, "the older language has no variables");
}

#[test]
fn what_is_no_policy_is_refused() {
    let refused = |statements: Value| policy(statements.clone()).expect_err(&statements.to_string());
    for bad in [
        json!([]),
        json!("text"),
        statement(json!({ "Effect": "allow" })),
        statement(json!({ "Principle": "*" })),
        statement(json!({ "Principal": null })),
        statement(json!({ "NotPrincipal": "*" })),
        statement(json!({ "Principal": "someone" })),
        statement(json!({ "Principal": {} })),
        statement(json!({ "Principal": { "Aws": "*" } })),
        statement(json!({ "Principal": { "AWS": "12345" } })),
        statement(json!({ "Principal": { "AWS": "arn:aws:iam::222222222222:user/*" } })),
        statement(json!({ "Principal": { "Service": "sns" } })),
        statement(json!({ "Action": null })),
        statement(json!({ "Action": [] })),
        statement(json!({ "Action": "SendMessage" })),
        statement(json!({ "NotAction": "sqs:*" })),
        statement(json!({ "Resource": null })),
        statement(json!({ "Resource": "orders" })),
        statement(json!({ "Condition": { "StringIs": { "a:b": "c" } } })),
        statement(json!({ "Condition": { "StringEqualsNot": { "a:b": "c" } } })),
        statement(json!({ "Condition": { "NotStringEquals": { "a:b": "c" } } })),
        statement(json!({ "Condition": { "BoolNot": { "a:b": "true" } } })),
        statement(json!({ "Condition": { "NullIfExists": { "a:b": "true" } } })),
        statement(json!({ "Condition": { "NumericNotLessThan": { "a:b": "1" } } })),
        statement(json!({ "Condition": { "NumericEquals": { "a:b": "one" } } })),
        statement(json!({ "Condition": { "DateEquals": { "a:b": "2026-13-01" } } })),
        statement(json!({ "Condition": { "Bool": { "a:b": "yes" } } })),
        statement(json!({ "Condition": { "IpAddress": { "a:b": "10.0.0.0/99" } } })),
        statement(json!({ "Condition": { "StringEquals": { "a:b": [] } } })),
        json!([statement(json!({ "Sid": "a" })), statement(json!({ "Sid": "a" }))]),
    ] {
        refused(bad);
    }
    let other = json!({ "Version": "2020-01-01", "Statement": statement(json!({})) });
    assert!(serde_json::from_value::<Policy>(other).unwrap_err().to_string().contains("2020-01-01"));
    assert!(serde_json::from_value::<Policy>(json!({ "Version": "2012-10-17" })).is_err());
}
