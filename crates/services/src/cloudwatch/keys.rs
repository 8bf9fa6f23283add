//! The maps of CloudWatch, and the names of series.

use super::model::{Alarm, Metric, Span};
use crate::spaces;
use mayfly_kernel::Arn;
use mayfly_store::Map;
use std::collections::BTreeMap;

/// Account, region, grain, hour, series, second.
pub(super) type DataKey = (String, String, u8, u64, String, u64);
/// Account, region, namespace, metric, series.
pub(super) type MetricKey = (String, String, String, String, String);
/// Account, region, alarm.
pub(super) type AlarmKey = (String, String, String);

pub(super) const DATA: Map<DataKey, Span> = Map::new(spaces::CLOUDWATCH_DATA);
pub(super) const METRICS: Map<MetricKey, Metric> = Map::new(spaces::CLOUDWATCH_METRICS);
pub(super) const ALARMS: Map<AlarmKey, Alarm> = Map::new(spaces::CLOUDWATCH_ALARMS);

pub(super) fn alarm_arn(key: &AlarmKey) -> Arn {
    Arn::new("cloudwatch", &key.1, &key.0, format!("alarm:{}", key.2))
}

pub(super) fn alarm_of(arn: &Arn) -> Option<AlarmKey> {
    let name = arn.resource.strip_prefix("alarm:")?;
    Some((arn.account.clone(), arn.region.clone(), name.to_owned()))
}

/// A namespace and dimensions as one text, in which the order of the dimensions makes no difference.
pub(super) fn series(namespace: &str, dimensions: &BTreeMap<String, String>) -> String {
    let pairs: Vec<(&String, &String)> = dimensions.iter().collect();
    serde_json::json!([namespace, pairs]).to_string()
}

/// The namespace and dimensions of a series.
pub(super) fn parts(series: &str) -> Option<(String, Vec<(String, String)>)> {
    serde_json::from_str(series).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_one_name_for_ever() {
        let dimensions = BTreeMap::from([("b".into(), "2".into()), ("a".into(), "\"1".into())]);
        let name = series("AWS/Lambda", &dimensions);
        assert_eq!(name, r#"["AWS/Lambda",[["a","\"1"],["b","2"]]]"#);
        assert_eq!(parts(&name).unwrap().1[1], ("b".to_owned(), "2".to_owned()));
    }
}
