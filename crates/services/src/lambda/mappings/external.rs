//! Sources outside of Mayfly: which brokers there are, and what is stored of one that a mapping reads.
//!
//! `SelfManagedEventSource` is AWS's way to name a Kafka cluster; the other brokers are named in the same
//! map, each by an endpoint type of its own. Credentials are never part of a mapping: it names a secret.

use super::model::{Key, MappingRow};
use mayfly_kernel::{Arn, Fault, Time};
use std::time::Duration;

/// What is stored of an external source. Tags are for ever.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::lambda) struct ExternalRow {
    #[prost(enumeration = "Broker", tag = "1")]
    pub(super) broker: i32,
    #[prost(string, repeated, tag = "2")]
    pub(super) endpoints: Vec<String>,
    /// The topic, queue, subject, stream, publication or topic filter.
    #[prost(string, tag = "3")]
    pub(super) topic: String,
    #[prost(string, tag = "4")]
    pub(super) virtual_host: String,
    #[prost(enumeration = "Login", tag = "5")]
    pub(super) login: i32,
    /// The ARN of the secret of the login.
    #[prost(string, tag = "6")]
    pub(super) secret: String,
    /// The consumer group, durable consumer, slot or client identifier, if the user has named it.
    #[prost(string, tag = "7")]
    pub(super) group: String,
    #[prost(enumeration = "Position", tag = "8")]
    pub(super) position: i32,
    #[prost(uint64, tag = "9")]
    pub(super) position_ms: u64,
    /// `None`: for ever.
    #[prost(uint32, optional, tag = "10")]
    pub(super) retries: Option<u32>,
    #[prost(uint32, optional, tag = "11")]
    pub(super) max_age_s: Option<u32>,
    #[prost(bool, tag = "12")]
    pub(super) bisects: bool,
    #[prost(string, tag = "13")]
    pub(super) on_failure: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Broker {
    Unspecified = 0,
    Kafka = 1,
    RabbitMq = 2,
    Nats = 3,
    Redis = 4,
    PostgreSql = 5,
    Mqtt = 6,
}

/// How one says who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Login {
    None = 0,
    Basic = 1,
    Scram256 = 2,
    Scram512 = 3,
}

/// Where reading begins if nothing is known of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Position {
    Unspecified = 0,
    TrimHorizon = 1,
    Latest = 2,
    AtTimestamp = 3,
}

impl Position {
    pub(super) const ALL: [(Position, &'static str); 3] = [
        (Position::TrimHorizon, "TRIM_HORIZON"),
        (Position::Latest, "LATEST"),
        (Position::AtTimestamp, "AT_TIMESTAMP"),
    ];

    pub(super) fn name(self) -> Option<&'static str> {
        Position::ALL.into_iter().find(|(position, _)| *position == self).map(|(_, name)| name)
    }
}

/// The member of a request that says what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Topics,
    Queues,
}

impl Broker {
    pub const ALL: [Broker; 6] =
        [Broker::Kafka, Broker::RabbitMq, Broker::Nats, Broker::Redis, Broker::PostgreSql, Broker::Mqtt];

