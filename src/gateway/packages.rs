//! Downloads of deployment packages, through the links that GetFunction and GetLayerVersion hand out.

use super::{Request, Response, respond};
use crate::cloud::Cloud;
use mayfly_kernel::Fault;
use mayfly_kernel::function::PackageDigest;
use mayfly_services::lambda::PACKAGE_PATH;
use mayfly_services::operation::Piece;
use mayfly_services::{Content, Reply};
use mayfly_wire::{Protocol, parse_query, time};
use std::sync::Arc;

pub(super) fn is_package(path: &str) -> bool {
    path.starts_with(PACKAGE_PATH)
}

pub(super) async fn answer(cloud: &Arc<Cloud>, request: Request) -> Response {
    let request_id = cloud.runner.request_id();
    let head = request.method() == http::Method::HEAD;
    match download(cloud, &request).await {
        Ok(reply) => respond::reply(cloud, Protocol::RestXml, reply, &request_id, head),
        Err(fault) => respond::fault(Protocol::RestXml, &fault, &request_id, request.uri().path()),
    }
}

async fn download(cloud: &Arc<Cloud>, request: &Request) -> Result<Reply, Fault> {
    let denied = |text: &str| Fault::new(403, "AccessDenied", text);
    if !matches!(*request.method(), http::Method::GET | http::Method::HEAD) {
        return Err(denied("Access Denied"));
    }
    let path = request.uri().path();
    let query = parse_query(request.uri().query().unwrap_or_default());
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let expires: Option<u64> = value("expires").and_then(|text| text.parse().ok());
    let (Some(expires), Some(signature)) = (expires, value("signature")) else {
        return Err(denied("Access Denied"));
    };
    let seal = &cloud.runner.site().links;
    if !seal.is_mine(path, expires, signature) {
        return Err(Fault::new(403, "SignatureDoesNotMatch", "The link is not one that Mayfly made."));
    }
    let (now, expires) = (cloud.runner.clock().now(), mayfly_kernel::Time::from_secs(expires));
    if now > expires {
        return Err(denied("Request has expired")
            .with_field("Expires", time::iso8601(expires))
            .with_field("ServerTime", time::iso8601(now)));
    }
    let id = super::blob_id(&PackageDigest(path[PACKAGE_PATH.len()..].to_owned()));
    let gone = |_| Fault::new(404, "NoSuchKey", "The specified key does not exist.");
    let size = cloud.blobs.size(&id).await.map_err(gone)?;
    let pieces = vec![Piece::Blob { id, range: 0..size }];
    let reply = Reply::status(200).header("content-type", "application/zip");
    Ok(reply.header("content-length", size.to_string()).content(Content::Pieces(pieces)))
}
