//! Where a request came from: the peer's address, or what trusted proxies say of it.

use mayfly_kernel::Network;
use std::net::IpAddr;

/// The client's address. Each proxy adds who called it at the end of X-Forwarded-For, so the header is read from its
/// end, for as long as the one who wrote an entry is trusted.
pub(super) fn client<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[Network],
) -> IpAddr {
    let mut client = peer.to_canonical();
    let mut entries = forwarded.flat_map(|value| value.split(',')).rev();
    while trusted.iter().any(|network| network.contains(client)) {
        match entries.next().and_then(|entry| entry.trim().parse().ok()) {
            Some(before) => client = before,
            None => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "::1"].iter().map(|text| text.parse().unwrap()).collect();
        let client = |peer: &str, forwarded: &[&str]| {
            client(peer.parse().unwrap(), forwarded.iter().copied(), &trusted).to_string()
        };
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1", "anyone can write the header");
        assert_eq!(client("10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("::ffff:10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("::1", &["198.51.100.7, 203.0.113.9", "10.0.0.2"]), "203.0.113.9", "forged entry");
        assert_eq!(client("10.1.2.3", &["nonsense"]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
    }
}
