//! `AWS::S3::Bucket`, its policy, and what it tells others about.

use super::properties::{flag, text};
use super::{Context, Made, Wanted};
use crate::cli::client::{Call, code, element, encode};
use crate::cli::deploy::stack::Deployed;
use anyhow::bail;
use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A bucket's name is small letters, whatever the stack and the resource are called.
pub(super) fn bucket_name(cx: &Context<'_>, wanted: &Wanted<'_>) -> String {
    wanted.properties().text("BucketName").unwrap_or_else(|| wanted.generated_name(cx.place).to_lowercase())
}

pub(super) fn made(cx: &Context<'_>, name: &str) -> Made {
    let region = &cx.place.region;
    Made::new(
        name,
        [
            ("Arn", format!("arn:aws:s3:::{name}")),
            ("DomainName", format!("{name}.s3.amazonaws.com")),
            ("RegionalDomainName", format!("{name}.s3.{region}.amazonaws.com")),
            ("DualStackDomainName", format!("{name}.s3.dualstack.{region}.amazonaws.com")),
        ],
    )
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = bucket_name(cx, wanted);
    let region = &cx.place.region;
    let body = match region.as_str() {
        "us-east-1" => String::new(),
        _ => document("CreateBucketConfiguration", &tag("LocationConstraint", region)),
    };
    send(cx, Method::PUT, &name, "", body).await?;
    if let Err(error) = configure(cx, &name, &Json::Null, wanted.properties).await {
        let _ = send(cx, Method::DELETE, &name, "", String::new()).await;
        return Err(error);
    }
    Ok(made(cx, &name))
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    configure(cx, &was.physical, &was.properties, wanted.properties).await?;
    Ok(made(cx, &was.physical))
}

/// Brings the bucket's settings from `old` to `new`, touching those alone that differ.
async fn configure(cx: &Context<'_>, bucket: &str, old: &Json, new: &Json) -> anyhow::Result<()> {
    let differs = |name: &str| old.get(name) != new.get(name);
    if differs("VersioningConfiguration") {
        let status = new["VersioningConfiguration"]["Status"].as_str().unwrap_or("Suspended");
        let body = document("VersioningConfiguration", &tag("Status", status));
        send(cx, Method::PUT, bucket, "versioning", body).await?;
    }
    if differs("CorsConfiguration") {
        match new.get("CorsConfiguration") {
            Some(cors) => {
                let body = document("CORSConfiguration", &cors_rules(cors));
                send(cx, Method::PUT, bucket, "cors", body).await?;
            }
            None => send(cx, Method::DELETE, bucket, "cors", String::new()).await?,
        }
    }
    if differs("Tags") {
        let tags = new["Tags"].as_array().into_iter().flatten();
        let tags: String =
            tags.map(|item| element_of("Tag", item, &[("Key", "Key"), ("Value", "Value")])).collect();
        let body = document("Tagging", &wrap("TagSet", &tags));
        send(cx, Method::PUT, bucket, "tagging", body).await?;
    }
    Ok(())
}

fn cors_rules(cors: &Json) -> String {
    let rules = cors["CorsRules"].as_array().into_iter().flatten();
    let names = [
        ("Id", "ID"),
        ("AllowedHeaders", "AllowedHeader"),
        ("AllowedMethods", "AllowedMethod"),
        ("AllowedOrigins", "AllowedOrigin"),
        ("ExposedHeaders", "ExposeHeader"),
        ("MaxAge", "MaxAgeSeconds"),
    ];
    rules.map(|rule| element_of("CORSRule", rule, &names)).collect()
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    if cx.force {
        empty(cx, &gone.physical).await?;
    }
    match send(cx, Method::DELETE, &gone.physical, "", String::new()).await {
        Err(error) if code(&error) == Some("BucketNotEmpty") => bail!(
            "the bucket {} still holds objects; empty it, or delete the stack with --force to lose them",
            gone.physical
        ),
        done => done,
    }
}

/// Deletes every version of every object.
async fn empty(cx: &Context<'_>, bucket: &str) -> anyhow::Result<()> {
    loop {
        let call = Call { service: "s3", path: format!("/{}", encode(bucket)), ..Call::default() };
        let page = match cx.client.send(Call { query: "versions".into(), ..call }).await {
            Ok(page) => page,
            Err(error) if code(&error) == Some("NoSuchBucket") => return Ok(()),
            Err(error) => return Err(error),
        };
        let listing = String::from_utf8_lossy(&page.body).into_owned();
        let found: Vec<(String, String)> = ["<Version>", "<DeleteMarker>"]
            .iter()
            .flat_map(|start| listing.split(start).skip(1))
            .filter_map(|item| {
                Some((unescape(element(item, "Key")?), element(item, "VersionId")?.to_owned()))
            })
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        for (key, version) in found {
            let key = key.split('/').map(encode).collect::<Vec<_>>().join("/");
            let call = Call {
                service: "s3",
                method: Method::DELETE,
                path: format!("/{}/{key}", encode(bucket)),
                query: format!("versionId={}", encode(&version)),
                ..Call::default()
            };
            cx.client.send(call).await?;
        }
    }
}

