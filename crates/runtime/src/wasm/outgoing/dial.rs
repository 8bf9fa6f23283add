//! From a host's name to a connection: resolved here, judged by its address, connected to that very address.
//!
//! A name that leads to a private address is thus refused however often it changes what it leads to: what was
//! judged is what is connected to, and nobody resolves it again.

use super::hosts::{HostList, Scheme, Target};
use crate::platform::Wire;
use mayfly_kernel::network::is_public;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

/// Names that are looked up at once, each in a thread of its own for as long as the system's resolver takes.
const LOOKUPS: usize = 32;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Undialled {
    /// The function's own list does not name it.
    NotListed,
    /// The operator's list does not.
    NotAllowed,
    /// It leads to an address that is not public, or this machine's own, and that the operator does not name.
    Inside(IpAddr),
    Unknown(io::Error),
    TimedOut,
    Unreached(io::Error),
    Tls(io::Error),
}

pub(super) struct Dialler {
    /// What functions may reach at most.
    ceiling: HostList,
    tls: Arc<ClientConfig>,
    lookups: Arc<Semaphore>,
}

impl Dialler {
    pub(super) fn new(ceiling: HostList, tls: Arc<ClientConfig>) -> Dialler {
        Dialler { ceiling, tls, lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    /// A connection to a host that `own`, a function's list, names.
    pub(super) async fn dial(
        &self,
        target: &Target,
        own: &HostList,
        within: Option<Duration>,
    ) -> Result<Box<dyn Wire>, Undialled> {
        if !own.names(target) {
            return Err(Undialled::NotListed);
        }
        let dialled = async {
            let addresses = self.allowed(target).await?;
            let stream = connect(&addresses).await.map_err(Undialled::Unreached)?;
            let _ = stream.set_nodelay(true);
            match target.scheme {
                Scheme::Http => Ok(Box::new(stream) as Box<dyn Wire>),
                Scheme::Https => self.secure(target, stream).await.map_err(Undialled::Tls),
            }
        };
        let within = within.map_or(CONNECT_WITHIN, |within| within.min(CONNECT_WITHIN));
        tokio::time::timeout(within, dialled).await.unwrap_or(Err(Undialled::TimedOut))
    }

    /// The addresses of a host that may be connected to.
    async fn allowed(&self, target: &Target) -> Result<Vec<SocketAddr>, Undialled> {
        let found = match target.address() {
            Some(address) => vec![SocketAddr::new(address, target.port)],
            None => self.look_up(target).await.map_err(Undialled::Unknown)?,
        };
        let named = self.ceiling.names(target);
        let (allowed, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| {
            self.ceiling.covers(target.scheme, *address)
                || named && is_public(address.ip()) && !is_own(address.ip())
        });
        match (allowed.is_empty(), refused.first()) {
            (false, _) => Ok(allowed),
            (true, Some(address)) if named => Err(Undialled::Inside(address.ip())),
            (true, Some(_)) => Err(Undialled::NotAllowed),
            (true, None) => Err(Undialled::Unknown(io::ErrorKind::NotFound.into())),
        }
    }

    /// A turn is held until the resolver comes back, also for a guest that is gone by then.
    async fn look_up(&self, target: &Target) -> io::Result<Vec<SocketAddr>> {
        let turn = self.lookups.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (host, port) = (target.host.clone(), target.port);
        let lookup = tokio::spawn(async move {
            let found = tokio::net::lookup_host((host, port)).await?.collect();
            drop(turn);
            Ok(found)
        });
        lookup.await.map_err(io::Error::other)?
    }

    async fn secure(&self, target: &Target, stream: TcpStream) -> io::Result<Box<dyn Wire>> {
        let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        Ok(Box::new(stream))
    }
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failure = io::ErrorKind::NotFound.into();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Whether an address is one of this machine, and so its own ports behind it: what is sent from here to there
/// would come from there. A datagram socket that is connected sends nothing.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, 9))?;
        io::Result::Ok(socket.local_addr()?.ip())
    };
    from().is_ok_and(|from| from == address)
}

/// Whether it is the server's certificate that a handshake failed on.
pub(super) fn is_about_certificate(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn an_address_of_this_machine_is_known_as_such() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("93.184.216.34".parse().unwrap()), "or there is no way there at all");
    }
}
