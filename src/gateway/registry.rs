//! The registry: the OCI distribution protocol (specification v1.1) over HTTP, under `/v2/`.
//!
//! Clients show the password that `aws ecr get-login-password` prints, with the user name `AWS`. Layers
//! stream to the disk, and what an upload has acknowledged is there after a crash; a manifest is one commit.
//! What each request means to the rows is `mayfly_services::ecr::registry`.
//!
//! Not here: bearer tokens, and the referrers API, which clients do without.

use super::bodies::{self, Intake, Source};
use super::{Peer, Request, Response, auth, respond, stage};
use crate::cloud::Cloud;
use base64::Engine as _;
use http::Method;
use http::request::Parts;
use hyper::body::Incoming;
use mayfly_kernel::{Caller, Fault};
use mayfly_runtime::body;
use mayfly_services::ecr::{self, layer_blob, registry};
use mayfly_services::operation::{Piece, Upload};
use mayfly_services::{Content, Reply, s3};
use mayfly_wire::checksum::Algorithm;
use mayfly_wire::{Protocol, parse_query};
use std::sync::Arc;

const ROOT: &str = "/v2";
const DIGEST: &str = "docker-content-digest";
const UPLOAD: &str = "docker-upload-uuid";

/// Whether the request is the registry's. The API of API Gateway has paths that begin alike, and is always
/// signed.
pub(super) fn is_registry(request: &Request) -> bool {
    let path = request.uri().path();
    let below = path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let header = request.headers().get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    let signed = header.is_some_and(|value| value.starts_with(b"AWS"))
        || request.uri().query().is_some_and(|query| query.contains("X-Amz-"));
    below && !signed
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Root,
    Catalog,
    Tags(String),
    Manifest(String, String),
    Blob(String, String),
    Uploads(String),
    Upload(String, String),
}

/// A repository's name may have slashes, so a path is read from its end.
fn place(path: &str) -> Option<Place> {
    let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    let rest = path.strip_prefix(ROOT)?.trim_start_matches('/');
    let parts: Vec<&str> = rest.split('/').collect();
    let name = |parts: &[&str]| (!parts.is_empty()).then(|| parts.join("/"));
    match parts.as_slice() {
        [""] => Some(Place::Root),
        ["_catalog"] => Some(Place::Catalog),
        [of @ .., "tags", "list"] => name(of).map(Place::Tags),
        [of @ .., "blobs", "uploads"] | [of @ .., "blobs", "uploads", ""] => name(of).map(Place::Uploads),
        [of @ .., "blobs", "uploads", id] => Some(Place::Upload(name(of)?, (*id).to_owned())),
        [of @ .., "manifests", reference] => Some(Place::Manifest(name(of)?, (*reference).to_owned())),
        [of @ .., "blobs", digest] => Some(Place::Blob(name(of)?, (*digest).to_owned())),
        _ => None,
    }
}

/// A request of a known caller.
struct Exchange<'a> {
    cloud: &'a Arc<Cloud>,
    parts: &'a Parts,
    caller: Caller,
    request_id: &'a str,
}

pub(super) async fn answer(cloud: &Arc<Cloud>, peer: &Peer, request: Request) -> Response {
    let request_id = cloud.runner.request_id();
    let (parts, incoming) = request.into_parts();
    let head = parts.method == Method::HEAD;
    let outcome = match caller(cloud, peer, &parts) {
        None => Err(Fault::new(401, "UNAUTHORIZED", "authentication required")),
        Some(caller) => {
            let exchange = Exchange { cloud, parts: &parts, caller, request_id: &request_id };
            exchange.perform(incoming).await
        }
    };
    let mut response = match outcome {
        Ok(reply) => respond::reply(cloud, Protocol::RestJson, reply, &request_id, head),
        Err(fault) => refused(cloud, &fault, &request_id, head),
    };
    respond::set(&mut response, "docker-distribution-api-version", "registry/2.0");
    response
}

/// Whose password the client shows.
fn caller(cloud: &Cloud, peer: &Peer, parts: &Parts) -> Option<Caller> {
    let header = parts.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, pair) = header.split_once(' ')?;
    let pair = base64::engine::general_purpose::STANDARD.decode(pair.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("basic") || user != "AWS" {
        return None;
    }
    let caller = ecr::open_password(cloud.runner.site(), password, cloud.runner.clock().now())?;
    auth::agrees(peer, &caller).then(|| Caller { depth: peer.depth(), ..caller })
}

