//! Routes.

use http::HeaderMap;
use mayfly_wire::{Found, Route, Router};
use proptest::prelude::*;

const S3: &[(&str, &str)] = &[
    ("ListBuckets", "GET /"),
    ("CreateBucket", "PUT /{Bucket}"),
    ("ListObjects", "GET /{Bucket}"),
    ("ListObjectsV2", "GET /{Bucket}?list-type=2"),
    ("GetBucketTagging", "GET /{Bucket}?tagging"),
    ("DeleteBucket", "DELETE /{Bucket} 204"),
    ("GetObject", "GET /{Bucket}/{Key+}"),
    ("GetObjectTagging", "GET /{Bucket}/{Key+}?tagging"),
    ("PutObject", "PUT /{Bucket}/{Key+}"),
    ("CopyObject", "PUT /{Bucket}/{Key+} with x-amz-copy-source"),
    ("UploadPart", "PUT /{Bucket}/{Key+}?partNumber&uploadId"),
    ("UploadPartCopy", "PUT /{Bucket}/{Key+}?partNumber&uploadId with x-amz-copy-source"),
];
const LAMBDA: &[(&str, &str)] = &[
    ("ListFunctions", "GET /2015-03-31/functions"),
    ("GetFunction", "GET /2015-03-31/functions/{FunctionName}"),
    ("Invoke", "POST /2015-03-31/functions/{FunctionName}/invocations"),
    ("GetSettings", "GET /2015-03-31/functions/settings"),
];

fn router(routes: &[(&'static str, &str)]) -> Router<&'static str> {
    let mut router = Router::new();
    for (name, route) in routes {
        router.insert(Route::parse(route).unwrap(), *name);
    }
    router
}

fn find(router: &Router<&'static str>, line: &str, headers: &[&'static str]) -> String {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut map = HeaderMap::new();
    for name in headers {
        map.insert(*name, "x".parse().unwrap());
    }
    match router.find(method, path, query, &map) {
        Found::Match { value, labels } => {
            labels.iter().fold((*value).to_owned(), |text, (name, label)| format!("{text} {name}={label:?}"))
        }
        Found::NotFound => "not found".to_owned(),
        Found::MethodNotAllowed => "method not allowed".to_owned(),
    }
}

#[test]
fn the_most_specific_route_wins() {
    let s3 = router(S3);
    let find = |line| find(&s3, line, &[]);
    assert_eq!(find("GET /"), "ListBuckets");
    assert_eq!(find("GET /b"), "ListObjects Bucket=\"b\"");
    assert_eq!(find("GET /b?list-type=2&prefix=x"), "ListObjectsV2 Bucket=\"b\"");
    assert_eq!(find("GET /b?list-type=1"), "ListObjects Bucket=\"b\"");
    assert_eq!(find("GET /b/?tagging="), "GetBucketTagging Bucket=\"b\"");
    assert_eq!(find("GET /b/k?tagging"), "GetObjectTagging Bucket=\"b\" Key=\"k\"");
    assert_eq!(find("PUT /b/k?uploadId=u&partNumber=1"), "UploadPart Bucket=\"b\" Key=\"k\"");
    assert_eq!(find("PUT /b/k?partNumber=1"), "PutObject Bucket=\"b\" Key=\"k\"");
    assert_eq!(find("PATCH /b"), "method not allowed");
    assert_eq!(find("DELETE /b/k"), "method not allowed");
    assert_eq!(find("GET //k"), "not found");
}

#[test]
fn a_header_can_decide() {
    let s3 = router(S3);
    let find = |line| find(&s3, line, &["x-amz-copy-source"]);
    assert_eq!(find("PUT /b/k"), "CopyObject Bucket=\"b\" Key=\"k\"");
    assert_eq!(find("PUT /b/k?partNumber=1&uploadId=u"), "UploadPartCopy Bucket=\"b\" Key=\"k\"");
}

#[test]
fn keys_survive_as_they_are() {
    let s3 = router(S3);
    let key = |path: &str| find(&s3, &format!("GET {path}"), &[]);
    assert_eq!(key("/b/a/"), "GetObject Bucket=\"b\" Key=\"a/\"");
    assert_eq!(key("/b//a"), "GetObject Bucket=\"b\" Key=\"/a\"");
    assert_eq!(key("/b//"), "GetObject Bucket=\"b\" Key=\"/\"");
    assert_eq!(key("/b/a//b/../c"), "GetObject Bucket=\"b\" Key=\"a//b/../c\"");
    assert_eq!(key("/b/a%2Fb+c%20%C3%BC"), "GetObject Bucket=\"b\" Key=\"a/b+c ü\"");
    assert_eq!(key("/b/%ff"), "not found");
}

#[test]
fn labels_may_be_arns() {
    let lambda = router(LAMBDA);
    let find = |line: &str| find(&lambda, line, &[]);
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let encoded = arn.replace(':', "%3A");
    for sent in [arn, &encoded] {
        let line = format!("POST /2015-03-31/functions/{sent}/invocations");
        assert_eq!(find(&line), format!("Invoke FunctionName=\"{arn}\""));
    }
    assert_eq!(find("GET /2015-03-31/functions/"), "ListFunctions");
    assert_eq!(find("GET /2015-03-31/functions/settings"), "GetSettings");
    assert_eq!(find("GET /2015-03-31/functions/a%2Fb/"), "GetFunction FunctionName=\"a/b\"");
    assert_eq!(find("GET /2015-03-31/functions/f/invocations"), "method not allowed");
    assert_eq!(find("GET /2016-01-01/functions"), "not found");
}

#[test]
fn a_success_status_is_part_of_a_route() {
    assert_eq!(Route::parse("DELETE /{Bucket} 204").unwrap().status, 204);
    assert_eq!(Route::parse("GET /").unwrap().status, 200);
    for text in ["", "GET", "GET b", "GET /{a", "GET /{Key+}/x", "GET / 999", "GET / with", "GET //a"] {
        assert!(Route::parse(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn every_key_is_found_whole(key in "[a-z/%.~ é]{1,20}") {
        let s3 = router(S3);
        let path: String = key.bytes().map(|byte| match byte {
            b'/' => "/".to_owned(),
            other => format!("%{other:02X}"),
        }).collect();
        let found = s3.find("GET", &format!("/bucket/{path}"), "", &HeaderMap::new());
        let Found::Match { labels, .. } = found else { panic!("{key:?} was not found") };
        prop_assert_eq!(&labels[1].1, &key);
    }

    #[test]
    fn no_path_makes_it_panic(path: String, query: String) {
        let _ = router(S3).find("GET", &path, &query, &HeaderMap::new());
    }
}
