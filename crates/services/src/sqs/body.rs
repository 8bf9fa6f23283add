//! Bodies and attributes of messages: what is valid, and the MD5s that SDKs check.

use super::faults;
use super::model::{ATTRIBUTES_PER_MESSAGE, Attribute};
use bytes::Bytes;
use mayfly_kernel::Fault;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A message attribute on the wire.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Value {
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    #[serde(default, with = "mayfly_wire::with::base64::option", skip_serializing_if = "Option::is_none")]
    binary_value: Option<Vec<u8>>,
    data_type: Option<String>,
}

impl Value {
    pub(super) fn size(&self) -> u64 {
        let text = self.string_value.as_ref().map_or(0, String::len);
        let binary = self.binary_value.as_ref().map_or(0, Vec::len);
        (text + binary + self.data_type.as_ref().map_or(0, String::len)) as u64
    }
}

impl From<&Attribute> for Value {
    fn from(attribute: &Attribute) -> Value {
        Value {
            string_value: attribute.text.clone(),
            binary_value: attribute.binary.as_ref().map(|bytes| bytes.to_vec()),
            data_type: Some(attribute.data_type.clone()),
        }
    }
}

/// XML's characters, which is all that a body may hold.
pub(super) fn check_text(text: &str) -> Result<(), Fault> {
    let allowed = |c: char| match c {
        '\t' | '\n' | '\r' => true,
        c => c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'),
    };
    match text.chars().all(allowed) {
        true => Ok(()),
        false => Err(faults::bad_contents()),
    }
}

pub(super) fn attributes(values: BTreeMap<String, Value>) -> Result<Vec<Attribute>, Fault> {
    if values.len() > ATTRIBUTES_PER_MESSAGE {
        let text = format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES_PER_MESSAGE}].",
            values.len()
        );
        return Err(faults::invalid(text));
    }
    for name in values.keys() {
        check_name(name)?;
    }
    system_attributes(values)
}

/// The same for names that are SQS's own.
pub(super) fn system_attributes(values: BTreeMap<String, Value>) -> Result<Vec<Attribute>, Fault> {
    values.into_iter().map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(name: String, value: Value) -> Result<Attribute, Fault> {
    let data_type = value.data_type.filter(|text| !text.is_empty()).ok_or_else(|| {
        faults::invalid(format!(
            "The message attribute '{name}' must contain a non-empty message attribute type."
        ))
    })?;
    let (text, binary) = (value.string_value, value.binary_value.map(Bytes::from));
    let kind = data_type.split('.').next().unwrap_or_default();
    let empty = || {
        let text = format!(
            "The message attribute '{name}' must contain a non-empty message attribute value for message \
             attribute type '{data_type}'."
        );
        faults::invalid(text)
    };
    if data_type.len() > 256 {
        return Err(faults::invalid(format!(
            "The length of message attribute type of '{name}' must be less than 256 bytes."
        )));
    }
    match (kind, &text, &binary) {
        ("String", Some(text), None) if !text.is_empty() => check_text(text)?,
        ("Number", Some(text), None) if !text.is_empty() => {
            if text.trim().parse::<f64>().is_err() {
                return Err(faults::invalid(format!(
                    "Can't cast the value of message attribute '{name}' to a number."
                )));
            }
        }
        ("Binary", None, Some(bytes)) if !bytes.is_empty() => {}
        ("String" | "Number" | "Binary", ..) => return Err(empty()),
        _ => {
            let text = format!(
                "The type of message attribute '{name}' is invalid. You must use only the following supported \
                 type prefixes: Binary, Number, String."
            );
            return Err(faults::invalid(text));
        }
    }
    Ok(Attribute { name, data_type, text, binary })
}

fn check_name(name: &str) -> Result<(), Fault> {
    let lower = name.to_ascii_lowercase();
    let reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let dots = !name.starts_with('.') && !name.ends_with('.') && !name.contains("..");
    match (1..=256).contains(&name.len()) && letters && dots && !reserved {
        true => Ok(()),
        false => Err(faults::invalid(format!(
            "Message (user) attribute name '{name}' is invalid: it can contain A-Z, a-z, 0-9, underscore, hyphen \
             and period, up to 256, must not begin or end with a period, and is not reserved (AWS., Amazon.)."
        ))),
    }
}

pub(super) fn md5(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// "Calculating the MD5 message digest for message attributes", SQS developer guide. The attributes are in the
/// order of their names; `None` if there are none.
pub(super) fn md5_of_attributes<'a>(attributes: impl Iterator<Item = &'a Attribute>) -> Option<String> {
    let mut hash = None;
    for attribute in attributes {
        let hash = hash.get_or_insert_with(Md5::new);
        let mut part = |bytes: &[u8]| {
            hash.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(bytes);
        };
        part(attribute.name.as_bytes());
        part(attribute.data_type.as_bytes());
        hash.update([if attribute.binary.is_some() { 2 } else { 1 }]);
        let value = attribute.value();
        hash.update(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(value);
    }
    hash.map(|hash| hex::encode(hash.finalize()))
}
