//! Calls of guests to the outside: which are made, which are not, and what ends them.

use crate::world::{nothing, world};
use crate::{Bench, LONG, get, version_with};
use mayfly_runtime::wasm::{Error, HostList};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

// What the guest says of an error: see error-code in handler.wit.
const DESTINATION_IP_PROHIBITED: u16 = 240 + 4;
const CONNECTION_REFUSED: u16 = 240 + 6;
const TLS_CERTIFICATE_ERROR: u16 = 240 + 13;
const HTTP_REQUEST_DENIED: u16 = 240 + 15;

const ANSWER: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";

fn list(text: &str) -> HostList {
    text.parse().unwrap()
}

impl Bench {
    /// What the guest is answered by a host, when its function names these.
    async fn call(&self, path: &str, hosts: &str) -> u16 {
        let version = version_with(128, &[("MAYFLY_OUTGOING_HTTP", hosts)]);
        self.fetch(&version, get(path), LONG).await.unwrap().response.status().as_u16()
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A web server that says 202.
async fn accepting() -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(ANSWER).await;
        }
    });
    address
}

#[tokio::test]
async fn calls_to_the_outside_are_denied_and_said_so() {
    let bench = Bench::handler();
    assert_eq!(bench.get("/request?example.com").await.unwrap().0, HTTP_REQUEST_DENIED);
    assert_eq!(
        bench.log(),
        ["outgoing HTTP to example.com:80 was denied: \
          the function's variable MAYFLY_OUTGOING_HTTP does not name it"]
    );
    assert_eq!(
        bench.call("/request?example.com", "*.example.com,example.com:8080").await,
        HTTP_REQUEST_DENIED
    );
    assert_eq!(bench.call("/request?93.184.216.34", "93.184.216.34").await, HTTP_REQUEST_DENIED);
    let last = bench.log().pop().unwrap();
    assert!(last.ends_with("denied: this server's outgoing_http does not allow it"), "{last}");
}

#[tokio::test]
async fn a_name_is_worth_what_it_leads_to() {
    let server = accepting().await;
    let (own, named) = (format!("{server}"), format!("localhost:{}", server.port()));
    let careless = Bench::handler().reborn(world(HostList::any(), &[]));
    for host in [&own, &named] {
        let path = format!("/request?{host}");
        assert_eq!(careless.call(&path, host).await, DESTINATION_IP_PROHIBITED, "{host}");
    }
    let last = careless.log().pop().unwrap();
    assert!(last.contains(&format!("{named} was denied: ")), "{last}");
    assert!(last.ends_with("is not public, and this server's outgoing_http does not name it"), "{last}");

    let knowing = careless.reborn(world(list(&own), &[]));
    assert_eq!(knowing.call(&format!("/request?{own}"), &own).await, 202);
    assert_eq!(knowing.call(&format!("/request?{named}"), &named).await, 202);
    assert_eq!(knowing.call(&format!("/request?{own}"), &named).await, HTTP_REQUEST_DENIED);
    assert_eq!(knowing.call(&format!("/secure?{own}"), &format!("http://{own}")).await, HTTP_REQUEST_DENIED);
    let other_port = knowing.call("/request?127.0.0.1:9", "127.0.0.1:9").await;
    assert_eq!(other_port, HTTP_REQUEST_DENIED);
    let closed = knowing.reborn(world(list("127.0.0.1:9"), &[]));
    assert_eq!(closed.call("/request?127.0.0.1:9", "127.0.0.1:9").await, CONNECTION_REFUSED);
}

#[tokio::test]
async fn a_server_is_called_over_tls_only_if_it_is_believed() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = own.cert.der().clone();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(ANSWER).await;
        }
    });
    let host = format!("localhost:{}", address.port());
    let path = format!("/secure?{host}");
    let believing = Bench::handler().reborn(world(list(&address.to_string()), &[certificate]));
    assert_eq!(believing.call(&path, &host).await, 202);
    let doubting = believing.reborn(world(list(&address.to_string()), &[]));
    assert_eq!(doubting.call(&path, &host).await, TLS_CERTIFICATE_ERROR);
    assert!(doubting.log().pop().unwrap().contains("invalid peer certificate"));
}

#[tokio::test]
async fn what_a_guest_waits_for_ends_with_its_time() {
    let (listener, address) = listener().await;
    let accepted: tokio::task::JoinHandle<TcpStream> =
        tokio::spawn(async move { listener.accept().await.unwrap().0 });
    let host = address.to_string();
    let bench = Bench::handler().reborn(world(list(&host), &[]));
    let version = version_with(128, &[("MAYFLY_OUTGOING_HTTP", &host)]);
    // Time enough to connect and to ask, on any machine.
    let slow = bench.fetch(&version, get(&format!("/request?{host}")), Duration::from_secs(5)).await;
    assert_eq!(slow.err(), Some(Error::Timeout));
    let mut read = Vec::new();
    accepted.await.unwrap().read_to_end(&mut read).await.unwrap();
    assert!(read.starts_with(b"GET / HTTP/1.1\r\n"), "and the connection is closed");
}

#[tokio::test]
async fn the_platform_is_a_word_in_the_list() {
    let bench = Bench::handler().reborn(nothing());
    assert_eq!(bench.call("/request?127.0.0.1:4566", "platform").await, 207);
    assert_eq!(bench.call("/request?127.0.0.1:4566", "platforms").await, HTTP_REQUEST_DENIED);
}

#[test]
fn a_list_that_is_none_is_told_at_the_deploy() {
    let bench = Bench::handler();
    let version = version_with(128, &[("MAYFLY_OUTGOING_HTTP", "example.com, ftp://example.com")]);
    let told = bench.engine.load(&version, &bench.code()).err().unwrap().to_string();
    assert!(told.starts_with("MAYFLY_OUTGOING_HTTP: `ftp://example.com` names no hosts"), "{told}");
}
