//! What a deployment will do, from what the template wants and what the stack has. Pure.
//!
//! The same comparison is made twice: before anything is done, to show it, when references to resources that
//! are not there yet are still open; and at each step, when they are known. An open reference counts as a
//! change.

use super::stack::{Deployed, Stack};
use super::template::catalog::{self, Kind, REVISION};
use super::template::{Asked, Node, Place, Problem, Resource, is_pending, resolve};
use crate::cli::client::hex;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Create,
    /// In place, with the names of the properties that differ.
    Update(Vec<String>),
    /// A new one is made and the old one deleted once all else is done, because of these properties.
    Replace(Vec<String>),
    Keep,
    Delete,
    /// The stack forgets it and it stays, as its DeletionPolicy says.
    Release,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) action: Action,
}

/// The steps in their order: what is made in that of the template, then what goes, the newest first.
pub(crate) fn plan(resources: &[Resource], stack: &Stack, place: &Place) -> Result<Vec<Step>, Problem> {
    let mut steps: Vec<Step> = Vec::new();
    for resource in resources {
        let known = |name: &str, asked: Asked<'_>| {
            let step = steps.iter().find(|step| step.id == name)?;
            let deployed = stack.find(name)?;
            match (&step.action, asked) {
                (Action::Create | Action::Replace(_), _) => None,
                (Action::Update(_), Asked::Attribute(REVISION)) => None,
                _ => value(deployed, asked),
            }
        };
        let wanted =
            resolve(&resource.properties, place, &known).map_err(|problem| problem.of(&resource.id))?;
        let action = compare(&resource.kind, &wanted, stack.find(&resource.id));
        steps.push(Step { id: resource.id.clone(), kind: resource.kind.clone(), action });
    }
    for gone in stack.resources.iter().rev() {
        if !resources.iter().any(|resource| resource.id == gone.id) {
            let action = if gone.retain { Action::Release } else { Action::Delete };
            steps.push(Step { id: gone.id.clone(), kind: gone.kind.clone(), action });
        }
    }
    Ok(steps)
}

/// What a reference to a resource that is there gives.
pub(crate) fn value(deployed: &Deployed, asked: Asked<'_>) -> Option<String> {
    match asked {
        Asked::Id => Some(deployed.physical.clone()),
        Asked::Attribute(REVISION) => Some(revision(&deployed.properties)),
        Asked::Attribute(name) => deployed.attributes.get(name).cloned(),
    }
}

/// A text that changes with every property.
fn revision(properties: &Json) -> String {
    hex(&Sha256::digest(properties.to_string()))[..16].to_owned()
}

/// What it takes to bring a resource to the wanted properties.
pub(crate) fn compare(kind: &str, wanted: &Node, deployed: Option<&Deployed>) -> Action {
    let Some(deployed) = deployed else { return Action::Create };
    if deployed.kind != kind {
        return Action::Replace(vec!["Type".to_owned()]);
    }
    let was = deployed.properties.as_object();
    let mut changed: Vec<String> = wanted
        .entries()
        .iter()
        .filter(|entry| {
            is_pending(&entry.node) || was.and_then(|was| was.get(&entry.key)) != Some(&entry.node.to_json())
        })
        .map(|entry| entry.key.clone())
        .collect();
    let dropped = was.into_iter().flat_map(serde_json::Map::keys).filter(|key| wanted.get(key).is_none());
    changed.extend(dropped.cloned());
    if changed.is_empty() {
        return Action::Keep;
    }
    let fixed = catalog::find(kind).map_or(Fixed::All, |kind| fixed(kind.kind));
    let forcing: Vec<String> = changed.iter().filter(|key| fixed.holds(key)).cloned().collect();
    if forcing.is_empty() { Action::Update(changed) } else { Action::Replace(forcing) }
}

/// The properties of a kind that no update can change.
enum Fixed {
    All,
    These(&'static [&'static str]),
}

impl Fixed {
    fn holds(&self, key: &str) -> bool {
        match self {
            Fixed::All => true,
            Fixed::These(names) => names.contains(&key),
        }
    }
}

/// What says where a mapping reads, and where it begins.
pub(super) const MAPPING_SOURCE: [&str; 7] = [
    "EventSourceArn",
    "Queues",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "StartingPosition",
    "StartingPositionTimestamp",
    "Topics",
];

