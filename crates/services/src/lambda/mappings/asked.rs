//! What requests say of an external source, and what answers show of it.

use super::external::{self, Broker, Endpoint, ExternalRow, Login, Named, Position};
use super::model::Key;
use crate::lambda::{check, faults};
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const ENDPOINTS_MAX: usize = 10;
const MAX_AGE_MIN_S: u32 = 60;
const FOR_EVER: i64 = -1;

/// Members that are read here; what is said of a queue among them is refused.
pub(super) const MEMBERS: [&str; 11] = [
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "Queues",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "SourceAccessConfigurations",
    "StartingPosition",
    "StartingPositionTimestamp",
    "Topics",
];

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(skip_serializing_if = "Option::is_none")]
    self_managed_event_source: Option<SelfManaged>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queues: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_position: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_position_timestamp: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_managed_kafka_event_source_config: Option<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_access_configurations: Option<Vec<Access>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_config: Option<Destinations>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_record_age_in_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_retry_attempts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bisect_batch_on_function_error: Option<bool>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SelfManaged {
    #[serde(default)]
    endpoints: BTreeMap<String, Vec<String>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Group {
    consumer_group_id: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Access {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "URI", default)]
    uri: String,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Destinations {
    on_success: Destination,
    on_failure: Destination,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Destination {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
}

impl Asked {
    /// From the members of a request that are for external sources.
    pub(super) fn read(members: &BTreeMap<String, Value>) -> Result<Asked, Fault> {
        let ours =
            members.iter().filter(|(name, value)| MEMBERS.contains(&name.as_str()) && !value.is_null());
        let ours = ours.map(|(name, value)| (name.clone(), value.clone())).collect();
        serde_json::from_value(Value::Object(ours)).map_err(|why| faults::parameter(why.to_string()))
    }

    /// The source of a mapping that is created; `None` if it is not outside.
    pub(super) fn source(&self) -> Result<Option<ExternalRow>, Fault> {
        let source = self.self_managed_event_source.as_ref().filter(|source| !source.endpoints.is_empty());
        let Some(source) = source else { return Ok(None) };
        let (broker, endpoints) = broker(source)?;
        let mut row = ExternalRow { endpoints, topic: self.topic(broker)?, ..ExternalRow::default() };
        row.set_broker(broker);
        self.set_position(&mut row)?;
        let group = self.self_managed_kafka_event_source_config.as_ref();
        if let Some(group) = group.and_then(|config| config.consumer_group_id.as_deref()) {
            check::length(group, "selfManagedKafkaEventSourceConfig.consumerGroupId", 1, 200)?;
            if !broker.has_groups() {
                return Err(not_of(broker, "SelfManagedKafkaEventSourceConfig"));
            }
            check_group(broker, group)?;
            row.group = group.to_owned();
        }
        Ok(Some(row))
    }

    fn topic(&self, broker: Broker) -> Result<String, Fault> {
        let (wanted, member, other, length) = match broker.named() {
            Named::Topics => (&self.topics, "topics", ("Queues", &self.queues), 249),
            Named::Queues => (&self.queues, "queues", ("Topics", &self.topics), 1000),
        };
        if other.1.as_ref().is_some_and(|names| !names.is_empty()) {
            return Err(not_of(broker, other.0));
        }
        match wanted.as_deref() {
            Some([name]) => {
                check::length(name, member, 1, length)?;
                if broker == Broker::Mqtt && !is_topic_filter(name) {
                    return Err(faults::parameter(format!("{name} is no topic filter of MQTT.")));
                }
                Ok(name.clone())
            }
            Some([]) | None => {
                Err(faults::parameter(format!("{} must name one of the {member}.", broker.endpoint_type())))
            }
            Some(_) => Err(faults::invalid(
                format_args!("{wanted:?}"),
                member,
                "Member must have length less than or equal to 1",
            )),
        }
    }

    fn set_position(&self, row: &mut ExternalRow) -> Result<(), Fault> {
        let known = row.broker().positions();
        let Some(name) = &self.starting_position else {
            return match known.contains(&Position::TrimHorizon) {
                true => Err(faults::parameter(
                    "1 validation error detected: Value null at 'startingPosition' failed \
                                               to satisfy constraint: Member must not be null.",
                )),
                false => Ok(()),
            };
        };
        let names = Position::ALL.map(|(_, name)| name);
        check::one_of(name, "startingPosition", &names)?;
        let position = Position::ALL.into_iter().find(|(_, one)| one == name).map(|(position, _)| position);
        let Some(position) = position.filter(|position| known.contains(position)) else {
            return Err(faults::parameter(format!(
                "StartingPosition {name} is not valid for {}.",
                row.broker().endpoint_type()
            )));
        };
        row.set_position(position);
        match (position, self.starting_position_timestamp) {
            (Position::AtTimestamp, Some(seconds)) if (0.0..=1e11).contains(&seconds) => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
                let ms = (seconds * 1000.0) as u64;
                row.position_ms = ms;
                Ok(())
            }
            (Position::AtTimestamp, _) => {
                Err(faults::parameter("StartingPositionTimestamp is required with AT_TIMESTAMP."))
            }
            (_, Some(_)) => Err(faults::parameter("StartingPositionTimestamp is for AT_TIMESTAMP alone.")),
            (_, None) => Ok(()),
        }
    }

    /// Refuses what only creating a mapping may say.
    pub(super) fn refuse_fixed(&self) -> Result<(), Fault> {
        let fixed = [
            ("SelfManagedEventSource", self.self_managed_event_source.is_some()),
            ("Topics", self.topics.is_some()),
            ("Queues", self.queues.is_some()),
            ("StartingPosition", self.starting_position.is_some()),
        ];
        match fixed.into_iter().find(|(_, asked)| *asked) {
            Some((name, _)) => Err(faults::parameter(format!("{name} cannot be changed."))),
            None => Ok(()),
        }
    }

    /// Sets what was asked for; what was not stays as it is.
    pub(super) fn apply(&self, row: &mut ExternalRow) -> Result<(), Fault> {
        if let Some(accesses) = &self.source_access_configurations {
            apply_accesses(accesses, row)?;
        }
        if let Some(age) = self.maximum_record_age_in_seconds {
            row.max_age_s = bound(age, "maximumRecordAgeInSeconds", 604_800)?;
            if row.max_age_s.is_some_and(|age| age < MAX_AGE_MIN_S) {
                return Err(faults::parameter("MaximumRecordAgeInSeconds must be -1, or 60 to 604800."));
            }
        }
        if let Some(retries) = self.maximum_retry_attempts {
            row.retries = bound(retries, "maximumRetryAttempts", 10_000)?;
        }
        if let Some(bisects) = self.bisect_batch_on_function_error {
            row.bisects = bisects;
        }
        if let Some(destinations) = &self.destination_config {
            if destinations.on_success.destination.is_some() {
                return Err(faults::parameter("OnSuccess is not valid for event source mappings."));
            }
            row.on_failure = destination(destinations.on_failure.destination.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }

    /// As an answer shows it.
    pub(super) fn of(key: &Key, row: &ExternalRow) -> Asked {
        let (broker, list) = (row.broker(), |name: &String| Some(vec![name.clone()]));
        let endpoints = BTreeMap::from([(broker.endpoint_type().to_owned(), row.endpoints.clone())]);
        let access = |kind: &str, uri: &String| Access { kind: kind.to_owned(), uri: uri.clone() };
        let mut accesses = Vec::new();
        if let Some(kind) = login_name(row.login()) {
            accesses.push(access(kind, &row.secret));
        }
        if !row.virtual_host.is_empty() {
            accesses.push(access(VIRTUAL_HOST, &row.virtual_host));
        }
        let destination = (!row.on_failure.is_empty()).then(|| row.on_failure.clone());
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of any date fit a double exactly")]
        let seconds = row.position_ms as f64 / 1000.0;
        Asked {
            self_managed_event_source: Some(SelfManaged { endpoints }),
            topics: (broker.named() == Named::Topics).then(|| list(&row.topic)).flatten(),
            queues: (broker.named() == Named::Queues).then(|| list(&row.topic)).flatten(),
            starting_position: row.position().name().map(str::to_owned),
            starting_position_timestamp: (row.position() == Position::AtTimestamp).then_some(seconds),
            self_managed_kafka_event_source_config: broker
                .has_groups()
                .then(|| Group { consumer_group_id: Some(external::group(key, row)) }),
            source_access_configurations: (!accesses.is_empty()).then_some(accesses),
            destination_config: Some(Destinations {
                on_failure: Destination { destination },
                ..Destinations::default()
            }),
            maximum_record_age_in_seconds: Some(row.max_age_s.map_or(FOR_EVER, i64::from)),
            maximum_retry_attempts: Some(row.retries.map_or(FOR_EVER, i64::from)),
            bisect_batch_on_function_error: Some(row.bisects),
        }
    }
}

fn not_of(broker: Broker, member: &str) -> Fault {
    faults::parameter(format!("{member} is not valid for {}.", broker.endpoint_type()))
}

/// -1 stands for no bound.
fn bound(number: i64, path: &str, max: u32) -> Result<Option<u32>, Fault> {
    check::range(number, path, FOR_EVER, max.into())?;
    Ok(u32::try_from(number).ok())
}

fn broker(source: &SelfManaged) -> Result<(Broker, Vec<String>), Fault> {
    let names = Broker::ALL.map(Broker::endpoint_type);
    let mut kinds = source.endpoints.iter();
    let (Some((name, endpoints)), None) = (kinds.next(), kinds.next()) else {
        return Err(faults::parameter("SelfManagedEventSource takes endpoints of one type."));
    };
    check::one_of(name, "selfManagedEventSource.endpoints", &names)?;
    let broker = Broker::ALL.into_iter().find(|broker| broker.endpoint_type() == name);
    let broker = broker.unwrap_or(Broker::Unspecified);
    if endpoints.is_empty() || endpoints.len() > ENDPOINTS_MAX {
        return Err(faults::parameter(format!("{name} takes 1 to {ENDPOINTS_MAX} endpoints.")));
    }
    for text in endpoints {
        check::length(text, "selfManagedEventSource.endpoints", 1, 300)?;
        Endpoint::parse(broker, text).map_err(|why| {
            // What it says may be a password.
            let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
            let masked = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
            faults::parameter(format!("The endpoint {masked} is not valid: {why}."))
        })?;
    }
    Ok((broker, endpoints.clone()))
}

/// `+` is a whole level, `#` the last one, and what is shared has a name without either.
fn is_topic_filter(text: &str) -> bool {
    let filter = match text.strip_prefix("$share/") {
        None => text,
        Some(shared) => match shared.split_once('/') {
            Some((name, filter)) if !name.is_empty() && !name.contains(['+', '#']) => filter,
            Some(_) | None => return false,
        },
    };
    let above = filter.strip_suffix('#').unwrap_or(filter);
    let has_no_rest = above.len() == filter.len() || above.is_empty() || above.ends_with('/');
    let is_level = |level: &str| level == "+" || !level.contains(['+', '#', '\0']);
    !filter.is_empty() && has_no_rest && above.split('/').all(is_level)
}

/// Names that brokers refuse would only be found out later.
fn check_group(broker: Broker, group: &str) -> Result<(), Fault> {
    let good = |b: u8| match broker {
        Broker::PostgreSql => b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_',
        Broker::Nats => b.is_ascii_alphanumeric() || b == b'-' || b == b'_',
        _ => b.is_ascii_graphic(),
    };
    match group.bytes().all(good) {
        true => Ok(()),
        false => Err(faults::parameter(format!(
            "The ConsumerGroupId {group} is not valid for {}.",
            broker.endpoint_type()
        ))),
    }
}

const VIRTUAL_HOST: &str = "VIRTUAL_HOST";
const ACCESS_TYPES: [&str; 8] = [
    "BASIC_AUTH",
    "VPC_SUBNET",
    "VPC_SECURITY_GROUP",
    "SASL_SCRAM_512_AUTH",
    "SASL_SCRAM_256_AUTH",
    VIRTUAL_HOST,
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
];

fn login_name(login: Login) -> Option<&'static str> {
    match login {
        Login::None => None,
        Login::Basic => Some("BASIC_AUTH"),
        Login::Scram256 => Some("SASL_SCRAM_256_AUTH"),
        Login::Scram512 => Some("SASL_SCRAM_512_AUTH"),
    }
}

fn apply_accesses(accesses: &[Access], row: &mut ExternalRow) -> Result<(), Fault> {
    let broker = row.broker();
    row.set_login(Login::None);
    row.secret = String::new();
    row.virtual_host = String::new();
    for Access { kind, uri } in accesses {
        check::one_of(kind, "sourceAccessConfigurations.type", &ACCESS_TYPES)?;
        check::length(uri, "sourceAccessConfigurations.uRI", 1, 200)?;
        let login = match (kind.as_str(), broker) {
            (VIRTUAL_HOST, Broker::RabbitMq) => {
                row.virtual_host = uri.clone();
                continue;
            }
            ("BASIC_AUTH", _) => Login::Basic,
            ("SASL_SCRAM_256_AUTH", Broker::Kafka) => Login::Scram256,
            ("SASL_SCRAM_512_AUTH", Broker::Kafka) => Login::Scram512,
            _ => {
                let what = format!("SourceAccessConfigurations of {kind} with {}", broker.endpoint_type());
                return Err(Fault::not_implemented(&what));
            }
        };
        let arn = uri.parse::<Arn>().ok().filter(|arn| arn.service == "secretsmanager");
        if arn.is_none_or(|arn| !arn.resource.starts_with("secret:")) {
            return Err(faults::parameter(format!("{kind} takes the ARN of a secret.")));
        }
        if row.login() != Login::None {
            return Err(faults::parameter("SourceAccessConfigurations takes one login."));
        }
        row.set_login(login);
        row.secret = uri.clone();
    }
    Ok(())
}

fn destination(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let wrong = || faults::parameter(format!("The destination {text} is not valid."));
    if text.starts_with("kafka://") {
        return Err(Fault::not_implemented("Kafka topics as destinations"));
    }
    check::length(text, "destinationConfig.onFailure.destination", 0, 350)?;
    let arn: Arn = text.parse().map_err(|_| wrong())?;
    match arn.service.as_str() {
        "sqs" | "sns" => Ok(text.to_owned()),
        "s3" => Err(Fault::not_implemented("buckets as destinations of event source mappings")),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_topic_filter;

    #[test]
    fn topic_filters_are_those_of_the_standard() {
        for good in ["a", "/", "#", "+", "a/#", "+/b/+", "$SYS/#", "$share/g/a/#", "a//b"] {
            assert!(is_topic_filter(good), "{good}");
        }
        for bad in
            ["", "a#", "a/b#", "#/a", "a+", "a/+b", "$share/g", "$share//a", "$share/+/a", "$share/g/", "a\0"]
        {
            assert!(!is_topic_filter(bad), "{bad}");
        }
    }
}
