//! Lambda's stored records, and the rules that need nothing but them. Tags are for ever.

use crate::ecr::layer_blob;
use mayfly_kernel::function::{
    Concurrency, Image, ImageLayer, LogFormat, Origin, PackageDigest, Runtime, SystemLevel, Version,
};
use mayfly_kernel::{Arn, Fault, Time};
use std::collections::BTreeMap;

/// What is true of a function as a whole.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FunctionRow {
    /// Tells a function from an earlier one of the same name.
    #[prost(string, tag = "1")]
    pub(super) uid: String,
    /// The number of the version published last; numbers are never used again.
    #[prost(uint64, tag = "2")]
    pub(super) last_version: u64,
    #[prost(uint32, optional, tag = "3")]
    pub(super) reserved_concurrency: Option<u32>,
    /// A chain of invocations through this function is never cut.
    #[prost(bool, tag = "4")]
    pub(super) recursion_allowed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum State {
    Unspecified = 0,
    Pending = 1,
    Active = 2,
    Failed = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Update {
    /// Published versions are never updated.
    Unspecified = 0,
    InProgress = 1,
    Successful = 2,
    Failed = 3,
}

/// A version: code and configuration. `$LATEST` changes, all others stay as they were published.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct VersionRow {
    /// 0 is `$LATEST`.
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    #[prost(string, tag = "2")]
    pub(super) uid: String,
    /// Goes up with every change of code or configuration.
    #[prost(uint64, tag = "3")]
    pub(super) generation: u64,
    #[prost(string, tag = "4")]
    pub(super) runtime: String,
    #[prost(string, tag = "5")]
    pub(super) role: String,
    #[prost(string, tag = "6")]
    pub(super) handler: String,
    #[prost(string, tag = "7")]
    pub(super) description: String,
    #[prost(uint32, tag = "8")]
    pub(super) timeout_s: u32,
    #[prost(uint32, tag = "9")]
    pub(super) memory_mib: u32,
    #[prost(uint32, tag = "10")]
    pub(super) ephemeral_mib: u32,
    #[prost(btree_map = "string, string", tag = "11")]
    pub(super) environment: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "12")]
    pub(super) layers: Vec<LayerUse>,
    #[prost(string, tag = "13")]
    pub(super) architecture: String,
    #[prost(string, tag = "14")]
    pub(super) tracing: String,
    /// ARN of the queue or topic for events that are given up; empty for none.
    #[prost(string, tag = "15")]
    pub(super) dead_letter: String,
    #[prost(message, required, tag = "16")]
    pub(super) logging: Logging,
    #[prost(string, tag = "17")]
    pub(super) snap_start: String,
    #[prost(message, required, tag = "18")]
    pub(super) package: PackageRef,
    #[prost(string, tag = "19")]
    pub(super) revision_id: String,
    #[prost(uint64, tag = "20")]
    pub(super) modified_ms: u64,
    #[prost(enumeration = "State", tag = "21")]
    pub(super) state: i32,
    #[prost(string, tag = "22")]
    pub(super) state_reason: String,
    #[prost(string, tag = "23")]
    pub(super) state_reason_code: String,
    #[prost(enumeration = "Update", tag = "24")]
    pub(super) update: i32,
    #[prost(string, tag = "25")]
    pub(super) update_reason: String,
    #[prost(string, tag = "26")]
    pub(super) update_reason_code: String,
    /// What `$LATEST` was before an update that has to be compiled first. It serves until that has succeeded.
    #[prost(message, optional, boxed, tag = "27")]
    pub(super) previous: Option<Box<VersionRow>>,
    /// The code, if it is a container image. The digest of its manifest stands in `package`.
    #[prost(message, optional, tag = "28")]
    pub(super) image: Option<ImageRow>,
    #[prost(message, optional, tag = "29")]
    pub(super) image_config: Option<ImageConfigRow>,
    /// No instance serves two tenants. The same for all versions of a function.
    #[prost(bool, tag = "30")]
    pub(super) per_tenant: bool,
    /// Whether instances start from a snapshot, as `snap_start` asks for and the code allows.
    #[prost(bool, tag = "31")]
    pub(super) snapshot: bool,
}

