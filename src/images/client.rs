//! A client of other registries: manifests and blobs of one repository, each checked against its digest.
//!
//! Our own rather than a library's: what is pulled streams to the disk with a bound on every answer, and it
//! shares the server's HTTP. Registries of this machine are spoken to in plain HTTP, as every client does.
//!
//! Not here: credentials. What needs more than an anonymous token is not pulled.

use super::hex;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, HOST, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mayfly_services::ecr::is_digest;
use mayfly_store::BlobWriter;
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";
/// A registry that has not said anything for this long will not.
const REST: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 5;
const TOKEN_BYTES: u64 = 256 * 1024;

/// Why something was not pulled, as the end of a sentence about it.
#[derive(Debug)]
pub(crate) enum NotPulled {
    Missing,
    Denied,
    Unreachable(String),
    Invalid(String),
}

impl fmt::Display for NotPulled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotPulled::Missing => f.write_str("does not exist"),
            NotPulled::Denied => f.write_str("may not be pulled without credentials"),
            NotPulled::Unreachable(why) => write!(f, "cannot be pulled: {why}"),
            NotPulled::Invalid(why) => write!(f, "is not valid: {why}"),
        }
    }
}

fn unreachable(error: impl fmt::Display) -> NotPulled {
    NotPulled::Unreachable(error.to_string())
}

pub(super) struct Remote {
    base: String,
    repository: String,
    authorization: Mutex<Option<String>>,
}

impl Remote {
    pub(super) fn new(registry: &str, repository: &str) -> Remote {
        // The name that people write is not where it is.
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let scheme = if is_loopback(host) { "http" } else { "https" };
        Remote {
            base: format!("{scheme}://{host}"),
            repository: repository.to_owned(),
            authorization: Mutex::default(),
        }
    }

    /// The manifest under a tag or digest.
    pub(super) async fn manifest(&self, reference: &str, limit: u64) -> Result<Bytes, NotPulled> {
        let response = self.get(&format!("manifests/{reference}"), MANIFESTS).await?;
        let body = gather(response.into_body(), limit).await?;
        match is_digest(reference) && reference != format!("sha256:{}", hex(&body)) {
            true => Err(NotPulled::Invalid(format!("what came is not {reference}"))),
            false => Ok(body),
        }
    }

    /// A short blob.
    pub(super) async fn blob(&self, digest: &str, size: u64) -> Result<Bytes, NotPulled> {
        let response = self.get(&format!("blobs/{digest}"), "*/*").await?;
        let body = gather(response.into_body(), size).await?;
        match digest == format!("sha256:{}", hex(&body)) {
            true => Ok(body),
            false => Err(NotPulled::Invalid(format!("what came is not {digest}"))),
        }
    }

    /// A blob of any size, to the disk. Nothing appears there if it is not what its digest says.
    pub(super) async fn keep(
        &self,
        digest: &str,
        size: u64,
        mut writer: BlobWriter,
    ) -> Result<(), NotPulled> {
        let mut body = self.get(&format!("blobs/{digest}"), "*/*").await?.into_body();
        let (mut sha256, mut came) = (Sha256::new(), 0);
        while let Some(data) = next(&mut body).await? {
            came += data.len() as u64;
            if came > size {
                break;
            }
            sha256.update(&data);
            writer.write(data).await.map_err(unreachable)?;
        }
        let found: String = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if came != size || digest != format!("sha256:{found}") {
            return Err(NotPulled::Invalid("what came is not what its digest says".into()));
        }
        writer.finish().await.map_err(unreachable).map(drop)
    }

