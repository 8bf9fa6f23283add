//! Brokers outside of Mayfly as the sources of pipes: self-managed Kafka and RabbitMQ, read as event source
//! mappings read them.
//!
//! AWS names a cluster of Kafka `smk://host:port`, and a broker of RabbitMQ by the ARN of Amazon MQ, which is not
//! here; it is `amqp://host:port` instead. Over TLS they are `kafkas://` and `amqps://`.
//!
//! Keys: `PIPE_CURSORS(account, region, name, line)`, `PIPE_RESULTS(account, region, name)`.

use super::model::{CursorRow, Pipe, ResultRow};
use super::parameters::{Credentials, KafkaSource, RabbitSource, SourceParameters};
use super::{PIPES, faults};
use crate::lambda::mappings::{Broker, Endpoint, External, Login, Record, Start, opened};
use crate::readers::{Filters, Key};
use crate::{Cx, spaces};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::{Map, Scan};
use serde_json::Value;

const PIPE_CURSORS: Map<(String, String, String, String), CursorRow> = Map::new(spaces::PIPE_CURSORS);
const PIPE_RESULTS: Map<Key, ResultRow> = Map::new(spaces::PIPE_RESULTS);

/// What a pipe reads outside of Mayfly, and which of that it wants.
#[derive(Debug)]
pub struct Inlet {
    pub source: External,
    filters: Filters,
}

impl Inlet {
    pub(crate) fn wants(&self, record: &Record) -> bool {
        self.filters.admit(|| opened(self.source.broker, &record.shape))
    }
}

/// `None` if there is no such pipe, or it reads a queue.
pub(crate) fn inlet(cx: &Cx<'_>, key: &Key) -> Result<Option<Inlet>, Fault> {
    let Some(pipe) = PIPES.get(cx.tx, key)? else { return Ok(None) };
    let Some(source) = pipe.external(key)? else { return Ok(None) };
    let filters = Filters::compile(&pipe.source_parameters()?.patterns())?;
    Ok(Some(Inlet { source, filters }))
}

pub(crate) fn is_external(cx: &Cx<'_>, key: &Key) -> Result<bool, Fault> {
    Ok(PIPES.get(cx.tx, key)?.is_some_and(|pipe| broker(&pipe.source).is_some()))
}

/// The broker that an address names; `None` if it is no address of one.
pub(super) fn broker(source: &str) -> Option<Broker> {
    match source.split_once("://")?.0 {
        "smk" | "kafka" | "kafkas" => Some(Broker::Kafka),
        "amqp" | "amqps" => Some(Broker::RabbitMq),
        _ => None,
    }
}

impl Pipe {
    /// What it reads outside of Mayfly; a fault of the caller if that is not said well.
    pub(super) fn external(&self, key: &Key) -> Result<Option<External>, Fault> {
        let parameters = self.source_parameters()?;
        let SourceParameters { self_managed_kafka_parameters, rabbit_mq_broker_parameters, .. } = parameters;
        match broker(&self.source) {
            Some(Broker::Kafka) => match self_managed_kafka_parameters {
                Some(kafka) => kafka.external(key, &self.source).map(Some),
                None => Err(faults::validation("SelfManagedKafkaParameters are required.")),
            },
            Some(_) => match rabbit_mq_broker_parameters {
                Some(rabbit) => rabbit.external(key, &self.source).map(Some),
                None => Err(faults::validation("RabbitMQBrokerParameters are required.")),
            },
            None => Ok(None),
        }
    }
}

fn endpoint(broker: Broker, text: &str) -> Result<Endpoint, Fault> {
    Endpoint::parse(broker, text)
        .map_err(|why| faults::validation(format!("Provided source is not valid: {why}.")))
}

fn named(what: &str, text: &str, most: usize) -> Result<String, Fault> {
    match (1..=most).contains(&text.chars().count()) {
        true => Ok(text.to_owned()),
        false => Err(faults::validation(format!("{what} takes 1 to {most} characters."))),
    }
}

impl KafkaSource {
    fn external(&self, key: &Key, source: &str) -> Result<External, Fault> {
        if self.server_root_ca_certificate.is_some() {
            return Err(Fault::not_implemented("ServerRootCaCertificate of a pipe"));
        }
        if self.vpc.is_some() {
            return Err(Fault::not_implemented("Vpc of a pipe"));
        }
        let source =
            source.strip_prefix("smk://").map_or(source.to_owned(), |rest| format!("kafka://{rest}"));
        let scheme = source.split_once("://").map_or("kafka", |(scheme, _)| scheme);
        let others = self.additional_bootstrap_servers.iter().flatten();
        let mut endpoints = vec![endpoint(Broker::Kafka, &source)?];
        for other in others {
            endpoints.push(endpoint(Broker::Kafka, &format!("{scheme}://{other}"))?);
        }
        let start = match self.starting_position.as_deref() {
            None | Some("TRIM_HORIZON") => Start::Earliest,
            Some("LATEST") => Start::Latest,
            Some(other) => {
                let rule = "Member must satisfy enum value set: [TRIM_HORIZON, LATEST]";
                return Err(faults::constraint("startingPosition", other, rule));
            }
        };
        let (login, secret) = login(self.credentials.as_ref())?;
        Ok(External {
            key: key.clone(),
            broker: Broker::Kafka,
            endpoints,
            topic: named("TopicName", &self.topic_name, 249)?,
            virtual_host: String::new(),
            login,
            secret,
            group: self.consumer_group_id.clone().unwrap_or_else(|| format!("mayfly-{}", key.2)),
            owns_group: false,
            start,
        })
    }
}