/// A container image, and what its configuration says.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ImageRow {
    /// As the caller wrote it.
    #[prost(string, tag = "1")]
    pub(super) uri: String,
    #[prost(string, tag = "2")]
    pub(super) resolved: String,
    /// Lowest first.
    #[prost(message, repeated, tag = "3")]
    pub(super) layers: Vec<ImageLayerRow>,
    #[prost(string, repeated, tag = "4")]
    pub(super) entry_point: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub(super) command: Vec<String>,
    /// `NAME=value`.
    #[prost(string, repeated, tag = "6")]
    pub(super) environment: Vec<String>,
    #[prost(string, tag = "7")]
    pub(super) working_directory: String,
    /// The host of another registry; empty if it is our own.
    #[prost(string, tag = "8")]
    pub(super) registry: String,
    #[prost(string, tag = "9")]
    pub(super) repository: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ImageLayerRow {
    /// Hexadecimal, as are all digests here.
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(string, tag = "2")]
    pub(super) diff_id: String,
    #[prost(uint64, tag = "3")]
    pub(super) size: u64,
}

/// What a function says instead of its image.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ImageConfigRow {
    #[prost(string, repeated, tag = "1")]
    pub(super) entry_point: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) command: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) working_directory: String,
}

/// A deployment package, which lies beside the store.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct PackageRef {
    /// Hexadecimal SHA-256 of the archive.
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(string, tag = "2")]
    pub(super) sha256_base64: String,
    #[prost(uint64, tag = "3")]
    pub(super) size: u64,
    #[prost(uint64, tag = "4")]
    pub(super) unpacked_bytes: u64,
}

/// A layer version as a function uses it. It goes on working after the layer version is deleted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LayerUse {
    #[prost(string, tag = "1")]
    pub(super) arn: String,
    #[prost(message, required, tag = "2")]
    pub(super) package: PackageRef,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Logging {
    /// `Text` or `JSON`.
    #[prost(string, tag = "1")]
    pub(super) format: String,
    #[prost(string, tag = "2")]
    pub(super) application_level: String,
    #[prost(string, tag = "3")]
    pub(super) system_level: String,
    #[prost(string, tag = "4")]
    pub(super) group: String,
}

