//! What the runtime needs from the rest of Mayfly. The binary implements it; a test implements it in a few
//! lines.

use crate::stores::{KeyValue, Objects};
use futures_util::future::BoxFuture;
use mayfly_kernel::Time;
use mayfly_kernel::function::{PackageDigest, Version};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes both ways: a socket, what TLS makes of one, or a pipe within the process.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Wire for T {}

pub trait Platform: Send + Sync + 'static {
    /// Where the lines of an instance go. `stream` names its log stream, `YYYY/MM/DD/[label]<32 hex digits>`.
    fn log_stream(&self, version: &Version, stream: &str) -> Arc<dyn LogStream>;

    /// The credentials that an instance of `version` starts with.
    fn credentials(&self, version: &Version) -> SessionCredentials;

    /// Serves the AWS API on a connection that a function opened to its platform endpoint. The connection
    /// came out of the sandbox of `version`, or from a guest of it: that is the caller's identity. `depth`
    /// says at any time how many invocations lead to what the function calls, the one under way included.
    /// What comes back is the conversation itself, which ends early if it is dropped.
    fn serve(
        &self,
        version: Arc<Version>,
        connection: Box<dyn Wire>,
        depth: Arc<AtomicU32>,
    ) -> BoxFuture<'static, ()>;

    /// Keys and values, for guests that use them.
    fn keyvalue(&self) -> Arc<dyn KeyValue>;

    /// Objects, for guests that use them.
    fn objects(&self) -> Arc<dyn Objects>;

    /// An invocation is asked for, under this ARN. What comes of it is told to what is given back, which is dropped
    /// when it is over. `None`: nobody wants to know.
    fn meter(&self, _version: &Version, _invoked_arn: &str) -> Option<Box<dyn Meter>> {
        None
    }

    /// Where the zip archive of a package or layer is on local disk. May block.
    fn package(&self, digest: &PackageDigest) -> io::Result<PathBuf>;

    /// Where the archive of an image's layer, compressed or not, is on local disk, by its hexadecimal
    /// SHA-256. May block.
    fn layer(&self, digest: &str) -> io::Result<PathBuf>;
}

/// Who counts invocations. Must not block.
pub trait Meter: Send + Sync {
    /// It was turned away, for want of concurrency or room.
    fn throttled(&mut self);

    /// It ran.
    fn ended(&mut self, failed: bool, duration_us: u64);
}

pub trait LogStream: Send + Sync {
    /// Takes one line, without its line feed. Must not block: it is called between an invocation's end and
    /// its answer.
    fn line(&self, at: Time, line: String);
}

#[derive(Clone, Debug)]
pub struct SessionCredentials {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: String,
}
