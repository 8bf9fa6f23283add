//! S3's form uploads: who signed the policy of a form, and whether the form keeps to it.
//!
//! A browser cannot sign, so whoever may write signs a policy beforehand: what each field of the form may say,
//! and until when. The contract is "Browser-based uploads using POST" in the S3 API reference; the signature is of
//! Version 4 or, as boto3 makes it, of Version 2.

use crate::sigv4::{self, ALGORITHM};
use crate::{sigv2, time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::{Fault, Time};
use serde::Deserialize;
use serde_json::Value;

/// The fields of a form, by lower-case names, in the order sent.
pub type Fields = Vec<(String, String)>;

pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Who claims to have signed a form's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub access_key: String,
    pub session_token: Option<String>,
    /// The scope of Version 4: date, region; `None` of Version 2.
    scope: Option<(String, String)>,
    signature: String,
}

/// `None` if the form is not signed at all.
pub fn signer(fields: &Fields) -> Result<Option<Signer>, Fault> {
    let text = |name: &str| field(fields, name).map(str::to_owned);
    let session_token = text("x-amz-security-token");
    if let Some(credential) = field(fields, "x-amz-credential") {
        let parts: Vec<&str> = credential.rsplitn(5, '/').collect();
        let [_, "s3", region, date, access_key] = parts[..] else {
            return Err(malformed("the Credential field is malformed"));
        };
        if field(fields, "x-amz-algorithm") != Some(ALGORITHM) {
            return Err(malformed("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
        }
        let signature = text("x-amz-signature").ok_or_else(|| lacks("X-Amz-Signature"))?;
        let scope = Some((date.to_owned(), region.to_owned()));
        return Ok(Some(Signer { access_key: access_key.to_owned(), session_token, scope, signature }));
    }
    match (text("awsaccesskeyid"), text("signature")) {
        (None, None) => Ok(None),
        (Some(access_key), Some(signature)) => {
            Ok(Some(Signer { access_key, session_token, scope: None, signature }))
        }
        (Some(_), None) => Err(lacks("signature")),
        (None, Some(_)) => Err(lacks("AWSAccessKeyId")),
    }
}

fn malformed(text: &str) -> Fault {
    Fault::new(400, "InvalidArgument", text)
}

/// A form without a field that it needs.
pub fn lacks(name: &str) -> Fault {
    let text = format!(
        "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    );
    Fault::new(400, "InvalidArgument", text).with_field("ArgumentName", name)
}

impl Signer {
    /// The region that the signature is for, if it says one.
    pub fn region(&self) -> Option<&str> {
        self.scope.as_ref().map(|(_, region)| region.as_str())
    }

    /// Whether `secret` signed this policy, which is in Base64 as it was sent.
    pub fn verify(&self, policy: &str, secret: &str) -> Result<(), Fault> {
        let computed = match &self.scope {
            Some((date, region)) => sigv4::sign_policy(secret, date, region, policy),
            None => sigv2::sign(secret, policy),
        };
        match sigv2::same(&computed, &self.signature) {
            true => Ok(()),
            false => Err(Fault::new(403, "SignatureDoesNotMatch", sigv4::S3_MISMATCH)
                .with_field("AWSAccessKeyId", &self.access_key)
                .with_field("StringToSign", policy)
                .with_field("SignatureProvided", &self.signature)),
        }
    }
}

/// What a form may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    expiration: Time,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Equal { field: String, value: String },
    StartsWith { field: String, prefix: String },
    Length { min: u64, max: u64 },
}

#[derive(Deserialize)]
struct Document {
    expiration: String,
    conditions: Vec<Value>,
}

impl Policy {
    pub fn parse(base64: &str) -> Result<Policy, Fault> {
        let invalid =
            |cause: &str| Fault::new(400, "InvalidPolicyDocument", format!("Invalid Policy: {cause}"));
        let bytes = STANDARD.decode(base64.trim()).map_err(|_| invalid("Invalid Base64."))?;
        let document: Document = serde_json::from_slice(&bytes).map_err(|_| invalid("Invalid JSON."))?;
        let expiration = time::parse_iso8601(&document.expiration);
        let expiration = expiration.ok_or_else(|| invalid("Invalid 'expiration' value."))?;
        let mut conditions = Vec::new();
        for condition in &document.conditions {
            conditions.extend(read(condition).ok_or_else(|| invalid("Invalid Condition."))?);
        }
        Ok(Policy { expiration, conditions })
    }

    /// Whether the form keeps to the policy; the file's size is not known yet.
    pub fn admit(&self, fields: &Fields, bucket: &str, now: Time) -> Result<(), Fault> {
        if now > self.expiration {
            return Err(against("Policy expired."));
        }
        let said = |name: &str| match name {
            "bucket" => bucket,
            _ => field(fields, name).unwrap_or_default(),
        };
        for condition in &self.conditions {
            if !condition.holds(said) {
                return Err(against(&format!("Policy Condition failed: {}", condition.text())));
            }
        }
        let named = |name: &str| self.conditions.iter().any(|condition| condition.field() == Some(name));
        match fields.iter().find(|(name, _)| !is_exempt(name) && !named(name)) {
            Some((name, _)) => Err(against(&format!("Extra input fields: {name}"))),
            None => Ok(()),
        }
    }

    /// The least and the most bytes that the file may have.
    pub fn length(&self) -> (u64, u64) {
        let ranges = self.conditions.iter().filter_map(|condition| match condition {
            Condition::Length { min, max } => Some((*min, *max)),
            Condition::Equal { .. } | Condition::StartsWith { .. } => None,
        });
        ranges.fold((0, u64::MAX), |(low, high), (min, max)| (low.max(min), high.min(max)))
    }
}

fn against(cause: &str) -> Fault {
    Fault::new(403, "AccessDenied", format!("Invalid according to Policy: {cause}"))
}

/// What a policy need not speak of.
fn is_exempt(name: &str) -> bool {
    matches!(name, "awsaccesskeyid" | "signature" | "x-amz-signature" | "policy" | "bucket")
        || name.starts_with("x-ignore-")
}

/// An object is several conditions in one.
fn read(condition: &Value) -> Option<Vec<Condition>> {
    match condition {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let value = value.as_str()?.to_owned();
                Some(Condition::Equal { field: name.to_ascii_lowercase(), value })
            })
            .collect(),
        Value::Array(parts) => match &parts[..] {
            [Value::String(op), Value::String(field), Value::String(value)] => {
                let field = field.strip_prefix('$')?.to_ascii_lowercase();
                match op.to_ascii_lowercase().as_str() {
                    "eq" => Some(vec![Condition::Equal { field, value: value.clone() }]),
                    "starts-with" => Some(vec![Condition::StartsWith { field, prefix: value.clone() }]),
                    _ => None,
                }
            }
            [Value::String(op), min, max] if op.eq_ignore_ascii_case("content-length-range") => {
                Some(vec![Condition::Length { min: number(min)?, max: number(max)? }])
            }
            _ => None,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl Condition {
    fn field(&self) -> Option<&str> {
        match self {
            Condition::Equal { field, .. } | Condition::StartsWith { field, .. } => Some(field),
            Condition::Length { .. } => None,
        }
    }

    fn holds<'a>(&self, said: impl Fn(&str) -> &'a str) -> bool {
        match self {
            Condition::Equal { field, value } => said(field) == value,
            // Several media types must each begin so.
            Condition::StartsWith { field, prefix } if field == "content-type" => {
                said(field).split(',').all(|part| part.trim().starts_with(prefix.as_str()))
            }
            Condition::StartsWith { field, prefix } => said(field).starts_with(prefix.as_str()),
            Condition::Length { .. } => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Condition::Equal { field, value } => format!("[\"eq\", \"${field}\", \"{value}\"]"),
            Condition::StartsWith { field, prefix } => {
                format!("[\"starts-with\", \"${field}\", \"{prefix}\"]")
            }
            Condition::Length { min, max } => format!("[\"content-length-range\", {min}, {max}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(conditions: &str) -> Policy {
        let text = format!(r#"{{"expiration":"2030-01-01T00:00:00Z","conditions":{conditions}}}"#);
        Policy::parse(&STANDARD.encode(text)).unwrap()
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn refusal(policy: &Policy, form: &[(&str, &str)], now: u64) -> String {
        policy.admit(&fields(form), "b", Time::from_secs(now)).unwrap_err().message
    }

    #[test]
    fn a_form_says_what_its_policy_names_and_nothing_else() {
        let policy = policy(
            r#"[{"bucket":"b"},["starts-with","$key","in/"],["content-length-range",1,9],{"X-Amz-Meta-A":"1"}]"#,
        );
        let form = [("key", "in/x"), ("x-amz-meta-a", "1"), ("policy", "…"), ("x-ignore-me", "2")];
        policy.admit(&fields(&form), "b", Time::from_secs(5)).unwrap();
        assert_eq!(policy.length(), (1, 9));
        let mut other = form;
        other[0].1 = "out/x";
        let failed =
            "Invalid according to Policy: Policy Condition failed: [\"starts-with\", \"$key\", \"in/\"]";
        assert_eq!(refusal(&policy, &other, 5), failed);
        let mut extra = form.to_vec();
        extra.push(("acl", "private"));
        assert_eq!(refusal(&policy, &extra, 5), "Invalid according to Policy: Extra input fields: acl");
        let expired = "Invalid according to Policy: Policy expired.";
        assert_eq!(refusal(&policy, &form, 2_000_000_000), expired);
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for text in ["{}", r#"{"expiration":"x","conditions":[]}"#, "no json"] {
            assert_eq!(Policy::parse(&STANDARD.encode(text)).unwrap_err().code, "InvalidPolicyDocument");
        }
        for condition in [r#"["like","$key","x"]"#, r#"["eq","key","x"]"#, "7", r#"{"key":7}"#] {
            let text = format!(r#"{{"expiration":"2030-01-01T00:00:00Z","conditions":[{condition}]}}"#);
            assert!(Policy::parse(&STANDARD.encode(text)).is_err(), "{condition}");
        }
        assert!(Policy::parse("%%%").is_err());
    }

    #[test]
    fn a_policy_is_good_only_with_its_signature() {
        let signed = fields(&[
            ("awsaccesskeyid", "AKIAIOSFODNN7EXAMPLE"),
            ("signature", &sigv2::sign("secret", "cG9saWN5")),
        ]);
        let by = signer(&signed).unwrap().unwrap();
        assert!(by.verify("cG9saWN5", "secret").is_ok());
        assert_eq!(by.verify("cG9saWN6", "secret").unwrap_err().code, "SignatureDoesNotMatch");
        assert!(by.verify("cG9saWN5", "other").is_err());
        assert_eq!(signer(&fields(&[("key", "k")])).unwrap(), None);
        assert!(signer(&fields(&[("signature", "s")])).is_err());
    }
}