impl Logging {
    fn kernel_format(&self) -> LogFormat {
        let system = match self.system_level.as_str() {
            "DEBUG" => SystemLevel::Debug,
            "WARN" => SystemLevel::Warn,
            _ => SystemLevel::Info,
        };
        match self.format == "JSON" {
            true => LogFormat::Json { application: self.application_level.clone(), system },
            false => LogFormat::Text,
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AliasRow {
    #[prost(uint64, tag = "1")]
    pub(super) version: u64,
    #[prost(string, tag = "2")]
    pub(super) description: String,
    /// Version and its share of the invocations; the rest is `version`'s.
    #[prost(btree_map = "uint64, double", tag = "3")]
    pub(super) weights: BTreeMap<u64, f64>,
    #[prost(string, tag = "4")]
    pub(super) revision_id: String,
}

/// A resource policy; each statement is a JSON document, in the order of adding.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct PolicyRow {
    #[prost(message, repeated, tag = "1")]
    pub(super) statements: Vec<StatementRow>,
    /// Of layer policies; function policies use the revision of what they belong to.
    #[prost(string, tag = "2")]
    pub(super) revision_id: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct StatementRow {
    #[prost(string, tag = "1")]
    pub(super) sid: String,
    #[prost(string, tag = "2")]
    pub(super) document: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct UrlRow {
    #[prost(string, tag = "1")]
    pub(super) url_id: String,
    /// `NONE` or `AWS_IAM`.
    #[prost(string, tag = "2")]
    pub(super) auth_type: String,
    #[prost(message, optional, tag = "3")]
    pub(super) cors: Option<CorsRow>,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    #[prost(string, tag = "4")]
    pub(super) invoke_mode: String,
    #[prost(uint64, tag = "5")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "6")]
    pub(super) modified_ms: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct CorsRow {
    #[prost(bool, optional, tag = "1")]
    pub(super) allow_credentials: Option<bool>,
    #[prost(string, repeated, tag = "2")]
    pub(super) allow_headers: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub(super) allow_methods: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) allow_origins: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub(super) expose_headers: Vec<String>,
    #[prost(uint32, optional, tag = "6")]
    pub(super) max_age_s: Option<u32>,
}

/// What a URL's id leads to.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct UrlIdRow {
    #[prost(string, tag = "1")]
    pub(super) account: String,
    #[prost(string, tag = "2")]
    pub(super) region: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) qualifier: String,
}

/// How asynchronous invocations are retried and where their outcomes go.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct AsyncRow {
    #[prost(uint32, optional, tag = "1")]
    pub(super) retries: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) max_age_s: Option<u32>,
    /// ARNs; empty for none.
    #[prost(string, tag = "3")]
    pub(super) on_success: String,
    #[prost(string, tag = "4")]
    pub(super) on_failure: String,
    #[prost(uint64, tag = "5")]
    pub(super) modified_ms: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TagsRow {
    #[prost(btree_map = "string, string", tag = "1")]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LayerHeadRow {
    /// The number given out last.
    #[prost(uint64, tag = "1")]
    pub(super) last_version: u64,
    /// The newest that still exists.
    #[prost(uint64, tag = "2")]
    pub(super) newest: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LayerRow {
    #[prost(string, tag = "1")]
    pub(super) description: String,
    #[prost(string, tag = "2")]
    pub(super) license: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) runtimes: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) architectures: Vec<String>,
    #[prost(message, required, tag = "5")]
    pub(super) package: PackageRef,
    #[prost(uint64, tag = "6")]
    pub(super) created_ms: u64,
}

/// How many instances of a version or alias are to be ready.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ProvisionedRow {
    #[prost(uint32, tag = "1")]
    pub(super) requested: u32,
    #[prost(uint64, tag = "2")]
    pub(super) modified_ms: u64,
}

/// How many of them there are in the running process.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct StandingRow {
    #[prost(uint32, tag = "1")]
    pub(super) allocated: u32,
    #[prost(uint32, tag = "2")]
    pub(super) available: u32,
    /// Why there are no more; empty if nothing is wrong.
    #[prost(string, tag = "3")]
    pub(super) failure: String,
}

/// What an account has reserved in a region; and what it used before that was counted in counters, which hold
/// the changes since.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct UsageRow {
    #[prost(uint64, tag = "1")]
    pub(super) functions: u64,
    #[prost(uint64, tag = "2")]
    pub(super) code_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub(super) reserved_concurrency: u64,
}

impl PackageRef {
    /// The id of its bytes beside the store.
    pub(super) fn blob(&self) -> String {
        package_blob(&self.digest)
    }
}

/// The blob that holds the archive with this hexadecimal SHA-256.
pub fn package_blob(digest: &str) -> String {
    format!("package-{digest}")
}

/// The value of `SnapStart.ApplyOn` that asks for it.
pub(super) const PUBLISHED_VERSIONS: &str = "PublishedVersions";

impl VersionRow {
    pub(super) const LATEST: &'static str = "$LATEST";

    /// `$LATEST` or the number.
    pub(super) fn label(&self) -> String {
        label(self.number)
    }

    /// Tells this very code and configuration from any other.
    pub(super) fn id(&self) -> String {
        format!("{}-{}-{}", self.uid, self.number, self.generation)
    }

