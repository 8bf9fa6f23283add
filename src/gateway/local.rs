//! Operations of the table for callers within the process: the same transactions, without a wire and a
//! signature.

use super::auth::Payload;
use super::bodies::{self, Intake, Source};
use crate::cloud::Cloud;
use http::{HeaderMap, HeaderName, HeaderValue};
use mayfly_kernel::{Caller, Fault};
use mayfly_runtime::{Body, body};
use mayfly_services::operation::Handler;
use mayfly_services::{Content, Operation, Reply};
use mayfly_wire::Call;
use mayfly_wire::checksum::Algorithm;
use std::sync::Arc;

/// What is to be done, and as whom.
pub(crate) struct Wanted {
    pub(crate) service: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) caller: Caller,
}

impl Wanted {
    fn find<'a>(&self, cloud: &'a Cloud) -> Result<&'a Operation, Fault> {
        let service = cloud.catalogue.scope(self.service);
        let found = service.and_then(|service| service.named(self.operation));
        found.ok_or_else(|| Fault::not_implemented(self.operation))
    }

    fn call(self) -> Result<(Caller, Call), Fault> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let value = HeaderValue::try_from(value).map_err(|error| Fault::internal("call", error))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let call = Call { operation: self.operation.into(), labels: self.labels, headers, ..Call::default() };
        Ok((self.caller, call))
    }
}

/// An operation that is one transaction.
pub(crate) async fn call(cloud: &Cloud, wanted: Wanted) -> Result<Reply, Fault> {
    let operation = wanted.find(cloud)?;
    let id = cloud.runner.request_id();
    let (caller, call) = wanted.call()?;
    match &operation.handler {
        Handler::View(run) => cloud.runner.view(&caller, &id, |cx| run(cx, &call)),
        Handler::Write(run) => cloud.transact(&caller, &id, |cx| run(cx, &call)).await,
        Handler::Poll(_) | Handler::Upload { .. } | Handler::Staged { .. } => {
            Err(Fault::internal("call", "the operation is more than a transaction"))
        }
    }
}

/// An operation whose body streams to the disk first.
pub(crate) async fn upload(cloud: &Cloud, wanted: Wanted, body: Body) -> Result<Reply, Fault> {
    let Handler::Upload { admit, finish } = &wanted.find(cloud)?.handler else {
        return Err(Fault::internal("call", "the operation takes no body"));
    };
    let id = cloud.runner.request_id();
    let (caller, call) = wanted.call()?;
    cloud.runner.view(&caller, &id, |cx| admit(cx, &call))?;
    let limit = cloud.runner.limits().object_bytes;
    let algorithms = vec![Algorithm::Crc64Nvme];
    let intake = Intake { payload: Payload::Unsigned, algorithms, limit, announced: None };
    let received = bodies::receive(cloud, Source::Local(body), intake).await?;
    let finished = cloud.transact(&caller, &id, |cx| finish(cx, &call, &received.upload)).await;
    if finished.is_err() {
        bodies::discard(cloud, &received.upload).await;
    }
    finished
}

pub(crate) fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

/// What a reply sends.
pub(crate) fn body(cloud: &Arc<Cloud>, reply: Reply) -> Body {
    match reply.content {
        Content::Pieces(pieces) => bodies::send(cloud, pieces),
        Content::Bytes(bytes) => body::full(bytes),
        Content::Empty | Content::Invoke(_) => body::empty(),
    }
}
