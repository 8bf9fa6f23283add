//! Signing and refusing.

use crate::vectors::{Request, SKEW, load};
use http::{HeaderMap, HeaderValue};
use mayfly_kernel::Time;
use mayfly_wire::Protocol;
use mayfly_wire::checksum::sha256_hex;
use mayfly_wire::sigv4::{self, AuthError, SignedRequest, Signer};
use proptest::prelude::*;
use std::time::Duration;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: Time = Time::from_secs(1_440_938_160);

fn signer(service: &str) -> Signer<'_> {
    Signer { access_key: "AKIDEXAMPLE", secret: SECRET, session_token: None, region: "us-east-1", service }
}

fn fault(error: AuthError, protocol: Protocol) -> String {
    let fault = error.to_fault(protocol);
    format!("{} {} {}", fault.status, fault.code, fault.message)
}

/// What S3 answers to a vector after a change.
fn s3(name: &str, change: impl Fn(&mut Request)) -> String {
    let mut request = load(name);
    change(&mut request);
    fault(request.verify().unwrap_err(), Protocol::RestXml)
}

fn authorize(request: &mut Request, from: &str, to: &str) {
    let value = request.headers["authorization"].to_str().unwrap().replace(from, to);
    request.headers.insert("authorization", value.parse().unwrap());
}

#[test]
fn the_suites_signature_is_made() {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
    sigv4::sign(&signer("service"), "GET", "/", "", &mut headers, sigv4::EMPTY_SHA256, NOW).unwrap();
    insta::assert_snapshot!(
        headers["authorization"].to_str().unwrap(),
        @"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
}

#[test]
fn a_presigned_url_is_good_until_it_expires() {
    let token = Signer { session_token: Some("a/t+="), ..signer("s3") };
    let query = sigv4::presign(&token, "GET", "/b/k%20k", "versionId=1", "h:1", Duration::from_secs(60), NOW)
        .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("h:1"));
    let req = SignedRequest { method: "GET", path: "/b/k%20k", query: &query, headers: &headers };
    let credential = sigv4::find(&req).unwrap().unwrap();
    assert_eq!(credential.session_token.as_deref(), Some("a/t+="));
    let at = |now| sigv4::verify(&req, &credential, SECRET, now, SKEW, None).map(drop);
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(NOW + Duration::from_secs(60)), Ok(()));
    insta::assert_snapshot!(
        fault(at(NOW + Duration::from_secs(61)).unwrap_err(), Protocol::RestXml),
        @"403 AccessDenied Request has expired"
    );
    insta::assert_snapshot!(
        fault(at(NOW - Duration::from_secs(901)).unwrap_err(), Protocol::RestXml),
        @"403 AccessDenied Request is not valid yet"
    );
}

