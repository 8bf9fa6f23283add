//! A client of other registries: manifests and blobs of one repository, each checked against its digest.
//!
//! Our own rather than a library's: what is pulled streams to the disk with a bound on every answer, and it
//! shares the server's HTTP. Everything goes over TLS, except to registries of this machine and to those that
//! the configuration says are plain. What lets us in goes to the registry's own host and to the token service
//! that it names, never to where it redirects.

use super::challenge::Challenge;
use super::credentials::{Registries, Secret, Unreadable};
use super::hex;
use crate::outgoing::{Client, Trust};
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION, RANGE, USER_AGENT,
};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use mayfly_services::ecr::is_digest;
use mayfly_services::lambda::{NotReady, Why};
use mayfly_store::BlobWriter;
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";
/// A registry that has not said anything for this long will not.
const REST: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 5;
const TOKEN_BYTES: u64 = 256 * 1024;
const IDLE_CONNECTIONS: usize = 4;
/// How often a layer that broke off is gone on with, while nothing more comes of it.
const LOSSES: u32 = 5;
/// The pause after the first of them; after each further one it is twice as long.
const PAUSE: Duration = Duration::from_millis(250);

/// Why something was not pulled, as the end of a sentence about it.
#[derive(Debug)]
pub(crate) enum NotPulled {
    Missing,
    Denied(&'static str),
    Unreachable(String),
    Invalid(String),
    /// This machine's own disk would not have it.
    NotKept(String),
}

const ANONYMOUS: &str = "may not be pulled without credentials (or does not exist)";
const WRONG: &str =
    "may not be pulled with the credentials that are configured for its registry (or does not exist)";
const UNREADABLE: &str =
    "may not be pulled: the credentials that are configured for its registry cannot be read";

impl fmt::Display for NotPulled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotPulled::Missing => f.write_str("does not exist"),
            NotPulled::Denied(why) => f.write_str(why),
            NotPulled::Unreachable(why) => write!(f, "cannot be pulled: {why}"),
            NotPulled::Invalid(why) => write!(f, "is not valid: {why}"),
            NotPulled::NotKept(why) => write!(f, "cannot be kept: {why}"),
        }
    }
}

impl NotPulled {
    /// What a version whose layer it is comes to.
    pub(super) fn of_layer(&self, layer: &str) -> NotReady {
        let why = match self {
            NotPulled::Missing => Why::ImageDeleted,
            NotPulled::Denied(_) => Why::ImageAccessDenied,
            NotPulled::Invalid(_) => Why::Code,
            NotPulled::Unreachable(_) | NotPulled::NotKept(_) => Why::Internal,
        };
        NotReady { why, reason: format!("{layer} {self}") }
    }
}

fn unreachable(error: impl fmt::Display) -> NotPulled {
    NotPulled::Unreachable(error.to_string())
}

/// The whole of an error whose causes are not in its own words.
fn failed(error: &(dyn Error + 'static)) -> NotPulled {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    if text.contains("UnknownIssuer") {
        text += " (certificate_authorities in the configuration names a file of more authorities to believe)";
    }
    NotPulled::Unreachable(text)
}

/// One repository of another registry.
pub(super) struct Remote {
    base: String,
    repository: String,
    client: Client<Full<Bytes>>,
    secret: Option<Secret>,
    /// What lets in for now.
    authorization: Mutex<Option<HeaderValue>>,
}

/// What has come of a blob.
struct Coming {
    bytes: u64,
    sha256: Sha256,
    writer: BlobWriter,
}

impl Remote {
    pub(super) async fn new(
        trust: &Trust,
        registries: &Registries,
        registry: &str,
        repository: &str,
    ) -> Result<Remote, NotPulled> {
        let secret = registries.secret(registry, repository).await;
        let secret = secret.map_err(|Unreadable| NotPulled::Denied(UNREADABLE))?;
        Ok(Remote {
            base: base(registries, registry),
            repository: repository.to_owned(),
            client: trust.client(IDLE_CONNECTIONS),
            secret,
            authorization: Mutex::default(),
        })
    }

    /// The manifest under a tag or digest.
    pub(super) async fn manifest(&self, reference: &str, limit: u64) -> Result<Bytes, NotPulled> {
        let response = self.get(&format!("manifests/{reference}"), MANIFESTS, 0).await?;
        let body = gather(response.into_body(), limit).await?;
        match is_digest(reference) && reference != format!("sha256:{}", hex(&body)) {
            true => Err(NotPulled::Invalid(format!("what came is not {reference}"))),
            false => Ok(body),
        }
    }

    /// A short blob.
    pub(super) async fn blob(&self, digest: &str, size: u64) -> Result<Bytes, NotPulled> {
        let response = self.get(&format!("blobs/{digest}"), "*/*", 0).await?;
        let body = gather(response.into_body(), size).await?;
        match digest == format!("sha256:{}", hex(&body)) {
            true => Ok(body),
            false => Err(NotPulled::Invalid(format!("what came is not {digest}"))),
        }
    }

