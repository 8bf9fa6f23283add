//! What a function's `Events` stand for: routes of an HTTP API, a bucket's notifications, mappings of queues,
//! subscriptions to topics. Rules and schedules are beside it (`buses.rs`).

use super::super::node::{Entry, Node, Problem, Value};
use super::function::Target;
use super::{Expansion, api, buses};

pub(super) fn expand(to: &mut Expansion<'_>, target: &Target<'_>) -> Result<(), Problem> {
    let Some(events) = target.resource.properties.get("Events") else { return Ok(()) };
    for event in events.entries() {
        let kind = event.node.get("Type").and_then(Node::as_text);
        let empty = Node::new(event.line, Value::Map(Vec::new()));
        let properties = event.node.get("Properties").unwrap_or(&empty);
        let done = match kind {
            Some("HttpApi") => route(to, target, event, properties, &api::HTTP_EVENT),
            Some("Api") => route(to, target, event, properties, &api::REST_EVENT),
            Some("S3") => notification(to, target, event, properties),
            Some("SQS") => mapping(to, target, event, properties),
            Some("SelfManagedKafka") => kafka(to, target, event, properties),
            Some("MQ") => rabbit(to, target, event, properties),
            Some("SNS") => subscription(to, target, event, properties),
            Some("EventBridgeRule" | "CloudWatchEvent") => buses::rule(to, target, event, properties),
            Some("Schedule") => buses::schedule(to, target, event, properties),
            Some("ScheduleV2") => buses::schedule_v2(to, target, event, properties),
            Some(other) => Err(Problem::new(
                event.node.line_of(&["Type"]),
                format!(
                    "events of type {other} are not supported yet; supported are HttpApi, Api, S3, SQS, SNS, \
                     EventBridgeRule, CloudWatchEvent, Schedule, ScheduleV2, SelfManagedKafka and MQ"
                ),
            )),
            None => Err(Problem::new(event.line, format!("the event {} has no Type", event.key))),
        };
        if let Err(problem) = done {
            to.problems.push(problem.of(&target.resource.id));
        }
    }
    Ok(())
}

fn route(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
    style: &api::EventStyle,
) -> Result<(), Problem> {
    properties_known(properties, style.properties)?;
    let line = event.line;
    refuse_authorizer(properties)?;
    let api = match properties.get(style.api_property) {
        Some(api) => api.clone(),
        None => Node::reference(line, style.implicit_api),
    };
    let name = api.intrinsic().and_then(|(_, name)| name.as_text()).unwrap_or("External").to_owned();
    let id = format!("{}{}", target.resource.id, event.key);
    let key = route_key(properties, line)?;

    let version = properties.get("PayloadFormatVersion").and_then(Node::scalar);
    let mut integration = Node::map(
        line,
        [
            ("ApiId", api.clone()),
            ("IntegrationType", Node::text(line, "AWS_PROXY")),
            ("IntegrationUri", target.arn.clone()),
            ("PayloadFormatVersion", Node::text(line, version.as_deref().unwrap_or(style.payload))),
        ],
    );
    if let Some(timeout) = properties.get("TimeoutInMillis") {
        integration.set("TimeoutInMillis", timeout.clone());
    }
    let uri = Node::list(
        line,
        vec![Node::text(line, "integrations/"), Node::reference(line, &format!("{id}Integration"))],
    );
    let uri = Node::list(line, vec![Node::text(line, ""), uri]);
    let made_route = Node::map(
        line,
        [
            ("ApiId", api.clone()),
            ("RouteKey", Node::text(line, &key)),
            ("Target", Node::map(line, [("Fn::Join", uri)])),
        ],
    );
    let source = ["arn:aws:execute-api:", &to.place.region, ":", &to.place.account, ":"].concat();
    let path = match key.split_once(' ') {
        Some((_, path)) => wildcards(path),
        None => "/*".to_owned(),
    };
    let source =
        Node::list(line, vec![Node::text(line, source), api, Node::text(line, format!("/*/*{path}"))]);
    let source = Node::map(line, [("Fn::Join", Node::list(line, vec![Node::text(line, ""), source]))]);
    let permission = permission(target, line, "apigateway.amazonaws.com", ("SourceArn", source));

    let from = target.resource;
    to.resources.push(from.with(&format!("{id}Permission"), "AWS::Lambda::Permission", line, permission));
    let kind = "AWS::ApiGatewayV2::Integration";
    to.resources.push(from.with(&format!("{id}Integration"), kind, line, integration));
    to.resources.push(from.with(&format!("{id}Route"), "AWS::ApiGatewayV2::Route", line, made_route));
    if name == style.implicit_api {
        api::want_implicit(to, target.resource, style, line);
    }
    Ok(())
}

