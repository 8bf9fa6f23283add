//! The AppSpec of a function: "AppSpec File structure for AWS Lambda deployments", CodeDeploy user guide. Pure.

use super::model::Plan;
use serde_json::Value;

/// Far more than any AppSpec of a function needs.
pub(super) const BYTES_MAX: usize = 64 * 1024;

/// Reads an AppSpec, YAML or JSON; or says what is wrong with it.
pub(super) fn read(text: &str) -> Result<Plan, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    // JSON is YAML too, but says better what is wrong with it.
    let spec: Value = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| error.to_string())?,
        false => serde_saphyr::from_str(text).map_err(|error| error.to_string())?,
    };
    let member = |name: &str| {
        let members = spec.as_object()?;
        members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    if !matches!(member("version").and_then(scalar).as_deref(), Some("0" | "0.0")) {
        return Err("its version is 0.0".to_owned());
    }
    let resources = member("resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let [Value::Object(resource)] = resources else {
        return Err("it has one resource".to_owned());
    };
    let Some((name, resource)) = resource.iter().next().filter(|_| resource.len() == 1) else {
        return Err("its resource has one name".to_owned());
    };
    if resource["Type"] != "AWS::Lambda::Function" {
        return Err("its resource is an AWS::Lambda::Function".to_owned());
    }
    let property = |name: &str| {
        let value = scalar(&resource["Properties"][name]).filter(|text| !text.is_empty());
        value.ok_or_else(|| format!("its resource has no property {name}"))
    };
    let version = |name: &str| {
        let text = property(name)?;
        text.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(|| format!("{name} is no number"))
    };
    let mut plan = Plan {
        resource: name.clone(),
        function: property("Name")?,
        alias: property("Alias")?,
        current: version("CurrentVersion")?,
        target: version("TargetVersion")?,
        ..Plan::default()
    };
    let hooks = member("hooks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (moment, function) in hooks.iter().filter_map(Value::as_object).flatten() {
        let function = scalar(function).ok_or_else(|| format!("the hook {moment} names no function"))?;
        match moment.as_str() {
            "BeforeAllowTraffic" => plan.before = function,
            "AfterAllowTraffic" => plan.after = function,
            other => return Err(format!("it knows no hook {other}")),
        }
    }
    Ok(plan)
}

/// A text, or a number as it was written.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = "
version: 0.0
Resources:
  - thumb:
      Type: AWS::Lambda::Function
      Properties:
        Name: thumb
        Alias: live
        CurrentVersion: 1
        TargetVersion: '2'
Hooks:
  - BeforeAllowTraffic: check
";
        let json = r#"{"version": 0.0, "Resources": [{"thumb": {"Type": "AWS::Lambda::Function", "Properties":
            {"Name": "thumb", "Alias": "live", "CurrentVersion": "1", "TargetVersion": "2"}}}],
            "Hooks": [{"BeforeAllowTraffic": "check"}]}"#;
        let plan = read(yaml).unwrap();
        assert_eq!(read(json).unwrap(), plan);
        assert_eq!((plan.current, plan.target, plan.before.as_str()), (1, 2, "check"));
        let wrong = |from: &str, to: &str| read(&yaml.replace(from, to)).unwrap_err();
        assert_eq!(wrong("0.0", "1.0"), "its version is 0.0");
        assert_eq!(wrong("Alias: live", "Other: x"), "its resource has no property Alias");
        assert_eq!(wrong("CurrentVersion: 1", "CurrentVersion: $LATEST"), "CurrentVersion is no number");
        assert_eq!(wrong("BeforeAllowTraffic", "Install"), "it knows no hook Install");
        assert!(read("Resources: {").is_err());
    }
}
