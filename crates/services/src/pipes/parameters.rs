//! What may be asked of a pipe's source, enrichment and target; and which of it goes together.

use super::model::Pipe;
use super::template;
use super::{brokers, faults};
use crate::events::endpoints::HttpParameters;
use crate::lambda::mappings::Broker;
use crate::pattern::Pattern;
use crate::readers::Key;
use crate::targets::Kind;
use crate::{Cx, lambda, sqs};
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const FILTERS_MAX: usize = 5;
const PATTERN_CHARS: usize = 4096;
const TEMPLATE_CHARS: usize = 8192;
const BATCH_SIZE: u32 = 10;
const BROKER_BATCH_SIZE: u32 = 100;
const BATCH_SIZE_MAX: u32 = 10_000;
/// Beyond this many messages a batch takes time to gather.
const BATCH_SIZE_AT_ONCE: u32 = 10;

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SourceParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter_criteria: Option<FilterCriteria>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sqs_queue_parameters: Option<Batches>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) self_managed_kafka_parameters: Option<KafkaSource>,
    #[serde(rename = "RabbitMQBrokerParameters", skip_serializing_if = "Option::is_none")]
    pub(super) rabbit_mq_broker_parameters: Option<RabbitSource>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FilterCriteria {
    filters: Vec<Filter>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    pattern: String,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Batches {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) maximum_batching_window_in_seconds: Option<u32>,
}

/// What a change names of it is its size, its window, and its credentials.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct KafkaSource {
    pub(super) topic_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) starting_position: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) additional_bootstrap_servers: Option<Vec<String>>,
    #[serde(rename = "ConsumerGroupID", skip_serializing_if = "Option::is_none")]
    pub(super) consumer_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<Credentials>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_root_ca_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vpc: Option<Value>,
    #[serde(flatten)]
    pub(super) batch: Batches,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RabbitSource {
    pub(super) queue_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) virtual_host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<Credentials>,
    #[serde(flatten)]
    pub(super) batch: Batches,
}

/// Secrets, one of them.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Credentials {
    #[serde(rename = "BasicAuth", skip_serializing_if = "Option::is_none")]
    pub(super) basic_auth: Option<String>,
    #[serde(rename = "SaslScram512Auth", skip_serializing_if = "Option::is_none")]
    pub(super) scram_512: Option<String>,
    #[serde(rename = "SaslScram256Auth", skip_serializing_if = "Option::is_none")]
    pub(super) scram_256: Option<String>,
    #[serde(rename = "ClientCertificateTlsAuth", skip_serializing_if = "Option::is_none")]
    pub(super) client_certificate: Option<String>,
}

/// What a pipe reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Queue,
    FifoQueue,
    Broker,
}

/// A change may say again what it cannot change.
fn same<T: PartialEq>(name: &str, new: Option<T>, old: Option<&T>) -> Result<(), Fault> {
    match new.is_none() || new.as_ref() == old {
        true => Ok(()),
        false => Err(faults::validation(format!("{name} cannot be changed."))),
    }
}

impl KafkaSource {
    fn over(self, old: KafkaSource) -> Result<KafkaSource, Fault> {
        let KafkaSource { credentials, server_root_ca_certificate, vpc, batch, .. } = self;
        let topic = (!self.topic_name.is_empty()).then_some(self.topic_name);
        same("TopicName", topic, Some(&old.topic_name))?;
        same("StartingPosition", self.starting_position, old.starting_position.as_ref())?;
        let servers = old.additional_bootstrap_servers.as_ref();
        same("AdditionalBootstrapServers", self.additional_bootstrap_servers, servers)?;
        same("ConsumerGroupID", self.consumer_group_id, old.consumer_group_id.as_ref())?;
        Ok(KafkaSource { credentials, server_root_ca_certificate, vpc, batch, ..old })
    }
}

impl RabbitSource {
    fn over(self, old: RabbitSource) -> Result<RabbitSource, Fault> {
        let RabbitSource { credentials, batch, .. } = self;
        let queue = (!self.queue_name.is_empty()).then_some(self.queue_name);
        same("QueueName", queue, Some(&old.queue_name))?;
        same("VirtualHost", self.virtual_host, old.virtual_host.as_ref())?;
        Ok(RabbitSource { credentials, batch, ..old })
    }
}

