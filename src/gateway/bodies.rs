//! Request bodies on their way to disk, and stored bodies on their way out. Memory stays flat whatever their size.

use super::auth::Payload;
use crate::cloud::Cloud;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use mayfly_kernel::{Fault, Limits};
use mayfly_runtime::Body;
use mayfly_services::operation::{Piece, Upload};
use mayfly_services::runner::commit_fault;
use mayfly_store::BlobWriter;
use mayfly_wire::checksum::{Algorithm, Checksums};
use mayfly_wire::form_data;
use mayfly_wire::sigv4::ChunkDecoder;
use std::sync::Arc;
use std::time::Duration;

/// Reads a whole body of at most `limit` bytes.
pub(super) async fn gather(
    limits: &Limits,
    mut incoming: Incoming,
    limit: u64,
    name: &str,
) -> Result<Bytes, Fault> {
    let mut gathered = BytesMut::new();
    while let Some(frame) = next_frame(limits, &mut incoming).await? {
        let Ok(data) = frame.into_data() else { continue };
        if gathered.len() as u64 + data.len() as u64 > limit {
            let text = format!("Request size exceeded the limit {name} of {limit} bytes");
            return Err(Fault::new(413, "RequestEntityTooLargeException", text));
        }
        gathered.extend_from_slice(&data);
    }
    Ok(gathered.freeze())
}

/// What gzip has made smaller, if it has at most `limit` bytes.
pub(super) fn inflate(body: &[u8], limit: u64) -> Result<Bytes, Fault> {
    use std::io::Read as _;
    let mut whole = Vec::new();
    let read = flate2::read::GzDecoder::new(body).take(limit + 1).read_to_end(&mut whole);
    read.map_err(|error| {
        Fault::new(400, "SerializationException", format!("The body is not gzip: {error}"))
    })?;
    if whole.len() as u64 > limit {
        let text = format!("Request size exceeded the limit api_request_bytes of {limit} bytes");
        return Err(Fault::new(413, "RequestEntityTooLargeException", text));
    }
    Ok(whole.into())
}

/// The next part of a body, unless the client lets it rest too long.
pub(super) async fn next_frame(
    limits: &Limits,
    incoming: &mut Incoming,
) -> Result<Option<Frame<Bytes>>, Fault> {
    let rest = Duration::from_secs(limits.request_rest_seconds);
    match tokio::time::timeout(rest, incoming.frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(frame)) => frame.map(Some).map_err(|_| incomplete()),
        Err(_) => Err(rested()),
    }
}

/// As S3 says it.
fn rested() -> Fault {
    let text = "Your socket connection to the server was not read from or written to within the timeout period. \
                Idle connections will be closed.";
    Fault::new(400, "RequestTimeout", text)
}

fn incomplete() -> Fault {
    let text = "You did not provide the number of bytes specified by the Content-Length HTTP header";
    Fault::new(400, "IncompleteBody", text)
}

fn not_kept(error: &mayfly_store::Error) -> Fault {
    match error {
        mayfly_store::Error::Full => commit_fault(&mayfly_store::CommitError::Full),
        other => Fault::unavailable("keep a body", other),
    }
}

/// What arrived, and the checksums that the client sent behind it.
pub(super) struct Received {
    pub(super) upload: Upload,
    pub(super) trailers: Vec<(String, String)>,
}

/// How a body is to be taken in.
pub(super) struct Intake {
    pub(super) payload: Payload,
    /// Computed besides MD5.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) limit: u64,
    /// What Content-Length announces, as the body is on the wire.
    pub(super) announced: Option<u64>,
}

/// Where a body's bytes come from.
pub(super) enum Source {
    Body(Incoming),
    /// From within the process, where whoever sends it bounds its time.
    Local(Body),
    /// The file in a form, of which `first` has been read already.
    Form {
        incoming: Incoming,
        reader: form_data::Reader,
        first: Vec<Bytes>,
    },
}

impl Source {
    /// The next bytes, and how many came over the wire for them; `None` at the end.
    async fn next(&mut self, limits: &Limits) -> Result<Option<(Vec<Bytes>, u64)>, Fault> {
        let (incoming, form) = match self {
            Source::Body(incoming) => (incoming, None),
            Source::Local(body) => return next_local(body).await,
            Source::Form { incoming, reader, first } => {
                if !first.is_empty() {
                    return Ok(Some((std::mem::take(first), 0)));
                }
                (incoming, Some(reader))
            }
        };
        while let Some(frame) = next_frame(limits, incoming).await? {
            let Ok(data) = frame.into_data() else { continue };
            let arrived = data.len() as u64;
            return match form {
                None => Ok(Some((vec![data], arrived))),
                Some(reader) => Ok(Some((contents(reader.push(&data).map_err(|_| incomplete())?), arrived))),
            };
        }
        match form.is_some_and(|reader| !reader.is_done()) {
            true => Err(incomplete()),
            false => Ok(None),
        }
    }
}

async fn next_local(body: &mut Body) -> Result<Option<(Vec<Bytes>, u64)>, Fault> {
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| incomplete())?.into_data() else { continue };
        let arrived = data.len() as u64;
        return Ok(Some((vec![data], arrived)));
    }
    Ok(None)
}

/// The file's bytes among what a form's reader found.
pub(super) fn contents(pieces: Vec<form_data::Piece>) -> Vec<Bytes> {
    let content = |piece| match piece {
        form_data::Piece::Content(bytes) => Some(bytes),
        form_data::Piece::Field { .. } | form_data::Piece::File { .. } | form_data::Piece::End => None,
    };
    pieces.into_iter().filter_map(content).collect()
}