impl RabbitSource {
    fn external(&self, key: &Key, source: &str) -> Result<External, Fault> {
        let (login, secret) = login(self.credentials.as_ref())?;
        if login != Login::Basic {
            return Err(faults::validation("RabbitMQ takes BasicAuth as its Credentials."));
        }
        Ok(External {
            key: key.clone(),
            broker: Broker::RabbitMq,
            endpoints: vec![endpoint(Broker::RabbitMq, source)?],
            topic: named("QueueName", &self.queue_name, 1000)?,
            virtual_host: self.virtual_host.clone().unwrap_or_default(),
            login,
            secret,
            group: String::new(),
            owns_group: false,
            start: Start::Earliest,
        })
    }
}

fn login(credentials: Option<&Credentials>) -> Result<(Login, Option<Arn>), Fault> {
    let Some(Credentials { basic_auth, scram_512, scram_256, client_certificate }) = credentials else {
        return Ok((Login::None, None));
    };
    if client_certificate.is_some() {
        return Err(Fault::not_implemented("ClientCertificateTlsAuth of a pipe"));
    }
    let kinds = [(Login::Basic, basic_auth), (Login::Scram512, scram_512), (Login::Scram256, scram_256)];
    let mut given = kinds.into_iter().filter_map(|(login, text)| text.as_ref().map(|text| (login, text)));
    let (Some((login, text)), None) = (given.next(), given.next()) else {
        return Err(faults::validation("Credentials take one secret."));
    };
    let secret = text.parse::<Arn>().ok().filter(|arn| arn.service == "secretsmanager");
    match secret.filter(|arn| arn.resource.starts_with("secret:")) {
        Some(secret) => Ok((login, Some(secret))),
        None => Err(faults::validation("Credentials take the ARN of a secret.")),
    }
}

/// A record as the event of a pipe.
pub(super) fn event(source: &External, line: &str, record: &Record) -> Value {
    let servers: Vec<String> = source.endpoints.iter().map(Endpoint::authority).collect();
    let name = if source.broker == Broker::Kafka { "bootstrapServers" } else { "servers" };
    let mut event = record.shape.clone();
    event["eventSource"] = source.broker.event_source().into();
    event["eventSourceKey"] = line.into();
    event[name] = servers.join(",").into();
    event
}

fn line_key((account, region, name): &Key, line: &str) -> (String, String, String, String) {
    (account.clone(), region.clone(), name.clone(), line.to_owned())
}

pub(crate) fn cursor(cx: &Cx<'_>, key: &Key, line: &str) -> Result<Option<i64>, Fault> {
    Ok(PIPE_CURSORS.get(cx.tx, &line_key(key, line))?.map(|row| row.next))
}

pub(crate) fn is_begun(cx: &Cx<'_>, key: &Key) -> Result<bool, Fault> {
    Ok(!PIPE_CURSORS.scan(cx.tx, Scan::prefix(key, 1))?.is_empty())
}

pub(crate) fn advance(cx: &mut Cx<'_>, key: &Key, line: &str, next: i64) -> Result<(), Fault> {
    if PIPES.contains(cx.tx, key)? {
        PIPE_CURSORS.put(cx.tx, &line_key(key, line), &CursorRow { next });
    }
    Ok(())
}

pub(crate) fn note(cx: &mut Cx<'_>, key: &Key, text: &str) -> Result<(), Fault> {
    if PIPES.contains(cx.tx, key)? {
        PIPE_RESULTS.put(cx.tx, key, &ResultRow { text: text.to_owned() });
    }
    Ok(())
}

/// How it goes, if that was noted.
pub(crate) fn said(cx: &Cx<'_>, key: &Key) -> Result<Option<String>, Fault> {
    Ok(PIPE_RESULTS.get(cx.tx, key)?.map(|row| row.text))
}

/// A pipe of the same name begins anew.
pub(super) fn forget(cx: &mut Cx<'_>, key: &Key) -> Result<(), Fault> {
    PIPE_RESULTS.delete(cx.tx, key);
    for (line, _) in PIPE_CURSORS.scan(cx.tx, Scan::prefix(key, usize::MAX))? {
        PIPE_CURSORS.delete(cx.tx, &line);
    }
    Ok(())
}
