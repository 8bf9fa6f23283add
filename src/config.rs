//! The configuration: one documented struct, read from a TOML file, overridden by flags.
//!
//! Everything has a default, so that no file is needed. An unknown key is an error: a misspelt limit must not
//! be silently ignored.

use crate::images::RegistryConfig;
use crate::outlets::{GatewayConfig, MailConfig};
use anyhow::Context as _;
use mayfly_kernel::{Limits, Network};
use mayfly_runtime::wasm::HostList;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where everything is kept. One process at a time.
    pub(crate) data: PathBuf,
    /// The one address of the gateway.
    pub(crate) listen: SocketAddr,
    /// The account that owns everything, twelve digits.
    pub(crate) account: String,
    /// More accounts, each behind its own wall and with a key of its own: `root-key-ACCOUNT.json` in the data
    /// directory.
    pub(crate) accounts: Vec<String>,
    pub(crate) region: String,
    /// What functions and clients are told as the gateway's host and port; the listening address if absent.
    pub(crate) authority: Option<String>,
    /// Proxies in front of Mayfly, as addresses or blocks such as `10.0.0.0/8`: what they write into
    /// X-Forwarded-For is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// A PEM file of certificate authorities that are believed beside the built-in ones, when this server
    /// calls others.
    pub(crate) certificate_authorities: Option<PathBuf>,
    /// The hosts that WebAssembly functions may call at most, such as `*.example.com`: `*` is any host at a
    /// public address. Others are reached only if their address stands here.
    pub(crate) outgoing_http: HostList,
    /// Other registries of container images, by host and perhaps port.
    pub(crate) registries: BTreeMap<String, RegistryConfig>,
    /// A file with credentials of registries as `docker login` writes it, such as
    /// `/etc/mayfly/docker.json`.
    pub(crate) docker_config: Option<PathBuf>,
    /// Isolation layers without which the server refuses to start, by the names that `mayfly doctor` prints.
    pub(crate) require: Vec<String>,
    /// The server that takes mail of topics.
    pub(crate) smtp: Option<MailConfig>,
    /// Who sends text messages on.
    pub(crate) sms: Option<GatewayConfig>,
    /// Who sends push messages on.
    pub(crate) push: Option<GatewayConfig>,
    pub(crate) limits: Limits,
    pub(crate) store: StoreConfig,
    /// Files with what event source mappings log in to brokers with, by the names of the secrets.
    pub(crate) secrets: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// Memory for pages of the tree.
    pub(crate) cache_bytes: usize,
    /// Recent writes are kept in memory up to this size before they move to the tree.
    pub(crate) table_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        let local = mayfly_store::LocalOptions::default();
        StoreConfig { cache_bytes: local.cache_bytes, table_bytes: local.memory_table_bytes }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: crate::cli::default_data_dir(),
            listen: SocketAddr::from(([127, 0, 0, 1], 4566)),
            account: "000000000000".into(),
            accounts: Vec::new(),
            region: "us-east-1".into(),
            authority: None,
            trusted_proxies: Vec::new(),
            certificate_authorities: None,
            outgoing_http: HostList::any(),
            registries: BTreeMap::new(),
            docker_config: None,
            require: Vec::new(),
            smtp: None,
            sms: None,
            push: None,
            limits: Limits::default(),
            store: StoreConfig::default(),
            secrets: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The file's configuration, or the defaults if there is no file.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Config> {
        let Some(file) = file else { return Ok(Config::default()) };
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let config: Config = toml::from_str(&text).with_context(|| format!("in {}", file.display()))?;
        let digits = |account: &String| account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let bad = std::iter::once(&config.account).chain(&config.accounts).find(|account| !digits(account));
        if let Some(bad) = bad {
            anyhow::bail!("in {}: an account has twelve digits, not {bad}", file.display());
        }
        Ok(config)
    }
}