/// Streams a body to where it will live: into memory while it is small, to a blob from then on.
///
/// The blob is on disk when this returns, and nothing names it yet: if the transaction that should name it fails,
/// the caller discards it.
pub(super) async fn receive(cloud: &Cloud, mut source: Source, intake: Intake) -> Result<Received, Fault> {
    let (mut decoder, declared_sha256) = match intake.payload {
        Payload::Chunked(decoder) => (Some(decoder), None),
        Payload::Sha256(hex) => (None, Some(hex)),
        Payload::Unsigned => (None, None),
    };
    let mut algorithms = intake.algorithms;
    algorithms.push(Algorithm::Md5);
    if declared_sha256.is_some() {
        algorithms.push(Algorithm::Sha256);
    }
    let mut sink = Sink::new(cloud, Checksums::new(&algorithms), intake.limit);
    let mut arrived = 0;
    let outcome: Result<Vec<(String, String)>, Fault> = async {
        while let Some((pieces, length)) = source.next(cloud.runner.limits()).await? {
            arrived += length;
            for data in pieces {
                match &mut decoder {
                    None => sink.write(data).await?,
                    Some(decoder) => {
                        for piece in push(decoder, data)? {
                            sink.write(piece).await?;
                        }
                    }
                }
            }
        }
        if intake.announced.is_some_and(|announced| announced != arrived) {
            return Err(incomplete());
        }
        decoder.take().map_or(Ok(Vec::new()), finish)
    }
    .await;
    let trailers = outcome?;
    let upload = sink.finish().await?;
    let matches = |hex: &String| {
        upload.digests.hex(Algorithm::Sha256).is_some_and(|computed| computed.eq_ignore_ascii_case(hex))
    };
    if declared_sha256.as_ref().is_some_and(|hex| !matches(hex)) {
        discard(cloud, &upload).await;
        let text = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        return Err(Fault::new(400, "XAmzContentSHA256Mismatch", text));
    }
    Ok(Received { upload, trailers })
}

fn push(decoder: &mut ChunkDecoder, data: Bytes) -> Result<Vec<Bytes>, Fault> {
    decoder.push(data).map_err(|error| error.to_fault())
}

fn finish(decoder: Box<ChunkDecoder>) -> Result<Vec<(String, String)>, Fault> {
    decoder.finish().map_err(|error| error.to_fault())
}

/// Deletes the body of a call that came to nothing. If that fails, the collector finds it later.
pub(super) async fn discard(cloud: &Cloud, upload: &Upload) {
    if let Some(Piece::Blob { id, .. }) = &upload.piece {
        let _ = cloud.blobs.delete(id).await;
    }
}

struct Sink<'a> {
    cloud: &'a Cloud,
    sums: Checksums,
    limit: u64,
    size: u64,
    small: BytesMut,
    blob: Option<(String, BlobWriter)>,
}

impl<'a> Sink<'a> {
    fn new(cloud: &'a Cloud, sums: Checksums, limit: u64) -> Sink<'a> {
        Sink { cloud, sums, limit, size: 0, small: BytesMut::new(), blob: None }
    }

    async fn write(&mut self, data: Bytes) -> Result<(), Fault> {
        self.size += data.len() as u64;
        if self.size > self.limit {
            let text = "Your proposed upload exceeds the maximum allowed object size.";
            return Err(Fault::new(400, "EntityTooLarge", text));
        }
        self.sums.update(&data);
        if self.blob.is_none() {
            if self.size <= self.cloud.runner.limits().inline_object_bytes {
                self.small.extend_from_slice(&data);
                return Ok(());
            }
            let id = format!("body-{}", self.cloud.runner.ids().hex(32));
            let writer = self.cloud.blobs.create(&id).await;
            self.blob = Some((id, writer));
        }
        let Some((_, writer)) = &mut self.blob else { return Ok(()) };
        if !self.small.is_empty() {
            let small = std::mem::take(&mut self.small).freeze();
            writer.write(small).await.map_err(|error| not_kept(&error))?;
        }
        writer.write(data).await.map_err(|error| not_kept(&error))
    }

    async fn finish(self) -> Result<Upload, Fault> {
        let piece = match self.blob {
            None if self.small.is_empty() => None,
            None => Some(Piece::Inline(self.small.freeze())),
            Some((id, writer)) => {
                writer.finish().await.map_err(|error| not_kept(&error))?;
                Some(Piece::Blob { id, range: 0..self.size })
            }
        };
        Ok(Upload { piece, size: self.size, digests: self.sums.finish() })
    }
}

/// The pieces as one body, read as fast as the client takes it.
pub(super) fn send(cloud: &Arc<Cloud>, pieces: Vec<Piece>) -> Body {
    let cloud = cloud.clone();
    let frames = stream::iter(pieces)
        .then(move |piece| {
            let cloud = cloud.clone();
            async move {
                match piece {
                    Piece::Inline(bytes) => Ok(stream::iter([Ok(bytes)]).boxed()),
                    Piece::Blob { id, range } => {
                        let opened = cloud.blobs.read(&id, range).await;
                        opened.map(StreamExt::boxed).map_err(std::io::Error::other)
                    }
                }
            }
        })
        .try_flatten()
        .map_ok(Frame::data)
        .map_err(Into::into);
    StreamBody::new(frames).boxed_unsync()
}
