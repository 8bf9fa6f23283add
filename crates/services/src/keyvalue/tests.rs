//! Buckets as functions meet them, on the memory engine.

use super::*;
use crate::testing::Bench;
use mayfly_store::Record as _;

const BUCKET: &str = "counters";

fn bytes(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

fn texts(found: Vec<Option<Value>>) -> Vec<Option<String>> {
    let text = |value: Value| String::from_utf8(value.bytes.to_vec()).unwrap();
    found.into_iter().map(|value| value.map(text)).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_bucket_keeps_what_is_set_and_pages_through_its_keys() {
    let bench = Bench::seed(1);
    let changes = [("a".into(), bytes("1")), ("b".into(), bytes("two")), ("a".into(), bytes("3"))];
    bench.run(|cx| change(cx, BUCKET, &changes));
    let found = bench.run(|cx| get(cx, BUCKET, &names(&["b", "none", "a"])));
    assert_eq!(texts(found), [Some("two".into()), None, Some("3".into())]);
    assert_eq!(texts(bench.run(|cx| get(cx, "other", &names(&["a"])))), [None], "buckets do not mix");
    bench.run(|cx| change(cx, BUCKET, &[("a".into(), None), ("none".into(), None)]));
    assert_eq!(texts(bench.run(|cx| get(cx, BUCKET, &names(&["a"])))), [None]);

    let many: Vec<_> = (0..KEYS_MAX).map(|number| (format!("k{number:04}"), bytes(""))).collect();
    bench.run(|cx| change(cx, "many", &many));
    bench.run(|cx| change(cx, "many", &[("k".into(), bytes("")), ("z".into(), bytes(""))]));
    let (first, more) = bench.run(|cx| keys(cx, "many", None));
    assert!(first.len() == KEYS_MAX && more && first[0] == "k");
    let last = first.last().cloned();
    assert_eq!(bench.run(|cx| keys(cx, "many", last.as_deref())), (names(&["k0999", "z"]), false));
    let large = Some(Bytes::from(vec![0; 200 * 1024]));
    for at in 0..50 {
        bench.run(|cx| change(cx, "large", &[(format!("k{at:02}"), large.clone())]));
    }
    let (first, more) = bench.run(|cx| keys(cx, "large", None));
    assert!(first.len() < 50 && more, "a page of large values is a short one");
    let (rest, more) = bench.run(|cx| keys(cx, "large", first.last().map(String::as_str)));
    assert!(first.len() + rest.len() == 50 && !more);
}

#[test]
fn numbers_are_added_to_and_nothing_else_is() {
    let bench = Bench::seed(2);
    assert_eq!(bench.run(|cx| add(cx, BUCKET, "n", 5)), 5);
    assert_eq!(bench.run(|cx| add(cx, BUCKET, "n", -7)), -2);
    bench.run(|cx| {
        change(cx, BUCKET, &[("text".into(), bytes("12x")), ("most".into(), bytes(&i64::MAX.to_string()))])
    });
    let told = |key: &str| bench.attempt(|cx| add(cx, BUCKET, key, 1)).unwrap_err().message;
    assert_eq!(told("text"), "the value of text is no number in decimal digits");
    assert_eq!(told("most"), "the value of most would be out of range");
}

#[test]
fn a_swap_loses_against_every_change_since() {
    let bench = Bench::seed(3);
    let put = |text: &str| bench.run(|cx| change(cx, BUCKET, &[("k".into(), bytes(text))]));
    let seen = || bench.run(|cx| get(cx, BUCKET, &names(&["k"]))).pop().flatten().map(|value| value.revision);
    let swap = |seen, text: &'static str| {
        bench.run(|cx| swap(cx, BUCKET, "k", seen, &Bytes::from_static(text.as_bytes())))
    };
    assert!(swap(None, "first"));
    assert!(!swap(None, "second"), "it is there by now");
    let before = seen();
    put("changed");
    put("first");
    assert!(!swap(before, "third"), "the same bytes again are a change too");
    assert!(swap(seen(), "fourth"));
}

#[test]
fn what_is_too_large_is_refused() {
    let bench = Bench::seed(4);
    let told = |changes: Vec<(String, Option<Bytes>)>| {
        bench.attempt(|cx| change(cx, BUCKET, &changes)).unwrap_err().message
    };
    let large = |len| Some(Bytes::from(vec![0; len]));
    assert!(told(vec![("k".into(), large(1024 * 1024 + 1))]).contains("keyvalue_value_bytes"));
    assert!(
        told((0..5).map(|n| (n.to_string(), large(1024 * 1024))).collect()).contains("keyvalue_batch_bytes")
    );
    assert_eq!(told(vec![(String::new(), None)]), "a key has 1 to 2048 bytes");
    assert_eq!(told(vec![("k".into(), None); KEYS_MAX + 1]), "a batch has up to 1000 keys");
    assert!(bench.attempt(|cx| keys(cx, "", None)).is_err());
}

#[test]
fn values_keep_their_bytes() {
    let value = Value { bytes: Bytes::from_static(b"v"), revision: 0x0102_0304_0506_0708 };
    assert_eq!(value.encode(), [0x0a, 1, b'v', 0x11, 8, 7, 6, 5, 4, 3, 2, 1]);
    let row = VALUES.key(&("0", "r", "b", "k"));
    assert_eq!(row, [0, 250, b'0', 0, 0, b'r', 0, 0, b'b', 0, 0, b'k', 0, 0]);
}
