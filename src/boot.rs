//! From a configuration to a serving process, and down again. Read top to bottom.

use crate::cloud::Cloud;
use crate::config::Config;
use crate::fabric::{self, Lanes};
use crate::images::Registries;
use crate::mappings::{self, Mappings};
use crate::meters::Meters;
use crate::outgoing::Trust;
use crate::outlets::Outlets;
use crate::platform::Services;
use crate::secrets::Secrets;
use crate::signing::MessageKeys;
use crate::{collector, gateway, provision};
use anyhow::Context as _;
use mayfly_kernel::ids::Ids;
use mayfly_kernel::time::SystemClock;
use mayfly_runtime::{Host, HostConfig, LauncherCommand, Layer};
use mayfly_services::identity::{Keyring, RootKey};
use mayfly_services::{Runner, Site};
use mayfly_store::{Blobs, Durability, LocalOptions, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// A server that accepts requests.
pub(crate) struct Running {
    pub(crate) endpoint: String,
    pub(crate) root: RootKey,
    /// Whether this start made the data directory's root key.
    pub(crate) first_start: bool,
    cloud: Arc<Cloud>,
    meters: Meters,
    stop: watch::Sender<bool>,
    doors: tokio::task::JoinHandle<()>,
    drain: Duration,
}

pub(crate) async fn start(config: Config) -> anyhow::Result<Running> {
    let data = &config.data;
    std::fs::create_dir_all(data).with_context(|| format!("create the data directory {}", data.display()))?;
    let options = LocalOptions {
        cache_bytes: config.store.cache_bytes,
        memory_table_bytes: config.store.table_bytes,
        ..LocalOptions::default()
    };
    let store = Store::open(&data.join("store"), options).map_err(|error| explain_open(data, error))?;
    let blobs = Blobs::local(&data.join("blobs")).context("open the blob directory")?;

    // The port is taken before anything runs, so that a second server on it fails without side effects.
    let listener = gateway::listen(config.listen, config.limits.connections)
        .with_context(|| format!("listen on {}", config.listen))?;
    let address = listener.local_addr().context("the listening address")?;
    let authority = config.authority.clone().unwrap_or_else(|| address.to_string());

    let ids = Ids::system();
    let keyring = keys(&store, &ids, &config)?;
    let first_start = keyring.is_new();
    let endpoint = format!("http://{authority}");
    let place = (endpoint.as_str(), config.region.as_str());
    write_root_key(&data.join("root-key.json"), keyring.root(), place)?;
    for (account, key) in keyring.others() {
        write_root_key(&data.join(format!("root-key-{account}.json")), key, place)?;
    }

    let trust = Trust::new(config.certificate_authorities.as_deref())?;
    let outlets = Outlets::open(&config, &trust)?;
    let clock = Arc::new(SystemClock);
    let site = Site {
        account: config.account.clone(),
        region: config.region.clone(),
        authority,
        tls: false,
        links: keyring.links(),
        signer: Arc::new(MessageKeys::new(&store, clock.clone())),
        outlets: outlets.which(),
    };
    let limits = Arc::new(config.limits.clone());
    let runner = Runner::new(store, clock.clone(), ids, limits, site);
    let (lanes, mailbox) = Lanes::channel();
    let (mappings, changes) = Mappings::channel();
    let root = keyring.root().clone();
    let host_config = host_config(&config, &trust)?;
    let registries = Registries::new(config.registries.clone(), config.docker_config.clone())?;
    let proxies = config.trusted_proxies.clone();
    let outside = (trust, registries, outlets, Secrets::new(config.secrets.clone()));
    let cloud = Arc::new(Cloud::new(runner, keyring, blobs, (lanes, mappings), outside, proxies));
    let (stop, stopped) = watch::channel(false);
    let meters = Meters::new(clock.clone());
    let platform = Services { cloud: cloud.clone(), meters: meters.clone(), stop: stopped.clone() };
    let host = Host::start(host_config, Arc::new(platform), clock).await?;
    cloud.set_host(host);

    // A full disk keeps nobody from reading.
    if let Err(fault) = provision::forget(&cloud).await {
        warn!(%fault, "cannot forget what was provisioned before");
    }
    tokio::spawn(cloud.logs.clone().drive(cloud.clone()));
    tokio::spawn(meters.clone().drive(cloud.clone()));
    tokio::spawn(collector::drive(cloud.clone()));
    tokio::spawn(provision::drive(cloud.clone(), meters.clone()));
    let driver = cloud.clone();
    tokio::spawn(async move {
        if let Err(fault) = fabric::drive(driver, mailbox).await {
            error!(%fault, "the fabric has stopped: asynchronous work waits for the next start");
        }
    });
    let driver = cloud.clone();
    tokio::spawn(async move {
        if let Err(fault) = mappings::drive(driver, changes).await {
            error!(%fault, "event source mappings and pipes have stopped until the next start");
        }
    });
    let doors = tokio::spawn(gateway::serve(cloud.clone(), listener, stopped));
    let drain = Duration::from_secs(config.limits.drain_seconds);
    Ok(Running { endpoint, root, first_start, cloud, meters, stop, doors, drain })
}

impl Running {
    /// Takes nothing new, finishes what is under way up to the limit, and closes the store.
    pub(crate) async fn drain(self) {
        info!("draining");
        self.stop.send_replace(true);
        let _ = self.doors.await;
        self.cloud.host().drain(self.drain).await;
        self.cloud.logs.flush(&self.cloud).await;
        self.meters.flush(&self.cloud).await;
        self.cloud.runner.store().close();
    }
}

fn explain_open(data: &Path, error: mayfly_store::OpenError) -> anyhow::Error {
    match error {
        mayfly_store::OpenError::Locked => anyhow::anyhow!(
            "the data directory {} is in use by another mayfly process. Stop it, or choose another with --data",
            data.display()
        ),
        other => anyhow::Error::new(other).context(format!("open the store in {}", data.display())),
    }
}

fn keys(store: &Store, ids: &Ids, config: &Config) -> anyhow::Result<Keyring> {
    let mut tx = store.begin();
    let accounts = (config.account.as_str(), &config.accounts[..]);
    let keyring = Keyring::load_or_create(&mut tx, ids, accounts, &config.region)?;
    if tx.is_dirty() {
        tx.commit(Durability::Durable).wait().context("keep the root keys")?;
    }
    Ok(keyring)
}

/// The file of an account from which `mayfly env` and the other commands learn the endpoint and the key. For
/// its owner alone.
fn write_root_key(file: &Path, root: &RootKey, (endpoint, region): (&str, &str)) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let document = serde_json::json!({
        "access_key_id": root.access_key,
        "secret_access_key": root.secret_key,
        "endpoint": endpoint,
        "region": region,
    });
    let fresh = file.with_extension("json.new");
    let _ = std::fs::remove_file(&fresh);
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    out.write_all(serde_json::to_string_pretty(&document)?.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&fresh, file).with_context(|| format!("write {}", file.display()))
}

fn host_config(config: &Config, trust: &Trust) -> anyhow::Result<HostConfig> {
    let require = config.require.iter().map(|name| {
        Layer::ALL
            .into_iter()
            .find(|layer| layer.name() == name)
            .with_context(|| format!("`require` names an unknown isolation layer: {name}"))
    });
    Ok(HostConfig {
        cache_dir: config.data.join("cache"),
        runtimes_dir: config.data.join("runtimes"),
        limits: config.limits.clone(),
        region: config.region.clone(),
        outgoing_http: config.outgoing_http.clone(),
        tls: trust.tls(),
        require: require.collect::<anyhow::Result<_>>()?,
        launcher: LauncherCommand {
            program: std::env::current_exe().context("find this program's own file")?,
            args: vec!["launcher".into()],
        },
    })
}
