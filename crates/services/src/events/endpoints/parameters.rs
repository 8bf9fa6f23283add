//! What of a request is not its body: what connections keep for it, and what targets say with each event.

use super::model::{Parameter, Parameters};
use crate::events::faults;
use crate::events::input::{at_path, is_path};
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Of one kind, in one connection.
const PARAMETERS_MAX: usize = 100;

/// The parameters of a connection, as they are asked for and shown. A secret value is never shown.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Given {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    header_parameters: Vec<One>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    query_string_parameters: Vec<One>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    body_parameters: Vec<One>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct One {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    is_value_secret: bool,
}

impl Given {
    pub(super) fn checked(self) -> Result<Parameters, Fault> {
        let kept = |ones: Vec<One>, member: &str| {
            if ones.len() > PARAMETERS_MAX {
                let rule = "Member must have length less than or equal to 100";
                return Err(faults::constraint(member, "[...]", rule));
            }
            let keep = |one: One| Parameter {
                key: one.key,
                value: one.value.unwrap_or_default(),
                is_secret: one.is_value_secret,
            };
            Ok(ones.into_iter().map(keep).collect())
        };
        if let Some(bad) = self.header_parameters.iter().find(|one| !is_header(&one.key)) {
            return Err(bad_header(&bad.key));
        }
        Ok(Parameters {
            headers: kept(self.header_parameters, "headerParameters")?,
            query: kept(self.query_string_parameters, "queryStringParameters")?,
            body: kept(self.body_parameters, "bodyParameters")?,
        })
    }

    /// `None` if there are none.
    pub(super) fn shown(parameters: Option<&Parameters>) -> Option<Given> {
        let show = |kept: &[Parameter]| -> Vec<One> {
            let one = |kept: &Parameter| One {
                key: kept.key.clone(),
                value: (!kept.is_secret).then(|| kept.value.clone()),
                is_value_secret: kept.is_secret,
            };
            kept.iter().map(one).collect()
        };
        let kept = parameters.filter(|kept| **kept != Parameters::default())?;
        Some(Given {
            header_parameters: show(&kept.headers),
            query_string_parameters: show(&kept.query),
            body_parameters: show(&kept.body),
        })
    }
}

fn is_header(name: &str) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
}

fn bad_header(name: &str) -> Fault {
    let rule = "Member must satisfy regular expression pattern: ^[!#$%&'*+-.^_`|~0-9a-zA-Z]+$";
    faults::constraint("headerParameters", name, rule)
}

/// What a target says with each event. A value that is a path stands for what is there in the event.
#[derive(Clone, PartialEq, Eq, prost::Message, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HttpParameters {
    #[prost(string, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) path_parameter_values: Vec<String>,
    #[prost(btree_map = "string, string", tag = "2")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) header_parameters: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "3")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) query_string_parameters: BTreeMap<String, String>,
}

impl HttpParameters {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self.header_parameters.keys().find(|name| !is_header(name)) {
            Some(name) => Err(bad_header(name)),
            None => Ok(()),
        }
    }

    /// With what the paths lead to in this event; what leads nowhere is empty.
    pub(crate) fn resolved(&self, event: &Value) -> HttpParameters {
        let value = |text: &String| match text.starts_with("$.") && is_path(text) {
            true => match at_path(event, text) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            },
            false => text.clone(),
        };
        let values = |map: &BTreeMap<String, String>| {
            map.iter().map(|(name, text)| (name.clone(), value(text))).collect()
        };
        HttpParameters {
            path_parameter_values: self.path_parameter_values.iter().map(value).collect(),
            header_parameters: values(&self.header_parameters),
            query_string_parameters: values(&self.query_string_parameters),
        }
    }
}