/// PutBucketNotificationConfiguration replaces the whole, so it makes and updates alike.
pub(super) async fn put_notifications(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let from = wanted.properties();
    let bucket = from.required("Bucket")?;
    let targets = from.get("Targets").and_then(Json::as_array).into_iter().flatten();
    let mut parts: String = targets.map(notification).collect();
    if from.get("EventBridge").and_then(flag).unwrap_or_default() {
        parts.push_str("<EventBridgeConfiguration/>");
    }
    let body = document("NotificationConfiguration", &parts);
    send(cx, Method::PUT, &bucket, "notification", body).await?;
    Ok(Made::new(bucket, []))
}

pub(super) async fn delete_notifications(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let body = document("NotificationConfiguration", "");
    send(cx, Method::PUT, &gone.physical, "notification", body).await
}

/// Sets the policy of the bucket that the resource names.
pub(super) async fn put_policy(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let properties = wanted.properties();
    let bucket = properties.required("Bucket")?;
    let document = properties.get("PolicyDocument").map(Json::to_string).unwrap_or_default();
    send(cx, Method::PUT, &bucket, "policy", document).await?;
    Ok(Made::new(bucket, []))
}

pub(super) async fn delete_policy(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    send(cx, Method::DELETE, &gone.physical, "policy", String::new()).await
}

fn notification(wanted: &Json) -> String {
    let (name, member) = match wanted {
        _ if wanted.get("Queue").is_some() => ("Queue", "Queue"),
        _ if wanted.get("Topic").is_some() => ("Topic", "Topic"),
        _ => ("CloudFunction", "Function"),
    };
    let mut inner = tag(name, wanted[member].as_str().unwrap_or_default());
    let events = wanted["Events"].as_array().into_iter().flatten();
    inner.extend(events.filter_map(text).map(|event| tag("Event", &event)));
    let rules = wanted["Filter"]["S3Key"]["Rules"].as_array().into_iter().flatten();
    let rules: String =
        rules.map(|rule| element_of("FilterRule", rule, &[("Name", "Name"), ("Value", "Value")])).collect();
    if !rules.is_empty() {
        inner.push_str(&wrap("Filter", &wrap("S3Key", &rules)));
    }
    wrap(&format!("{name}Configuration"), &inner)
}

async fn send(
    cx: &Context<'_>,
    method: Method,
    bucket: &str,
    what: &str,
    body: String,
) -> anyhow::Result<()> {
    let mut headers = Vec::new();
    if !body.is_empty() {
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&body));
        headers.push(("x-amz-checksum-sha256", digest));
    }
    let path = format!("/{}", encode(bucket));
    let done = cx
        .client
        .send(Call { service: "s3", method, path, query: what.to_owned(), headers, body: Bytes::from(body) })
        .await;
    done.map(drop)
}

fn document(name: &str, inner: &str) -> String {
    format!("<{name} xmlns=\"{NAMESPACE}\">{inner}</{name}>")
}

fn wrap(name: &str, inner: &str) -> String {
    format!("<{name}>{inner}</{name}>")
}

fn tag(name: &str, text: &str) -> String {
    wrap(name, &escape(text))
}

/// An element whose children are properties under their names in XML; lists become repeated children.
fn element_of(name: &str, item: &Json, names: &[(&str, &str)]) -> String {
    let children: String = names
        .iter()
        .flat_map(|(property, child)| {
            let values: Vec<String> = match &item[*property] {
                Json::Array(values) => values.iter().filter_map(text).collect(),
                value => text(value).into_iter().collect(),
            };
            values.into_iter().map(|value| tag(child, &value))
        })
        .collect();
    wrap(name, &children)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_notification_reads_as_s3_wants_it() {
        let wanted = json!({"Function": "arn:f", "Events": ["s3:ObjectCreated:*"],
            "Filter": {"S3Key": {"Rules": [{"Name": "suffix", "Value": "<.jpg>"}]}}});
        assert_eq!(
            notification(&wanted),
            "<CloudFunctionConfiguration><CloudFunction>arn:f</CloudFunction>\
             <Event>s3:ObjectCreated:*</Event>\
             <Filter><S3Key><FilterRule><Name>suffix</Name><Value>&lt;.jpg&gt;</Value></FilterRule>\
             </S3Key></Filter></CloudFunctionConfiguration>"
        );
        assert_eq!(unescape(&escape("a&b<\"c\">")), "a&b<\"c\">");
    }

    #[test]
    fn cors_rules_repeat_their_lists() {
        let cors =
            json!({"CorsRules": [{"AllowedOrigins": ["a", "b"], "AllowedMethods": ["GET"], "MaxAge": 60}]});
        assert_eq!(
            cors_rules(&cors),
            "<CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>a</AllowedOrigin>\
             <AllowedOrigin>b</AllowedOrigin><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>"
        );
    }
}
