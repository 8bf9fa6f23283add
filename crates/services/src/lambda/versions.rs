//! Published versions: PublishVersion, ListVersionsByFunction.

use super::configuration::{self, Configuration, check_revision};
use super::keys::{FUNCTIONS, VERSIONS};
use super::model::{State, Update, VersionRow};
use super::names::{self, Function};
use super::paging::{self, OfFunction};
use super::{check, faults, lifecycle, lookup};
use crate::Cx;
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Publish {
    function_name: String,
    code_sha256: Option<String>,
    description: Option<String>,
    revision_id: Option<String>,
    publish_to: Option<String>,
}

pub(super) fn publish(cx: &mut Cx<'_>, input: Publish) -> Result<Configuration, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    if input.publish_to.is_some() {
        return Err(Fault::not_implemented("PublishTo"));
    }
    if let Some(description) = &input.description {
        check::length(description, "description", 0, 256)?;
    }
    let latest = lookup::latest(cx, &function)?;
    check_revision(input.revision_id.as_deref(), &latest.revision_id)?;
    match latest.state() {
        State::Pending => return Err(faults::in_state("Pending")),
        State::Failed => return Err(faults::in_state("Failed")),
        State::Unspecified | State::Active => {}
    }
    if latest.update() == Update::InProgress && lifecycle::waits(&latest) {
        return Err(faults::update_in_progress(&function.arn()));
    }
    let current = &latest.package.sha256_base64;
    if let Some(wanted) = input.code_sha256.filter(|wanted| wanted != current) {
        return Err(faults::parameter(format!(
            "CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({current}). \
             Please try again with the CodeSHA256 in $LATEST."
        )));
    }
    let row = publish_latest(cx, &function, &latest, input.description)?;
    Ok(configuration::qualified(&function, row))
}

/// Makes a version of `$LATEST`; nothing new if the last version is the same already.
pub(super) fn publish_latest(
    cx: &mut Cx<'_>,
    function: &Function,
    latest: &VersionRow,
    description: Option<String>,
) -> Result<VersionRow, Fault> {
    let mut stored = lookup::function(cx, function)?;
    if stored.last_version > 0
        && let Some(last) = VERSIONS.get(cx.tx, &function.version_key(stored.last_version))?
        && last.generation == latest.generation
    {
        return Ok(last);
    }
    stored.last_version += 1;
    FUNCTIONS.put(cx.tx, &function.key(), &stored);
    lifecycle::publish(cx, function, latest, stored.last_version, description)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    versions: Vec<Configuration>,
    next_marker: Option<String>,
}

/// `$LATEST` first, then in the order of publishing. A marker is the number of the last version shown.
pub(super) fn list(cx: &mut Cx<'_>, input: OfFunction) -> Result<Listed, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    lookup::function(cx, &function)?;
    let limit = paging::size(input.max_items, 10_000)?;
    let mut scan = Scan::prefix(&function.key(), limit + 1);
    if let Some(marker) = input.marker {
        let after = marker.parse().map_err(|_| faults::parameter(format!("Invalid marker: {marker}")))?;
        scan = scan.after(&function.version_key(after));
    }
    let (rows, next_marker) =
        paging::cut(VERSIONS.scan(cx.tx, scan)?, limit, |((.., number), _)| number.to_string());
    let shown = |row: VersionRow| Configuration::listed(&function.name, function.arn_of(&row.label()), row);
    Ok(Listed { versions: rows.into_iter().map(|(_, row)| shown(row)).collect(), next_marker })
}
