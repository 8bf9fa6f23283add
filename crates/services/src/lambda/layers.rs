//! Layers: archives that are laid under `/opt`, in versions that never change.

use super::code::{self, Code};
use super::keys::{FunctionKey, LAYER_HEADS, LAYER_POLICIES, LAYERS, NumberedKey};
use super::model::{LayerHeadRow, LayerRow, LayerUse, timestamp};
use super::{account, check, faults, layer_permissions, paging};
use crate::operation::{Package, PackageSource};
use crate::{Cx, blobs};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};

/// How far back the newest version that fits a filter is looked for.
const NEWEST: usize = 50;
const ARCHITECTURES: [&str; 2] = ["x86_64", "arm64"];
const NAME_PATTERN: &str =
    "(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+";
const ARN_PATTERN: &str = "arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+";

/// A layer of the caller's account and region.
pub(super) struct Layer {
    key: FunctionKey,
}

impl Layer {
    /// By its name or ARN. Asks whether the caller may do this to it.
    fn read(cx: &mut Cx<'_>, name: &str) -> Result<Layer, Fault> {
        check::length(name, "layerName", 1, 140)?;
        let bad = || faults::pattern(name, "layerName", NAME_PATTERN);
        let key = match name.parse::<Arn>() {
            Ok(arn) => {
                let (layer, version) = split(&arn).ok_or_else(bad)?;
                if version.is_some() {
                    return Err(bad());
                }
                (arn.account.clone(), arn.region.clone(), layer.to_owned())
            }
            Err(_) if check::is_word(name) => {
                (cx.caller.account.clone(), cx.caller.region.clone(), name.to_owned())
            }
            Err(_) => return Err(bad()),
        };
        let layer = Layer { key };
        cx.allow(&layer.arn())?;
        Ok(layer)
    }

    pub(super) fn arn(&self) -> Arn {
        let (account, region, name) = &self.key;
        Arn::new("lambda", region, account, format!("layer:{name}"))
    }

    pub(super) fn version_arn(&self, number: u64) -> String {
        format!("{}:{number}", self.arn())
    }

    pub(super) fn version_key(&self, number: u64) -> NumberedKey {
        let (account, region, name) = self.key.clone();
        (account, region, name, number)
    }
}

/// The layer's name, and the version if the ARN has one.
fn split(arn: &Arn) -> Option<(&str, Option<u64>)> {
    let rest = arn.resource.strip_prefix("layer:").filter(|_| arn.service == "lambda")?;
    let (name, version) = match rest.split_once(':') {
        Some((name, version)) => (name, Some(version.parse().ok()?)),
        None => (rest, None),
    };
    check::is_word(name).then_some((name, version))
}

/// The layer versions that a function names, with what is needed to go on using them.
pub(super) fn uses(cx: &mut Cx<'_>, arns: &[String]) -> Result<Vec<LayerUse>, Fault> {
    let limit = cx.limits.layers_per_function;
    if arns.len() > limit {
        return Err(faults::parameter(format!("Cannot reference more than {limit} layers.")));
    }
    let mut uses: Vec<(String, LayerUse)> = Vec::with_capacity(arns.len());
    for text in arns {
        let (layer, number) = version_by_arn(cx, text, "layers")?;
        if layer.key.1 != cx.caller.region {
            return Err(faults::parameter(format!(
                "Layers are not in the same region as the function. Layers are expected to be in region {}.",
                cx.caller.region
            )));
        }
        let row = LAYERS.get(cx.tx, &layer.version_key(number))?;
        let row = row.ok_or_else(|| faults::parameter(format!("Layer version {text} does not exist.")))?;
        let name = layer.arn().to_string();
        if let Some((_, other)) = uses.iter().find(|(other, _)| *other == name) {
            return Err(faults::parameter(format!(
                "Two different versions of the same layer are not allowed to be referenced in the same \
                 function. \
                 {} and {text} are versions of the same layer.",
                other.arn
            )));
        }
        uses.push((name, LayerUse { arn: text.clone(), package: row.package }));
    }
    Ok(uses.into_iter().map(|(_, layer)| layer).collect())
}

fn version_by_arn(cx: &mut Cx<'_>, text: &str, path: &str) -> Result<(Layer, u64), Fault> {
    let bad = || faults::pattern(text, path, ARN_PATTERN);
    let arn: Arn = text.parse().map_err(|_| bad())?;
    let (name, Some(number)) = split(&arn).ok_or_else(bad)? else { return Err(bad()) };
    let layer = Layer { key: (arn.account.clone(), arn.region.clone(), name.to_owned()) };
    layer_permissions::admit(cx, &layer, number)?;
    Ok((layer, number))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Publish {
    layer_name: String,
    content: Code,
    description: Option<String>,
    compatible_runtimes: Option<Vec<String>>,
    compatible_architectures: Option<Vec<String>>,
    license_info: Option<String>,
}

/// `GetLayerVersionResponse` of the API.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LayerVersion {
    content: Content,
    layer_arn: String,
    #[serde(flatten)]
    summary: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    location: String,
    code_sha256: String,
    code_size: u64,
}