/// `GET /thumbs/{id}`, or `$default` for an event that names neither path nor method.
fn route_key(properties: &Node, line: usize) -> Result<String, Problem> {
    let text = |key| properties.get(key).and_then(Node::scalar);
    let (path, method) = (text("Path"), text("Method"));
    let method = match method.as_deref().map(str::to_ascii_uppercase) {
        Some(any) if any == "*" || any == "X-AMAZON-APIGATEWAY-ANY-METHOD" => Some("ANY".to_owned()),
        method => method,
    };
    match (path, method) {
        (None, None) => Ok("$default".to_owned()),
        (Some(path), None) if path == "$default" => Ok(path),
        (Some(path), method) if path.starts_with('/') => {
            Ok(format!("{} {path}", method.as_deref().unwrap_or("ANY")))
        }
        (Some(path), _) => Err(Problem::new(line, format!("the path `{path}` must begin with /"))),
        (None, Some(_)) => Err(Problem::new(line, "an event with a Method needs a Path")),
    }
}

/// A route's path as a permission's pattern: `/thumbs/{id}` is `/thumbs/*`.
fn wildcards(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "*".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// An authorizer that is not there would leave open what the template means to close, so it is no warning.
fn refuse_authorizer(properties: &Node) -> Result<(), Problem> {
    let Some(auth) = properties.entry("Auth") else { return Ok(()) };
    match auth.node.entries().iter().find(|entry| entry.node.scalar().as_deref() != Some("NONE")) {
        Some(entry) if entry.node.as_flag() != Some(false) => Err(Problem::new(
            entry.line,
            "authorizers are not supported yet; the route would be open to everyone",
        )),
        _ => Ok(()),
    }
}

pub(super) fn properties_known(properties: &Node, known: &[&str]) -> Result<(), Problem> {
    match properties.entries().iter().find(|entry| !known.contains(&entry.key.as_str())) {
        Some(entry) => {
            let what =
                format!("the event's property {} is not supported; it takes {}", entry.key, known.join(", "));
            Err(Problem::new(entry.line, what))
        }
        None => Ok(()),
    }
}

pub(super) fn permission(target: &Target<'_>, line: usize, principal: &str, source: (&str, Node)) -> Node {
    Node::map(
        line,
        [
            ("Action", Node::text(line, "lambda:InvokeFunction")),
            ("FunctionName", target.name.clone()),
            ("Principal", Node::text(line, principal)),
            source,
        ],
    )
}

fn notification(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
) -> Result<(), Problem> {
    properties_known(properties, &["Bucket", "Events", "Filter"])?;
    let line = event.line;
    let bucket = match properties.get("Bucket").and_then(Node::intrinsic) {
        Some(("Ref", name)) => name.as_text().unwrap_or_default().to_owned(),
        _ => {
            return Err(Problem::new(
                line,
                "an S3 event names a bucket of the same template: Bucket: !Ref Name",
            ));
        }
    };
    let events = match properties.get("Events") {
        Some(list) if !list.items().is_empty() => list.clone(),
        Some(one) if one.as_text().is_some() => Node::list(one.line, vec![one.clone()]),
        _ => return Err(Problem::new(line, "an S3 event needs Events, such as s3:ObjectCreated:*")),
    };
    let mut wanted = Node::map(line, [("Function", target.arn.clone()), ("Events", events)]);
    if let Some(filter) = properties.get("Filter") {
        wanted.set("Filter", filter.clone());
    }
    let account = Node::text(line, &to.place.account);
    let allowed = permission(target, line, "s3.amazonaws.com", ("SourceAccount", account));
    let id = format!("{}{}Permission", target.resource.id, event.key);
    to.resources.push(target.resource.with(&id, "AWS::Lambda::Permission", line, allowed));
    to.notify(&bucket, line, wanted);
    Ok(())
}

/// What a queue's event may say beside its queue: properties of the mapping, under the same names.
const MAPPING_PROPERTIES: [&str; 6] = [
    "BatchSize",
    "Enabled",
    "FilterCriteria",
    "FunctionResponseTypes",
    "MaximumBatchingWindowInSeconds",
    "ScalingConfig",
];

fn mapping(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
) -> Result<(), Problem> {
    let known: Vec<&str> = ["Queue"].into_iter().chain(MAPPING_PROPERTIES).collect();
    properties_known(properties, &known)?;
    let line = event.line;
    let queue = properties.get("Queue").ok_or_else(|| {
        Problem::new(line, "an SQS event needs the ARN of its Queue, such as !GetAtt Name.Arn")
    })?;
    let source = Node::map(line, [("EventSourceArn", queue.clone())]);
    map_source(to, target, event, (properties, &MAPPING_PROPERTIES), source);
    Ok(())
}

/// Adds the mapping of a source, with those properties of its event that are properties of the mapping too.
fn map_source(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    (properties, names): (&Node, &[&str]),
    mut mapping: Node,
) {
    mapping.set("FunctionName", target.name.clone());
    for name in names {
        if let Some(value) = properties.get(name) {
            mapping.set(name, value.clone());
        }
    }
    let id = format!("{}{}", target.resource.id, event.key);
    to.resources.push(target.resource.with(&id, "AWS::Lambda::EventSourceMapping", event.line, mapping));
}

/// What events of external sources may say beside where the source is.
const EXTERNAL_PROPERTIES: [&str; 14] = [
    "BatchSize",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "Enabled",
    "FilterCriteria",
    "FunctionResponseTypes",
    "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "Queues",
    "SourceAccessConfigurations",
    "StartingPosition",
    "StartingPositionTimestamp",
    "Topics",
];

fn kafka(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
) -> Result<(), Problem> {
    let known: Vec<&str> =
        ["KafkaBootstrapServers", "ConsumerGroupId"].into_iter().chain(EXTERNAL_PROPERTIES).collect();
    properties_known(properties, &known)?;
    let line = event.line;
    let servers = properties
        .get("KafkaBootstrapServers")
        .ok_or_else(|| Problem::new(line, "a SelfManagedKafka event needs its KafkaBootstrapServers"))?;
    let mut source = Node::map(line, [external(line, "KAFKA_BOOTSTRAP_SERVERS", servers.clone())]);
    if let Some(group) = properties.get("ConsumerGroupId") {
        let config = Node::map(line, [("ConsumerGroupId", group.clone())]);
        source.set("SelfManagedKafkaEventSourceConfig", config);
    }
    map_source(to, target, event, (properties, &EXTERNAL_PROPERTIES), source);
    Ok(())
}

/// Amazon MQ's broker is an ARN; here it is the address of one.
fn rabbit(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
) -> Result<(), Problem> {
    let known: Vec<&str> = ["Broker"].into_iter().chain(EXTERNAL_PROPERTIES).collect();
    properties_known(properties, &known)?;
    let line = event.line;
    let broker = properties.get("Broker").ok_or_else(|| {
        Problem::new(line, "an MQ event needs its Broker, such as amqp://broker.example.com:5672")
    })?;
    let servers = Node::list(line, vec![broker.clone()]);
    let source = Node::map(line, [external(line, "RABBITMQ_SERVERS", servers)]);
    map_source(to, target, event, (properties, &EXTERNAL_PROPERTIES), source);
    Ok(())
}

fn external(line: usize, kind: &str, servers: Node) -> (&'static str, Node) {
    let endpoints = Node::map(line, [(kind, servers)]);
    ("SelfManagedEventSource", Node::map(line, [("Endpoints", endpoints)]))
}

/// What a topic's event may say beside its topic: properties of the subscription, under the same names.
const SUBSCRIPTION_PROPERTIES: [&str; 3] = ["FilterPolicy", "FilterPolicyScope", "RedrivePolicy"];

fn subscription(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    event: &Entry,
    properties: &Node,
) -> Result<(), Problem> {
    let known: Vec<&str> = ["Topic", "SqsSubscription"].into_iter().chain(SUBSCRIPTION_PROPERTIES).collect();
    properties_known(properties, &known)?;
    let line = event.line;
    let topic = properties
        .get("Topic")
        .ok_or_else(|| Problem::new(line, "an SNS event needs the ARN of its Topic, such as !Ref Name"))?;
    let detour = properties.entry("SqsSubscription").filter(|entry| entry.node.as_flag() != Some(false));
    let id = format!("{}{}", target.resource.id, event.key);
    let from = target.resource;
    let (protocol, endpoint) = match detour {
        Some(detour) => ("sqs", through_queue(to, target, &id, topic, detour)?),
        None => {
            let allowed = permission(target, line, "sns.amazonaws.com", ("SourceArn", topic.clone()));
            to.resources.push(from.with(
                &format!("{id}Permission"),
                "AWS::Lambda::Permission",
                line,
                allowed,
            ));
            ("lambda", target.arn.clone())
        }
    };
    let mut made = Node::map(
        line,
        [("TopicArn", topic.clone()), ("Protocol", Node::text(line, protocol)), ("Endpoint", endpoint)],
    );
    for name in SUBSCRIPTION_PROPERTIES {
        if let Some(value) = properties.get(name) {
            made.set(name, value.clone());
        }
    }
    to.resources.push(from.with(&id, "AWS::SNS::Subscription", line, made));
    Ok(())
}

const DETOUR_PROPERTIES: [&str; 5] = ["BatchSize", "Enabled", "QueueArn", "QueuePolicyLogicalId", "QueueUrl"];

/// Puts a queue between a topic and a function, one of its own unless it names one: its ARN.
fn through_queue(
    to: &mut Expansion<'_>,
    target: &Target<'_>,
    id: &str,
    topic: &Node,
    detour: &Entry,
) -> Result<Node, Problem> {
    let (line, from, settings) = (detour.line, target.resource, &detour.node);
    properties_known(settings, &DETOUR_PROPERTIES)?;
    let (arn, url) = match (settings.get("QueueArn"), settings.get("QueueUrl")) {
        (Some(arn), Some(url)) => (arn.clone(), url.clone()),
        (None, None) => {
            let queue = format!("{id}Queue");
            let empty = Node::new(line, Value::Map(Vec::new()));
            to.resources.push(from.with(&queue, "AWS::SQS::Queue", line, empty));
            (Node::attribute(line, &queue, "Arn"), Node::reference(line, &queue))
        }
        _ => return Err(Problem::new(line, "SqsSubscription names both QueueArn and QueueUrl, or none")),
    };
    let same_topic = Node::map(line, [("aws:SourceArn", topic.clone())]);
    let statement = Node::map(
        line,
        [
            ("Effect", Node::text(line, "Allow")),
            ("Principal", Node::text(line, "*")),
            ("Action", Node::text(line, "sqs:SendMessage")),
            ("Resource", arn.clone()),
            ("Condition", Node::map(line, [("ArnEquals", same_topic)])),
        ],
    );
    let policy = Node::map(
        line,
        [("Version", Node::text(line, "2012-10-17")), ("Statement", Node::list(line, vec![statement]))],
    );
    let policy = Node::map(line, [("Queues", Node::list(line, vec![url])), ("PolicyDocument", policy)]);
    let name = settings.get("QueuePolicyLogicalId").and_then(Node::as_text).map(str::to_owned);
    let name = name.unwrap_or_else(|| format!("{id}QueuePolicy"));
    to.resources.push(from.with(&name, "AWS::SQS::QueuePolicy", line, policy));
    let mut mapping =
        Node::map(line, [("EventSourceArn", arn.clone()), ("FunctionName", target.name.clone())]);
    for name in ["BatchSize", "Enabled"] {
        if let Some(value) = settings.get(name) {
            mapping.set(name, value.clone());
        }
    }
    let kind = "AWS::Lambda::EventSourceMapping";
    to.resources.push(from.with(&format!("{id}EventSourceMapping"), kind, line, mapping));
    Ok(arn)
}