impl SourceParameters {
    /// What a change says, over what there was before: an object of a source is replaced as a whole, but for
    /// what is read, which stays.
    pub(super) fn over(self, before: SourceParameters) -> Result<SourceParameters, Fault> {
        let kafka = match (self.self_managed_kafka_parameters, before.self_managed_kafka_parameters) {
            (Some(new), Some(old)) => Some(new.over(old)?),
            (new, old) => new.or(old),
        };
        let rabbit = match (self.rabbit_mq_broker_parameters, before.rabbit_mq_broker_parameters) {
            (Some(new), Some(old)) => Some(new.over(old)?),
            (new, old) => new.or(old),
        };
        Ok(SourceParameters {
            filter_criteria: self.filter_criteria.or(before.filter_criteria),
            sqs_queue_parameters: self.sqs_queue_parameters.or(before.sqs_queue_parameters),
            self_managed_kafka_parameters: kafka,
            rabbit_mq_broker_parameters: rabbit,
        })
    }

    /// What batches of the source are like. The documented defaults are told where nobody has said them.
    pub(super) fn batch(&mut self, source: &str) -> &mut Batches {
        match brokers::broker(source) {
            None => self.sqs_queue_parameters.get_or_insert_default(),
            Some(Broker::Kafka) => &mut self.self_managed_kafka_parameters.get_or_insert_default().batch,
            Some(_) => &mut self.rabbit_mq_broker_parameters.get_or_insert_default().batch,
        }
    }

    pub(super) fn patterns(&self) -> Vec<String> {
        let filters = self.filter_criteria.iter().flat_map(|criteria| &criteria.filters);
        filters.map(|filter| filter.pattern.clone()).collect()
    }

    /// Those that are there belong to the source, as was checked.
    fn given(&self) -> Batches {
        let kafka = self.self_managed_kafka_parameters.as_ref().map(|kafka| &kafka.batch);
        let rabbit = self.rabbit_mq_broker_parameters.as_ref().map(|rabbit| &rabbit.batch);
        kafka.or(rabbit).or(self.sqs_queue_parameters.as_ref()).cloned().unwrap_or_default()
    }

    pub(super) fn window_s(&self) -> u32 {
        self.given().maximum_batching_window_in_seconds.unwrap_or(0)
    }

    /// As many as were asked for, or as go together without waiting.
    pub(super) fn batch_size(&self, reads: Reads, most: u32) -> u32 {
        let usual = if reads == Reads::Broker { BROKER_BATCH_SIZE } else { BATCH_SIZE };
        self.given().batch_size.unwrap_or_else(|| most.min(usual))
    }

    /// Parameters of another source than that which there is.
    fn check_kind(&self, source: &str) -> Result<(), Fault> {
        let broker = brokers::broker(source);
        let kinds = [
            (self.sqs_queue_parameters.is_some(), None, "SqsQueueParameters"),
            (self.self_managed_kafka_parameters.is_some(), Some(Broker::Kafka), "SelfManagedKafkaParameters"),
            (self.rabbit_mq_broker_parameters.is_some(), Some(Broker::RabbitMq), "RabbitMQBrokerParameters"),
        ];
        match kinds.into_iter().find(|(given, of, _)| *given && *of != broker) {
            Some((_, _, name)) => {
                Err(faults::validation(format!("{name} is not valid for the source {source}.")))
            }
            None => Ok(()),
        }
    }