/// `LayerVersionsListItem` of the API.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    layer_version_arn: String,
    version: u64,
    description: String,
    created_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatible_runtimes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatible_architectures: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_info: Option<String>,
}

impl Summary {
    fn new(layer: &Layer, number: u64, row: LayerRow) -> Summary {
        let filled = |list: Vec<String>| (!list.is_empty()).then_some(list);
        Summary {
            layer_version_arn: layer.version_arn(number),
            version: number,
            description: row.description,
            created_date: timestamp(row.created_ms),
            compatible_runtimes: filled(row.runtimes),
            compatible_architectures: filled(row.architectures),
            license_info: Some(row.license).filter(|license| !license.is_empty()),
        }
    }
}

impl LayerVersion {
    fn new(cx: &Cx<'_>, layer: &Layer, number: u64, row: LayerRow) -> LayerVersion {
        let content = Content {
            location: code::link(cx, &row.package),
            code_sha256: row.package.sha256_base64.clone(),
            code_size: row.package.size,
        };
        let layer_arn = layer.arn().to_string();
        LayerVersion { content, layer_arn, summary: Summary::new(layer, number, row) }
    }
}

fn checked(cx: &mut Cx<'_>, input: &Publish) -> Result<Layer, Fault> {
    check::length(input.description.as_deref().unwrap_or_default(), "description", 0, 256)?;
    check::length(input.license_info.as_deref().unwrap_or_default(), "licenseInfo", 0, 512)?;
    for architecture in input.compatible_architectures.iter().flatten() {
        check::one_of(architecture, "compatibleArchitectures", &ARCHITECTURES)?;
    }
    for runtime in input.compatible_runtimes.iter().flatten() {
        check::runtime_name(runtime, "compatibleRuntimes")?;
    }
    if input.compatible_runtimes.as_ref().is_some_and(|runtimes| runtimes.len() > 15) {
        let shown = input.compatible_runtimes.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        let constraint = "Member must have length less than or equal to 15";
        return Err(faults::invalid(format_args!("[{shown}]"), "compatibleRuntimes", constraint));
    }
    Layer::read(cx, &input.layer_name)
}

pub(super) fn publish_source(cx: &mut Cx<'_>, input: Publish) -> Result<Option<PackageSource>, Fault> {
    checked(cx, &input)?;
    input.content.source(cx).map(Some)
}

