//! How a broker is reached: who one says one is, and the connection beneath its protocol.

use super::Desk;
use super::line::{self, Trouble};
use crate::outgoing::Trust;
use anyhow::{Context as _, bail};
use mayfly_services::lambda::mappings::Endpoint;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A user name and a password, in the JSON of AWS's secrets for brokers.
#[derive(Deserialize)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
}

/// The credentials of a mapping's secret, read anew for every connection: the secret may have changed.
pub(super) async fn credentials(desk: &Desk) -> Result<Option<Credentials>, Trouble> {
    let Some(arn) = &desk.sink.source().secret else { return Ok(None) };
    let text = desk.cloud.secrets.read(desk.cloud.runner.site(), arn).await?;
    // What serde says could quote what it read.
    let Ok(credentials) = serde_json::from_slice(&text) else {
        bail!("the secret {arn} is no JSON object with username and password");
    };
    Ok(Some(credentials))
}

pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// A connection, with TLS if the endpoint asks for it.
pub(super) async fn pipe(trust: &Trust, endpoint: &Endpoint) -> Result<Box<dyn Pipe>, Trouble> {
    let tcp = tcp(endpoint).await?;
    match endpoint.tls {
        true => Ok(Box::new(secure(trust, endpoint, tcp).await?)),
        false => Ok(Box::new(tcp)),
    }
}

pub(super) async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, Trouble> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub(super) async fn secure<S: Pipe>(
    trust: &Trust,
    endpoint: &Endpoint,
    stream: S,
) -> Result<tokio_rustls::client::TlsStream<S>, Trouble> {
    let name = ServerName::try_from(endpoint.host.clone()).context("the host's name")?;
    Ok(TlsConnector::from(trust.tls()).connect(name, stream).await?)
}

/// The first endpoint that can be opened in time, or what was wrong with the last.
pub(super) async fn first<T, F>(desk: &Desk, mut open: impl FnMut(Endpoint) -> F) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Trouble>>,
{
    let mut last = anyhow::anyhow!("there is no endpoint");
    for endpoint in &desk.sink.source().endpoints {
        match line::answered(Duration::ZERO, open(endpoint.clone())).await {
            Ok(opened) => return Ok(opened),
            Err(trouble) => last = trouble.context(format!("Cannot reach {}", endpoint.authority())),
        }
    }
    Err(last)
}
