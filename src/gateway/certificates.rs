//! The certificates by which messages of topics are verified: for everyone, as they say nothing but who
//! signed.

use super::{Request, Response, respond};
use crate::cloud::Cloud;
use mayfly_kernel::Fault;
use mayfly_services::{Reply, sns};
use mayfly_wire::Protocol;
use std::sync::Arc;

pub(super) fn is_certificate(path: &str) -> bool {
    sns::certificate_of_path(path).is_some()
}

pub(super) fn answer(cloud: &Arc<Cloud>, request: &Request) -> Response {
    let request_id = cloud.runner.request_id();
    let (path, head) = (request.uri().path(), request.method() == http::Method::HEAD);
    let id = sns::certificate_of_path(path).unwrap_or_default();
    let found = sns::certificate(cloud.runner.store(), id);
    let missing = || Fault::new(404, "NotFound", "There is no such certificate");
    match found.and_then(|found| found.ok_or_else(missing)) {
        Ok(pem) => {
            let reply = Reply::status(200).body("application/x-pem-file", pem);
            respond::reply(cloud, Protocol::RestXml, reply, &request_id, head)
        }
        Err(fault) => respond::fault(Protocol::RestXml, &fault, &request_id, path),
    }
}
