//! Form uploads to S3 (`POST` of a browser's form to a bucket): the form becomes a PutObject of its file.
//!
//! The policy in the form is what is signed, so the fields come first and decide; then the file streams to
//! disk as any other body does. What PutObject takes as headers, a form says in fields.

use super::auth::{self, Payload};
use super::aws::{self, Exchange};
use super::bodies::{self, Intake, Source};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::Incoming;
use mayfly_kernel::{Caller, Fault, Limits};
use mayfly_services::operation::Handler;
use mayfly_services::{Reply, s3};
use mayfly_wire::form_data::{Malformed, Piece, Reader};
use mayfly_wire::post_policy::{self, Fields, Policy, field, lacks};
use mayfly_wire::{Call, Protocol, xml};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

const DIALECT: Protocol = Protocol::RestXml;

pub(super) fn is_upload(exchange: &Exchange<'_>) -> bool {
    exchange.parts.method == http::Method::POST
        && exchange.path.trim_matches('/').split('/').count() == 1
        && reader(exchange).is_some()
}

fn reader(exchange: &Exchange<'_>) -> Option<Reader> {
    let content_type = exchange.parts.headers.get(http::header::CONTENT_TYPE)?;
    Reader::new(content_type.to_str().ok()?)
}

/// A form as far as its file.
struct Form {
    fields: Fields,
    filename: String,
    /// What has come of the file.
    first: Vec<Bytes>,
}

pub(super) async fn upload(exchange: &Exchange<'_>, mut incoming: Incoming) -> Result<Reply, Fault> {
    let mut reader = reader(exchange).ok_or_else(malformed)?;
    let mut form = read_fields(exchange.cloud.runner.limits(), &mut incoming, &mut reader).await?;
    let bucket = exchange.path.trim_matches('/').to_owned();
    let key = field(&form.fields, "key").ok_or_else(|| lacks("key"))?.replace("${filename}", &form.filename);
    let (caller, length) = admit(exchange, &form.fields, &bucket)?;
    let call = Call {
        operation: "PostObject".into(),
        labels: vec![("Bucket".into(), bucket.clone()), ("Key".into(), key.clone())],
        query: Vec::new(),
        headers: headers(&form.fields)?,
        body: Bytes::new(),
        form_path: None,
        spoken: None,
    };
    let operation = aws::named(exchange.service, "PutObject")?;
    let Handler::Upload { admit, finish } = &operation.handler else {
        return Err(Fault::internal("take a form in", "PutObject is an upload"));
    };
    let (cloud, id) = (exchange.cloud, exchange.request_id.as_str());
    cloud.runner.view(&caller, id, |cx| admit(cx, &call))?;
    let intake = Intake {
        payload: Payload::Unsigned,
        algorithms: aws::wanted_checksums(&call),
        limit: cloud.runner.limits().object_bytes.min(length.1),
        announced: None,
    };
    let source = Source::Form { incoming, reader, first: std::mem::take(&mut form.first) };
    let received = bodies::receive(cloud, source, intake).await?;
    if received.upload.size < length.0 {
        bodies::discard(cloud, &received.upload).await;
        return Err(too_small(received.upload.size, length.0));
    }
    let finished = cloud.transact(&caller, id, |cx| finish(cx, &call, &received.upload)).await;
    match finished {
        Ok(reply) => answer(exchange, &form.fields, (&bucket, &key), reply),
        Err(fault) => {
            bodies::discard(cloud, &received.upload).await;
            Err(fault)
        }
    }
}

fn malformed() -> Fault {
    let text = "The body of your POST request is not well-formed multipart/form-data.";
    Fault::new(400, "MalformedPOSTRequest", text)
}

fn too_small(size: u64, min: u64) -> Fault {
    Fault::new(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        .with_field("ProposedSize", size.to_string())
        .with_field("MinSizeAllowed", min.to_string())
}

async fn read_fields(limits: &Limits, incoming: &mut Incoming, reader: &mut Reader) -> Result<Form, Fault> {
    let mut fields = Fields::new();
    while let Some(frame) = bodies::next_frame(limits, incoming).await? {
        let Ok(data) = frame.into_data() else { continue };
        let mut pieces = reader.push(&data).map_err(refused)?.into_iter();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Field { name, value } => fields.push((name.to_ascii_lowercase(), value)),
                Piece::File { filename } => {
                    return Ok(Form { fields, filename, first: bodies::contents(pieces.collect()) });
                }
                Piece::Content(_) | Piece::End => {}
            }
        }
    }
    Err(Fault::new(
        400,
        "IncorrectNumberOfFilesInPostRequest",
        "POST requires exactly one file upload per request.",
    ))
}

