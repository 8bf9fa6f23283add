//! What the runtime asks of the rest of Mayfly.

mod keyvalue;
mod objects;

use crate::cloud::Cloud;
use crate::gateway::{self, Peer};
use crate::meters::Meters;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mayfly_kernel::Caller;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::function::{PackageDigest, Version};
use mayfly_runtime::stores::{KeyValue, Objects, Place};
use mayfly_runtime::{LogStream, Meter, Platform, SessionCredentials, Wire};
use mayfly_services::ecr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::sync::watch;

pub(crate) struct Services {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) meters: Meters,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Platform for Services {
    fn log_stream(&self, version: &Version, stream: &str) -> Arc<dyn LogStream> {
        Arc::new(self.cloud.logs.stream(version, stream))
    }

    fn credentials(&self, version: &Version) -> SessionCredentials {
        let runner = &self.cloud.runner;
        let session = self.cloud.keyring.session(runner.ids(), &version.function, runner.clock().now());
        SessionCredentials {
            access_key: session.access_key,
            secret_key: session.secret_key,
            session_token: session.token,
        }
    }

    fn serve(
        &self,
        version: Arc<Version>,
        connection: Box<dyn Wire>,
        depth: Arc<AtomicU32>,
    ) -> BoxFuture<'static, ()> {
        let peer = Peer::Function { arn: version.function.clone(), depth };
        gateway::connection(self.cloud.clone(), connection, peer, self.stop.clone()).boxed()
    }

    fn keyvalue(&self) -> Arc<dyn KeyValue> {
        Arc::new(keyvalue::Keys(self.cloud.clone()))
    }

    fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(objects::Buckets(self.cloud.clone()))
    }

    fn meter(&self, version: &Version, invoked_arn: &str) -> Option<Box<dyn Meter>> {
        Some(self.meters.begin(version, invoked_arn))
    }

    fn package(&self, digest: &PackageDigest) -> io::Result<PathBuf> {
        let id = gateway::blob_id(digest);
        self.cloud.blobs.path(&id).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, id))
    }

    fn layer(&self, digest: &str) -> io::Result<PathBuf> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("there is no layer sha256:{digest}"));
        self.cloud.blobs.path(&ecr::layer_blob(digest)).ok_or_else(gone)
    }
}

/// A function as the one who calls.
fn caller(at: &Place) -> Caller {
    let function = &at.version.function;
    Caller {
        account: function.account.clone(),
        region: function.region.clone(),
        principal: Principal::Function(function.clone()),
        access_key: String::new(),
        depth: at.depth,
        address: None,
    }
}
