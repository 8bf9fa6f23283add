//! EventBridge through its operations.

use crate::testing::Bench;
use serde_json::json;

#[test]
fn a_pattern_can_be_tried_on_an_event() {
    let t = Bench::seed(1);
    let event = json!({
        "id": "1", "account": "0", "source": "shop", "time": "2026-01-01T00:00:00Z", "region": "us-east-1",
        "resources": [], "detail-type": "Order", "detail": { "total": 7 },
    });
    let try_on = |pattern: &str, event: String| {
        t.call("events", "TestEventPattern", &json!({ "EventPattern": pattern, "Event": event }))
    };
    let wanted = r#"{"detail": {"total": [{"numeric": [">", 5]}]}}"#;
    assert_eq!(try_on(wanted, event.to_string()).unwrap().json()["Result"], true);
    let other = r#"{"source": ["blog"]}"#;
    assert_eq!(try_on(other, event.to_string()).unwrap().json()["Result"], false);
    let fault = try_on(r#"{"source": "shop"}"#, event.to_string()).unwrap_err();
    assert_eq!(fault.code, "InvalidEventPatternException");
    assert_eq!(
        fault.message,
        "Event pattern is not valid. Reason: \"source\" must be an object or an array\n at [Source: (String)\"\
         {\"source\": \"shop\"}\"; line: 1, column: 13]"
    );
    assert_eq!(try_on(wanted, "{}".into()).unwrap_err().code, "ValidationException");
}