    /// The key of `SelfManagedEventSource.Endpoints`.
    pub(super) fn endpoint_type(self) -> &'static str {
        match self {
            Broker::Unspecified => "",
            Broker::Kafka => "KAFKA_BOOTSTRAP_SERVERS",
            Broker::RabbitMq => "RABBITMQ_SERVERS",
            Broker::Nats => "NATS_SERVERS",
            Broker::Redis => "REDIS_SERVERS",
            Broker::PostgreSql => "POSTGRESQL_SERVERS",
            Broker::Mqtt => "MQTT_BROKERS",
        }
    }

    /// What events say of where they come from.
    pub(crate) fn event_source(self) -> &'static str {
        match self {
            Broker::Unspecified => "",
            Broker::Kafka => "SelfManagedKafka",
            Broker::RabbitMq => "aws:rmq",
            Broker::Nats => "mayfly:nats",
            Broker::Redis => "mayfly:redis",
            Broker::PostgreSql => "mayfly:postgresql",
            Broker::Mqtt => "mayfly:mqtt",
        }
    }

    /// The type of a batch as an event.
    pub(super) fn event_type(self) -> &'static str {
        match self {
            Broker::Unspecified => "",
            Broker::Kafka => "aws.kafka.batch",
            Broker::RabbitMq => "aws.rmq.batch",
            Broker::Nats => "mayfly.nats.batch",
            Broker::Redis => "mayfly.redis.batch",
            Broker::PostgreSql => "mayfly.postgresql.batch",
            Broker::Mqtt => "mayfly.mqtt.batch",
        }
    }

    /// The schemes of its endpoints without and with TLS.
    pub(super) fn schemes(self) -> (&'static str, Option<&'static str>) {
        match self {
            Broker::Unspecified => ("", None),
            Broker::Kafka => ("kafka", Some("kafkas")),
            Broker::RabbitMq => ("amqp", Some("amqps")),
            Broker::Nats => ("nats", Some("tls")),
            Broker::Redis => ("redis", Some("rediss")),
            // As its own clients do, one asks for TLS with `?sslmode=`.
            Broker::PostgreSql => ("postgresql", None),
            Broker::Mqtt => ("mqtt", Some("mqtts")),
        }
    }

    fn port(self, tls: bool) -> u16 {
        match self {
            Broker::Unspecified => 0,
            Broker::Kafka if tls => 9093,
            Broker::Kafka => 9092,
            Broker::RabbitMq if tls => 5671,
            Broker::RabbitMq => 5672,
            Broker::Nats => 4222,
            Broker::Redis => 6379,
            Broker::PostgreSql => 5432,
            Broker::Mqtt if tls => 8883,
            Broker::Mqtt => 1883,
        }
    }

    pub(super) fn named(self) -> Named {
        if self == Broker::RabbitMq { Named::Queues } else { Named::Topics }
    }

    /// Where one may begin; no choice where the broker has none.
    pub(super) fn positions(self) -> &'static [Position] {
        match self {
            Broker::Kafka | Broker::Nats | Broker::Redis => {
                &[Position::TrimHorizon, Position::Latest, Position::AtTimestamp]
            }
            Broker::PostgreSql => &[Position::Latest],
            Broker::Unspecified | Broker::RabbitMq | Broker::Mqtt => &[],
        }
    }

    pub(super) fn has_groups(self) -> bool {
        self != Broker::RabbitMq
    }

    /// Whether several batches at once make sense: no order is promised then.
    pub(super) fn is_shared(self) -> bool {
        matches!(self, Broker::RabbitMq | Broker::Nats)
    }
}

/// One address of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// What follows the address: a database.
    pub path: String,
}

impl Endpoint {
    /// Reads `[scheme://]host[:port][/path]`; says what is wrong with it.
    pub(crate) fn parse(broker: Broker, text: &str) -> Result<Endpoint, String> {
        if let Some((text, query)) = text.split_once('?').filter(|_| broker == Broker::PostgreSql) {
            let tls = match query {
                "sslmode=disable" => false,
                // Who the server is, is checked whenever there is TLS.
                "sslmode=require" | "sslmode=verify-ca" | "sslmode=verify-full" => true,
                _ => return Err("all that may follow a ? is sslmode=disable, or sslmode=verify-full".into()),
            };
            return Ok(Endpoint { tls, ..Endpoint::parse(broker, text)? });
        }
        let (plain, secure) = broker.schemes();
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) if scheme == plain => (false, rest),
            Some((scheme, rest)) if Some(scheme) == secure => (true, rest),
            Some((scheme, _)) => return Err(format!("{scheme} is no scheme of {}", broker.endpoint_type())),
        };
        if rest.contains('@') {
            return Err("credentials are named by SourceAccessConfigurations, not by an endpoint".into());
        }
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() && !matches!(broker, Broker::Redis | Broker::PostgreSql) {
            return Err("there is something behind the address".into());
        }
        if !path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
            return Err("the database has an odd name".into());
        }
        let (host, port) = match address.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => match address.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err("that is no host".into());
        }
        if broker == Broker::Kafka && tls && host.contains(':') {
            return Err("TLS to Kafka takes names and no IPv6 addresses".into());
        }
        let port = match port {
            None => broker.port(tls),
            Some(port) => port.parse().map_err(|_| "that is no port".to_owned())?,
        };
        Ok(Endpoint { tls, host: host.into(), port, path: path.into() })
    }

    /// Host and port, as one writes them.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Where reading begins for a reader that the broker, and Mayfly, do not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    At(Time),
}

/// What whoever reads an external source has to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    pub key: Key,
    pub broker: Broker,
    pub endpoints: Vec<Endpoint>,
    pub topic: String,
    pub virtual_host: String,
    pub login: Login,
    pub secret: Option<Arn>,
    pub group: String,
    /// Mayfly has named the group, so it goes with its mapping.
    pub owns_group: bool,
    pub start: Start,
}

