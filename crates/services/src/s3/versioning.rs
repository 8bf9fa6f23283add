//! Whether a bucket keeps old versions. What that means for keys is in [`super::history`].

use super::buckets::{self, Nothing};
use super::element::Element;
use super::faults;
use super::keys::BUCKETS;
use super::model::{Bucket, Versioning};
use crate::{Cx, Reply};
use mayfly_kernel::Fault;
use mayfly_wire::{Call, xml};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    status: Option<String>,
    mfa_delete: Option<String>,
}

pub(super) fn put(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let wanted: Configuration = xml::from_bytes(&call.body)?;
    if wanted.mfa_delete.is_some_and(|value| value == "Enabled") {
        return Err(Fault::not_implemented("MFA delete"));
    }
    let versioning = match wanted.status.as_deref() {
        Some("Enabled") => Versioning::Enabled,
        Some("Suspended") => Versioning::Suspended,
        Some(_) => return Err(faults::malformed_xml()),
        None => return Err(faults::illegal_versioning()),
    };
    let record = Bucket { versioning: versioning.into(), ..bucket.record };
    BUCKETS.put(cx.tx, &(&bucket.name,), &record);
    Ok(Reply::status(200))
}

pub(super) fn get(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let status = match buckets::open(cx, call)?.versioning() {
        Versioning::Never => None,
        Versioning::Enabled => Some("Enabled"),
        Versioning::Suspended => Some("Suspended"),
    };
    Ok(Element::new().text_opt("Status", status).reply("VersioningConfiguration"))
}