    /// A blob of any size, to the disk, gone on with where it breaks off. Nothing appears there if it is not
    /// what its digest says.
    pub(super) async fn keep(&self, digest: &str, size: u64, writer: BlobWriter) -> Result<(), NotPulled> {
        let mut coming = Coming { bytes: 0, sha256: Sha256::new(), writer };
        let mut losses = 0;
        loop {
            let before = coming.bytes;
            let loss = match self.go_on(digest, size, &mut coming).await {
                Ok(()) => break,
                Err(NotPulled::Unreachable(why)) => why,
                Err(other) => return Err(other),
            };
            losses = if coming.bytes > before { 1 } else { losses + 1 };
            if losses > LOSSES {
                return Err(NotPulled::Unreachable(loss));
            }
            tokio::time::sleep(PAUSE * 2u32.pow(losses - 1)).await;
        }
        let found: String = coming.sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if digest != format!("sha256:{found}") {
            return Err(NotPulled::Invalid("what came is not what its digest says".into()));
        }
        coming.writer.finish().await.map_err(|error| NotPulled::NotKept(error.to_string())).map(drop)
    }

    /// Takes in what has not come yet. A registry without ranges sends all of it again.
    async fn go_on(&self, digest: &str, size: u64, coming: &mut Coming) -> Result<(), NotPulled> {
        let response = self.get(&format!("blobs/{digest}"), "*/*", coming.bytes).await?;
        let mut skip = match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(response.headers(), coming.bytes) => 0,
            StatusCode::PARTIAL_CONTENT => return Err(unreachable("the registry sends another part")),
            _ => coming.bytes,
        };
        let mut body = response.into_body();
        while let Some(mut data) = next(&mut body).await? {
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(data.len());
            skip -= data.split_to(known).len() as u64;
            coming.bytes += data.len() as u64;
            if coming.bytes > size {
                return Err(NotPulled::Invalid("more came than its manifest says".into()));
            }
            coming.sha256.update(&data);
            let written = coming.writer.write(data).await;
            written.map_err(|error| NotPulled::NotKept(error.to_string()))?;
        }
        match coming.bytes == size {
            true => Ok(()),
            false => Err(unreachable("the registry stopped in the middle")),
        }
    }

    /// The answer to a request below the repository, wherever the registry sends us for it; without the first
    /// `from` bytes, if the registry can do that.
    async fn get(
        &self,
        path: &str,
        accept: &'static str,
        from: u64,
    ) -> Result<Response<Incoming>, NotPulled> {
        let first: Uri =
            format!("{}/v2/{}/{path}", self.base, self.repository).parse().map_err(unreachable)?;
        let mut uri = first.clone();
        let mut asked = false;
        for _ in 0..REDIRECTS {
            // What opens the registry is not for others.
            let own = uri.authority() == first.authority() && uri.scheme() == first.scheme();
            let mut request = request("GET", &uri, accept)?;
            if let Some(authorization) = self.authorization.lock().clone().filter(|_| own) {
                request.headers_mut().insert(AUTHORIZATION, authorization);
            }
            if from > 0 {
                let range = HeaderValue::try_from(format!("bytes={from}-")).map_err(unreachable)?;
                request.headers_mut().insert(RANGE, range);
            }
            let response = self.send(request).await?;
            match response.status() {
                StatusCode::OK => return Ok(response),
                StatusCode::PARTIAL_CONTENT if from > 0 => return Ok(response),
                // Once: what was good for the last request may be too old for this one.
                StatusCode::UNAUTHORIZED if own && !asked => {
                    asked = true;
                    let opened = self.open(response.headers()).await?;
                    *self.authorization.lock() = Some(opened);
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.denied()),
                StatusCode::NOT_FOUND => return Err(NotPulled::Missing),
                status if status.is_redirection() => {
                    uri = redirected(&uri, response.headers())?;
                }
                status => return Err(unreachable(format_args!("the registry answers {status}"))),
            }
        }
        Err(unreachable("the registry sends us around"))
    }

    fn denied(&self) -> NotPulled {
        NotPulled::Denied(if self.secret.is_some() { WRONG } else { ANONYMOUS })
    }

    /// What lets in, as the registry's refusal wants it.
    async fn open(&self, refusal: &HeaderMap) -> Result<HeaderValue, NotPulled> {
        let text = match Challenge::of(refusal).ok_or_else(|| self.denied())? {
            Challenge::Basic => self.secret.as_ref().and_then(Secret::basic).ok_or_else(|| self.denied())?,
            Challenge::Bearer { realm, service } => {
                format!("Bearer {}", self.token(&realm, &service).await?)
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| self.denied())?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A token, from where the registry's challenge says.
    async fn token(&self, realm: &str, service: &str) -> Result<String, NotPulled> {
        #[derive(Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let scope = format!("repository:{}:pull", self.repository);
        let wish = format!("service={}&scope={}", encoded(service), encoded(&scope));
        let mut request = match &self.secret {
            Some(Secret::Refresh(token)) => {
                let form = format!(
                    "grant_type=refresh_token&client_id=mayfly&{wish}&refresh_token={}",
                    encoded(token)
                );
                let mut request = request("POST", &self.realm(realm)?, "application/json")?;
                let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert(CONTENT_TYPE, kind);
                *request.body_mut() = Full::from(form);
                request
            }
            Some(Secret::Password { .. }) | None => {
                let join = if realm.contains('?') { '&' } else { '?' };
                request("GET", &self.realm(&format!("{realm}{join}{wish}"))?, "application/json")?
            }
        };
        if let Some(basic) = self.secret.as_ref().and_then(Secret::basic) {
            let mut basic = HeaderValue::try_from(basic).map_err(|_| self.denied())?;
            basic.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, basic);
        }
        let response = self.send(request).await?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_client_error() => return Err(self.denied()),
            status => return Err(unreachable(format_args!("the registry's token service answers {status}"))),
        }
        let body = gather(response.into_body(), TOKEN_BYTES).await?;
        let given: Given = serde_json::from_slice(&body)
            .map_err(|_| unreachable("the registry's token service answers with no token"))?;
        given.token.or(given.access_token).ok_or_else(|| self.denied())
    }

    /// Where tokens are given out: over TLS, if that is how we speak to the registry.
    fn realm(&self, text: &str) -> Result<Uri, NotPulled> {
        let realm: Uri = text.parse().map_err(unreachable)?;
        match realm.scheme_str() {
            Some("https") => Ok(realm),
            Some("http") if self.base.starts_with("http:") => Ok(realm),
            _ => Err(unreachable("the registry's token service is not reached over TLS")),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, NotPulled> {
        match tokio::time::timeout(REST, self.client.request(request)).await {
            Ok(answered) => answered.map_err(|error| failed(&error)),
            Err(_) => Err(unreachable("the registry does not answer")),
        }
    }
}

/// Scheme and host of a registry.
fn base(registries: &Registries, registry: &str) -> String {
    // The name that people write is not where it is.
    let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let tls = registries.tls(registry).unwrap_or(!is_loopback(host));
    format!("{}://{host}", if tls { "https" } else { "http" })
}

fn request(method: &str, uri: &Uri, accept: &'static str) -> Result<Request<Full<Bytes>>, NotPulled> {
    let request = Request::builder().method(method).uri(uri);
    let request = request.header(ACCEPT, accept);
    let request = request.header(USER_AGENT, concat!("mayfly/", env!("CARGO_PKG_VERSION")));
    request.body(Full::default()).map_err(unreachable)
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn starts_at(headers: &HeaderMap, from: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// Where a redirect leads; never out of TLS.
fn redirected(from: &Uri, headers: &HeaderMap) -> Result<Uri, NotPulled> {
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
    let to = absolute(from, to).ok_or_else(|| unreachable("the registry leads nowhere"))?;
    match (from.scheme_str(), to.scheme_str()) {
        (_, Some("https")) | (Some("http"), Some("http")) => Ok(to),
        _ => Err(unreachable("the registry leads out of TLS")),
    }
}

fn absolute(from: &Uri, to: &str) -> Option<Uri> {
    match to.starts_with('/') && !to.starts_with("//") {
        true => format!("{}://{}{to}", from.scheme_str()?, from.authority()?).parse().ok(),
        false => to.parse::<Uri>().ok().filter(|uri| uri.scheme().is_some() && uri.authority().is_some()),
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, NotPulled> {
    loop {
        let frame = tokio::time::timeout(REST, body.frame()).await;
        match frame.map_err(|_| unreachable("the registry stopped in the middle"))? {
            None => return Ok(None),
            Some(Err(error)) => return Err(failed(&error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn gather(mut body: Incoming, limit: u64) -> Result<Bytes, NotPulled> {
    let mut gathered = BytesMut::new();
    while let Some(data) = next(&mut body).await? {
        if (gathered.len() + data.len()) as u64 > limit {
            return Err(NotPulled::Invalid(format!("an answer of the registry has more than {limit} bytes")));
        }
        gathered.extend_from_slice(&data);
    }
    Ok(gathered.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_registries_are_spoken_to_in_the_open() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "127.9.9.9"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in
            ["ghcr.io", "10.0.0.1:5000", "localhost.example.com", "127.0.0.1.example.com", "[::2]:5000"]
        {
            assert!(!is_loopback(there), "{there}");
        }
        assert_eq!(base(&Registries::default(), "docker.io"), "https://registry-1.docker.io");
    }

    #[test]
    fn redirects_are_followed_but_never_out_of_tls() {
        let to = |from: &str, to: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, to.parse().unwrap());
            redirected(&from.parse().unwrap(), &headers).map(|uri| uri.to_string()).ok()
        };
        assert_eq!(to("http://h:1/v2/a", "/x?y").as_deref(), Some("http://h:1/x?y"));
        assert_eq!(to("https://h/v2/a", "https://cdn/x").as_deref(), Some("https://cdn/x"));
        assert_eq!(to("http://h:1/v2/a", "http://cdn/x").as_deref(), Some("http://cdn/x"));
        for nowhere in ["x", "", "//cdn/x", "http://cdn/x", "file:///etc/passwd"] {
            assert_eq!(to("https://h/v2/a", nowhere), None, "{nowhere}");
        }
    }
}
