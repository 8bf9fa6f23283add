//! The examples of "Filter pattern syntax", and what is no pattern.

use super::Pattern;

fn matches(pattern: &str, message: &str) -> bool {
    Pattern::parse(pattern).unwrap_or_else(|fault| panic!("{pattern}: {fault}")).matches(message)
}

#[test]
fn terms_must_may_or_must_not_occur() {
    assert!(matches("", "anything"));
    assert!(matches("ERROR", "[ERROR 400] BAD REQUEST"));
    assert!(matches("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS"));
    assert!(!matches("ERROR ARGUMENTS", "[ERROR 401] UNAUTHORIZED REQUEST"));
    assert!(matches("?ERROR ?ARGUMENTS", "INVALID ARGUMENTS"));
    assert!(!matches("?ERROR ?ARGUMENTS", "an INFO"));
    assert!(!matches("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS"));
    assert!(matches("?INFO ERROR", "ERROR alone: beside other terms a question mark is ignored"));
    assert!(matches(r#""INTERNAL SERVER ERROR""#, "[ERROR 500] INTERNAL SERVER ERROR"));
    assert!(!matches(r#""two words""#, "words two"));
    assert!(matches(r#""two \"words\"""#, r#"these two "words" here"#));
    assert!(matches("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED REQUEST"));
    assert!(matches(r"%5\d{2}% -retry", "status 503"));
    assert!(!matches("error", "ERROR"));
}

const EVENT: &str = r#"{
    "eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "latency": 50, "errorCode": 400,
    "arrayKey": ["value", "another value"], "a.b": true, "off": false, "SomeObject": null, "fraction": 1.5e1,
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
    "user": {"email": "John.Stiles@example.com", "session": {"ms": -3}}
}"#;

#[test]
fn members_of_json_are_compared() {
    for pattern in [
        r#"{ $.eventType = "UpdateTrail" }"#,
        r"{ $.eventType = UpdateTrail }",
        r"{ $.sourceIPAddress != 123.123.* }",
        r"{ $.sourceIPAddress = 111.* }",
        r"{ $.eventType = *date* }",
        r#"{ $.arrayKey[0] = "value" }"#,
        r#"{ $.arrayKey[*] = "another value" }"#,
        r"{ $.objectList[1].id = 2 }",
        r"{ $.objectList[*].id = 2 }",
        r"{ $.latency = 50 && $.errorCode >= 400 }",
        r"{ $.latency<51&&$.fraction=15 }",
        r"{ $.errorCode = 4* }",
        r"{ $.user.session.ms > -1e1 }",
        r"{ ($.latency > 99 || $.latency = 50) && ($.off IS FALSE) }",
        r"{ $.latency > 99 || $.latency = 50 && $.errorCode = 400 }",
        r"{ $.SomeObject IS NULL }",
        r"{ $.SomeOtherObject NOT EXISTS }",
        r"{ $.user.session exists }",
        r"{ $.['a.b'] IS TRUE }",
        r"{ $.user.email = %John\.[a-zA-Z]+@% }",
    ] {
        assert!(matches(pattern, EVENT), "{pattern}");
    }
    for pattern in [
        r#"{ $.eventType = "updatetrail" }"#,
        r"{ $.eventType != UpdateTrail }",
        r"{ $.missing != x }",
        r"{ $.missing IS NULL }",
        r"{ $.SomeObject NOT EXISTS }",
        r"{ $.arrayKey = value }",
        r"{ $.eventType > 3 }",
        r"{ $.latency > 99 && $.latency = 50 || $.errorCode = 401 }",
        r"{ $.arrayKey[2] EXISTS }",
    ] {
        assert!(!matches(pattern, EVENT), "{pattern}");
    }
    assert!(!matches("{ $.a NOT EXISTS }", "no JSON"));
    let read = Pattern::parse("{ $.latency > 1 && $.objectList[*].id = 2 }").unwrap().extract(EVENT);
    assert_eq!(read["$.latency"], "50");
    assert_eq!(read["$.objectList[*].id"], "1");
}

const LINE: &str = r#"127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;

#[test]
fn columns_of_a_line_are_compared() {
    for pattern in [
        "[ip, env, user, timestamp, request, status_code, bytes]",
        "[ip, user, username, timestamp, request =*.html*, status_code = 4*, bytes > 1000]",
        "[..., request = %GET%, status_code = 404, bytes]",
        "[ip=127.0.0.1, ...]",
        "[ip, ..., bytes < 2000]",
        r#"[..., request="GET /index.html HTTP/1.0", status=4* && status!=400, bytes]"#,
        "[..., status = 500 || status = 404, bytes]",
        "[ip = %127\\.0\\.0\\.[12]%, ...]",
    ] {
        assert!(matches(pattern, LINE), "{pattern}");
    }
    for pattern in [
        "[ip, env, user]",
        "[ip, env, user, timestamp, request, status_code, bytes, more]",
        "[..., status = 4* && status != 404, bytes]",
        "[ip, ..., bytes > 2000]",
        "[ip = 10.*, ...]",
    ] {
        assert!(!matches(pattern, LINE), "{pattern}");
    }
    let read = Pattern::parse("[ip, ..., time, request, status, bytes]").unwrap().extract(LINE);
    assert_eq!(read["$request"], "GET /index.html HTTP/1.0");
    assert_eq!((read["$ip"].as_str(), read["$status"].as_str()), ("127.0.0.1", "404"));
    assert!(matches("[a, b]", "[unclosed x"), "a bracket that never closes is a character");
}

#[test]
fn what_is_no_pattern_is_refused_in_the_documented_words() {
    let text = |pattern: &str| {
        let fault = Pattern::parse(pattern).unwrap_err();
        assert_eq!(fault.code, "InvalidParameterException");
        fault.message
    };
    for pattern in [
        "{ $.a = }",
        "{ $.a = 1",
        "{ a = 1 }",
        "{ $.a ~ 1 }",
        "{ ($.a = 1 }",
        "{ $.a = 1 && }",
        "{ $ = 1 }",
        "{}",
        "{ $.a > x }",
        "{ $.a[x] = 1 }",
        "{ $.a = 1 } x",
        "[",
        "[a,]",
        "[a, ..., b, ...]",
        "[a b]",
        "[a = 1 && b = 2]",
        "[a > x]",
        "[a = 1",
        "\"open",
        "%open",
        "%%",
        "%[%",
    ] {
        assert_eq!(text(pattern), "Invalid filter pattern", "{pattern}");
    }
    assert_eq!(text("foo:"), "Invalid character(s) in term 'foo:'");
    assert_eq!(text("%something!%"), "Invalid character(s) in regular expression 'something!'");
    assert_eq!(text("%(a)%"), "Invalid character(s) in regular expression '(a)'");
    assert!(text("%a% %b% %c%").contains("up to 2 regular expressions"));
    assert!(text(&"a".repeat(1025)).contains("less than or equal to 1024"));
    assert_eq!(text(&format!("{{ {}$.a = 1{} }}", "(".repeat(99), ")".repeat(99))), "Invalid filter pattern");
}

mod properties {
    use super::Pattern;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a caller sends is a pattern or a fault, and matching it ends.
        #[test]
        fn no_text_breaks_the_parser(pattern in r#"[\[{%"]?[ -~\PC]{0,40}"#, message in r"\PC{0,60}") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&message);
                pattern.extract(&message);
            }
        }
    }
}
