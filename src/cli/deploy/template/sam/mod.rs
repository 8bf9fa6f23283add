//! The Serverless Application Model: short resources that stand for several plain ones.
//!
//! The expansion follows AWS's transform, logical ids included, so that what a template says about a
//! generated resource (`ThumbUrl.FunctionUrl`, `ServerlessHttpApi`, `Thumb.Alias`) means the same. It differs
//! where Mayfly has another way: a REST API becomes an HTTP API with payload format 1.0, routes are resources
//! rather than an OpenAPI document, and no role is made for a function.

mod api;
mod buses;
mod events;
mod function;
mod globals;
mod gradual;

use super::Resource;
use super::catalog::NOTIFICATIONS;
use super::intrinsics::Place;
use super::node::{Entry, Node, Problem, Value};
use super::schema::{Schema, Shape};
use std::collections::BTreeMap;

pub(crate) use globals::Globals;

/// The types that this module expands.
pub(crate) const TYPES: [&str; 4] = [function::TYPE, api::HTTP_TYPE, api::REST_TYPE, LAYER_TYPE];

const LAYER_TYPE: &str = "AWS::Serverless::LayerVersion";

/// The plain resources of a template, while they are being gathered.
pub(crate) struct Expansion<'a> {
    place: &'a Place,
    globals: &'a Globals,
    pub(crate) resources: Vec<Resource>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    /// Names that SAM gives to generated resources, such as `Thumb.Alias`, and their logical ids.
    pub(crate) renames: BTreeMap<String, String>,
    /// What each bucket of the template tells others about.
    notifications: BTreeMap<String, Notifications>,
}

/// What one bucket tells whom about.
#[derive(Default)]
struct Notifications {
    line: usize,
    targets: Vec<Node>,
    /// Whether the default event bus hears of everything.
    bus: bool,
}

impl<'a> Expansion<'a> {
    pub(crate) fn new(place: &'a Place, globals: &'a Globals) -> Expansion<'a> {
        Expansion {
            place,
            globals,
            resources: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            renames: BTreeMap::new(),
            notifications: BTreeMap::new(),
        }
    }

    /// Takes in one resource of the template, plain or not.
    pub(crate) fn add(&mut self, mut resource: Resource) {
        let done = match resource.kind.as_str() {
            function::TYPE => function::expand(self, &resource),
            api::HTTP_TYPE => api::expand_http(self, &resource),
            api::REST_TYPE => api::expand_rest(self, &resource),
            LAYER_TYPE => self.layer(&resource),
            "AWS::S3::Bucket" => {
                let done = self.hoist_notifications(&mut resource);
                self.resources.push(resource.clone());
                done
            }
            _ => {
                self.resources.push(resource.clone());
                Ok(())
            }
        };
        if let Err(problem) = done {
            self.problems.push(problem.of(&resource.id));
        }
    }

    /// Adds what several resources share: the implicit APIs, and each bucket's notifications.
    pub(crate) fn finish(&mut self) {
        api::add_implicit(self);
        let permissions: Vec<String> =
            self.resources.iter().filter(|made| allows_s3(made)).map(|made| made.id.clone()).collect();
        for (bucket, wanted) in std::mem::take(&mut self.notifications) {
            let line = wanted.line;
            let known =
                self.resources.iter().find(|made| made.id == bucket && made.kind == "AWS::S3::Bucket");
            let Some(owner) = known.cloned() else {
                let what =
                    format!("the event's bucket `{bucket}` is not an AWS::S3::Bucket of this template");
                self.problems.push(Problem::new(line, what));
                continue;
            };
            let mut properties = Node::map(
                line,
                [("Bucket", Node::reference(line, &bucket)), ("Targets", Node::list(line, wanted.targets))],
            );
            if wanted.bus {
                properties.set("EventBridge", Node::text(line, "true"));
            }
            let mut made = owner.with(&format!("{bucket}Notifications"), NOTIFICATIONS, line, properties);
            made.depends_on = owner.depends_on.iter().chain(&permissions).cloned().collect();
            self.resources.push(made);
        }
    }

    /// Checks a SAM resource's properties. The problems are kept, and the rest of the expansion goes on
    /// without them.
    fn check(&mut self, schema: &Schema, resource: &Resource) -> bool {
        let mut warnings = Vec::new();
        let problems = schema.check(resource.line, &resource.properties, &mut warnings);
        let sound = problems.is_empty();
        self.problems.extend(problems.into_iter().map(|problem| problem.of(&resource.id)));
        self.warnings.extend(warnings.into_iter().map(|warning| warning.of(&resource.id)));
        sound
    }

    fn notifications_of(&mut self, bucket: &str, line: usize) -> &mut Notifications {
        let first = || Notifications { line, ..Notifications::default() };
        self.notifications.entry(bucket.to_owned()).or_insert_with(first)
    }

    fn notify(&mut self, bucket: &str, line: usize, target: Node) {
        self.notifications_of(bucket, line).targets.push(target);
    }

    fn layer(&mut self, layer: &Resource) -> Result<(), Problem> {
        if !self.check(&LAYER, layer) {
            return Ok(());
        }
        let mut properties = layer.properties.clone();
        properties.take("RetentionPolicy");
        if let Some(content) = properties.take("ContentUri") {
            properties.set("Content", code_location(content)?);
        }
        self.resources.push(layer.with(&layer.id, "AWS::Lambda::LayerVersion", layer.line, properties));
        Ok(())
    }

    /// Makes a plain bucket's notifications a resource of their own; `NOTIFICATIONS` says why.
    fn hoist_notifications(&mut self, bucket: &mut Resource) -> Result<(), Problem> {
        let Some(configuration) = bucket.properties.take("NotificationConfiguration") else { return Ok(()) };
        for entry in configuration.entries() {
            let target = match entry.key.as_str() {
                "LambdaConfigurations" => "Function",
                "QueueConfigurations" => "Queue",
                "TopicConfigurations" => "Topic",
                "EventBridgeConfiguration" => {
                    let flag = entry.node.get("EventBridgeEnabled").and_then(Node::as_flag);
                    self.notifications_of(&bucket.id, entry.line).bus = flag != Some(false);
                    continue;
                }
                other => return Err(Problem::new(entry.line, format!("{other} is not supported"))),
            };
            for item in entry.node.items() {
                let (Some(event), Some(arn)) = (item.get("Event"), item.get(target)) else {
                    let what = format!("each of {} has an Event and a {target}", entry.key);
                    return Err(Problem::new(item.line, what));
                };
                let events = Node::list(event.line, vec![event.clone()]);
                let mut wanted = Node::map(item.line, [(target, arn.clone()), ("Events", events)]);
                if let Some(filter) = item.get("Filter") {
                    wanted.set("Filter", filter.clone());
                }
                self.notify(&bucket.id, entry.line, wanted);
            }
        }
        Ok(())
    }
}

