//! `AWS::Lambda::Function`.

use super::properties::{Properties, document, integer};
use super::tags::{self, Tagger};
use super::{Context, Made, PACKAGE, Wanted};
use crate::cli::client::{Call, Client, code, encode};
use crate::cli::deploy::package::Package;
use crate::cli::deploy::stack::Deployed;
use anyhow::{Context as _, bail};
use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};
use std::time::Duration;

const FUNCTIONS: &str = "/2015-03-31/functions";

/// Larger archives go through a bucket, as the Lambda API demands.
const INLINE_LIMIT: usize = 50 * 1024 * 1024;

/// How long a function may take to become ready after a change: compiling a large component takes seconds,
/// and an image may have to come from far away.
const READY: Duration = Duration::from_secs(660);
const READY_POLL: Duration = Duration::from_millis(20);

pub(super) fn path(function: &str) -> String {
    format!("{FUNCTIONS}/{}", encode(function))
}

pub(super) fn made(cx: &Context<'_>, name: &str) -> Made {
    Made::new(name, [("Arn", cx.arn("lambda", format!("function:{name}")))])
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let (name, from) = (wanted.name("FunctionName", cx.place), wanted.properties());
    let mut request = configuration(cx, &name, from);
    request["FunctionName"] = json!(name);
    request["Code"] = package(cx, from.get("Code")).await?;
    if let Some(package_type) = from.text("PackageType") {
        request["PackageType"] = json!(package_type);
    }
    // What is said once, for the function's life.
    for member in ["Architectures", "TenancyConfig"] {
        if let Some(value) = from.get(member) {
            request[member] = value.clone();
        }
    }
    if let Some(tags) = from.tags() {
        request["Tags"] = tags;
    }
    cx.client.rest("lambda", Method::POST, FUNCTIONS, Some(request)).await?;
    let settled = async {
        ready(cx.client, &name).await?;
        concurrency(cx, &name, from, None).await
    };
    if let Err(error) = settled.await {
        // Half a function is none; the reason for it matters more than whether the half can be removed.
        let _ = cx.client.rest("lambda", Method::DELETE, path(&name), None).await;
        return Err(error);
    }
    Ok(made(cx, &name))
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let (name, old, new) = (&was.physical, Properties(&was.properties), wanted.properties());
    let before = configuration(cx, name, old);
    let after = configuration(cx, name, new);
    let code_differs = ["Code", "Architectures"].iter().any(|key| old.get(key) != new.get(key));
    // The package first: if it is not to be had, nothing has been changed.
    let code = match code_differs {
        true => Some(package(cx, new.get("Code")).await?),
        false => None,
    };
    if before != after {
        let mut request = after;
        // What the template no longer says goes back to its default; an absent member would leave it as it
        // is.
        for (member, default) in defaults() {
            if request.get(member).is_none() && before.get(member).is_some() {
                request[member] = default;
            }
        }
        let path = format!("{}/configuration", path(name));
        cx.client.rest("lambda", Method::PUT, path, Some(request)).await?;
        ready(cx.client, name).await?;
    }
    if let Some(mut request) = code {
        if let Some(architectures) = new.get("Architectures") {
            request["Architectures"] = architectures.clone();
        }
        cx.client.rest("lambda", Method::PUT, format!("{}/code", path(name)), Some(request)).await?;
        ready(cx.client, name).await?;
    }
    concurrency(cx, name, new, Some(old)).await?;
    let made = made(cx, name);
    tags::change(cx, Tagger::Lambda, &made.attributes["Arn"], was, new).await?;
    Ok(made)
}

