//! References to images: `host/name:tag`, `host/name@sha256:…`, and whether the host is this very registry.

use super::names;
use crate::Site;

/// Where an image lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Host and port of another registry; `None` for our own.
    pub registry: Option<String>,
    pub repository: String,
    /// A tag or a digest.
    pub reference: String,
}

/// What a reference without a host means to every client.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Reads a reference; `None` if it is none. An account's AWS name for its registry means ours, so that
/// templates which were written for AWS hold.
pub fn locate(site: &Site, account: &str, text: &str) -> Option<Located> {
    let (text, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (host, path) = match text.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => (DEFAULT_REGISTRY, text),
    };
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (path, None),
    };
    let reference = match (digest, tag) {
        (Some(digest), tag) if names::is_digest(digest) && tag.is_none_or(names::is_tag) => digest,
        (None, Some(tag)) if names::is_tag(tag) => tag,
        (None, None) => "latest",
        _ => return None,
    };
    let official = host == DEFAULT_REGISTRY && !path.contains('/');
    let repository = if official { format!("library/{path}") } else { path.to_owned() };
    if !names::is_repository(&repository) || !is_host(host) {
        return None;
    }
    let registry = (!is_ours(site, account, host)).then(|| host.to_owned());
    Some(Located { registry, repository, reference: reference.into() })
}

fn is_host(text: &str) -> bool {
    let name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    name && text.len() <= 255
}

fn is_ours(site: &Site, account: &str, host: &str) -> bool {
    let port = site.port_suffix();
    let local = ["127.0.0.1", "localhost"].iter().any(|name| host == format!("{name}{port}"));
    let aws = host.strip_prefix(account).is_some_and(|rest| {
        let name = rest.rsplit_once(':').map_or(rest, |(name, _)| name);
        name.starts_with(".dkr.ecr.") && (name.ends_with(".amazonaws.com") || name.ends_with(".localhost"))
    });
    host == site.authority || (local && !port.is_empty()) || aws
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site { authority: "cloud.example:4566".into(), ..crate::testing::site() }
    }

    #[test]
    fn a_reference_says_which_registry_it_means() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let read = |text: &str| {
            let found = locate(&site(), "000000000000", text)?;
            Some((found.registry.unwrap_or_default(), found.repository, found.reference))
        };
        let is = |registry: &str, repository: &str, reference: &str| {
            Some((registry.to_owned(), repository.to_owned(), reference.to_owned()))
        };
        assert_eq!(read("cloud.example:4566/team/app:1"), is("", "team/app", "1"));
        assert_eq!(read("localhost:4566/app"), is("", "app", "latest"));
        assert_eq!(read("000000000000.dkr.ecr.us-east-1.amazonaws.com/app:v1"), is("", "app", "v1"));
        let other = "111111111111.dkr.ecr.us-east-1.amazonaws.com";
        assert_eq!(read(&format!("{other}/app:v1")), is(other, "app", "v1"));
        assert_eq!(read(&format!("ghcr.io/o/app:v1@{digest}")), is("ghcr.io", "o/app", &digest));
        assert_eq!(read("alpine"), is("docker.io", "library/alpine", "latest"));
        assert_eq!(read("org/app:2"), is("docker.io", "org/app", "2"));
        assert_eq!(read("127.0.0.1:5000/app:2"), is("127.0.0.1:5000", "app", "2"));
        for bad in
            ["", "host.io/", "host.io/App", "host.io/app:", "host.io/app@sha256:12", "a b/c", "h.io/../x"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
