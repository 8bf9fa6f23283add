//! What opens other registries: from the configuration, and from the file that `docker login` writes.
//!
//! The files are read again for every pull, so that a password that changes needs no restart. What is in them
//! is never printed, and goes to the registry that it is for and to the token service that this one names.
//!
//! Not here: programs that keep passwords for docker (`credsStore`, `credHelpers`): this server starts none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tracing::warn;

/// The name that people write for Docker Hub, and that what is configured for it goes by.
const DOCKER_HUB: &str = "docker.io";
/// A list of passwords is short, whatever file is named.
const FILE_BYTES: u64 = 1024 * 1024;

/// `[registries."HOST"]` of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistryConfig {
    username: Option<String>,
    /// A file that holds the password alone.
    password_file: Option<PathBuf>,
    /// Whether it is spoken to over TLS; if nothing is said, unless it is of this machine.
    tls: Option<bool>,
}

/// What the configuration says of other registries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registries {
    named: BTreeMap<String, RegistryConfig>,
    docker_config: Option<PathBuf>,
}

/// What lets in. Without `Debug`, so that it cannot get into a log.
#[derive(Clone)]
pub(super) enum Secret {
    Password {
        username: String,
        password: String,
    },
    /// An identity token: good for tokens, and for nothing else.
    Refresh(String),
}

impl Secret {
    /// As the value of an `Authorization` header.
    pub(super) fn basic(&self) -> Option<String> {
        match self {
            Secret::Password { username, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
            }
            Secret::Refresh(_) => None,
        }
    }
}

/// Credentials are configured and cannot be had; why is in the log.
pub(super) struct Unreadable;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

impl Registries {
    pub(crate) fn new(
        named: BTreeMap<String, RegistryConfig>,
        docker_config: Option<PathBuf>,
    ) -> anyhow::Result<Registries> {
        for (name, entry) in &named {
            let whole = entry.username.is_some() == entry.password_file.is_some();
            anyhow::ensure!(whole, "registries.\"{name}\": username and password_file go together");
        }
        let named = named.into_iter().map(|(name, entry)| (plain(&name).to_owned(), entry)).collect();
        Ok(Registries { named, docker_config })
    }

    /// Whether the registry is spoken to over TLS, if the configuration says so.
    pub(super) fn tls(&self, registry: &str) -> Option<bool> {
        self.named.get(plain(registry))?.tls
    }

    /// What opens a repository; `None` if nothing is configured for it.
    pub(super) async fn secret(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Secret>, Unreadable> {
        let registry = plain(registry);
        if let Some(RegistryConfig { username: Some(username), password_file: Some(file), .. }) =
            self.named.get(registry)
        {
            let password = read(file).await?.trim_end_matches(['\r', '\n']).to_owned();
            return Ok(Some(Secret::Password { username: username.clone(), password }));
        }
        let Some(file) = &self.docker_config else { return Ok(None) };
        let config: DockerConfig = serde_json::from_str(&read(file).await?).map_err(|error| {
            // Not the parser's own words: they may quote what they stumbled over.
            warn!(file = %file.display(), line = error.line(), "docker_config is not what docker writes");
            Unreadable
        })?;
        match config.find(registry, repository) {
            Some(auth) if auth.is_elsewhere() => {
                warn!(file = %file.display(), registry, "docker_config leaves the password to another program");
                Ok(None)
            }
            Some(auth) => auth.secret().map(Some).ok_or_else(|| {
                warn!(file = %file.display(), registry, "docker_config holds no password that can be read");
                Unreadable
            }),
            None => Ok(None),
        }
    }
}

async fn read(file: &Path) -> Result<String, Unreadable> {
    let unreadable = |error: std::io::Error| {
        warn!(file = %file.display(), %error, "cannot read the credentials of a registry");
        Unreadable
    };
    let size = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
    if size > FILE_BYTES {
        return Err(unreadable(std::io::Error::other(format!("it has more than {FILE_BYTES} bytes"))));
    }
    tokio::fs::read_to_string(file).await.map_err(unreadable)
}

impl DockerConfig {
    /// The entry of a repository: of all that fit (`host`, `host/team`, as podman writes them) the longest.
    fn find(&self, registry: &str, repository: &str) -> Option<&Auth> {
        let whole = format!("{registry}/{repository}");
        let fits = |name: &str| whole.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        let found = self.auths.iter().filter(|(name, _)| fits(plain(name)) || plain(name) == whole);
        found.max_by_key(|(name, _)| plain(name).len()).map(|(_, auth)| auth)
    }
}

impl Auth {
    /// Whether a program keeps what lets in: then what is open to everybody can still be pulled.
    fn is_elsewhere(&self) -> bool {
        [&self.auth, &self.username, &self.password, &self.identitytoken].iter().all(|text| text.is_empty())
    }

