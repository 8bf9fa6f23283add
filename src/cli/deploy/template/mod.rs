//! A SAM or CloudFormation template, from its text to the plain resources it asks for.
//!
//! ```text
//! text ── yaml ──▶ tree ── parameters, intrinsics ──▶ tree without parameters ── sam ──▶ plain resources
//!                                                                 ── schema, references, graph ──▶ Template
//! ```
//!
//! Pure: nothing here reads a file or calls a server. Every problem has the line it is on. What a resource
//! needs of another one stays in its properties as a reference, and [`resolve`] fills it in once the other
//! one is made.

pub(crate) mod catalog;
mod graph;
mod intrinsics;
pub(crate) mod node;
mod parameters;
mod sam;
mod schema;
#[cfg(test)]
mod tests;
mod yaml;

pub(crate) use intrinsics::{Asked, Place, is_pending};
pub(crate) use node::{Node, Problem};

use intrinsics::{Conditions, Scope, references};
use node::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The sections that a template may have. What has no meaning here is accepted with a warning.
const SECTIONS: [&str; 11] = [
    "AWSTemplateFormatVersion",
    "Transform",
    "Description",
    "Metadata",
    "Parameters",
    "Mappings",
    "Conditions",
    "Globals",
    "Resources",
    "Outputs",
    "Rules",
];

/// The part of an alias's `UpdatePolicy` that says how it moves.
const GRADUAL: &str = "CodeDeployLambdaAliasUpdate";

const TRANSFORM: &str = "AWS::Serverless-2016-10-31";

/// What a template comes to for one stack.
#[derive(Debug)]
pub(crate) struct Template {
    /// Each after those it needs.
    pub(crate) resources: Vec<Resource>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) warnings: Vec<Problem>,
}

#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// The logical id.
    pub(crate) id: String,
    /// The type, such as `AWS::Lambda::Function`.
    pub(crate) kind: String,
    pub(crate) line: usize,
    pub(crate) properties: Node,
    pub(crate) depends_on: Vec<String>,
    /// The resources this one refers to or depends on.
    pub(crate) needs: BTreeSet<String>,
    /// Whether it is to stay when the stack no longer has it.
    pub(crate) retain: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) description: String,
    pub(crate) value: Node,
}

impl Resource {
    /// A resource that this one stands for, or has made beside it.
    fn with(&self, id: &str, kind: &str, line: usize, properties: Node) -> Resource {
        Resource {
            id: id.to_owned(),
            kind: kind.to_owned(),
            line,
            properties,
            depends_on: if id == self.id { self.depends_on.clone() } else { Vec::new() },
            needs: BTreeSet::new(),
            retain: self.retain,
        }
    }
}

/// Reads a template for a stack at `place`, with the parameters that were given.
pub(crate) fn load(
    text: &str,
    place: &Place,
    given: &BTreeMap<String, String>,
) -> Result<Template, Vec<Problem>> {
    let one = |problem| vec![problem];
    let root = yaml::parse(text).map_err(one)?;
    let mut warnings = Vec::new();
    sections(&root, &mut warnings).map_err(one)?;
    let parameters = parameters::bind(root.get("Parameters"), given, &mut warnings).map_err(one)?;
    let conditions = Conditions::new(root.get("Conditions"));
    let scope = Scope {
        place,
        parameters: &parameters,
        mappings: root.get("Mappings"),
        conditions: &conditions,
        resources: &|_, _| None,
    };
    let globals =
        root.get("Globals").map(|globals| scope.reduce(globals)).transpose().map_err(one)?.flatten();
    let globals = sam::Globals::read(globals.as_ref(), &mut warnings).map_err(one)?;

    let mut expansion = sam::Expansion::new(place, &globals);
    expansion.warnings = warnings;
    for entry in root.get("Resources").map(Node::entries).unwrap_or_default() {
        match resource(&scope, &globals, entry, &mut expansion.warnings) {
            Ok(Some(resource)) => expansion.add(resource),
            Ok(None) => {}
            Err(problem) => expansion.problems.push(problem.of(&entry.key)),
        }
    }
    expansion.finish();
    let sam::Expansion { mut resources, mut problems, mut warnings, renames, .. } = expansion;
    let mut outputs = outputs(&scope, root.get("Outputs")).map_err(one)?;
    if !problems.is_empty() {
        return Err(problems);
    }
    rename(&mut resources, &mut outputs, &renames);
    let declared = root.get("Resources").map(Node::entries).unwrap_or_default();
    problems.extend(check(&mut resources, &outputs, declared, &mut warnings));
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Template { resources: graph::sorted(resources).map_err(one)?, outputs, warnings })
}

