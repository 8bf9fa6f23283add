//! The language as it is published, its faults, and a comparison with a model that works by brute force.

mod model;

use super::Pattern;
use serde_json::{Value, json};

fn wants(pattern: &Value, document: &Value) -> bool {
    let pattern = Pattern::compile(&pattern.to_string()).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    pattern.matches(document)
}

/// A pattern, documents that it wants, and documents that it does not.
fn check(pattern: Value, wanted: &[Value], others: &[Value]) {
    for document in wanted {
        assert!(wants(&pattern, document), "{pattern} does not want {document}");
    }
    for document in others {
        assert!(!wants(&pattern, document), "{pattern} wants {document}");
    }
}

/// The operators of the user guide's page "Comparison operators for use in event patterns".
#[test]
fn the_published_operators_match() {
    let state = |value: Value| json!({ "detail": { "state": value } });
    let one = |test: Value| json!({ "detail": { "state": [test] } });
    check(one(json!("running")), &[state(json!("running"))], &[state(json!("Running")), json!({})]);
    check(one(json!("")), &[state(json!(""))], &[state(json!(null)), state(json!(" "))]);
    check(one(json!(null)), &[state(json!(null))], &[state(json!("")), state(json!("null")), json!({})]);
    check(one(json!(true)), &[state(json!(true))], &[state(json!("true")), state(json!(false))]);
    check(
        one(json!(100)),
        &[state(json!(100)), state(json!(1e2))],
        &[state(json!("100")), state(json!(101))],
    );
    check(one(json!({"prefix": "us-"})), &[state(json!("us-east-1"))], &[state(json!("eu-us-"))]);
    check(
        one(json!({"prefix": {"equals-ignore-case": "EventB"}})),
        &[state(json!("eventbridge")), state(json!("EVENTBUS"))],
        &[state(json!("events"))],
    );
    check(one(json!({"suffix": ".png"})), &[state(json!("a.png"))], &[state(json!("a.PNG"))]);
    check(
        one(json!({"suffix": {"equals-ignore-case": "tBRIDGE"}})),
        &[state(json!("Eventbridge")), state(json!("TBRIDGE"))],
        &[state(json!("bridge"))],
    );
    check(
        one(json!({"equals-ignore-case": "alice"})),
        &[state(json!("Alice")), state(json!("ALICE"))],
        &[state(json!("alice ")), state(json!("alic"))],
    );
    check(
        one(json!({"wildcard": "dir/*.png"})),
        &[state(json!("dir/a.png")), state(json!("dir/.png")), state(json!("dir/a/b.png.png"))],
        &[state(json!("dir/png")), state(json!("a/dir/b.png")), state(json!(7))],
    );
    check(one(json!({"wildcard": "*a*b*"})), &[state(json!("xaxbx"))], &[state(json!("xbxax"))]);
    check(one(json!({"wildcard": "a\\*b"})), &[state(json!("a*b"))], &[state(json!("axb"))]);
    check(one(json!({"wildcard": "ab*ba"})), &[state(json!("abba"))], &[state(json!("aba"))]);
    check(
        one(json!({"cidr": "10.0.0.0/24"})),
        &[state(json!("10.0.0.0")), state(json!("10.0.0.255"))],
        &[state(json!("10.0.1.0")), state(json!("ten")), state(json!("::1"))],
    );
    check(
        one(json!({"cidr": "2001:db8::/32"})),
        &[state(json!("2001:db8:1::7"))],
        &[state(json!("2001:db9::"))],
    );
    check(one(json!({"cidr": "0.0.0.0/0"})), &[state(json!("255.1.2.3"))], &[state(json!("::"))]);
    check(one(json!("2001:db8::1")), &[state(json!("2001:0db8:0:0::1"))], &[state(json!("2001:db8::2"))]);
}

