//! TLS for clients whose own is tied to another cryptographic library than ours: they speak in clear to an end
//! within this machine, and what they say goes on under our TLS.

use super::access::{self, Pipe};
use super::line::Trouble;
use crate::outgoing::Trust;
use anyhow::{Context as _, bail};
use mayfly_services::lambda::mappings::Endpoint;
use parking_lot::Mutex;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A socket from which everything goes on to the far end.
pub(super) fn socket(far: impl Pipe + 'static) -> Result<TcpStream, Trouble> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    tokio::spawn(carry(tokio::net::UnixStream::from_std(ours)?, far));
    // Reads and writes are the same; that it is none of TCP is seen only by who asks for its addresses.
    Ok(TcpStream::from_std(OwnedFd::from(theirs).into())?)
}

/// Both ways, until either end is over: the other one, frozen, would never say so.
async fn carry(near: impl Pipe, far: impl Pipe) {
    let (mut near_reads, mut near_writes) = tokio::io::split(near);
    let (mut far_reads, mut far_writes) = tokio::io::split(far);
    let _: io::Result<u64> = tokio::select! {
        ended = tokio::io::copy(&mut near_reads, &mut far_writes) => ended,
        ended = tokio::io::copy(&mut far_reads, &mut near_writes) => ended,
    };
}

/// A SOCKS 5 proxy on loopback that reaches every server over TLS, for a client that learns from its cluster
/// which servers there are. Nothing is added to what is said through it, so whoever else on this machine finds
/// it gets no further than by himself.
pub(super) struct Door {
    address: SocketAddr,
    refused: Arc<Mutex<Option<String>>>,
    /// Ends with the door, and with it all that goes through.
    _keeper: JoinSet<()>,
}

impl Door {
    pub(super) async fn open(trust: &Trust) -> Result<Door, Trouble> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let refused = Arc::default();
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(listener, trust.clone(), Arc::clone(&refused)));
        Ok(Door { address, refused, _keeper: keeper })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was wrong with the last server that could not be reached, which the client is not told.
    pub(super) fn explain(&self, trouble: Trouble) -> Trouble {
        self.refused.lock().take().map_or(trouble, Trouble::msg)
    }
}

async fn keep(listener: TcpListener, trust: Trust, refused: Arc<Mutex<Option<String>>>) {
    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((guest, _)) = accepted else {
                    // There are no more descriptors for now.
                    tokio::time::sleep(super::TRY_AGAIN).await;
                    continue;
                };
                let (trust, refused) = (trust.clone(), Arc::clone(&refused));
                guests.spawn(async move {
                    if let Err(trouble) = pass(guest, &trust).await {
                        *refused.lock() = Some(format!("{trouble:#}"));
                    }
                });
            }
            Some(_) = guests.join_next() => {}
        }
    }
}

/// Lets one guest through to the server that it names.
async fn pass(mut guest: TcpStream, trust: &Trust) -> Result<(), Trouble> {
    guest.set_nodelay(true)?;
    let server = asked(&mut guest).await.context("the proxy is asked for something odd")?;
    let opened = access::pipe(trust, &server).await;
    let reply = if opened.is_ok() { SUCCEEDED } else { FAILED };
    guest.write_all(&[VERSION, reply, 0, IPV4, 0, 0, 0, 0, 0, 0]).await?;
    carry(guest, opened.with_context(|| server.authority())?).await;
    Ok(())
}

// Words of RFC 1928.
const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const SUCCEEDED: u8 = 0;
const FAILED: u8 = 1;

/// Which server is asked for.
async fn asked(guest: &mut TcpStream) -> Result<Endpoint, Trouble> {
    let [version, methods] = exactly(guest).await?;
    if version != VERSION {
        bail!("another version of SOCKS");
    }
    guest.read_exact(&mut vec![0; methods.into()]).await?;
    guest.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let [VERSION, CONNECT, 0, DOMAIN, length] = exactly(guest).await? else { bail!("no name of a server") };
    let mut host = vec![0; length.into()];
    guest.read_exact(&mut host).await?;
    let port = guest.read_u16().await?;
    Ok(Endpoint { tls: true, host: String::from_utf8(host)?, port, path: String::new() })
}

async fn exactly<const N: usize>(guest: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    guest.read_exact(&mut bytes).await?;
    Ok(bytes)
}