    fn check(&self, reads: Reads, most: u32) -> Result<(), Fault> {
        let patterns = self.patterns();
        if patterns.len() > FILTERS_MAX {
            let rule = "Member must have length less than or equal to 5";
            return Err(faults::constraint("sourceParameters.filterCriteria.filters", "[...]", rule));
        }
        for pattern in &patterns {
            if pattern.chars().count() > PATTERN_CHARS {
                let rule = "Member must have length less than or equal to 4096";
                return Err(faults::constraint(
                    "sourceParameters.filterCriteria.filters.pattern",
                    "...",
                    rule,
                ));
            }
            Pattern::compile(pattern)
                .map_err(|why| faults::validation(format!("Invalid filter pattern definition. {why}")))?;
        }
        let (size, window) = (self.batch_size(reads, most), self.window_s());
        if !(1..=BATCH_SIZE_MAX).contains(&size) {
            let rule = "Member must have value between 1 and 10000";
            return Err(faults::constraint("batchSize", &size.to_string(), rule));
        }
        if window > 300 {
            let rule = "Member must have value less than or equal to 300";
            return Err(faults::constraint("maximumBatchingWindowInSeconds", &window.to_string(), rule));
        }
        if size > most {
            let text =
                format!("The batch size {size} is more than the enrichment or the target takes: {most}.");
            return Err(faults::validation(text));
        }
        if reads == Reads::FifoQueue && (window > 0 || size > BATCH_SIZE_AT_ONCE) {
            let text = "A FIFO queue has no batching window, and at most 10 messages in a batch.";
            return Err(faults::validation(text));
        }
        if reads == Reads::Queue && size > BATCH_SIZE_AT_ONCE && window == 0 {
            let text = "A batch of more than 10 messages needs MaximumBatchingWindowInSeconds.";
            return Err(faults::validation(text));
        }
        Ok(())
    }
}

#[derive(Clone, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct EnrichmentParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input_template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_parameters: Option<HttpParameters>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TargetParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input_template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lambda_function_parameters: Option<LambdaTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sqs_queue_parameters: Option<SqsTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_parameters: Option<HttpParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_bridge_event_bus_parameters: Option<BusTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cloud_watch_logs_parameters: Option<LogsTarget>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum InvocationType {
    #[default]
    RequestResponse,
    FireAndForget,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct LambdaTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invocation_type: Option<InvocationType>,
}

/// Members that are paths stand for what is there in the event.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SqsTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_deduplication_id: Option<String>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct BusTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct LogsTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log_stream_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<String>,
}

/// A pipe's source that is a queue. Others are told that they are not here.
pub(super) fn source(text: &str) -> Result<Arn, Fault> {
    let arn = arn("source", text)?;
    match arn.service.as_str() {
        "sqs" => Ok(arn),
        "kinesis" | "dynamodb" | "kafka" | "mq" => {
            Err(Fault::not_implemented(&format!("{} as the source of a pipe", arn.service)))
        }
        other => Err(faults::validation(format!("Provided source is not supported: {other}"))),
    }
}

pub(super) fn arn(member: &str, text: &str) -> Result<Arn, Fault> {
    let parsed = text.parse::<Arn>().ok().filter(|_| text.len() <= 1600);
    parsed.ok_or_else(|| faults::constraint(member, text, "Member must be an ARN"))
}

pub(super) fn enrichment_kind(arn: &Arn) -> Result<Kind, Fault> {
    match Kind::of(arn) {
        Some(kind @ (Kind::Function | Kind::ApiDestination)) => Ok(kind),
        Some(_) | None => {
            Err(Fault::not_implemented(&format!("{} as the enrichment of a pipe", arn.service)))
        }
    }
}

pub(super) fn target_kind(arn: &Arn) -> Result<Kind, Fault> {
    Kind::of(arn).ok_or_else(|| Fault::not_implemented(&format!("{} as the target of a pipe", arn.service)))
}

/// How many events a target takes at once ("Amazon EventBridge Pipes batching and concurrency").
pub(super) fn batch_max(kind: Kind) -> u32 {
    match kind {
        Kind::Function | Kind::LogGroup => BATCH_SIZE_MAX,
        Kind::Queue | Kind::Topic | Kind::Bus => 10,
        Kind::ApiDestination => 1,
    }
}

impl Pipe {
    pub(super) fn reads(&self) -> Reads {
        match brokers::broker(&self.source) {
            Some(_) => Reads::Broker,
            None if self.source.ends_with(".fifo") => Reads::FifoQueue,
            None => Reads::Queue,
        }
    }

    /// How many messages one batch may have.
    pub(super) fn batch_max(&self) -> Result<u32, Fault> {
        let target = batch_max(target_kind(&arn("target", &self.target)?)?);
        match self.enrichment.as_str() {
            "" => Ok(target),
            text => Ok(target.min(batch_max(enrichment_kind(&arn("enrichment", text)?)?))),
        }
    }

