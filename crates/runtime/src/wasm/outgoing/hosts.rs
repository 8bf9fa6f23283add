//! Lists of hosts: what a function says that it calls, and what the operator allows at most.
//!
//! An entry is `[SCHEME://]HOST[:PORT]`. The host is a name, `*.example.com` for every name below one, `*`
//! for any, an address, or a block of addresses such as `10.0.0.0/8`. Without a scheme both are meant,
//! without a port the scheme's own. An address in IPv6 stands in brackets, and so does a block of them:
//! `[fd00::/8]:8080`.

use mayfly_kernel::Network;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// What one request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    /// In lower case, an address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Target {
    pub(super) fn of(uri: &http::Uri) -> Option<Target> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) | None => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let host = bare(authority.host()).trim_end_matches('.').to_ascii_lowercase();
        let port = authority.port().map_or(Some(scheme.port()), |port| port.as_str().parse().ok())?;
        (!host.is_empty() && port != 0).then_some(Target { scheme, host, port })
    }

    /// The address, if the host is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct HostList(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    scheme: Option<Scheme>,
    host: Pattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Name(String),
    /// What such a name ends in, with its dot.
    Below(String),
    Block(Network),
}

impl HostList {
    /// Every host at a public address, for who sets no bounds.
    pub fn any() -> HostList {
        HostList(vec![Entry { scheme: None, host: Pattern::Any, port: None }])
    }

    fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<HostList, String> {
        entries.into_iter().map(Entry::from_str).collect::<Result<_, _>>().map(HostList)
    }

    /// Whether an entry is for the host as it is written.
    pub(super) fn names(&self, target: &Target) -> bool {
        self.0.iter().any(|entry| entry.fits(target.scheme, target.port) && entry.names(target))
    }

    /// Whether an entry is for the very address, whatever its name is.
    pub(super) fn covers(&self, scheme: Scheme, address: SocketAddr) -> bool {
        let covers = |entry: &Entry| {
            matches!(entry.host, Pattern::Block(block) if block.contains(address.ip()))
                && entry.fits(scheme, address.port())
        };
        self.0.iter().any(covers)
    }
}

impl Entry {
    fn fits(&self, scheme: Scheme, port: u16) -> bool {
        // `*` is every host at every port: who means less writes less.
        let any_port = matches!(self.host, Pattern::Any) && self.port.is_none();
        self.scheme.is_none_or(|own| own == scheme)
            && (any_port || port == self.port.unwrap_or(scheme.port()))
    }

    fn names(&self, target: &Target) -> bool {
        match &self.host {
            Pattern::Any => true,
            Pattern::Name(name) => *name == target.host,
            Pattern::Below(end) => target.host.len() > end.len() && target.host.ends_with(end.as_str()),
            Pattern::Block(block) => target.address().is_some_and(|address| block.contains(address)),
        }
    }
}

/// Entries between commas or blanks, as they stand in a variable.
impl FromStr for HostList {
    type Err = String;

    fn from_str(text: &str) -> Result<HostList, String> {
        HostList::parse(text.split([',', ' ', '\n', '\t']).filter(|entry| !entry.is_empty()))
    }
}

impl TryFrom<Vec<String>> for HostList {
    type Error = String;

    fn try_from(entries: Vec<String>) -> Result<HostList, String> {
        HostList::parse(entries.iter().map(String::as_str))
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(text: &str) -> Result<Entry, String> {
        let bad = || {
            format!(
                "`{text}` names no hosts: write a name, *.NAME, * or an address, perhaps with http:// and :PORT"
            )
        };
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some(_) => return Err(bad()),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?))
            }
            Some(_) | None => (rest, None),
        };
        let host = Pattern::of(host).ok_or_else(bad)?;
        Ok(Entry { scheme, host, port })
    }
}

impl Pattern {
    fn of(host: &str) -> Option<Pattern> {
        if host == "*" {
            return Some(Pattern::Any);
        }
        if let Ok(block) = bare(host).parse() {
            return Some(Pattern::Block(block));
        }
        let (below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = |label: &str| !label.is_empty() && label.bytes().all(is_part);
        let name = name.to_ascii_lowercase();
        match name.split('.').all(is_name) {
            true if below => Some(Pattern::Below(format!(".{name}"))),
            true => Some(Pattern::Name(name)),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(list: &str, uri: &str) -> bool {
        let target = Target::of(&uri.parse().unwrap()).expect(uri);
        list.parse::<HostList>().unwrap().names(&target)
    }

    #[test]
    fn an_entry_is_for_its_hosts_alone() {
        for (list, uri) in [
            ("api.example.com", "https://api.example.com/v1"),
            ("api.example.com", "http://API.example.com."),
            ("*.example.com,other.org", "https://a.b.example.com"),
            ("http://localhost:8080", "http://localhost:8080/"),
            ("api.example.com:8443", "https://api.example.com:8443"),
            ("*", "https://anything.org:8443"),
            ("10.0.0.0/8 [fd00::/8]:8080", "http://10.1.2.3"),
            ("10.0.0.0/8\n[fd00::/8]:8080", "http://[fd00::1]:8080"),
        ] {
            assert!(named(list, uri), "{list}: {uri}");
        }
        for (list, uri) in [
            ("", "https://api.example.com"),
            ("api.example.com", "https://api.example.com:8443"),
            ("api.example.com", "https://api.example.com.evil.org"),
            ("api.example.com", "https://evil-api.example.com"),
            ("*.example.com", "https://example.com"),
            ("*.example.com", "https://evilexample.com"),
            ("https://api.example.com", "http://api.example.com"),
            ("http://api.example.com", "http://api.example.com:443"),
            ("10.0.0.0/8", "http://11.0.0.1"),
            ("10.0.0.1", "http://10.0.0.1.nip.io"),
        ] {
            assert!(!named(list, uri), "{list}: {uri}");
        }
    }

    #[test]
    fn an_entry_that_names_nothing_is_told() {
        for bad in
            ["ftp://a.org", "a.org:0", "a.org:x", "a..org", "*.*.org", "a.org/path", "10.0.0.0/40", "fd00::1"]
        {
            let told = bad.parse::<HostList>().expect_err(bad);
            assert!(told.starts_with(&format!("`{bad}` names no hosts")), "{told}");
        }
        assert!(Target::of(&"http://user@a.org/".parse().unwrap()).is_none());
        assert!(Target::of(&"/path".parse().unwrap()).is_none());
    }

    #[test]
    fn an_address_is_covered_only_by_a_block() {
        let list: HostList = "*, localhost:9, 127.0.0.1:9, https://10.0.0.0/8".parse().unwrap();
        let covers = |scheme, address: &str| list.covers(scheme, address.parse().unwrap());
        assert!(covers(Scheme::Http, "127.0.0.1:9") && covers(Scheme::Https, "10.0.0.1:443"));
        assert!(!covers(Scheme::Http, "127.0.0.1:80") && !covers(Scheme::Http, "10.0.0.1:80"));
        assert!(!covers(Scheme::Http, "93.184.216.34:80"), "a name or * covers no address");
    }
}
