use super::{Cloud, text, texts};

fn filled() -> Cloud {
    let cloud = Cloud::new();
    for key in ["a", "dir/1", "dir/2", "dir/sub/3", "z%20%2B"] {
        cloud.put(&format!("/box/{key}"), "x");
    }
    cloud
}

fn keys(document: &str) -> Vec<String> {
    texts(document, "Key")
}

/// The common prefixes; the listing's own prefix is an element of the same name.
fn prefixes(document: &str) -> Vec<String> {
    texts(document, "CommonPrefixes").iter().map(|inner| text(inner, "Prefix")).collect()
}

#[test]
fn a_delimiter_rolls_keys_up() {
    let cloud = filled();
    let flat = cloud.get("/box?list-type=2");
    assert_eq!(keys(flat.text()), ["a", "dir/1", "dir/2", "dir/sub/3", "z +"]);
    assert_eq!(
        (text(flat.text(), "KeyCount"), text(flat.text(), "IsTruncated")),
        ("5".into(), "false".into())
    );
    let rolled = cloud.get("/box?list-type=2&delimiter=/");
    assert_eq!(
        (keys(rolled.text()), prefixes(rolled.text())),
        (vec!["a".into(), "z +".into()], vec!["dir/".into()])
    );
    let below = cloud.get("/box?list-type=2&delimiter=/&prefix=dir/");
    assert_eq!(
        (keys(below.text()), prefixes(below.text())),
        (vec!["dir/1".into(), "dir/2".into()], vec!["dir/sub/".into()])
    );
    let encoded = cloud.get("/box?encoding-type=url&prefix=z");
    assert_eq!(keys(encoded.text()), ["z+%2B"]);
    assert_eq!(text(encoded.text(), "EncodingType"), "url");
    assert!(!flat.text().contains("<Owner>"));
    assert!(cloud.get("/box?list-type=2&fetch-owner=true").text().contains("<Owner>"));
}

#[test]
fn pages_follow_each_other_in_both_versions() {
    let cloud = filled();
    let (mut shown, mut token) = (Vec::new(), String::new());
    loop {
        let page = cloud.get(&format!("/box?list-type=2&max-keys=1&delimiter=/{token}"));
        shown.extend(keys(page.text()));
        shown.extend(prefixes(page.text()));
        if text(page.text(), "IsTruncated") == "false" {
            break;
        }
        token = format!("&continuation-token={}", text(page.text(), "NextContinuationToken"));
    }
    assert_eq!(shown, ["a", "dir/", "z +"]);

    let page = cloud.get("/box?max-keys=2&delimiter=/");
    assert_eq!(text(page.text(), "NextMarker"), "dir/");
    assert_eq!(keys(cloud.get("/box?delimiter=/&marker=dir/").text()), ["z +"]);
    assert_eq!(keys(cloud.get("/box?marker=dir/2").text()), ["dir/sub/3", "z +"]);
    assert_eq!(keys(cloud.get("/box?list-type=2&start-after=dir/2").text()), ["dir/sub/3", "z +"]);
    let nothing = cloud.get("/box?max-keys=0");
    assert_eq!((keys(nothing.text()).len(), text(nothing.text(), "IsTruncated")), (0, "false".into()));
    for bad in ["max-keys=x", "max-keys=-1", "encoding-type=hex", "list-type=2&continuation-token=!"] {
        assert_eq!(cloud.code(&format!("GET /box?{bad}"), &[], ""), "InvalidArgument", "{bad}");
    }
}

#[test]
fn uploads_under_way_are_listed_by_key_and_age() {
    let cloud = Cloud::new();
    let begin = |key: &str| text(cloud.ok(&format!("POST /box/{key}?uploads"), &[], "").text(), "UploadId");
    let first = begin("k");
    cloud.0.advance(std::time::Duration::from_secs(1));
    let second = begin("k");
    begin("d/1");
    let all = cloud.get("/box?uploads");
    assert_eq!(texts(all.text(), "UploadId")[1..], [first.clone(), second.clone()]);
    let page = cloud.get("/box?uploads&max-uploads=2");
    assert_eq!(
        (text(page.text(), "NextKeyMarker"), text(page.text(), "NextUploadIdMarker")),
        ("k".into(), first.clone())
    );
    let rest = cloud.get(&format!("/box?uploads&key-marker=k&upload-id-marker={first}"));
    assert_eq!(texts(rest.text(), "UploadId"), [second]);
    assert_eq!(prefixes(cloud.get("/box?uploads&delimiter=/").text()), ["d/"]);
}