    /// Whether this is a version whose module code runs once, when it is published.
    pub(super) fn snaps(&self) -> bool {
        self.number != 0 && self.snap_start == PUBLISHED_VERSIONS
    }

    pub(super) fn unpacked_bytes(&self) -> u64 {
        self.package.unpacked_bytes
            + self.layers.iter().map(|layer| layer.package.unpacked_bytes).sum::<u64>()
    }

    /// The bodies beside the store that this version needs, with their sizes.
    pub(super) fn blobs(&self) -> Vec<(String, u64)> {
        if let Some(image) = &self.image {
            return image.layers.iter().map(|layer| (layer_blob(&layer.digest), layer.size)).collect();
        }
        let layers = self.layers.iter().map(|layer| &layer.package);
        std::iter::once(&self.package).chain(layers).map(|package| (package.blob(), package.size)).collect()
    }

    /// In the words that the runtime understands.
    pub(super) fn to_kernel(
        &self,
        function: &Arn,
        name: &str,
        concurrency: Concurrency,
    ) -> Result<Version, Fault> {
        let image = self.image.as_ref().map(|image| image.to_kernel(self.image_config.as_ref()));
        let runtime = match (&image, self.runtime.as_str()) {
            (Some(_), "") => Runtime::Image,
            (_, text) => text.parse().map_err(|e| Fault::internal("read a version", e))?,
        };
        Ok(Version {
            id: self.id(),
            function: function.clone(),
            name: name.to_owned(),
            label: self.label(),
            runtime,
            handler: self.handler.clone(),
            package: PackageDigest(self.package.digest.clone()),
            image,
            layers: self.layers.iter().map(|layer| PackageDigest(layer.package.digest.clone())).collect(),
            environment: self.environment.clone(),
            timeout_ms: u64::from(self.timeout_s) * 1000,
            memory_mib: self.memory_mib,
            ephemeral_mib: self.ephemeral_mib,
            log_group: self.logging.group.clone(),
            log_format: self.logging.kernel_format(),
            concurrency,
            per_tenant: self.per_tenant,
            snap_start: self.snaps(),
        })
    }
}

impl ImageRow {
    fn to_kernel(&self, config: Option<&ImageConfigRow>) -> Image {
        let instead = |list: Option<&Vec<String>>, own: &Vec<String>| match list {
            Some(list) if !list.is_empty() => list.clone(),
            _ => own.clone(),
        };
        let entry_point = instead(config.map(|config| &config.entry_point), &self.entry_point);
        let command = instead(config.map(|config| &config.command), &self.command);
        let directory = config.map(|config| &config.working_directory).filter(|path| !path.is_empty());
        let pair =
            |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let layer = |layer: &ImageLayerRow| ImageLayer {
            digest: layer.digest.clone(),
            diff_id: layer.diff_id.clone(),
            size: layer.size,
        };
        let origin = || Origin { registry: self.registry.clone(), repository: self.repository.clone() };
        Image {
            layers: self.layers.iter().map(layer).collect(),
            command: entry_point.into_iter().chain(command).collect(),
            environment: self.environment.iter().filter_map(pair).collect(),
            working_directory: directory.unwrap_or(&self.working_directory).clone(),
            origin: (!self.registry.is_empty()).then(origin),
        }
    }
}

/// The number in an id that [`VersionRow::id`] has made.
pub(super) fn number_of(id: &str) -> Option<u64> {
    id.rsplit('-').nth(1)?.parse().ok()
}

/// `$LATEST` for 0, the number otherwise.
pub(super) fn label(number: u64) -> String {
    if number == 0 { VersionRow::LATEST.into() } else { number.to_string() }
}

/// `2026-01-01T00:00:00.000+0000`, the form of Lambda's timestamps.
pub(super) fn timestamp(ms: u64) -> String {
    let text = mayfly_wire::time::iso8601(Time::from_ms(ms));
    format!("{}+0000", text.trim_end_matches('Z'))
}