#[test]
fn a_clock_that_is_off_is_told_so() {
    let request = load("s3/get-object.http");
    let credential = request.credential();
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let late = credential.timestamp + Duration::from_secs(901);
    let error = sigv4::verify(&request.signed(), &credential, secret, late, SKEW, None).unwrap_err();
    let skewed = error.to_fault(Protocol::RestXml);
    insta::assert_debug_snapshot!((&skewed.code, skewed.status, &skewed.fields), @r#"
    (
        "RequestTimeTooSkewed",
        403,
        [
            (
                "RequestTime",
                "20130524T000000Z",
            ),
            (
                "ServerTime",
                "2013-05-24T00:15:01.000Z",
            ),
            (
                "MaxAllowedSkewMilliseconds",
                "900000",
            ),
        ],
    )
    "#);
    insta::assert_snapshot!(
        fault(error, Protocol::Json11),
        @"400 InvalidSignatureException Signature expired: 20130524T000000Z is now earlier than 20130524T000001Z (20130524T001501Z - 15 min.)"
    );
}

#[test]
fn s3_says_what_is_wrong_with_a_signature() {
    const GET: &str = "s3/get-object.http";
    const URL: &str = "s3/presigned.http";
    insta::assert_snapshot!(
        s3(GET, |r| authorize(r, "AWS4-HMAC-SHA256 ", "AWS ")),
        @"400 InvalidRequest The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    );
    insta::assert_snapshot!(
        s3(GET, |r| authorize(r, "AWS4-HMAC-SHA256 ", "Bearer ")),
        @"400 InvalidArgument Unsupported Authorization Type"
    );
    insta::assert_snapshot!(
        s3(GET, |r| authorize(r, "/s3/aws4_request", "/s3")),
        @r#"400 AuthorizationHeaderMalformed The authorization header is malformed; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"."#
    );
    insta::assert_snapshot!(
        s3(GET, |r| authorize(r, "20130524", "20130525")),
        @r#"400 AuthorizationHeaderMalformed The authorization header is malformed; Invalid credential date "20130525". This date is not the same as X-Amz-Date: "20130524"."#
    );
    insta::assert_snapshot!(
        s3(GET, |r| authorize(r, "host;", "")),
        @"403 AccessDenied There were headers present in the request which were not signed"
    );
    insta::assert_snapshot!(
        s3(GET, |r| drop(r.headers.insert("x-amz-acl", "public-read".parse().unwrap()))),
        @"403 AccessDenied There were headers present in the request which were not signed"
    );
    insta::assert_snapshot!(
        s3(GET, |r| r.query = load(URL).query),
        @"400 InvalidArgument Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified"
    );
    insta::assert_snapshot!(
        s3(GET, |r| drop(r.headers.remove("x-amz-content-sha256"))),
        @"400 InvalidRequest Missing required header for this request: x-amz-content-sha256"
    );
    insta::assert_snapshot!(
        s3("s3/put-object.http", |r| r.body.push(b'!')),
        @"400 XAmzContentSHA256Mismatch The provided 'x-amz-content-sha256' header does not match what was computed."
    );
    insta::assert_snapshot!(
        s3(URL, |r| r.query = r.query.replace("86400", "604801")),
        @"400 AuthorizationQueryParametersError X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
    );
    insta::assert_snapshot!(
        s3(URL, |r| r.query = r.query.replace("X-Amz-Date=20130524T000000Z&", "")),
        @"400 AuthorizationQueryParametersError Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
    );
    insta::assert_snapshot!(
        s3(URL, |r| r.query = "AWSAccessKeyId=AKID&Expires=1&Signature=x".into()),
        @"400 InvalidRequest The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    );
    insta::assert_snapshot!(
        s3(URL, |r| r.method = "DELETE".into()),
        @"403 SignatureDoesNotMatch The request signature we calculated does not match the signature you provided. Check your key and signing method."
    );
}

#[test]
fn other_services_have_their_own_words() {
    let mismatch = || {
        let mut request = load("suite/get-vanilla.http");
        request.path = "/other".into();
        request.verify().unwrap_err()
    };
    let codes = |error: &AuthError| {
        let all = [Protocol::Json10, Protocol::RestJson, Protocol::Query, Protocol::RestXml];
        all.map(|protocol| {
            let fault = error.to_fault(protocol);
            format!("{} {}", fault.status, fault.code)
        })
        .join(" | ")
    };
    insta::assert_snapshot!(codes(&mismatch()), @"400 InvalidSignatureException | 403 InvalidSignatureException | 403 SignatureDoesNotMatch | 403 SignatureDoesNotMatch");
    insta::assert_snapshot!(codes(&AuthError::MissingToken), @"400 MissingAuthenticationTokenException | 403 MissingAuthenticationTokenException | 403 MissingAuthenticationToken | 403 AccessDenied");
    let unknown = AuthError::UnknownKey { access_key: "AKIDNOBODY".into() };
    insta::assert_snapshot!(codes(&unknown), @"400 UnrecognizedClientException | 403 UnrecognizedClientException | 403 InvalidClientTokenId | 403 InvalidAccessKeyId");
    insta::assert_snapshot!(codes(&AuthError::ExpiredToken), @"400 ExpiredTokenException | 403 ExpiredTokenException | 403 ExpiredToken | 400 ExpiredToken");
}

#[test]
fn a_request_without_signature_is_anonymous() {
    let headers = HeaderMap::new();
    let req = SignedRequest { method: "GET", path: "/", query: "prefix=X-Amz-Signature", headers: &headers };
    assert_eq!(sigv4::find(&req), Ok(None));
}

/// A path of segments that need every kind of encoding.
fn paths() -> impl Strategy<Value = String> {
    let segment =
        prop_oneof!["[a-zA-Z0-9._~-]{0,6}", "[ (!é%]{1,3}", Just("..".to_owned()), Just("%2F%41".to_owned())];
    prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #[test]
    fn what_is_signed_is_verified(
        path in paths(),
        query in "[a-zA-Z0-9=&%+ é/~*-]{0,30}",
        value in "[ -~]{0,20}",
        body: Vec<u8>,
        s3: bool,
    ) {
        let service = if s3 { "s3" } else { "lambda" };
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:4566"));
        headers.append("x-amz-meta-a", value.trim().parse().unwrap());
        let hash = sha256_hex(&body);
        sigv4::sign(&signer(service), "PUT", &path, &query, &mut headers, &hash, NOW).unwrap();
        let req = SignedRequest { method: "PUT", path: &path, query: &query, headers: &headers };
        let credential = sigv4::find(&req).unwrap().unwrap();
        let verify = |secret, hash| sigv4::verify(&req, &credential, secret, NOW, SKEW, Some(hash)).is_ok();
        prop_assert!(verify(SECRET, hash.as_str()));
        prop_assert!(!verify("another", hash.as_str()));
        let other = sha256_hex(b"another body");
        prop_assert!(!verify(SECRET, other.as_str()));
    }

    #[test]
    fn any_changed_byte_of_the_header_is_refused(place: prop::sample::Index, byte in b'!'..b'~') {
        let mut request = load("s3/get-object.http");
        let mut value = request.headers["authorization"].as_bytes().to_vec();
        let place = place.index(value.len());
        prop_assume!(value[place] != byte);
        // A separator's space may be another one; everything else counts.
        prop_assume!(value[place] != b' ');
        value[place] = byte;
        request.headers.insert("authorization", HeaderValue::from_bytes(&value).unwrap());
        prop_assert!(request.verify().is_err());
    }

    #[test]
    fn no_request_makes_it_panic(authorization: Vec<u8>, query in ".{0,200}", date in "[0-9TZ]{0,20}") {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", date.parse().unwrap());
        if let Ok(value) = HeaderValue::from_bytes(&authorization) {
            headers.insert("authorization", value);
        }
        let query = format!("X-Amz-Credential={query}&X-Amz-Date={date}");
        for query in [query.as_str(), ""] {
            let _ = sigv4::find(&SignedRequest { method: "GET", path: "/", query, headers: &headers });
        }
    }
}