/// Fills the references in a resource's properties or an output in. What is still unknown stays.
pub(crate) fn resolve(
    node: &Node,
    place: &Place,
    resources: &dyn Fn(&str, Asked<'_>) -> Option<String>,
) -> Result<Node, Problem> {
    let none = parameters::Values::new();
    let conditions = Conditions::new(None);
    let scope = Scope { place, parameters: &none, mappings: None, conditions: &conditions, resources };
    let reduced = scope.reduce(node)?;
    Ok(reduced.unwrap_or_else(|| Node::new(node.line, Value::Null)))
}

fn sections(root: &Node, warnings: &mut Vec<Problem>) -> Result<(), Problem> {
    if !matches!(root.value, Value::Map(_)) {
        return Err(Problem::new(root.line, format!("a template is a map of sections, not {}", root.kind())));
    }
    if let Some(entry) = root.entries().iter().find(|entry| !SECTIONS.contains(&entry.key.as_str())) {
        let known = SECTIONS.join(", ");
        return Err(Problem::new(
            entry.line,
            format!("a template has no section `{}`; it has {known}", entry.key),
        ));
    }
    if let Some(rules) = root.entry("Rules") {
        warnings.push(Problem::new(rules.line, "Rules are not checked"));
    }
    if let Some(transform) = root.entry("Transform") {
        let one = [transform.node.clone()];
        let all = if transform.node.items().is_empty() { &one } else { transform.node.items() };
        if let Some(other) = all.iter().find(|node| node.as_text() != Some(TRANSFORM)) {
            let name = other.scalar().unwrap_or_else(|| other.kind().to_owned());
            let what = format!("the transform {name} is not supported; supported is {TRANSFORM}");
            return Err(Problem::new(transform.line, what));
        }
    }
    match root.get("Resources").map(Node::entries) {
        Some([_, ..]) => Ok(()),
        _ => Err(Problem::new(root.line_of(&["Resources"]), "the template has no Resources")),
    }
}

/// One resource as the template has it, or nothing if its condition does not hold.
fn resource(
    scope: &Scope<'_>,
    globals: &sam::Globals,
    entry: &node::Entry,
    warnings: &mut Vec<Problem>,
) -> Result<Option<Resource>, Problem> {
    let (id, line, node) = (&entry.key, entry.line, &entry.node);
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(Problem::new(line, "the name of a resource is made of letters and digits"));
    }
    let Some(kind) = node.get("Type").and_then(Node::as_text) else {
        return Err(Problem::new(line, "the resource has no Type"));
    };
    if let Some(condition) = node.entry("Condition") {
        let name = condition.node.as_text();
        let name =
            name.ok_or_else(|| Problem::new(condition.line, "Condition is the name of a condition"))?;
        if !scope.condition(name, condition.line)? {
            return Ok(None);
        }
    }
    supported(kind, node.line_of(&["Type"]))?;
    let known =
        ["Type", "Properties", "Condition", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Metadata"];
    let gradual = match kind {
        "AWS::Lambda::Alias" => node.get("UpdatePolicy").and_then(|policy| policy.get(GRADUAL)),
        _ => None,
    };
    let applied = |key: &str| known.contains(&key) || (key == "UpdatePolicy" && gradual.is_some());
    for other in node.entries().iter().filter(|entry| !applied(&entry.key)) {
        warnings.push(Problem::new(other.line, format!("{} is not applied", other.key)).of(id));
    }
    let empty = Node::new(line, Value::Map(Vec::new()));
    let properties = node.get("Properties").unwrap_or(&empty);
    let mut properties = scope.reduce(properties)?.unwrap_or(empty);
    if !matches!(properties.value, Value::Map(_)) {
        return Err(Problem::new(properties.line, format!("Properties is a map, not {}", properties.kind())));
    }
    if let Some(gradual) = gradual.map(|policy| scope.reduce(policy)).transpose()?.flatten() {
        properties.set(catalog::DEPLOYMENT, gradual);
    }
    let depends_on = match node.get("DependsOn") {
        Some(node) if node.items().is_empty() => node.scalar().into_iter().collect(),
        Some(node) => node.items().iter().filter_map(Node::scalar).collect(),
        None => Vec::new(),
    };
    Ok(Some(Resource {
        id: id.clone(),
        kind: kind.to_owned(),
        line,
        properties: globals.merged(kind, properties),
        depends_on,
        needs: BTreeSet::new(),
        retain: node.get("DeletionPolicy").and_then(Node::as_text) == Some("Retain"),
    }))
}

fn supported(kind: &str, line: usize) -> Result<(), Problem> {
    if catalog::names().any(|name| name == kind) || sam::TYPES.contains(&kind) {
        return Ok(());
    }
    let mut names: Vec<&str> = catalog::names().chain(sam::TYPES).collect();
    names.sort_unstable();
    let what = format!("the type {kind} is not supported; supported are:\n    {}", names.join("\n    "));
    Err(Problem::new(line, what))
}

fn outputs(scope: &Scope<'_>, section: Option<&Node>) -> Result<Vec<Output>, Problem> {
    let mut outputs = Vec::new();
    for entry in section.map(Node::entries).unwrap_or_default() {
        let output = &entry.node;
        if let Some(condition) = output.get("Condition").and_then(Node::as_text)
            && !scope.condition(condition, entry.line)?
        {
            continue;
        }
        let Some(value) = output.get("Value") else {
            return Err(Problem::new(entry.line, format!("the output {} has no Value", entry.key)));
        };
        outputs.push(Output {
            name: entry.key.clone(),
            line: entry.line,
            description: output.get("Description").and_then(Node::scalar).unwrap_or_default(),
            value: scope.reduce(value)?.unwrap_or_else(|| Node::new(entry.line, Value::Null)),
        });
    }
    Ok(outputs)
}

/// Puts the logical ids of generated resources where the template uses SAM's names for them.
fn rename(resources: &mut [Resource], outputs: &mut [Output], renames: &BTreeMap<String, String>) {
    if renames.is_empty() {
        return;
    }
    for node in resources.iter_mut().map(|resource| &mut resource.properties) {
        rename_in(node, renames);
    }
    for node in outputs.iter_mut().map(|output| &mut output.value) {
        rename_in(node, renames);
    }
}

fn rename_in(node: &mut Node, renames: &BTreeMap<String, String>) {
    let name: Option<String> = match node.intrinsic() {
        Some(("Ref", name)) => name.as_text().map(str::to_owned),
        // `${Thumb.Alias}` in a Fn::Sub reads as an attribute.
        Some(("Fn::GetAtt", path)) => {
            path.items().iter().map(Node::as_text).collect::<Option<Vec<_>>>().map(|path| path.join("."))
        }
        _ => None,
    };
    if let Some(id) = name.as_ref().and_then(|name| renames.get(name)) {
        *node = Node::reference(node.line, id);
        return;
    }
    // `Thumb.Version.Version`: an attribute of what SAM has made.
    if let Some((owner, attribute)) = name.as_deref().and_then(|name| name.rsplit_once('.'))
        && let Some(id) = renames.get(owner)
    {
        *node = Node::attribute(node.line, id, attribute);
        return;
    }
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| rename_in(item, renames)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| rename_in(&mut entry.node, renames)),
        Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

/// Checks every plain resource's properties and every reference, and notes what each resource needs.
fn check(
    resources: &mut [Resource],
    outputs: &[Output],
    declared: &[node::Entry],
    warnings: &mut Vec<Problem>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut kinds: BTreeMap<String, &'static catalog::Type> = BTreeMap::new();
    for resource in resources.iter() {
        let Some(kind) = catalog::find(&resource.kind) else { continue };
        if kinds.insert(resource.id.clone(), kind).is_some() {
            problems.push(
                Problem::new(resource.line, "the name is taken by a generated resource").of(&resource.id),
            );
        }
        let mut own = Vec::new();
        let found = kind.schema.check(resource.line, &resource.properties, &mut own);
        problems.extend(found.into_iter().map(|problem| problem.of(&resource.id)));
        if kind.kind == catalog::Kind::Identity {
            let text = "named and not enforced: there are no policies of identities yet";
            own.push(Problem::new(resource.line, text));
        }
        warnings.extend(own.into_iter().map(|warning| warning.of(&resource.id)));
    }
    for resource in resources.iter_mut() {
        let mut needs = BTreeSet::new();
        for name in &resource.depends_on {
            if kinds.contains_key(name) {
                needs.insert(name.clone());
            } else if !declared.iter().any(|entry| entry.key == *name) {
                // One whose condition does not hold may be depended on, and is then nothing to wait for.
                let what = format!("DependsOn names `{name}`, which the template does not have");
                problems.push(Problem::new(resource.line, what).of(&resource.id));
            }
        }
        references(&resource.properties, &mut |name, asked, line| match unknown(&kinds, name, asked, line) {
            Some(problem) => problems.push(problem.of(&resource.id)),
            None => drop(needs.insert(name.to_owned())),
        });
        resource.needs = needs;
    }
    for output in outputs {
        references(&output.value, &mut |name, asked, line| {
            problems.extend(unknown(&kinds, name, asked, line))
        });
    }
    problems
}

fn unknown(
    kinds: &BTreeMap<String, &'static catalog::Type>,
    name: &str,
    asked: Asked<'_>,
    line: usize,
) -> Option<Problem> {
    let Some(kind) = kinds.get(name) else {
        let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
        let hint =
            schema::nearest(name, &names).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let what = format!("`{name}` is neither a parameter nor a resource that is made{hint}");
        return Some(Problem::new(line, what));
    };
    match asked {
        Asked::Attribute(attribute) if !kind.attributes.contains(&attribute) => {
            let shown = kind.attributes.iter().filter(|name| **name != catalog::REVISION).copied();
            let has = shown.collect::<Vec<_>>().join(", ");
            let has = if has.is_empty() { "none".to_owned() } else { has };
            let what = format!("{name} ({}) has no attribute `{attribute}`; it has: {has}", kind.schema.name);
            Some(Problem::new(line, what))
        }
        Asked::Attribute(_) | Asked::Id => None,
    }
}