static LAYER: Schema = Schema {
    name: LAYER_TYPE,
    required: &["ContentUri"],
    applied: &[
        ("ContentUri", Shape::Any),
        ("LayerName", Shape::Text),
        ("Description", Shape::Text),
        ("CompatibleRuntimes", Shape::List),
        ("CompatibleArchitectures", Shape::List),
        ("LicenseInfo", Shape::Text),
        ("RetentionPolicy", Shape::Text),
    ],
    ignored: &["PublishLambdaVersion"],
};

fn allows_s3(resource: &Resource) -> bool {
    resource.kind == "AWS::Lambda::Permission"
        && resource.properties.get("Principal").and_then(Node::as_text) == Some("s3.amazonaws.com")
}

/// `CodeUri` and `ContentUri` in the form of the plain types: a path stays text, an object becomes a map.
fn code_location(uri: Node) -> Result<Node, Problem> {
    let line = uri.line;
    let object =
        |bucket: &Node, key: &Node| Node::map(line, [("S3Bucket", bucket.clone()), ("S3Key", key.clone())]);
    match &uri.value {
        Value::Text(text) => match text.strip_prefix("s3://").map(|rest| rest.split_once('/')) {
            Some(Some((bucket, key))) => Ok(object(&Node::text(line, bucket), &Node::text(line, key))),
            Some(None) => Err(Problem::new(line, format!("`{text}` names a bucket and no key"))),
            None => Ok(uri),
        },
        Value::Map(_) => match (uri.get("Bucket"), uri.get("Key")) {
            (Some(bucket), Some(key)) => {
                let mut location = object(bucket, key);
                if let Some(version) = uri.get("Version") {
                    location.set("S3ObjectVersion", version.clone());
                }
                Ok(location)
            }
            _ => Err(Problem::new(line, "an object is given by its Bucket and Key")),
        },
        _ => Err(Problem::new(line, format!("a path is expected, not {}", uri.kind()))),
    }
}

/// The entries of `from` under the same names, for those that are there.
fn copied(from: &Node, names: &[&str]) -> Vec<Entry> {
    names.iter().filter_map(|name| from.entry(name)).cloned().collect()
}
