//! Every request under `tests/vectors`: AWS's own test suite, the examples of the S3 documentation, and what
//! botocore signs (`generate.py`).

use http::{HeaderMap, HeaderName, HeaderValue};
use mayfly_wire::checksum::sha256_hex;
use mayfly_wire::sigv4::{self, AuthError, Credential, Payload, Seed, SignedRequest};
use std::path::Path;
use std::time::Duration;

pub(crate) const SKEW: Duration = Duration::from_secs(900);

/// A request as it was sent.
pub(crate) struct Request {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn signed(&self) -> SignedRequest<'_> {
        SignedRequest { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers }
    }

    pub(crate) fn credential(&self) -> Credential {
        sigv4::find(&self.signed())
            .unwrap_or_else(|error| panic!("{}: {error:?}", self.name))
            .expect("signed")
    }

    /// Verified at the time of its signature, with its body at hand unless that comes in chunks.
    pub(crate) fn verify(&self) -> Result<Seed, AuthError> {
        let Some(credential) = sigv4::find(&self.signed())? else { return Err(AuthError::MissingToken) };
        let secret = match credential.access_key.as_str() {
            "AKIAIOSFODNN7EXAMPLE" => "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            _ => "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        };
        let hash = sha256_hex(&self.body);
        let streamed = matches!(credential.payload, Payload::Streaming { .. } | Payload::Unsigned);
        let hash = (!streamed).then_some(hash.as_str());
        sigv4::verify(&self.signed(), &credential, secret, credential.timestamp, SKEW, hash)
    }
}

pub(crate) fn load(name: &str) -> Request {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").expect("a head");
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().strip_suffix(" HTTP/1.1").expect("a request line");
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).unwrap());
    }
    Request {
        name: name.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: bytes[end + 2..].to_vec(),
    }
}

fn all() -> Vec<Request> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut names = Vec::new();
    for folder in ["suite", "s3", "botocore"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            names.push(format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap()));
        }
    }
    names.sort();
    names.iter().map(|name| load(name)).collect()
}

#[test]
fn every_vector_is_verified() {
    let requests = all();
    assert!(requests.len() >= 45, "only {} vectors were found", requests.len());
    for request in requests {
        if let Err(error) = request.verify() {
            panic!("{}: {error:?}", request.name);
        }
    }
}

#[test]
fn every_vector_is_refused_once_it_is_changed() {
    for request in all() {
        let name = request.name.clone();
        let changed = |change: &dyn Fn(&mut Request)| {
            let mut request = load(&name);
            change(&mut request);
            assert!(request.verify().is_err(), "{name} was accepted after a change");
        };
        changed(&|request| request.method = "PATCH".into());
        changed(&|request| request.path.push_str("/x"));
        changed(&|request| request.query.push_str("&x=1"));
        changed(&|request| {
            request.headers.insert("host", HeaderValue::from_static("elsewhere.example.com"));
        });
        let credential = request.credential();
        for header in credential.signed_headers.iter().filter(|header| *header != "x-amz-content-sha256") {
            changed(&|request| {
                request
                    .headers
                    .append(HeaderName::from_bytes(header.as_bytes()).unwrap(), "x".parse().unwrap());
            });
        }
        if matches!(credential.payload, Payload::Hash(_) | Payload::Absent) {
            changed(&|request| request.body.push(b'x'));
        }
    }
}