/// What members are when nobody has set them.
fn defaults() -> [(&'static str, Json); 9] {
    [
        ("Description", json!("")),
        ("Timeout", json!(3)),
        ("MemorySize", json!(128)),
        ("Environment", json!({ "Variables": {} })),
        ("Layers", json!([])),
        ("EphemeralStorage", json!({ "Size": 512 })),
        ("DeadLetterConfig", json!({ "TargetArn": "" })),
        ("ImageConfig", json!({})),
        ("LoggingConfig", json!({ "LogFormat": "Text" })),
    ]
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    cx.client.rest("lambda", Method::DELETE, path(&gone.physical), None).await.map(drop)
}

/// What CreateFunction and UpdateFunctionConfiguration have in common.
fn configuration(cx: &Context<'_>, name: &str, from: Properties<'_>) -> Json {
    let variables = from.get("Environment").map(|environment| Properties(environment).strings("Variables"));
    let storage = from.get("EphemeralStorage").and_then(|storage| storage.get("Size")).and_then(integer);
    let role = from.text("Role").unwrap_or_else(|| format!("arn:aws:iam::{}:role/{name}", cx.place.account));
    document([
        ("Description", from.text("Description").map(Into::into)),
        ("Runtime", from.text("Runtime").map(Into::into)),
        ("Handler", from.text("Handler").map(Into::into)),
        ("Role", Some(role.into())),
        ("MemorySize", from.integer("MemorySize").map(Into::into)),
        ("Timeout", from.integer("Timeout").map(Into::into)),
        ("Environment", variables.flatten().map(|variables| json!({ "Variables": variables }))),
        ("EphemeralStorage", storage.map(|size| json!({ "Size": size }))),
        ("Layers", from.get("Layers").cloned()),
        ("DeadLetterConfig", from.get("DeadLetterConfig").cloned()),
        ("ImageConfig", from.get("ImageConfig").cloned()),
        ("LoggingConfig", from.get("LoggingConfig").cloned()),
    ])
}

/// The members that give a function's or layer's code: the archive itself, or where it lies.
pub(super) async fn package(cx: &Context<'_>, code: Option<&Json>) -> anyhow::Result<Json> {
    let code = code.context("there is no code")?;
    let Some(digest) = code.get(PACKAGE).and_then(Json::as_str) else { return Ok(code.clone()) };
    let archive = cx.archive(digest)?;
    if archive.len() <= INLINE_LIMIT {
        return Ok(json!({ "ZipFile": base64::engine::general_purpose::STANDARD.encode(archive) }));
    }
    let (bucket, key) = (format!("mayfly-deploy-{}", cx.place.account), format!("{digest}.zip"));
    match put(cx, format!("/{bucket}"), Bytes::new()).await {
        Err(error) if code_is_owned(&error) => {}
        done => done?,
    }
    put(cx, format!("/{bucket}/{key}"), archive).await.context("upload the package")?;
    Ok(json!({ "S3Bucket": bucket, "S3Key": key }))
}

fn code_is_owned(error: &anyhow::Error) -> bool {
    code(error) == Some("BucketAlreadyOwnedByYou")
}

async fn put(cx: &Context<'_>, path: String, body: Bytes) -> anyhow::Result<()> {
    let call = Call { service: "s3", method: Method::PUT, path, body, ..Call::default() };
    cx.client.send(call).await.map(drop)
}

/// Gets hold of the code that an update is about to overwrite, so that a rollback can put it back: from the
/// archives of earlier deployments, or else from a server that hands it out.
pub(in crate::cli::deploy) async fn keep_code(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Json,
) -> anyhow::Result<()> {
    let Some(digest) = was.properties["Code"][PACKAGE].as_str() else { return Ok(()) };
    let differs = wanted["Code"] != was.properties["Code"];
    if was.kind != "AWS::Lambda::Function" || !differs || cx.packages.borrow().contains_key(digest) {
        return Ok(());
    }
    let archive = match cx.archives.find(digest) {
        Some(archive) => archive,
        None => {
            let function = cx.client.rest("lambda", Method::GET, path(&was.physical), None).await?;
            let location = function["Code"]["Location"].as_str();
            let location =
                location.context("it was deployed from elsewhere, and the server does not hand it out")?;
            cx.client.fetch(location).await?
        }
    };
    cx.packages.borrow_mut().insert(digest.to_owned(), Package::archive(archive));
    Ok(())
}

/// Waits until a change has taken effect.
async fn ready(client: &Client, name: &str) -> anyhow::Result<()> {
    let waited = tokio::time::timeout(READY, async {
        loop {
            let path = format!("{}/configuration", path(name));
            let now = client.rest("lambda", Method::GET, path, None).await?;
            let text = |member: &str| now[member].as_str().unwrap_or_default();
            match (text("State"), text("LastUpdateStatus")) {
                ("Failed", _) => bail!("{}", text("StateReason")),
                (_, "Failed") => bail!("{}", text("LastUpdateStatusReason")),
                ("Pending", _) | (_, "InProgress") => tokio::time::sleep(READY_POLL).await,
                _ => return Ok(()),
            }
        }
    });
    waited.await.unwrap_or_else(|_| bail!("the function was not ready within {} s", READY.as_secs()))
}

async fn concurrency(
    cx: &Context<'_>,
    name: &str,
    new: Properties<'_>,
    old: Option<Properties<'_>>,
) -> anyhow::Result<()> {
    const MEMBER: &str = "ReservedConcurrentExecutions";
    let before = old.and_then(|old| old.integer(MEMBER));
    let path = format!("/2017-10-31/functions/{}/concurrency", encode(name));
    match new.integer(MEMBER) {
        Some(reserved) if before != Some(reserved) => {
            let body = json!({ MEMBER: reserved });
            cx.client.rest("lambda", Method::PUT, path, Some(body)).await.map(drop)
        }
        None if before.is_some() => cx.client.rest("lambda", Method::DELETE, path, None).await.map(drop),
        _ => Ok(()),
    }
}