    /// `None` if it cannot be read.
    fn secret(&self) -> Option<Secret> {
        if !self.identitytoken.is_empty() {
            return Some(Secret::Refresh(self.identitytoken.clone()));
        }
        let (username, password) = match self.auth.as_str() {
            "" => (self.username.clone(), self.password.clone()),
            auth => {
                let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
                let (username, password) = text.split_once(':')?;
                // Some writers end it with zeros.
                (username.to_owned(), password.trim_end_matches('\0').to_owned())
            }
        };
        (!username.is_empty() && !password.is_empty()).then_some(Secret::Password { username, password })
    }
}

/// A registry's one name, of the many in which files have it: `https://HOST/v1/`, and Docker Hub's hosts.
fn plain(name: &str) -> &str {
    let name = name.trim_start_matches("https://").trim_start_matches("http://");
    let name = name.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    match name {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB,
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(secret: Option<Secret>) -> String {
        match secret {
            None => String::new(),
            Some(Secret::Password { username, password }) => format!("{username}:{password}"),
            Some(Secret::Refresh(token)) => format!("refresh {token}"),
        }
    }

    #[tokio::test]
    async fn the_longest_name_that_fits_opens_and_the_configuration_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let docker = serde_json::json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": STANDARD.encode("hub:a:b") },
            "quay.io": { "auth": STANDARD.encode("all:1") },
            "quay.io/team": { "username": "team", "password": "2" },
            "quay.io/tea": { "username": "other", "password": "3" },
            "azure.example": { "auth": STANDARD.encode("0000:"), "identitytoken": "long" },
            "kept.example": {},
            "odd.example": { "auth": "no colon" },
            "ghcr.io": { "auth": STANDARD.encode("file:4") },
        }});
        let named: BTreeMap<String, RegistryConfig> = toml::from_str(&format!(
            "[\"ghcr.io\"]\nusername = \"me\"\npassword_file = {:?}\n[\"plain.example\"]\ntls = false\n\
             [\"gone.example\"]\nusername = \"me\"\npassword_file = \"/nonexistent\"\n",
            file("password", "secret word\n")
        ))
        .unwrap();
        let config = file("config.json", &docker.to_string());
        let registries = Registries::new(named.clone(), Some(config)).unwrap();
        let open = async |registry: &str, repository: &str| {
            registries.secret(registry, repository).await.map(shown).map_err(|Unreadable| "unreadable")
        };
        assert_eq!(open("docker.io", "library/alpine").await.unwrap(), "hub:a:b");
        assert_eq!(open("quay.io", "team/app").await.unwrap(), "team:2");
        assert_eq!(open("quay.io", "teams/app").await.unwrap(), "all:1");
        assert_eq!(open("azure.example", "app").await.unwrap(), "refresh long");
        assert_eq!(open("ghcr.io", "o/app").await.unwrap(), "me:secret word");
        assert_eq!(open("quay.io.example.com", "app").await.unwrap(), "");
        assert_eq!(open("kept.example", "app").await.unwrap(), "");
        assert_eq!(open("odd.example", "app").await, Err("unreadable"));
        assert_eq!(open("gone.example", "app").await, Err("unreadable"));
        assert_eq!((registries.tls("plain.example"), registries.tls("ghcr.io")), (Some(false), None));
        let broken = Registries::new(named, Some(file("broken.json", "{\"auths\": \"secret\"}"))).unwrap();
        assert!(broken.secret("quay.io", "app").await.is_err());
        let half = toml::from_str("[\"a.example\"]\nusername = \"me\"\n").unwrap();
        assert!(Registries::new(half, None).is_err());
    }
}
