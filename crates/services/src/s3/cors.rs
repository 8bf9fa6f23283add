//! Cross-origin rules: their configuration, and what they answer to a browser ("How does Amazon S3 evaluate
//! the CORS configuration on a bucket").

use super::buckets::{self, Nothing};
use super::element::Element;
use super::faults;
use super::keys::{CORS, CORS_CONFIG};
use crate::{Cx, Reply};
use mayfly_kernel::Fault;
use mayfly_wire::{Call, xml};
use serde::Deserialize;

const RULES_MAX: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// The stored rules of a bucket.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Cors {
    #[prost(message, repeated, tag = "1")]
    rules: Vec<Rule>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Rule {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, repeated, tag = "2")]
    origins: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    methods: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    headers: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    exposed: Vec<String>,
    #[prost(uint32, optional, tag = "6")]
    max_age_seconds: Option<u32>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "CORSRule", default)]
    rules: Vec<Wanted>,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "ID")]
    id: Option<String>,
    #[serde(rename = "AllowedOrigin", default)]
    origins: Vec<String>,
    #[serde(rename = "AllowedMethod", default)]
    methods: Vec<String>,
    #[serde(rename = "AllowedHeader", default)]
    headers: Vec<String>,
    #[serde(rename = "ExposeHeader", default)]
    exposed: Vec<String>,
    #[serde(rename = "MaxAgeSeconds")]
    max_age_seconds: Option<u32>,
}

impl Wanted {
    fn checked(self) -> Result<Rule, Fault> {
        if self.origins.is_empty() || self.methods.is_empty() {
            return Err(faults::malformed_xml());
        }
        if let Some(method) = self.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
            let text =
                format!("Found unsupported HTTP method in CORS config. Unsupported method is {method}");
            return Err(faults::invalid_request(text));
        }
        let wild = |text: &&String| text.matches('*').count() > 1;
        if let Some(origin) = self.origins.iter().find(wild) {
            let text = format!("AllowedOrigin \"{origin}\" can not have more than one wildcard.");
            return Err(faults::invalid_request(text));
        }
        if let Some(header) = self.headers.iter().find(wild) {
            let text = format!("AllowedHeader \"{header}\" can not have more than one wildcard.");
            return Err(faults::invalid_request(text));
        }
        if let Some(header) = self.exposed.iter().find(|header| header.contains('*')) {
            let text = format!(
                "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard \
                                for ExposeHeader."
            );
            return Err(faults::invalid_request(text));
        }
        let Wanted { id, origins, methods, headers, exposed, max_age_seconds } = self;
        Ok(Rule { id, origins, methods, headers, exposed, max_age_seconds })
    }
}

pub(super) fn put(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let wanted: Configuration = xml::from_bytes(&call.body)?;
    if wanted.rules.is_empty() {
        return Err(faults::malformed_xml());
    }
    if wanted.rules.len() > RULES_MAX {
        return Err(faults::invalid_request(
            "The number of CORS rules should not exceed allowed limit of 100 rules.",
        ));
    }
    let rules = wanted.rules.into_iter().map(Wanted::checked).collect::<Result<_, _>>()?;
    CORS.put(cx.tx, &bucket.row(CORS_CONFIG), &Cors { rules });
    Ok(Reply::status(200))
}

pub(super) fn get(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let stored =
        CORS.get(cx.tx, &bucket.row(CORS_CONFIG))?.ok_or_else(|| faults::no_such_cors(&bucket.name))?;
    let rules = stored.rules.iter().map(|rule| {
        Element::new()
            .text_opt("ID", rule.id.as_ref())
            .each_text("AllowedMethod", &rule.methods)
            .each_text("AllowedOrigin", &rule.origins)
            .each_text("AllowedHeader", &rule.headers)
            .text_opt("MaxAgeSeconds", rule.max_age_seconds)
            .each_text("ExposeHeader", &rule.exposed)
    });
    Ok(Element::new().each("CORSRule", rules).reply("CORSConfiguration"))
}

pub(super) fn delete(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    CORS.delete(cx.tx, &bucket.row(CORS_CONFIG));
    Ok(Reply::status(204))
}

/// The rules of a bucket, for anybody: a browser asks before it signs. Empty if there is no such bucket.
pub fn rules(cx: &mut Cx<'_>, bucket: &str) -> Result<Vec<Rule>, Fault> {
    cx.allowed_by_policy();
    Ok(CORS.get(cx.tx, &(bucket, CORS_CONFIG))?.unwrap_or_default().rules)
}

/// The headers of the first rule that admits the request; `None` if none does.
///
/// `method` is that of the real request, which a preflight names in `Access-Control-Request-Method`;
/// `request_headers` are the names in its `Access-Control-Request-Headers`, none outside a preflight.
pub fn respond(
    rules: &[Rule],
    origin: &str,
    method: &str,
    request_headers: &[&str],
) -> Option<Vec<(&'static str, String)>> {
    let rule = rules.iter().find(|rule| {
        rule.origins.iter().any(|pattern| matches(pattern, origin))
            && rule.methods.iter().any(|allowed| allowed == method)
            && request_headers.iter().all(|header| rule.admits(header))
    })?;
    // A rule for every origin gives no credentials away.
    let open = rule.origins.iter().any(|pattern| pattern == "*");
    let mut headers = vec![
        ("access-control-allow-origin", if open { "*".to_owned() } else { origin.to_owned() }),
        ("access-control-allow-methods", rule.methods.join(", ")),
        ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method".to_owned()),
    ];
    if !open {
        headers.push(("access-control-allow-credentials", "true".to_owned()));
    }
    if !request_headers.is_empty() {
        headers.push(("access-control-allow-headers", request_headers.join(", ").to_ascii_lowercase()));
    }
    if !rule.exposed.is_empty() {
        headers.push(("access-control-expose-headers", rule.exposed.join(", ")));
    }
    if let Some(seconds) = rule.max_age_seconds {
        headers.push(("access-control-max-age", seconds.to_string()));
    }
    Some(headers)
}

impl Rule {
    fn admits(&self, header: &str) -> bool {
        let header = header.to_ascii_lowercase();
        self.headers.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &header))
    }
}

/// A pattern has at most one star.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origin: &str, methods: &[&str], headers: &[&str]) -> Rule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Rule {
            origins: vec![origin.into()],
            methods: owned(methods),
            headers: owned(headers),
            exposed: vec!["ETag".into()],
            max_age_seconds: Some(60),
            id: None,
        }
    }

    fn find<'a>(headers: &'a [(&'static str, String)], name: &str) -> Option<&'a str> {
        headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_first_rule_that_admits_the_request_answers() {
        let rules = [rule("https://*.example.org", &["PUT"], &["x-amz-*"]), rule("*", &["GET"], &[])];
        let put = respond(&rules, "https://a.example.org", "PUT", &["X-Amz-Meta-A"]).unwrap();
        assert_eq!(find(&put, "access-control-allow-origin"), Some("https://a.example.org"));
        assert_eq!(find(&put, "access-control-allow-headers"), Some("x-amz-meta-a"));
        assert_eq!(find(&put, "access-control-allow-credentials"), Some("true"));
        let get = respond(&rules, "https://other", "GET", &[]).unwrap();
        assert_eq!(find(&get, "access-control-allow-origin"), Some("*"));
        assert_eq!(find(&get, "access-control-allow-credentials"), None);
        assert_eq!(find(&get, "access-control-max-age"), Some("60"));
        assert_eq!(respond(&rules, "https://other", "PUT", &[]), None);
        assert_eq!(respond(&rules, "https://a.example.org", "PUT", &["content-type"]), None);
    }
}
