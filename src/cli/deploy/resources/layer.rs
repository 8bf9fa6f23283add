//! `AWS::Lambda::LayerVersion`. A version never changes; a new one is published in its place.

use super::properties::document;
use super::{Context, Made, Wanted, function};
use crate::cli::client::encode;
use crate::cli::deploy::stack::Deployed;
use anyhow::Context as _;
use http::Method;

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let from = wanted.properties();
    let request = document([
        ("Content", Some(function::package(cx, from.get("Content")).await?)),
        ("Description", from.text("Description").map(Into::into)),
        ("CompatibleRuntimes", from.get("CompatibleRuntimes").cloned()),
        ("CompatibleArchitectures", from.get("CompatibleArchitectures").cloned()),
        ("LicenseInfo", from.text("LicenseInfo").map(Into::into)),
    ]);
    // Versions of a layer are numbered by the server, so a replacement keeps the layer's name.
    let name = from.text("LayerName").unwrap_or_else(|| format!("{}-{}", cx.place.stack, wanted.id));
    let path = format!("/2018-10-31/layers/{}/versions", encode(&name));
    let layer = cx.client.rest("lambda", Method::POST, path, Some(request)).await?;
    let arn = layer["LayerVersionArn"].as_str().context("the server did not name the layer version")?;
    Ok(Made::new(arn, [("LayerVersionArn", arn.to_owned())]))
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let (_, layer) = gone.physical.split_once(":layer:").context("not a layer version's ARN")?;
    let (name, number) = layer.split_once(':').context("not a layer version's ARN")?;
    let path = format!("/2018-10-31/layers/{}/versions/{number}", encode(name));
    cx.client.rest("lambda", Method::DELETE, path, None).await.map(drop)
}
