//! Reading resolved properties as CloudFormation does: `"128"` is a number where one is wanted, and 128 a
//! string.

use serde_json::{Map, Value as Json, json};

#[derive(Clone, Copy)]
pub(super) struct Properties<'a>(pub(super) &'a Json);

impl<'a> Properties<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a Json> {
        self.0.get(name)
    }

    pub(super) fn text(self, name: &str) -> Option<String> {
        self.get(name).and_then(text)
    }

    /// A string that the schema requires, so that it is there.
    pub(super) fn required(self, name: &str) -> anyhow::Result<String> {
        self.text(name).ok_or_else(|| anyhow::anyhow!("{name} is missing"))
    }

    pub(super) fn integer(self, name: &str) -> Option<i64> {
        self.get(name).and_then(integer)
    }

    /// Of a map, the value under `name` as a map of strings: environments, tags, stage variables.
    pub(super) fn strings(self, name: &str) -> Option<Json> {
        self.get(name).map(strings)
    }

    /// Tags in either form: a list of keys and values, or a map.
    pub(super) fn tags(self) -> Option<Json> {
        let tags = self.get("Tags")?;
        let Some(list) = tags.as_array() else { return Some(strings(tags)) };
        let pairs =
            list.iter().filter_map(|tag| Some((text(tag.get("Key")?)?, json!(text(tag.get("Value")?)?))));
        Some(Json::Object(pairs.collect()))
    }
}

pub(super) fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

pub(super) fn integer(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

pub(super) fn flag(value: &Json) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

fn strings(map: &Json) -> Json {
    let pairs = map.as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(name, value)| Some((name.clone(), json!(text(value)?))));
    Json::Object(pairs.collect::<Map<_, _>>())
}

/// A document of the members that are there.
pub(super) fn document<const N: usize>(members: [(&str, Option<Json>); N]) -> Json {
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Json::Object(present.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_take_the_form_that_is_wanted() {
        let all = json!({"Size": "128", "Name": 7, "On": "true", "Env": {"A": 1, "B": true},
            "Tags": [{"Key": "team", "Value": 1}]});
        let all = Properties(&all);
        assert_eq!((all.integer("Size"), flag(&all.0["On"])), (Some(128), Some(true)));
        assert_eq!(all.text("Name").as_deref(), Some("7"));
        assert_eq!(all.strings("Env"), Some(json!({"A": "1", "B": "true"})));
        assert_eq!(all.tags(), Some(json!({"team": "1"})));
        assert!(all.required("None").is_err());
    }
}