#[test]
fn numbers_are_compared_as_numbers() {
    let price = |value: Value| json!({ "price": value });
    let one = |terms: Value| json!({ "price": [{ "numeric": terms }] });
    check(
        one(json!([">", 10, "<=", 20])),
        &[price(json!(20)), price(json!(10.000001))],
        &[price(json!(10)), price(json!(20.5)), price(json!("15")), price(json!(null))],
    );
    check(one(json!(["=", 301.8])), &[price(json!(3.018e2))], &[price(json!(301))]);
    check(one(json!(["<", 0])), &[price(json!(-0.1))], &[price(json!(0))]);
    check(one(json!([">=", 0])), &[price(json!(0))], &[price(json!(-1))]);
    check(one(json!(["<=", -5e9])), &[price(json!(-5e9))], &[price(json!(0))]);
    check(
        json!({ "price": [123_456_789_012_u64] }),
        &[price(json!(123_456_789_012_u64))],
        &[price(json!(123_456_789_013_u64)), price(json!("123456789012"))],
    );
}

#[test]
fn anything_but_takes_every_form() {
    let state = |value: Value| json!({ "state": value });
    let one = |test: Value| json!({ "state": [{ "anything-but": test }] });
    check(
        one(json!("initializing")),
        &[state(json!("running")), state(json!(1)), state(json!(["initializing", "x"]))],
        &[state(json!("initializing")), json!({}), state(json!([]))],
    );
    check(one(json!(123)), &[state(json!(124))], &[state(json!(123.0)), state(json!("124"))]);
    check(one(json!(["stopped", "over"])), &[state(json!("on"))], &[state(json!("over"))]);
    check(one(json!([100, 200])), &[state(json!(300))], &[state(json!(200))]);
    check(one(json!({"prefix": "init"})), &[state(json!("on"))], &[state(json!("initial"))]);
    check(one(json!({"prefix": ["a", "b"]})), &[state(json!("c"))], &[state(json!("ba"))]);
    check(one(json!({"suffix": ".png"})), &[state(json!("a.txt"))], &[state(json!("a.png"))]);
    check(one(json!({"suffix": [".png", ".gif"]})), &[state(json!("a"))], &[state(json!("a.gif"))]);
    check(one(json!({"equals-ignore-case": "on"})), &[state(json!("off"))], &[state(json!("ON"))]);
    check(one(json!({"equals-ignore-case": ["on", "off"]})), &[state(json!("x"))], &[state(json!("Off"))]);
    check(one(json!({"wildcard": "*/lib/*"})), &[state(json!("/usr/bin"))], &[state(json!("/usr/lib/x"))]);
    check(one(json!({"wildcard": ["a*", "*b"]})), &[state(json!("c"))], &[state(json!("cb"))]);
}

#[test]
fn existence_is_a_matter_of_values() {
    let there = json!({ "detail": { "c-count": [{ "exists": true }] } });
    let absent = json!({ "detail": { "c-count": [{ "exists": false }] } });
    let values = [json!(5), json!(null), json!(""), json!([1]), json!([[false]])];
    let nothing = [json!([]), json!({}), json!({ "x": 1 }), json!([{ "x": 1 }])];
    let documents = |values: &[Value]| -> Vec<Value> {
        values.iter().map(|value| json!({ "detail": { "c-count": value } })).collect()
    };
    check(there, &documents(&values), &documents(&nothing));
    check(absent.clone(), &documents(&nothing), &documents(&values));
    check(absent, &[json!({}), json!({ "detail": 1 }), json!({ "detail": { "d-count": 1 } })], &[]);
    let either = json!({ "a": [{ "exists": false }, "x"], "b": ["y"] });
    check(either, &[json!({ "b": "y" }), json!({ "a": "x", "b": "y" })], &[json!({ "a": "z", "b": "y" })]);
    // An element that lacks the member does not make up for one that has it.
    let lacks = json!({ "l": { "a": [1], "b": [{ "exists": false }] } });
    check(lacks, &[json!({ "l": [{ "a": 1 }] })], &[json!({ "l": [{ "a": 1 }, { "b": 2 }] })]);
}

/// The example of the page "Arrays in Amazon EventBridge event patterns", and what follows from it.
#[test]
fn lists_match_by_their_elements() {
    let pattern = json!({ "resources": ["i-1", { "prefix": "arn:" }] });
    check(
        pattern,
        &[json!({ "resources": ["x", "arn:aws"] }), json!({ "resources": "i-1" })],
        &[json!({ "resources": ["x"] }), json!({ "resources": [] }), json!({ "resources": { "a": "i-1" } })],
    );
    let pattern = json!({ "employees": { "first": ["Anna"], "last": ["Jones"] } });
    let named = |people: &[(&str, &str)]| {
        let people: Vec<Value> =
            people.iter().map(|(first, last)| json!({ "first": first, "last": last })).collect();
        json!({ "employees": people })
    };
    check(
        pattern,
        &[
            named(&[("John", "Doe"), ("Anna", "Jones")]),
            json!({ "employees": [[{ "first": "Anna", "last": "Jones" }]] }),
        ],
        &[named(&[("Anna", "Smith"), ("Peter", "Jones")])],
    );
}