/// A fault in the protocol's form, and in its words where it is one that many parts of Mayfly know.
fn refused(cloud: &Cloud, fault: &Fault, request_id: &str, head: bool) -> Response {
    let own = fault.code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let code = match fault.status {
        _ if own => fault.code.as_ref(),
        403 => "DENIED",
        405 => "UNSUPPORTED",
        413 => "SIZE_INVALID",
        416 => "RANGE_INVALID",
        429 => "TOOMANYREQUESTS",
        400..500 => "BLOB_UPLOAD_INVALID",
        _ => "UNKNOWN",
    };
    if fault.is_server() {
        tracing::error!(%fault, request_id, "a request to the registry failed");
    }
    let document = serde_json::json!({ "errors": [{ "code": code, "message": fault.message }] }).to_string();
    let mut response = http::Response::new(if head { body::empty() } else { body::full(document) });
    *response.status_mut() = http::StatusCode::from_u16(fault.status).unwrap_or_default();
    respond::set(&mut response, "content-type", "application/json");
    if fault.status == 401 {
        let site = cloud.runner.site();
        let realm =
            format!("Basic realm=\"{}://{}/\",service=\"ecr.amazonaws.com\"", site.scheme(), site.authority);
        respond::set(&mut response, "www-authenticate", &realm);
    }
    if fault.status == 413 {
        respond::set(&mut response, "connection", "close");
    }
    response
}

