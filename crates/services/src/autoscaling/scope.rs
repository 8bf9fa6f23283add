//! What calls name: the service, the resource, and what of it is scaled.

use super::faults;
use super::keys::{NamedKey, TargetKey};
use crate::Cx;
use mayfly_kernel::Fault;

pub(super) const NAMESPACE: &str = "lambda";
pub(super) const DIMENSION: &str = "lambda:function:ProvisionedConcurrency";
pub(super) const PAGE: usize = 50;

/// AWS's other services, which have nothing to scale here.
const OTHERS: [&str; 14] = [
    "ecs",
    "elasticmapreduce",
    "ec2",
    "appstream",
    "dynamodb",
    "rds",
    "sagemaker",
    "custom-resource",
    "comprehend",
    "cassandra",
    "kafka",
    "elasticache",
    "neptune",
    "workspaces",
];

pub(super) fn check_namespace(namespace: &str) -> Result<(), Fault> {
    match namespace {
        NAMESPACE => Ok(()),
        other if OTHERS.contains(&other) => Err(Fault::not_implemented(&format!(
            "the service namespace {other}; functions are scaled (lambda)"
        ))),
        other => Err(faults::validation(format!("Unknown service namespace: {other}"))),
    }
}

pub(super) fn check_dimension(dimension: &str) -> Result<(), Fault> {
    match dimension {
        DIMENSION => Ok(()),
        other => Err(faults::validation(format!(
            "Unsupported service namespace, resource type or scalable dimension: {other}"
        ))),
    }
}

/// A function and its alias or version, of `function:NAME:QUALIFIER`.
pub(super) fn parts(resource: &str) -> Option<(&str, &str)> {
    resource.strip_prefix("function:")?.split_once(':').filter(|(name, qualifier)| {
        !name.is_empty() && !qualifier.is_empty() && !qualifier.contains(':') && *qualifier != "$LATEST"
    })
}

/// The key of the target that a call names, which the caller may use.
pub(super) fn target(
    cx: &mut Cx<'_>,
    (namespace, resource, dimension): (&str, &str, &str),
) -> Result<TargetKey, Fault> {
    let everything = cx.arn("application-autoscaling", "scalable-target/*");
    cx.allow(&everything)?;
    check_namespace(namespace)?;
    check_dimension(dimension)?;
    if parts(resource).is_none() || resource.chars().count() > 1600 {
        let text =
            format!("The resource is named function:NAME:ALIAS or function:NAME:VERSION, not {resource}");
        return Err(faults::validation(text));
    }
    Ok((cx.caller.account.clone(), cx.caller.region.clone(), resource.to_owned()))
}

pub(super) fn named(target: &TargetKey, name: &str) -> NamedKey {
    (target.0.clone(), target.1.clone(), target.2.clone(), name.to_owned())
}

pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    let fits = (1..=256).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || matches!(c, ':' | '/' | '|'));
    match fits {
        true => Ok(()),
        false => {
            Err(faults::validation(format!("The name `{name}` has 1 to 256 characters and none of : / |")))
        }
    }
}

/// What listings have in common.
pub(super) struct Listing {
    pub(super) limit: usize,
    /// The resource that is asked for; all if none.
    pub(super) resource: Option<String>,
}

pub(super) fn listing(
    cx: &mut Cx<'_>,
    namespace: &str,
    (resource, dimension): (Option<String>, Option<&str>),
    max: Option<usize>,
) -> Result<Listing, Fault> {
    let everything = cx.arn("application-autoscaling", "scalable-target/*");
    cx.allow(&everything)?;
    check_namespace(namespace)?;
    dimension.map_or(Ok(()), check_dimension)?;
    if resource.as_deref().is_some_and(|resource| !(1..=1600).contains(&resource.chars().count())) {
        return Err(faults::validation("A resource's name has 1 to 1600 characters."));
    }
    match max.unwrap_or(PAGE) {
        limit @ 1..=PAGE => Ok(Listing { limit, resource }),
        _ => Err(faults::validation(format!("MaxResults lies between 1 and {PAGE}."))),
    }
}