pub(super) fn publish(
    cx: &mut Cx<'_>,
    input: Publish,
    package: Option<&Package>,
) -> Result<LayerVersion, Fault> {
    let layer = checked(cx, &input)?;
    let package = code::staged(package)?;
    let limit = cx.limits.package_unpacked_bytes;
    if package.unpacked_bytes > limit {
        return Err(faults::unpacked_too_large(limit));
    }
    let number = LAYER_HEADS.get(cx.tx, &layer.key)?.unwrap_or_default().last_version + 1;
    LAYER_HEADS.put(cx.tx, &layer.key, &LayerHeadRow { last_version: number, newest: number });
    account::add_code(cx, package.size)?;
    blobs::hold(cx, &package.blob(), package.size)?;
    let row = LayerRow {
        description: input.description.unwrap_or_default(),
        license: input.license_info.unwrap_or_default(),
        runtimes: input.compatible_runtimes.unwrap_or_default(),
        architectures: input.compatible_architectures.unwrap_or_default(),
        package,
        created_ms: cx.now.ms(),
    };
    LAYERS.put(cx.tx, &layer.version_key(number), &row);
    Ok(LayerVersion::new(cx, &layer, number, row))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Numbered {
    layer_name: String,
    version_number: i64,
}

pub(super) fn numbered(cx: &mut Cx<'_>, name: &str, number: i64) -> Result<(Layer, u64), Fault> {
    let layer = Layer::read(cx, name)?;
    match u64::try_from(number) {
        Ok(number @ 1..) => Ok((layer, number)),
        Ok(0) | Err(_) => Err(faults::parameter("Layer Version Cannot be less than 1")),
    }
}

pub(super) fn get(cx: &mut Cx<'_>, input: Numbered) -> Result<LayerVersion, Fault> {
    let (layer, number) = numbered(cx, &input.layer_name, input.version_number)?;
    let row = LAYERS.get(cx.tx, &layer.version_key(number))?.ok_or_else(faults::no_such_resource)?;
    Ok(LayerVersion::new(cx, &layer, number, row))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ByArn {
    arn: String,
}

pub(super) fn get_by_arn(cx: &mut Cx<'_>, input: ByArn) -> Result<LayerVersion, Fault> {
    let (layer, number) = version_by_arn(cx, &input.arn, "arn")?;
    let row = LAYERS.get(cx.tx, &layer.version_key(number))?.ok_or_else(faults::no_such_resource)?;
    Ok(LayerVersion::new(cx, &layer, number, row))
}

/// Functions that use it keep it. Deleting one that is not there succeeds.
pub(super) fn delete(cx: &mut Cx<'_>, input: Numbered) -> Result<(), Fault> {
    let (layer, number) = numbered(cx, &input.layer_name, input.version_number)?;
    let key = layer.version_key(number);
    let Some(row) = LAYERS.get(cx.tx, &key)? else { return Ok(()) };
    LAYERS.delete(cx.tx, &key);
    LAYER_POLICIES.delete(cx.tx, &key);
    account::drop_code(cx, row.package.size);
    blobs::release(cx, &row.package.blob())?;
    let mut head = LAYER_HEADS.get(cx.tx, &layer.key)?.unwrap_or_default();
    if head.newest == number {
        let before = LAYERS.scan(cx.tx, Scan::prefix(&layer.key, 1).reverse())?;
        head.newest = before.last().map_or(0, |((.., number), _)| *number);
        LAYER_HEADS.put(cx.tx, &layer.key, &head);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    compatible_runtime: Option<String>,
    compatible_architecture: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

/// What a listing is narrowed to.
fn check_filters(runtime: Option<&String>, architecture: Option<&String>) -> Result<(), Fault> {
    if let Some(runtime) = runtime {
        check::runtime_name(runtime, "compatibleRuntime")?;
    }
    match architecture {
        Some(architecture) => check::one_of(architecture, "compatibleArchitecture", &ARCHITECTURES),
        None => Ok(()),
    }
}

/// Whether a filter, if there is one, names something that is offered.
fn fits(asked: &Option<String>, offered: &[String]) -> bool {
    asked.as_ref().is_none_or(|asked| offered.contains(asked))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Layers {
    layers: Vec<LayerItem>,
    next_marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerItem {
    layer_name: String,
    layer_arn: String,
    latest_matching_version: Summary,
}

/// A marker is the name of the last layer looked at.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Layers, Fault> {
    let resource = cx.arn("lambda", "layer:*");
    cx.allow(&resource)?;
    let limit = paging::size(input.max_items, 50)?;
    check_filters(input.compatible_runtime.as_ref(), input.compatible_architecture.as_ref())?;
    let (account, region) = (cx.caller.account.as_str(), cx.caller.region.as_str());
    let mut scan = Scan::prefix(&(account, region), limit + 1);
    if let Some(marker) = &input.marker {
        scan = scan.after(&(account, region, marker.as_str()));
    }
    let (heads, next_marker) =
        paging::cut(LAYER_HEADS.scan(cx.tx, scan)?, limit, |((.., name), _)| name.clone());
    let mut layers = Vec::new();
    for (key, _) in heads.into_iter().filter(|(_, head)| head.newest > 0) {
        let layer = Layer { key };
        let newest = LAYERS.scan(cx.tx, Scan::prefix(&layer.key, NEWEST).reverse())?;
        let (runtime, architecture) = (&input.compatible_runtime, &input.compatible_architecture);
        let fitting = |row: &LayerRow| fits(runtime, &row.runtimes) && fits(architecture, &row.architectures);
        if let Some(((.., number), row)) = newest.into_iter().find(|(_, row)| fitting(row)) {
            layers.push(LayerItem {
                layer_name: layer.key.2.clone(),
                layer_arn: layer.arn().to_string(),
                latest_matching_version: Summary::new(&layer, number, row),
            });
        }
    }
    Ok(Layers { layers, next_marker })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListVersions {
    layer_name: String,
    compatible_runtime: Option<String>,
    compatible_architecture: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Versions {
    layer_versions: Vec<Summary>,
    next_marker: Option<String>,
}

/// The newest first. A marker is the number of the last version looked at.
pub(super) fn list_versions(cx: &mut Cx<'_>, input: ListVersions) -> Result<Versions, Fault> {
    let layer = Layer::read(cx, &input.layer_name)?;
    let limit = paging::size(input.max_items, 50)?;
    check_filters(input.compatible_runtime.as_ref(), input.compatible_architecture.as_ref())?;
    let mut scan = Scan::prefix(&layer.key, limit + 1).reverse();
    if let Some(marker) = &input.marker {
        let after = marker.parse().map_err(|_| faults::parameter(format!("Invalid marker: {marker}")))?;
        scan = scan.after(&layer.version_key(after));
    }
    let (rows, next_marker) =
        paging::cut(LAYERS.scan(cx.tx, scan)?, limit, |((.., number), _)| number.to_string());
    let (runtime, architecture) = (&input.compatible_runtime, &input.compatible_architecture);
    let fitting = rows
        .into_iter()
        .filter(|(_, row)| fits(runtime, &row.runtimes) && fits(architecture, &row.architectures));
    let layer_versions = fitting.map(|((.., number), row)| Summary::new(&layer, number, row)).collect();
    Ok(Versions { layer_versions, next_marker })
}
