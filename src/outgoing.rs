//! Calls to the outside over HTTP and HTTPS: whom this server believes, and the one client that everything uses.
//!
//! Believed are the certificate authorities that browsers believe, which are part of the program, and those of the
//! file that the configuration names (`certificate_authorities`), for a company's own. Nothing turns the check off.

use anyhow::Context as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

pub(crate) type Client<B> = legacy::Client<HttpsConnector<HttpConnector>, B>;

/// Who is believed to be whom.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Browsers' authorities, and those of a PEM file.
    pub(crate) fn new(authorities: Option<&Path>) -> anyhow::Result<Trust> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = authorities {
            let about = || format!("certificate_authorities, {}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).with_context(about)? {
                roots.add(certificate.with_context(about)?).with_context(about)?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Trust(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
    }

    /// For protocols other than HTTP.
    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }

    /// A client of HTTP and HTTPS that follows no redirects.
    pub(crate) fn client<B>(&self, idle_connections_per_host: usize) -> Client<B>
    where
        B: http_body::Body + Send,
        B::Data: Send,
    {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        let tls = ClientConfig::clone(&self.0);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(idle_connections_per_host);
        builder.build(https.wrap_connector(http))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use std::convert::Infallible;
    use tokio_rustls::TlsAcceptor;

    /// A web server of `localhost` with a certificate that nobody else vouches for, and its PEM.
    async fn server() -> (std::net::SocketAddr, String) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let answer =
                    service_fn(async |_| Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new())));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), answer).await });
            }
        });
        (address, own.cert.pem())
    }

    #[tokio::test]
    async fn a_server_is_believed_only_if_somebody_trusted_vouches_for_it() {
        let (address, pem) = server().await;
        let uri: http::Uri = format!("https://localhost:{}/", address.port()).parse().unwrap();
        let stranger = Trust::new(None).unwrap().client::<Empty<Bytes>>(1).get(uri.clone()).await;
        assert!(stranger.unwrap_err().is_connect());

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        let trust = Trust::new(Some(file.path())).unwrap();
        assert_eq!(trust.client::<Empty<Bytes>>(1).get(uri).await.unwrap().status(), 200);
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(Trust::new(Some(Path::new("/nonexistent"))).is_err());
    }
}