impl External {
    pub(super) fn of(key: &Key, row: &ExternalRow) -> Result<External, Fault> {
        let broker = row.broker();
        let endpoint = |text: &String| {
            Endpoint::parse(broker, text).map_err(|why| Fault::internal("read a stored endpoint", why))
        };
        let secret = match row.secret.is_empty() {
            true => None,
            false => Some(row.secret.parse().map_err(|e| Fault::internal("read a secret's name", e))?),
        };
        Ok(External {
            key: key.clone(),
            broker,
            endpoints: row.endpoints.iter().map(endpoint).collect::<Result<_, _>>()?,
            topic: row.topic.clone(),
            virtual_host: row.virtual_host.clone(),
            login: row.login(),
            secret,
            group: group(key, row),
            owns_group: row.group.is_empty(),
            start: match row.position() {
                Position::Unspecified | Position::TrimHorizon => Start::Earliest,
                Position::Latest => Start::Latest,
                Position::AtTimestamp => Start::At(Time::from_ms(row.position_ms)),
            },
        })
    }
}

/// The name under which a mapping reads. A slot of PostgreSQL takes neither capitals nor hyphens.
pub(super) fn group((_, _, id): &Key, row: &ExternalRow) -> String {
    match (row.group.is_empty(), row.broker()) {
        (false, _) => row.group.clone(),
        (true, Broker::PostgreSql) => format!("mayfly_{}", id.replace('-', "_")),
        (true, _) => format!("mayfly-{id}"),
    }
}

impl MappingRow {
    /// What tells sources apart: a queue's ARN, or where an external source is and what is read there.
    pub(super) fn source_name(&self) -> String {
        match &self.external {
            None => self.source_arn.clone(),
            Some(row) => {
                let (endpoints, broker) = (row.endpoints.join(","), row.broker().endpoint_type());
                format!("{broker} {endpoints} {} {}", row.virtual_host, row.topic)
            }
        }
    }
}

/// What becomes of records that a function does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// `None`: for ever.
    pub retries: Option<u32>,
    pub max_age: Option<Duration>,
    pub bisects: bool,
}

impl Patience {
    /// Tried again for ever.
    pub(crate) const ENDLESS: Patience = Patience { retries: None, max_age: None, bisects: false };

    pub(super) fn of(row: &ExternalRow) -> Patience {
        Patience {
            retries: row.retries,
            max_age: row.max_age_s.map(|seconds| Duration::from_secs(seconds.into())),
            bisects: row.bisects,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_odd_ones_refused() {
        let read = |broker, text| Endpoint::parse(broker, text);
        let plain = read(Broker::Kafka, "b-1.example.com:9094").unwrap();
        assert_eq!((plain.authority().as_str(), plain.tls), ("b-1.example.com:9094", false));
        let redis = read(Broker::Redis, "rediss://cache/3").unwrap();
        assert_eq!((redis.authority().as_str(), redis.tls, redis.path.as_str()), ("cache:6379", true, "3"));
        assert_eq!(read(Broker::Nats, "tls://[::1]:4").unwrap().authority(), "[::1]:4");
        assert_eq!(read(Broker::RabbitMq, "amqp://mq").unwrap().port, 5672);
        let secure =
            [(Broker::Mqtt, "mqtts://m"), (Broker::RabbitMq, "amqps://m"), (Broker::Kafka, "kafkas://m")];
        let secure = secure.map(|(broker, text)| read(broker, text).unwrap());
        assert_eq!(
            secure.each_ref().map(|one| (one.tls, one.port)),
            [(true, 8883), (true, 5671), (true, 9093)]
        );
        assert_eq!(read(Broker::Mqtt, "mqtt://m").unwrap().port, 1883);
        let base = read(Broker::PostgreSql, "postgresql://db/shop?sslmode=verify-full").unwrap();
        assert_eq!((base.path.as_str(), base.tls, base.port), ("shop", true, 5432));
        for (broker, text) in [
            (Broker::Kafka, "https://b:1"),
            (Broker::Kafka, "kafkas://[::1]:1"),
            (Broker::Nats, "nats://me:secret@b:1"),
            (Broker::Nats, "nats://b:1/path"),
            (Broker::Redis, "b:x"),
            (Broker::Redis, ":6379"),
            (Broker::PostgreSql, "b/a b"),
            (Broker::PostgreSql, "b/a?sslmode=prefer"),
            (Broker::Redis, "b?sslmode=require"),
        ] {
            assert!(read(broker, text).is_err(), "{text}");
        }
    }
}