fn refused(error: Malformed) -> Fault {
    match error {
        Malformed::Form => malformed(),
        Malformed::TooMuchBefore => Fault::new(
            400,
            "MaxPostPreDataLengthExceededError",
            "Your POST request fields preceding the upload file were too large.",
        ),
    }
}

/// Who signed the form's policy, if the form keeps to it, and how large its file may be.
fn admit(exchange: &Exchange<'_>, fields: &Fields, bucket: &str) -> Result<(Caller, (u64, u64)), Fault> {
    let cloud = exchange.cloud;
    let Some(signer) = post_policy::signer(fields)? else {
        return Ok((aws::anonymous(exchange, DIALECT)?, (0, u64::MAX)));
    };
    let (secret, caller) = auth::owner(cloud, &signer.access_key, signer.session_token.as_deref(), DIALECT)?;
    let document = field(fields, "policy").ok_or_else(|| lacks("policy"))?;
    signer.verify(document, &secret)?;
    let region = signer.region().unwrap_or(&caller.region).to_owned();
    let caller = Caller { region, ..caller };
    let caller = aws::admit_peer(exchange, caller, DIALECT)?;
    let policy = Policy::parse(document)?;
    policy.admit(fields, bucket, cloud.runner.clock().now())?;
    Ok((caller, policy.length()))
}

/// The fields that PutObject takes as headers.
fn headers(fields: &Fields) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let header = match name.as_str() {
            "acl" => "x-amz-acl",
            "tagging" => {
                headers.append("x-amz-tagging", tagging(value)?);
                continue;
            }
            "cache-control" | "content-disposition" | "content-encoding" | "content-type" | "expires" => name,
            "x-amz-security-token" | "x-amz-signature" | "x-amz-algorithm" | "x-amz-credential" => continue,
            "x-amz-date" => continue,
            name if name.starts_with("x-amz-") => name,
            _ => continue,
        };
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| malformed())?;
        headers.append(HeaderName::try_from(header).map_err(|_| malformed())?, value);
    }
    Ok(headers)
}

/// The document of tags that a form carries, as the header of a put has them.
fn tagging(document: &str) -> Result<HeaderValue, Fault> {
    let pairs = s3::tags_of_document(document)?;
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    HeaderValue::try_from(pairs.collect::<Vec<_>>().join("&")).map_err(|_| malformed())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PostResponse<'a> {
    location: &'a str,
    bucket: &'a str,
    key: &'a str,
    #[serde(rename = "ETag")]
    etag: &'a str,
}

/// As the form asked to be answered: sent elsewhere, with a document, or with nothing.
fn answer(
    exchange: &Exchange<'_>,
    fields: &Fields,
    (bucket, key): (&str, &str),
    put: Reply,
) -> Result<Reply, Fault> {
    let etag = put.headers.iter().find(|(name, _)| *name == "etag").map(|(_, value)| value.clone());
    let etag = etag.unwrap_or_default();
    let site = exchange.cloud.runner.site();
    let path = key.split('/').map(encode).collect::<Vec<_>>().join("/");
    let location = format!("{}://{}/{bucket}/{path}", site.scheme(), site.authority);
    let redirect = field(fields, "success_action_redirect").or(field(fields, "redirect"));
    if let Some(target) = redirect.filter(|target| target.parse::<http::Uri>().is_ok()) {
        let query = format!("bucket={}&key={}&etag={}", encode(bucket), encode(key), encode(&etag));
        let separator = if target.contains('?') { '&' } else { '?' };
        return Ok(Reply { status: 303, ..put }.header("location", format!("{target}{separator}{query}")));
    }
    match field(fields, "success_action_status") {
        Some("200") => Ok(Reply { status: 200, ..put }.header("location", location)),
        Some("201") => {
            let document = PostResponse { location: &location, bucket, key, etag: &etag };
            let body = xml::to_string("PostResponse", None, &document)?;
            Ok(Reply { status: 201, ..put }.body("application/xml", body).header("location", location))
        }
        _ => Ok(Reply { status: 204, ..put }.header("location", location)),
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