    /// The answer to a request below the repository, wherever the registry sends us for it.
    async fn get(&self, path: &str, accept: &'static str) -> Result<Response<Incoming>, NotPulled> {
        let first: Uri =
            format!("{}/v2/{}/{path}", self.base, self.repository).parse().map_err(unreachable)?;
        let mut uri = first.clone();
        let mut asked_for_token = false;
        for _ in 0..REDIRECTS {
            // What opens the registry is not for others.
            let own = uri.authority() == first.authority();
            let authorization = own.then(|| self.authorization.lock().clone()).flatten();
            let response = send(&uri, accept, authorization).await?;
            match response.status() {
                StatusCode::OK => return Ok(response),
                StatusCode::UNAUTHORIZED if own && !asked_for_token => {
                    asked_for_token = true;
                    let token = self.token(response.headers().get(WWW_AUTHENTICATE)).await?;
                    *self.authorization.lock() = Some(format!("Bearer {token}"));
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(NotPulled::Denied),
                StatusCode::NOT_FOUND => return Err(NotPulled::Missing),
                status if status.is_redirection() => {
                    let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                    uri = absolute(&uri, to.unwrap_or_default())
                        .ok_or_else(|| unreachable("it leads nowhere"))?;
                }
                status => return Err(unreachable(format_args!("the registry answers {status}"))),
            }
        }
        Err(unreachable("the registry sends us around"))
    }

    /// A token for whoever asks, from where the registry's challenge says.
    async fn token(&self, challenge: Option<&HeaderValue>) -> Result<String, NotPulled> {
        #[derive(Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let challenge =
            challenge.and_then(|text| text.to_str().ok()).and_then(|text| text.strip_prefix("Bearer "));
        let challenge = challenge.ok_or(NotPulled::Denied)?;
        let realm = parameter(challenge, "realm").ok_or(NotPulled::Denied)?;
        let scope = format!("repository:{}:pull", self.repository);
        let encoded = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let join = if realm.contains('?') { '&' } else { '?' };
        let service = parameter(challenge, "service").unwrap_or_default();
        let uri = format!("{realm}{join}service={}&scope={}", encoded(&service), encoded(&scope));
        let uri: Uri = uri.parse().map_err(unreachable)?;
        let response = send(&uri, "application/json", None).await?;
        if response.status() != StatusCode::OK {
            return Err(NotPulled::Denied);
        }
        let body = gather(response.into_body(), TOKEN_BYTES).await?;
        let given: Given = serde_json::from_slice(&body).map_err(|_| NotPulled::Denied)?;
        given.token.or(given.access_token).ok_or(NotPulled::Denied)
    }
}

/// The value of `name="value"` in a challenge.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let value = challenge.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix("=\""))?;
    value.strip_suffix('"').map(str::to_owned)
}

/// Where a redirect leads.
fn absolute(from: &Uri, to: &str) -> Option<Uri> {
    match to.starts_with('/') {
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

async fn send(
    uri: &Uri,
    accept: &'static str,
    authorization: Option<String>,
) -> Result<Response<Incoming>, NotPulled> {
    let authority = uri.authority().ok_or_else(|| unreachable("the address has no host"))?;
    let port = authority.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let mut request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.as_str().rsplit('@').next().unwrap_or_default())
        .header(ACCEPT, accept)
        .header(http::header::USER_AGENT, concat!("mayfly/", env!("CARGO_PKG_VERSION")));
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(unreachable)?;
    if uri.scheme_str() != Some("http") {
        return Err(unreachable(
            "this server does not speak TLS yet; push the image to Mayfly's own registry",
        ));
    }
    let exchange = async {
        let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(unreachable)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(unreachable)
    };
    tokio::time::timeout(REST, exchange)
        .await
        .unwrap_or_else(|_| Err(unreachable("the registry does not answer")))
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, NotPulled> {
    loop {
        let frame = tokio::time::timeout(REST, body.frame()).await;
        match frame.map_err(|_| unreachable("the registry stopped in the middle"))? {
            None => return Ok(None),
            Some(Err(error)) => return Err(unreachable(error)),
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
        assert_eq!(Remote::new("docker.io", "library/alpine").base, "https://registry-1.docker.io");
    }

    #[test]
    fn challenges_and_redirects_are_read() {
        let challenge = r#"realm="https://auth.docker.io/token",service="registry.docker.io""#;
        assert_eq!(parameter(challenge, "realm").as_deref(), Some("https://auth.docker.io/token"));
        assert_eq!(parameter(challenge, "service").as_deref(), Some("registry.docker.io"));
        assert_eq!(parameter(challenge, "scope"), None);
        let from: Uri = "http://h:1/v2/a".parse().unwrap();
        assert_eq!(absolute(&from, "/x?y").unwrap(), "http://h:1/x?y");
        assert_eq!(absolute(&from, "https://cdn/x").unwrap(), "https://cdn/x");
        assert!(absolute(&from, "x").is_none());
    }
}