#[test]
fn dots_are_paths_on_both_sides() {
    let nested = json!({ "detail": { "a": { "b": [1] } } });
    let dotted = json!({ "detail.a.b": [1] });
    let documents = [
        json!({ "detail": { "a": { "b": 1 } } }),
        json!({ "detail": { "a.b": 1 } }),
        json!({ "detail.a": { "b": 1 } }),
        json!({ "detail.a.b": 1 }),
    ];
    check(nested, &documents, &[json!({ "detail": { "a.bb": 1 } })]);
    check(dotted, &documents, &[json!({ "detail.aa.b": 1 })]);
    check(
        json!({ "detail": { "a": { "b": [{ "exists": false }] } } }),
        &[json!({ "detail.a": 1 })],
        &documents,
    );
}

/// The examples of "$or" in the user guide.
#[test]
fn or_joins_objects_at_any_depth() {
    let pattern = json!({ "detail": { "$or": [
        { "c-count": [{ "numeric": [">", 0, "<=", 5] }] },
        { "d-count": [{ "numeric": ["<", 10] }] },
        { "x-limit": [{ "numeric": ["=", 3.018e2] }] },
    ] } });
    check(
        pattern,
        &[json!({ "detail": { "c-count": 5 } }), json!({ "detail": { "c-count": 9, "d-count": 9 } })],
        &[json!({ "detail": { "c-count": 0, "d-count": 10, "x-limit": 1 } }), json!({ "c-count": 5 })],
    );
    let pattern = json!({
        "source": ["aws.cloudwatch"],
        "$or": [
            { "metricName": ["CPUUtilization", "ReadLatency"] },
            { "metricType": ["MetricType"], "namespace": ["AWS/EC2", "AWS/ES"] },
            { "detail": { "$or": [{ "scope": ["Service"] }, { "a": [1], "$or": [{ "b": [2] }, { "c": [3] }] }] } },
        ],
    });
    let event = |more: Value| {
        let mut event = json!({ "source": "aws.cloudwatch" });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    check(
        pattern,
        &[
            event(json!({ "metricName": "ReadLatency" })),
            event(json!({ "metricType": "MetricType", "namespace": "AWS/ES" })),
            event(json!({ "detail": { "scope": "Service" } })),
            event(json!({ "detail": { "a": 1, "c": 3 } })),
        ],
        &[
            event(json!({ "metricType": "MetricType" })),
            event(json!({ "detail": { "a": 1 } })),
            json!({ "metricName": "ReadLatency" }),
        ],
    );
}

#[test]
fn nothing_but_an_object_is_wanted() {
    check(json!({ "a": [{ "exists": false }] }), &[json!({})], &[json!([]), json!("a"), json!(null)]);
}

#[test]
fn what_is_no_pattern_is_told_where_and_why() {
    let place = |text: &str, reason: &str, line: usize, column: usize| {
        let at = format!(" at [Source: (String)\"{text}\"; line: {line}, column: {column}]");
        assert_eq!(Pattern::compile(text).unwrap_err().to_string(), format!("{reason}\n{at}"), "{text}");
    };
    // These two are quoted from answers of AWS.
    place(r#"{"source": ["aws.health"], "detail": {}}"#, "Empty objects are not allowed", 1, 40);
    let slug = "{\n  \"detail\": {\n    \"slug\": \"some-pipeline\"\n  }\n}";
    place(slug, "\"slug\" must be an object or an array", 3, 14);
    place("[]", "Filter is not an object", 1, 2);
    place(r#"{"a": []}"#, "Empty arrays are not allowed", 1, 9);
    place(r#"{"a": [[1]]}"#, "Match value must be String, number, true, false, or null", 1, 9);
    place(r#"{"a": [{"foo": "x"}]}"#, "Unrecognized match type foo", 1, 17);
    place(r#"{"a": [{"prefix": 1}]}"#, "prefix match pattern must be a string", 1, 20);
    place(r#"{"a": [{"exists": 1}]}"#, "exists match pattern must be either true or false.", 1, 20);
    place(r#"{"$or": [{"a": [1]}]}"#, "There must have at least 2 Objects in $or relationship.", 1, 21);
    place(
        r#"{\"a\": [1]}"#,
        "Unexpected character ('\\' (code 92)): was expecting double-quote to start field name",
        1,
        3,
    );
}

#[test]
fn every_bad_condition_is_refused_with_its_reason() {
    let table = [
        (json!({ "suffix": ["a"] }), "suffix match pattern must be a string"),
        (json!({ "prefix": { "x": "a" } }), "Unsupported prefix pattern: x"),
        (json!({ "prefix": "a", "suffix": "b" }), "Only one key allowed in match expression"),
        (json!({}), "Match expression name not found"),
        (json!({ "numeric": 5 }), "Value of numeric must be an array."),
        (json!({ "numeric": [5] }), "Invalid member in numeric match: 5"),
        (json!({ "numeric": ["~", 5] }), "Unrecognized numeric range operator: ~"),
        (json!({ "numeric": ["=", "5"] }), "Value of equals must be numeric"),
        (json!({ "numeric": [">", "5"] }), "Value of > must be numeric"),
        (json!({ "numeric": ["<", 5, ">", 1] }), "Too many elements in numeric expression"),
        (json!({ "numeric": [">", 5, 6] }), "Bad value in numeric range: 6"),
        (json!({ "numeric": [">", 5, ">", 6] }), "Bad numeric range operator: >"),
        (json!({ "numeric": [">", 5, "<", 6, 7] }), "Too many terms in numeric range expression"),
        (json!({ "numeric": [">", 5, "<", 5] }), "Bottom must be less than top"),
        (json!({ "numeric": ["=", 5e10] }), "Value must be between -5.0E9 and 5.0E9, inclusive"),
        (json!({ "anything-but": { "numeric": [1] } }), "Unsupported anything-but pattern: numeric"),
        (json!({ "anything-but": { "prefix": "" } }), "Null prefix/suffix not allowed"),
        (
            json!({ "anything-but": [1, "a"] }),
            "Inside anything but list, either all values are number or string",
        ),
        (json!({ "anything-but": [null] }), "Inside anything but list, start|null|boolean is not supported."),
        (
            json!({ "anything-but": true }),
            "Value of anything-but must be an array or single string/number value.",
        ),
        (json!({ "cidr": "10.0.0.0" }), "Malformed CIDR, one '/' required"),
        (json!({ "cidr": "10.0.0.0/32" }), "IPv4 mask bits must be < 32"),
        (json!({ "cidr": "10.0.0.0/-1" }), "Malformed CIDR, mask bits must not be negative"),
        (json!({ "cidr": "here/8" }), "Nonstandard IP address: here"),
        (json!({ "wildcard": "a**b" }), "Consecutive wildcard characters at pos 2"),
        (json!({ "wildcard": "a\\b" }), "Invalid escape character at pos 2"),
    ];
    for (condition, reason) in table {
        let pattern = json!({ "a": [condition] }).to_string();
        let told = Pattern::compile(&pattern).unwrap_err().to_string();
        assert!(told.starts_with(reason), "{pattern}: {told}");
    }
    let reserved = r#"{"$or": [{"prefix": ["a"]}, {"b": [1]}]}"#;
    let told = Pattern::compile(reserved).unwrap_err().to_string();
    assert!(
        told.starts_with("prefix is Ruler reserved fieldName which cannot be used inside $or."),
        "{told}"
    );
    let many = format!("{{{}}}", [r#""$or": [{"a": [1]}, {"b": [1]}]"#; 11].join(", "));
    assert!(Pattern::compile(&many).unwrap_err().to_string().starts_with("Rule is too complex"));
    let deep = format!("{}[1]{}", "{\"a\":".repeat(200), "}".repeat(200));
    assert!(Pattern::compile(&deep).unwrap_err().to_string().starts_with("The pattern is nested too deeply"));
}
