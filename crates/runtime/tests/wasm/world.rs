//! What the guests of these tests can reach.

use futures_util::future::BoxFuture;
use mayfly_kernel::Limits;
use mayfly_kernel::function::{PackageDigest, Version};
use mayfly_runtime::stores::{KeyValue, Objects};
use mayfly_runtime::wasm::{HostList, Outgoing, World};
use mayfly_runtime::{LogStream, Platform, SessionCredentials, Wire};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A world where nothing may be called.
pub(crate) fn nothing() -> World {
    world(HostList::default(), &[])
}

/// A world where the operator allows these hosts and believes these certificates.
pub(crate) fn world(ceiling: HostList, trusted: &[CertificateDer<'static>]) -> World {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let tls = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    World { outgoing: Arc::new(Outgoing::new(ceiling, tls, &Limits::default())), platform: Arc::new(Stage) }
}

/// A platform that says whom it talks to, and has nothing.
struct Stage;

impl Platform for Stage {
    fn log_stream(&self, _: &Version, _: &str) -> Arc<dyn LogStream> {
        unreachable!("the calls of these tests bring their own log")
    }

    fn credentials(&self, version: &Version) -> SessionCredentials {
        SessionCredentials {
            access_key: format!("key-of-{}", version.name),
            secret_key: "secret".into(),
            session_token: "token".into(),
        }
    }

    fn serve(
        &self,
        _: Arc<Version>,
        mut connection: Box<dyn Wire>,
        _: Arc<AtomicU32>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(b"HTTP/1.1 207 Multi\r\ncontent-length: 0\r\n\r\n").await;
        })
    }

    fn keyvalue(&self) -> Arc<dyn KeyValue> {
        unreachable!("no guest of these tests has keys")
    }

    fn objects(&self) -> Arc<dyn Objects> {
        unreachable!("no guest of these tests has objects")
    }

    fn package(&self, digest: &PackageDigest) -> io::Result<PathBuf> {
        Err(io::Error::new(io::ErrorKind::NotFound, digest.0.clone()))
    }

    fn layer(&self, digest: &str) -> io::Result<PathBuf> {
        Err(io::Error::new(io::ErrorKind::NotFound, digest.to_owned()))
    }
}