impl Exchange<'_> {
    async fn perform(&self, incoming: Incoming) -> Result<Reply, Fault> {
        let unknown = || Fault::new(404, "UNSUPPORTED", "the registry has no such path");
        let place = place(self.parts.uri.path()).ok_or_else(unknown)?;
        match (self.parts.method.as_str(), place) {
            ("GET" | "HEAD", Place::Root) => Ok(Reply::status(200).body("application/json", "{}")),
            ("GET", Place::Catalog) => self.catalog(),
            ("GET", Place::Tags(name)) => self.tags(&name),
            ("GET" | "HEAD", Place::Manifest(name, reference)) => self.manifest(&name, &reference),
            ("PUT", Place::Manifest(name, reference)) => self.put_manifest(&name, &reference, incoming).await,
            ("DELETE", Place::Manifest(name, reference)) => {
                self.write(|cx| registry::delete_manifest(cx, &name, &reference)).await?;
                Ok(Reply::status(202))
            }
            ("GET" | "HEAD", Place::Blob(name, digest)) => self.blob(&name, &digest),
            ("DELETE", Place::Blob(name, digest)) => {
                self.write(|cx| registry::delete_blob(cx, &name, &digest)).await?;
                Ok(Reply::status(202))
            }
            ("POST", Place::Uploads(name)) => self.begin(&name, incoming).await,
            ("GET", Place::Upload(name, id)) => {
                let size = self.view(|cx| registry::pending(cx, &name, &id))?.size;
                Ok(progress(204, &name, &id, size))
            }
            ("PATCH", Place::Upload(name, id)) => {
                let size = self.chunk(&name, &id, incoming).await?;
                Ok(progress(202, &name, &id, size))
            }
            ("PUT", Place::Upload(name, id)) => {
                let digest = self.query("digest").unwrap_or_default();
                self.finish(&name, &id, &digest, incoming).await
            }
            ("DELETE", Place::Upload(name, id)) => {
                self.write(|cx| registry::cancel(cx, &name, &id)).await?;
                Ok(Reply::status(204))
            }
            (method, _) => Err(Fault::new(405, "UNSUPPORTED", format!("{method} is not supported here"))),
        }
    }

    fn view<T>(&self, f: impl FnOnce(&mut mayfly_services::Cx<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        self.cloud.runner.view(&self.caller, self.request_id, f)
    }

    async fn write<T>(
        &self,
        f: impl FnMut(&mut mayfly_services::Cx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.cloud.transact(&self.caller, self.request_id, f).await
    }

    fn query(&self, name: &str) -> Option<String> {
        let query = parse_query(self.parts.uri.query().unwrap_or_default());
        query.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The page that is asked for: after what, and of how many.
    fn page(&self) -> Result<(Option<String>, Option<usize>), Fault> {
        let bad = |_| Fault::new(400, "PAGINATION_NUMBER_INVALID", "n must be a number");
        Ok((self.query("last"), self.query("n").map(|n| n.parse().map_err(bad)).transpose()?))
    }

    fn catalog(&self) -> Result<Reply, Fault> {
        let (last, count) = self.page()?;
        let (names, more) = self.view(|cx| registry::catalog(cx, last.as_deref(), count))?;
        let next = names.last().filter(|_| more).map(|last| format!("{ROOT}/_catalog?last={last}"));
        Ok(listing(&serde_json::json!({ "repositories": names }), next, count))
    }

    fn tags(&self, name: &str) -> Result<Reply, Fault> {
        let (last, count) = self.page()?;
        let (tags, more) = self.view(|cx| registry::tags(cx, name, last.as_deref(), count))?;
        let next = tags.last().filter(|_| more).map(|last| format!("{ROOT}/{name}/tags/list?last={last}"));
        Ok(listing(&serde_json::json!({ "name": name, "tags": tags }), next, count))
    }

    fn manifest(&self, name: &str, reference: &str) -> Result<Reply, Fault> {
        let found = self.view(|cx| registry::manifest(cx, name, reference))?;
        let reply = Reply::status(200)
            .header("content-type", found.media_type)
            .header("content-length", found.body.len().to_string())
            .header("etag", format!("\"{}\"", found.digest))
            .header(DIGEST, found.digest);
        Ok(reply.content(Content::Bytes(found.body)))
    }

    async fn put_manifest(&self, name: &str, reference: &str, incoming: Incoming) -> Result<Reply, Fault> {
        let limits = self.cloud.runner.limits();
        let limit = limits.registry_manifest_bytes;
        let body = bodies::gather(limits, incoming, limit, "registry_manifest_bytes").await?;
        let media_type = self.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let put = self.write(|cx| registry::put_manifest(cx, name, reference, media_type, &body));
        let digest = put.await?;
        let location = format!("{ROOT}/{name}/manifests/{digest}");
        Ok(Reply::status(201).header("location", location).header(DIGEST, digest))
    }

    fn blob(&self, name: &str, digest: &str) -> Result<Reply, Fault> {
        let size = self.view(|cx| registry::blob(cx, name, digest))?;
        let range = match self.header("range") {
            Some(header) => s3::parse_range(header, size)?,
            None => None,
        };
        let (status, piece) = match &range {
            Some(range) => (206, range.clone()),
            None => (200, 0..size),
        };
        let told = range.map(|range| format!("bytes {}-{}/{size}", range.start, range.end - 1));
        let reply = Reply::status(status)
            .header("content-type", "application/octet-stream")
            .header("content-length", (piece.end - piece.start).to_string())
            .header("accept-ranges", "bytes")
            .header("etag", format!("\"{digest}\""))
            .header(DIGEST, digest)
            .header_opt("content-range", told);
        Ok(reply.content(Content::Pieces(vec![Piece::Blob { id: layer_blob(digest), range: piece }])))
    }

    /// Begins an upload; or the whole of one in this single request; or takes a layer over from another
    /// repository.
    async fn begin(&self, name: &str, incoming: Incoming) -> Result<Reply, Fault> {
        if let (Some(digest), Some(from)) = (self.query("mount"), self.query("from"))
            && self.write(|cx| registry::mount(cx, name, &digest, &from)).await?
        {
            return Ok(made(name, &digest));
        }
        let id = self.write(|cx| registry::begin(cx, name)).await?;
        match self.query("digest") {
            Some(digest) => self.finish(name, &id, &digest, incoming).await,
            None => Ok(progress(202, name, &id, 0)),
        }
    }

    /// Takes a chunk in; how many bytes the upload has then.
    async fn chunk(&self, name: &str, id: &str, incoming: Incoming) -> Result<u64, Fault> {
        let before = self.view(|cx| registry::pending(cx, name, id))?.size;
        let from = self.header("content-range").and_then(|range| {
            let range = range.trim().trim_start_matches("bytes ");
            range.split('-').next()?.parse::<u64>().ok()
        });
        let chunk = self.receive(before, incoming).await?;
        let from = from.unwrap_or(before);
        let appended = self.write(|cx| registry::append(cx, name, id, from, &chunk)).await;
        if appended.is_err() {
            bodies::discard(self.cloud, &chunk).await;
        }
        appended
    }

    async fn receive(&self, before: u64, incoming: Incoming) -> Result<Upload, Fault> {
        let intake = Intake {
            payload: auth::Payload::Unsigned,
            algorithms: vec![Algorithm::Sha256],
            limit: self.cloud.runner.limits().registry_layer_bytes.saturating_sub(before),
            announced: self.header("content-length").and_then(|length| length.parse().ok()),
        };
        Ok(bodies::receive(self.cloud, Source::Body(incoming), intake).await?.upload)
    }

    /// Makes a layer of an upload if its bytes have the digest; the last of them may come with this request.
    async fn finish(&self, name: &str, id: &str, digest: &str, incoming: Incoming) -> Result<Reply, Fault> {
        if !ecr::is_digest(digest) {
            let text = "the digest must be sha256: and 64 hexadecimal digits";
            return Err(Fault::new(400, "DIGEST_INVALID", text));
        }
        self.chunk(name, id, incoming).await?;
        let pending = self.view(|cx| registry::pending(cx, name, id))?;
        // From here on nobody deletes the layer's bytes, should they be there already without a holder.
        let _kept = self.cloud.packages.read().await;
        let wanted = digest.trim_start_matches("sha256:");
        match (pending.pieces.as_slice(), &pending.sha256) {
            ([Piece::Blob { id, .. }], Some(sha256)) if sha256 == wanted => {
                let linked = self.cloud.blobs.link(id, &layer_blob(digest)).await;
                linked.map_err(|error| Fault::unavailable("keep a layer", error))?;
            }
            _ => {
                let named = |sha256: &str| match sha256 == wanted {
                    true => Ok(layer_blob(sha256)),
                    false => {
                        let text = format!("provided digest did not match uploaded content: sha256:{sha256}");
                        Err(Fault::new(400, "DIGEST_INVALID", text))
                    }
                };
                stage::keep(self.cloud, pending.pieces, named).await?;
            }
        }
        let layer = registry::Finished { digest: digest.to_owned(), size: pending.size };
        self.write(|cx| registry::finish(cx, name, id, &layer)).await?;
        Ok(made(name, digest))
    }
}

fn made(name: &str, digest: &str) -> Reply {
    let location = format!("{ROOT}/{name}/blobs/{digest}");
    Reply::status(201).header("location", location).header(DIGEST, digest)
}

/// Where an upload goes on, and how far it is.
fn progress(status: u16, name: &str, id: &str, size: u64) -> Reply {
    Reply::status(status)
        .header("location", format!("{ROOT}/{name}/blobs/uploads/{id}"))
        .header("range", format!("0-{}", size.saturating_sub(1)))
        .header(UPLOAD, id)
}

fn listing(document: &serde_json::Value, next: Option<String>, count: Option<usize>) -> Reply {
    let count = count.map(|n| format!("&n={n}")).unwrap_or_default();
    let link = next.map(|next| format!("<{next}{count}>; rel=\"next\""));
    Reply::status(200).header_opt("link", link).body("application/json", document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_from_its_end() {
        let two = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let manifest = |(a, b)| Some(Place::Manifest(a, b));
        let blob = |(a, b)| Some(Place::Blob(a, b));
        assert_eq!(place("/v2"), Some(Place::Root));
        assert_eq!(place("/v2/"), Some(Place::Root));
        assert_eq!(place("/v2/a/b/tags/list"), Some(Place::Tags("a/b".into())));
        assert_eq!(place("/v2/a/blobs/b/manifests/v1"), manifest(two("a/blobs/b", "v1")));
        assert_eq!(place("/v2/a/blobs/sha256%3A00"), blob(two("a", "sha256:00")));
        assert_eq!(place("/v2/a/blobs/uploads/"), Some(Place::Uploads("a".into())));
        assert_eq!(place("/v2/a/blobs/uploads/7"), Some(Place::Upload("a".into(), "7".into())));
        for none in ["/v2/a", "/v2/manifests/v1", "/v2/tags/list", "/v2/a/referrers/sha256:00"] {
            assert_eq!(place(none), None, "{none}");
        }
    }
}