    /// Whether everything that was asked for is there and goes together.
    pub(super) fn check(&self, cx: &Cx<'_>, key: &Key) -> Result<(), Fault> {
        let parameters = self.source_parameters()?;
        parameters.check_kind(&self.source)?;
        if self.external(key)?.is_none() {
            let queue = source(&self.source)?;
            check_own(cx, &queue)?;
            if sqs::exists(cx, &queue)?.is_none() {
                return Err(faults::validation(format!("The source queue {queue} does not exist.")));
            }
        }
        parameters.check(self.reads(), self.batch_max()?)?;
        let enrichment = self.enrichment_parameters()?;
        if self.enrichment.is_empty() {
            if enrichment != EnrichmentParameters::default() {
                return Err(faults::validation("EnrichmentParameters need an Enrichment."));
            }
        } else {
            let arn = arn("enrichment", &self.enrichment)?;
            check_own(cx, &arn)?;
            check_function(cx, enrichment_kind(&arn)?, &arn)?;
            check_template(enrichment.input_template.as_deref())?;
            check_http(enrichment_kind(&arn)?, enrichment.http_parameters.as_ref())?;
        }
        let target = arn("target", &self.target)?;
        let kind = target_kind(&target)?;
        if !matches!(kind, Kind::Queue | Kind::Topic | Kind::Bus) {
            check_own(cx, &target)?;
        }
        check_function(cx, kind, &target)?;
        self.target_parameters()?.check(kind, &target)
    }
}

/// What a pipe reads and calls is of its own account; what it sends to may have a policy that lets it in.
fn check_own(cx: &Cx<'_>, arn: &Arn) -> Result<(), Fault> {
    match arn.account == cx.caller.account {
        true => Ok(()),
        false => Err(faults::validation(format!("{arn} belongs to another account than the pipe."))),
    }
}

fn check_function(cx: &Cx<'_>, kind: Kind, arn: &Arn) -> Result<(), Fault> {
    match kind == Kind::Function && !lambda::exists(cx, arn)? {
        true => Err(faults::validation(format!("The function {arn} does not exist."))),
        false => Ok(()),
    }
}

fn check_template(text: Option<&str>) -> Result<(), Fault> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > TEMPLATE_CHARS {
        let rule = "Member must have length less than or equal to 8192";
        return Err(faults::constraint("inputTemplate", "...", rule));
    }
    match template::unknown(text) {
        Some(name) => Err(faults::validation(format!("Invalid InputTemplate: unknown variable <{name}>."))),
        None => Ok(()),
    }
}

fn check_http(kind: Kind, parameters: Option<&HttpParameters>) -> Result<(), Fault> {
    match parameters {
        Some(parameters) if kind == Kind::ApiDestination => parameters.check(),
        Some(_) => Err(faults::validation("HttpParameters are for API destinations alone.")),
        None => Ok(()),
    }
}

impl TargetParameters {
    fn check(&self, kind: Kind, target: &Arn) -> Result<(), Fault> {
        check_template(self.input_template.as_deref())?;
        check_http(kind, self.http_parameters.as_ref())?;
        let others = [
            (self.lambda_function_parameters.is_some(), Kind::Function, "LambdaFunctionParameters"),
            (self.sqs_queue_parameters.is_some(), Kind::Queue, "SqsQueueParameters"),
            (self.event_bridge_event_bus_parameters.is_some(), Kind::Bus, "EventBridgeEventBusParameters"),
            (self.cloud_watch_logs_parameters.is_some(), Kind::LogGroup, "CloudWatchLogsParameters"),
        ];
        if let Some((_, _, name)) = others.iter().find(|(given, of, _)| *given && *of != kind) {
            return Err(faults::validation(format!("{name} is not valid for the target {target}.")));
        }
        let group = self.sqs_queue_parameters.as_ref().and_then(|sqs| sqs.message_group_id.as_ref());
        if kind == Kind::Queue && target.resource.ends_with(".fifo") && group.is_none() {
            return Err(faults::validation("MessageGroupId is required for a FIFO queue."));
        }
        let source = self.event_bridge_event_bus_parameters.as_ref().and_then(|bus| bus.source.as_deref());
        if source.is_some_and(|source| source.starts_with("aws.")) {
            return Err(faults::validation("The source of an event must not begin with aws."));
        }
        Ok(())
    }

    pub(super) fn fires_and_forgets(&self) -> bool {
        let of_lambda = self.lambda_function_parameters.as_ref();
        of_lambda.and_then(|of| of.invocation_type) == Some(InvocationType::FireAndForget)
    }
}
