//! Where the commands find the server and its key: the one place of the command line that reads the
//! environment.
//!
//! A server is given whole by one source, so that a key meant for one server is never sent to another:
//! `--data` (the data directory's `root-key.json`), else `AWS_ENDPOINT_URL` with the `AWS_*` keys beside it,
//! else the default data directory. Keys for AWS itself that lie in the environment without an endpoint are
//! left alone.

use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The flags of every command that talks to a server.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Server {
    /// The server's address [default: $AWS_ENDPOINT_URL, or what the data directory says]
    #[arg(long, value_name = "URL", global = true, help_heading = "Server")]
    pub(crate) endpoint: Option<String>,
    /// The server's data directory, whose key is used [default: $MAYFLY_DATA or ~/.mayfly]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Server")]
    pub(crate) data: Option<PathBuf>,
    /// Another account than the server's first, by its number: its key in the data directory
    #[arg(long, value_name = "ID", global = true, help_heading = "Server")]
    pub(crate) account: Option<String>,
    /// The region [default: $AWS_REGION, or what the data directory says]
    #[arg(long, value_name = "NAME", global = true, help_heading = "Server")]
    pub(crate) region: Option<String>,
}

/// A server and the key to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) endpoint: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) session_token: Option<String>,
    pub(crate) region: String,
}

/// `root-key.json`, as the server writes it.
#[derive(Deserialize)]
struct RootKey {
    access_key_id: String,
    secret_access_key: String,
    endpoint: String,
    region: String,
}

/// The environment, as a function so that tests bring their own.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Server {
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        self.from(&variable)
    }

    /// The data directory that these flags mean.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(default_data_dir)
    }

    fn from(&self, variable: Variables<'_>) -> anyhow::Result<Settings> {
        // Only the data directory has the keys of several accounts.
        let named = match self.data.is_some() || self.account.is_some() {
            true => None,
            false => variable("AWS_ENDPOINT_URL").or_else(|| self.endpoint.clone()),
        };
        let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        let mut settings = match (named, keys) {
            (Some(endpoint), Some((access_key, secret_key))) => Settings {
                endpoint,
                access_key,
                secret_key,
                session_token: variable("AWS_SESSION_TOKEN"),
                region: variable("AWS_REGION")
                    .or_else(|| variable("AWS_DEFAULT_REGION"))
                    .unwrap_or_else(|| "us-east-1".to_owned()),
            },
            (named, _) => {
                let data = self.data.clone().unwrap_or_else(|| data_dir(variable));
                let mut settings = root_key(&data, self.account.as_deref())?;
                settings.endpoint = named.unwrap_or(settings.endpoint);
                settings
            }
        };
        if let Some(endpoint) = &self.endpoint {
            settings.endpoint.clone_from(endpoint);
        }
        if let Some(region) = &self.region {
            settings.region.clone_from(region);
        }
        Ok(settings)
    }
}

/// The key of an account, or of the first one, that a server wrote into its data directory.
pub(crate) fn root_key(data: &Path, account: Option<&str>) -> anyhow::Result<Settings> {
    let file = match account {
        None => data.join("root-key.json"),
        Some(account) => data.join(format!("root-key-{account}.json")),
    };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && account.is_some() => bail!(
            "there is no {}: name the account under `accounts` in the server's configuration and start it",
            file.display()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "no server has been started with the data directory {}. Start one with `mayfly up`, or name a \
             server with --data DIR, or with AWS_ENDPOINT_URL and its keys",
            data.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    };
    let key: RootKey = serde_json::from_str(&text).with_context(|| format!("in {}", file.display()))?;
    Ok(Settings {
        endpoint: key.endpoint,
        access_key: key.access_key_id,
        secret_key: key.secret_access_key,
        session_token: None,
        region: key.region,
    })
}

/// Where a server keeps its data if nothing else is said: `$MAYFLY_DATA`, or `~/.mayfly`.
pub(crate) fn default_data_dir() -> PathBuf {
    data_dir(&variable)
}

fn data_dir(variable: Variables<'_>) -> PathBuf {
    match (variable("MAYFLY_DATA"), variable("HOME")) {
        (Some(data), _) => PathBuf::from(data),
        (None, Some(home)) => Path::new(&home).join(".mayfly"),
        (None, None) => PathBuf::from(".mayfly"),
    }
}

/// Whether colours are unwanted, by the convention of no-color.org.
pub(crate) fn no_color() -> bool {
    variable("NO_COLOR").is_some()
}

#[expect(clippy::disallowed_methods, reason = "the command line's one reader of the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"access_key_id": "FILEKEY", "secret_access_key": "filesecret",
        "endpoint": "http://127.0.0.1:4566", "region": "eu-west-1"}"#;

    fn settings(flags: Server, variables: &[(&str, &str)]) -> Settings {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("root-key.json"), FILE).unwrap();
        let home = data.path().to_str().unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.replace("{DATA}", home))
        };
        let data = flags.data.map(|_| data.path().to_owned());
        Server { data, ..flags }.from(&variable).unwrap()
    }

    const AWS: [(&str, &str); 4] = [
        ("AWS_ACCESS_KEY_ID", "ENVKEY"),
        ("AWS_SECRET_ACCESS_KEY", "envsecret"),
        ("AWS_REGION", "us-west-2"),
        ("MAYFLY_DATA", "{DATA}"),
    ];

    #[test]
    fn keys_without_an_endpoint_are_meant_for_someone_else() {
        let found = settings(Server::default(), &AWS);
        assert_eq!((found.access_key.as_str(), found.region.as_str()), ("FILEKEY", "eu-west-1"));
    }

    #[test]
    fn the_environment_names_a_server_whole() {
        let endpoint = [("AWS_ENDPOINT_URL", "http://cloud:80")];
        let found = settings(Server::default(), &[&AWS[..], &endpoint].concat());
        assert_eq!((found.endpoint.as_str(), found.access_key.as_str()), ("http://cloud:80", "ENVKEY"));
        assert_eq!(found.region, "us-west-2");
    }

    #[test]
    fn flags_go_before_everything() {
        let endpoint = [("AWS_ENDPOINT_URL", "http://cloud:80")];
        let flags = Server { data: Some(PathBuf::new()), ..Server::default() };
        let found = settings(flags, &[&AWS[..], &endpoint].concat());
        assert_eq!(
            (found.endpoint.as_str(), found.access_key.as_str()),
            ("http://127.0.0.1:4566", "FILEKEY")
        );
        let flags =
            Server { endpoint: Some("http://other".into()), region: Some("r".into()), ..Server::default() };
        let found = settings(flags, &AWS);
        assert_eq!((found.endpoint.as_str(), found.region.as_str()), ("http://other", "r"));
    }

    #[test]
    fn a_missing_key_says_what_to_do() {
        let data = tempfile::tempdir().unwrap();
        let told = root_key(data.path(), None).unwrap_err().to_string();
        assert!(told.contains("`mayfly up`"), "{told}");
        let told = root_key(data.path(), Some("111111111111")).unwrap_err().to_string();
        assert!(told.contains("`accounts`"), "{told}");
    }
}
