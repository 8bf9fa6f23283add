//! A server on `s3s`: PutObject, GetObject and ListObjectsV2 over a map in memory, to time beside our own S3.
//!
//! `mayfly-bench-s3s PORT ACCESS_KEY SECRET_KEY`. Nothing here is durable, and nothing is looked up twice: what it costs
//! is what the crate costs (routing, signatures, DTOs, XML) and the MD5 of an ETag, which every S3 has to compute.

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use md5::{Digest as _, Md5};
use parking_lot::RwLock;
use s3s::auth::SimpleAuth;
use s3s::dto::{ETag, GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput};
use s3s::dto::{ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput, PutObjectOutput, StreamingBlob};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use std::collections::BTreeMap;
use std::ops::Bound;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone)]
struct Stored {
    body: Bytes,
    etag: String,
}

#[derive(Default)]
struct Objects(RwLock<BTreeMap<(String, String), Stored>>);

#[async_trait::async_trait]
impl S3 for Objects {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let mut body = Vec::with_capacity(input.content_length.unwrap_or(0) as usize);
        if let Some(mut stream) = input.body {
            while let Some(piece) = stream.try_next().await.map_err(|_| s3_error!(IncompleteBody))? {
                body.extend_from_slice(&piece);
            }
        }
        let etag: String = Md5::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        let stored = Stored { body: body.into(), etag: etag.clone() };
        self.0.write().insert((input.bucket, input.key), stored);
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let found = self.0.read().get(&(input.bucket, input.key)).cloned();
        let Some(stored) = found else { return Err(s3_error!(NoSuchKey)) };
        let length = stored.body.len() as i64;
        let body = StreamingBlob::wrap(stream::iter([Ok::<_, std::io::Error>(stored.body)]));
        Ok(S3Response::new(GetObjectOutput {
            body: Some(body),
            content_length: Some(length),
            e_tag: Some(ETag::Strong(stored.etag)),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let most = input.max_keys.unwrap_or(1000);
        let start = (input.bucket.clone(), input.start_after.unwrap_or_default());
        let objects = self.0.read();
        let rows = objects.range((Bound::Excluded(start), Bound::Unbounded));
        let rows = rows.take_while(|((bucket, _), _)| *bucket == input.bucket).take(most as usize);
        let contents: Vec<Object> = rows
            .map(|((_, key), stored)| Object {
                key: Some(key.clone()),
                size: Some(stored.body.len() as i64),
                e_tag: Some(ETag::Strong(stored.etag.clone())),
                ..Default::default()
            })
            .collect();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            key_count: Some(contents.len() as i32),
            max_keys: Some(most),
            contents: Some(contents),
            ..Default::default()
        }))
    }

    async fn get_bucket_location(
        &self,
        _: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, port, access, secret] = &args[..] else { panic!("PORT ACCESS_KEY SECRET_KEY") };
    let mut builder = S3ServiceBuilder::new(Objects::default());
    builder.set_auth(SimpleAuth::from_single(access.as_str(), secret.as_str()));
    let service = builder.build();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("the port is free");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        _ = stream.set_nodelay(true);
        let service = service.clone();
        tokio::spawn(async move {
            _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