fn fixed(kind: Kind) -> Fixed {
    match kind {
        Kind::Layer | Kind::Permission | Kind::Version | Kind::DeployApplication | Kind::DeployConfig => {
            Fixed::All
        }
        Kind::Alarm => Fixed::These(&["AlarmName", "Tags"]),
        Kind::ScalableTarget => Fixed::These(&["ResourceId", "ScalableDimension", "ServiceNamespace"]),
        Kind::ScalingPolicy => Fixed::These(&[
            "PolicyName",
            "ResourceId",
            "ScalableDimension",
            "ScalingTargetId",
            "ServiceNamespace",
        ]),
        Kind::DeployGroup => Fixed::These(&["ApplicationName", "DeploymentGroupName", "Tags"]),
        Kind::Function => Fixed::These(&["FunctionName", "PackageType", "TenancyConfig"]),
        Kind::Alias => Fixed::These(&["FunctionName", "Name"]),
        Kind::Url => Fixed::These(&["TargetFunctionArn", "Qualifier"]),
        Kind::EventInvoke => Fixed::These(&["FunctionName", "Qualifier"]),
        Kind::Bucket => Fixed::These(&["BucketName"]),
        Kind::Notifications | Kind::BucketPolicy => Fixed::These(&["Bucket"]),
        Kind::Api => Fixed::These(&["ProtocolType", "RouteKey", "Target"]),
        Kind::Integration | Kind::Route => Fixed::These(&["ApiId"]),
        Kind::Stage => Fixed::These(&["ApiId", "StageName"]),
        Kind::Mapping => Fixed::These(&MAPPING_SOURCE),
        Kind::Queue => Fixed::These(&["QueueName", "FifoQueue"]),
        Kind::QueuePolicy => Fixed::These(&["Queues", "Queue"]),
        Kind::Topic => Fixed::These(&["TopicName", "FifoTopic"]),
        Kind::TopicPolicy => Fixed::These(&["Topics", "TopicArn"]),
        Kind::BusPolicy => Fixed::These(&["EventBusName", "StatementId"]),
        Kind::Subscription => Fixed::These(&["TopicArn", "Protocol", "Endpoint"]),
        Kind::LogGroup => Fixed::These(&["LogGroupName"]),
        Kind::Bus | Kind::ScheduleGroup | Kind::Connection | Kind::ApiDestination => Fixed::These(&["Name"]),
        Kind::Pipe => Fixed::These(&["Name", "Source"]),
        Kind::Rule => Fixed::These(&["Name", "EventBusName"]),
        Kind::Schedule => Fixed::These(&["Name", "GroupName"]),
        Kind::Identity => Fixed::These(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::load;
    use super::*;
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};

    const TEMPLATE: &str = "
Transform: AWS::Serverless-2016-10-31
Resources:
  Photos: {Type: AWS::S3::Bucket}
  Thumb:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: a.b
      Runtime: python3.12
      AutoPublishAlias: live
      Environment: {Variables: {BUCKET: !Ref Photos}}
";

    fn place() -> Place {
        Place { region: "us-east-1".into(), account: "000000000000".into(), stack: "shop".into() }
    }

    fn resources(text: &str) -> Vec<Resource> {
        load(text, &place(), &BTreeMap::new()).unwrap().resources
    }

    /// The stack that deploying `text` leaves behind, with ids as a server might give them.
    fn deployed(text: &str) -> Stack {
        let mut stack = Stack::default();
        for resource in resources(text) {
            let known = |name: &str, asked: Asked<'_>| value(stack.find(name)?, asked);
            let properties = resolve(&resource.properties, &place(), &known).unwrap();
            assert!(!is_pending(&properties));
            let attributes = ["Arn", "Version"].map(|name| (name.into(), format!("{}-{name}", resource.id)));
            stack.put(Deployed {
                physical: format!("shop-{}", resource.id),
                id: resource.id,
                kind: resource.kind,
                attributes: attributes.into(),
                properties: properties.to_json(),
                needs: BTreeSet::new(),
                generation: 0,
                retain: resource.retain,
            });
        }
        stack
    }

    fn planned(text: &str, stack: &Stack) -> Vec<(String, Action)> {
        let steps = plan(&resources(text), stack, &place()).unwrap();
        steps.into_iter().map(|step| (step.id, step.action)).collect()
    }

    fn changes(text: &str, stack: &Stack) -> Vec<(String, Action)> {
        planned(text, stack).into_iter().filter(|(_, action)| *action != Action::Keep).collect()
    }

    #[test]
    fn the_first_deployment_makes_everything_and_the_second_nothing() {
        let first = planned(TEMPLATE, &Stack::default());
        assert_eq!(first.len(), 4);
        assert!(first.iter().all(|(_, action)| *action == Action::Create));
        assert_eq!(changes(TEMPLATE, &deployed(TEMPLATE)), []);
    }

    #[test]
    fn a_changed_function_publishes_a_version_and_moves_its_alias() {
        let text = TEMPLATE.replace("Handler: a.b", "Handler: a.c");
        let update = |names: &[&str]| Action::Update(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(
            changes(&text, &deployed(TEMPLATE)),
            [
                ("Thumb".to_owned(), update(&["Handler"])),
                ("ThumbVersion".to_owned(), Action::Replace(vec![REVISION.to_owned()])),
                ("ThumbAliaslive".to_owned(), update(&["FunctionVersion"])),
            ]
        );
    }

    #[test]
    fn a_replaced_bucket_changes_those_who_name_it() {
        let text = TEMPLATE.replace(
            "Photos: {Type: AWS::S3::Bucket}",
            "Photos: {Type: AWS::S3::Bucket, Properties: {BucketName: other}}",
        );
        let changes = changes(&text, &deployed(TEMPLATE));
        assert_eq!(changes[0], ("Photos".to_owned(), Action::Replace(vec!["BucketName".to_owned()])));
        assert_eq!(changes[1], ("Thumb".to_owned(), Action::Update(vec!["Environment".to_owned()])));
    }

    #[test]
    fn what_the_template_no_longer_has_goes_last_and_backwards() {
        let text = "Resources: {Photos: {Type: AWS::S3::Bucket}}";
        let changes = changes(text, &deployed(TEMPLATE));
        let expected = [
            ("ThumbAliaslive", Action::Delete),
            ("ThumbVersion", Action::Release),
            ("Thumb", Action::Delete),
        ];
        assert_eq!(changes, expected.map(|(id, action)| (id.to_owned(), action)));
    }

    #[test]
    fn a_dropped_property_is_a_change() {
        let mut stack = deployed(TEMPLATE);
        stack.resources[0].properties = json!({ "BucketName": "mine" });
        let photos = &changes(TEMPLATE, &stack)[0];
        assert_eq!(*photos, ("Photos".to_owned(), Action::Replace(vec!["BucketName".to_owned()])));
    }
}
