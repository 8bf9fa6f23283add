//! `AWS::Serverless::Function`: the function, its version and alias, its URL, and what its events stand for.

use super::super::Resource;
use super::super::catalog::REVISION;
use super::super::node::{Node, Problem, Value};
use super::super::schema::{
    Schema,
    Shape::{Any, Flag, Integer, List, Map, Text},
};
use super::{Expansion, code_location, copied, events, gradual};

pub(crate) const TYPE: &str = "AWS::Serverless::Function";

static SCHEMA: Schema = Schema {
    name: TYPE,
    required: &[],
    applied: &[
        ("CodeUri", Any),
        ("InlineCode", Text),
        ("Handler", Text),
        ("Runtime", Text),
        ("FunctionName", Text),
        ("Description", Text),
        ("MemorySize", Integer),
        ("Timeout", Integer),
        ("Environment", Map),
        ("EphemeralStorage", Map),
        ("Layers", List),
        ("Role", Text),
        ("Policies", Any),
        ("Architectures", List),
        ("ReservedConcurrentExecutions", Integer),
        ("AutoPublishAlias", Text),
        ("VersionDescription", Text),
        ("DeadLetterQueue", Map),
        ("EventInvokeConfig", Map),
        ("FunctionUrlConfig", Map),
        ("LoggingConfig", Map),
        ("Events", Map),
        ("Tags", Map),
        ("PackageType", Text),
        ("ImageUri", Text),
        ("ImageConfig", Map),
        ("TenancyConfig", Map),
        ("AutoPublishAliasAllProperties", Flag),
        ("DeploymentPreference", Map),
        ("ProvisionedConcurrencyConfig", Map),
    ],
    ignored: &[
        "AssumeRolePolicyDocument",
        "AutoPublishCodeSha256",
        "CodeSigningConfigArn",
        "FileSystemConfigs",
        "KmsKeyArn",
        "PermissionsBoundary",
        "PropagateTags",
        "RecursiveLoop",
        "RolePath",
        "RuntimeManagementConfig",
        "SnapStart",
        "SourceKMSKeyArn",
        "Tracing",
        "VersionDeletionPolicy",
        "VpcConfig",
    ],
};

/// The function as its events see it.
pub(super) struct Target<'a> {
    pub(super) resource: &'a Resource,
    /// A reference to what is invoked: the function, or the alias that follows it.
    pub(super) name: Node,
    pub(super) arn: Node,
}

pub(super) fn expand(to: &mut Expansion<'_>, function: &Resource) -> Result<(), Problem> {
    if !to.check(&SCHEMA, function) {
        return Ok(());
    }
    let (id, line, from) = (&function.id, function.line, &function.properties);
    if let Some(policies) = from.entry("Policies") {
        let what = "Policies are not enforced yet: every function may use every service of its account";
        to.warnings.push(Problem::new(policies.line, what).of(id));
    }
    to.resources.push(function.with(id, "AWS::Lambda::Function", line, plain(function)?));

    let alias = from.get("AutoPublishAlias").and_then(Node::scalar);
    let (name, arn) = match &alias {
        Some(alias) => {
            let published = publish(to, function, alias);
            gradual::expand(to, function, &published)?;
            (Node::reference(line, &published), Node::reference(line, &published))
        }
        None if from.get("ProvisionedConcurrencyConfig").is_some() => {
            let what = "a ProvisionedConcurrencyConfig needs AutoPublishAlias: $LATEST cannot be provisioned";
            return Err(Problem::new(from.line_of(&["ProvisionedConcurrencyConfig"]), what));
        }
        None if from.get("DeploymentPreference").is_some() => {
            let what = "a DeploymentPreference needs AutoPublishAlias: the alias is what moves";
            return Err(Problem::new(from.line_of(&["DeploymentPreference"]), what));
        }
        None => (Node::reference(line, id), Node::attribute(line, id, "Arn")),
    };
    if let Some(config) = from.get("EventInvokeConfig") {
        let qualifier = alias.as_deref().unwrap_or("$LATEST");
        let mut properties = config.clone();
        properties.set("FunctionName", Node::reference(line, id));
        properties.set("Qualifier", Node::text(line, qualifier));
        let made = function.with(
            &format!("{id}EventInvokeConfig"),
            "AWS::Lambda::EventInvokeConfig",
            config.line,
            properties,
        );
        to.resources.push(made);
    }
    if let Some(config) = from.get("FunctionUrlConfig") {
        url(to, function, alias.as_deref(), config);
    }
    events::expand(to, &Target { resource: function, name, arn })
}

/// The plain function's properties.
fn plain(function: &Resource) -> Result<Node, Problem> {
    let from = &function.properties;
    let same = [
        "FunctionName",
        "Description",
        "Handler",
        "Runtime",
        "MemorySize",
        "Timeout",
        "Environment",
        "EphemeralStorage",
        "LoggingConfig",
        "Layers",
        "Role",
        "Architectures",
        "ReservedConcurrentExecutions",
        "Tags",
        "PackageType",
        "ImageConfig",
        "TenancyConfig",
    ];
    let mut plain = Node::new(from.line, Value::Map(copied(from, &same)));
    if from.get("PackageType").and_then(Node::as_text) == Some("Image") {
        plain.set("Code", image(from)?);
        dead_letters(from, &mut plain)?;
        return Ok(plain);
    }
    // A component or a web server is started whole; there is no function in it to name.
    let whole = matches!(from.get("Runtime").and_then(Node::as_text), Some("wasm" | "web"));
    for required in ["Runtime", "Handler"] {
        if from.get(required).is_none() && !(whole && required == "Handler") {
            return Err(Problem::new(function.line, format!("{TYPE} needs the property {required}")));
        }
    }
    let code = match (from.entry("InlineCode"), from.entry("CodeUri")) {
        (Some(inline), None) => Node::map(inline.line, [("ZipFile", inline.node.clone())]),
        (None, Some(uri)) => code_location(Node { line: uri.line, ..uri.node.clone() })?,
        (Some(_), Some(uri)) => return Err(Problem::new(uri.line, "give CodeUri or InlineCode, not both")),
        (None, None) => {
            return Err(Problem::new(function.line, format!("{TYPE} needs CodeUri or InlineCode")));
        }
    };
    plain.set("Code", code);
    dead_letters(from, &mut plain)?;
    Ok(plain)
}

/// Images are named, never built: that takes a builder and a context that are the developer's own.
fn image(from: &Node) -> Result<Node, Problem> {
    match from.entry("ImageUri") {
        Some(uri) => Ok(Node::map(uri.line, [("ImageUri", uri.node.clone())])),
        None => Err(Problem::new(
            from.line_of(&["PackageType"]),
            "a function of package type Image needs ImageUri: Metadata is not built here; build the image, push \
             it to a registry (Mayfly has its own), and name it",
        )),
    }
}

fn dead_letters(from: &Node, plain: &mut Node) -> Result<(), Problem> {
    if let Some(queue) = from.get("DeadLetterQueue") {
        let Some(target) = queue.get("TargetArn") else {
            return Err(Problem::new(queue.line, "DeadLetterQueue needs a TargetArn"));
        };
        plain.set("DeadLetterConfig", Node::map(queue.line, [("TargetArn", target.clone())]));
    }
    Ok(())
}

/// A version for each revision of the function, and an alias that points to the newest. Returns the alias's
/// id.
fn publish(to: &mut Expansion<'_>, function: &Resource, alias: &str) -> String {
    let (id, line) = (&function.id, function.properties.line_of(&["AutoPublishAlias"]));
    let version = format!("{id}Version");
    let mut properties = Node::map(
        line,
        [("FunctionName", Node::reference(line, id)), (REVISION, Node::attribute(line, id, REVISION))],
    );
    if let Some(description) = function.properties.get("VersionDescription") {
        properties.set("Description", description.clone());
    }
    let mut made = function.with(&version, "AWS::Lambda::Version", line, properties);
    made.retain = true;
    to.resources.push(made);

    let name = format!("{id}Alias{}", alias.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    let mut properties = Node::map(
        line,
        [
            ("FunctionName", Node::reference(line, id)),
            ("FunctionVersion", Node::attribute(line, &version, "Version")),
            ("Name", Node::text(line, alias)),
        ],
    );
    if let Some(config) = function.properties.get("ProvisionedConcurrencyConfig") {
        properties.set("ProvisionedConcurrencyConfig", config.clone());
    }
    to.resources.push(function.with(&name, "AWS::Lambda::Alias", line, properties));
    to.renames.insert(format!("{id}.Version"), version);
    to.renames.insert(format!("{id}.Alias"), name.clone());
    name
}

fn url(to: &mut Expansion<'_>, function: &Resource, alias: Option<&str>, config: &Node) {
    let (id, line) = (&function.id, config.line);
    let mut properties = config.clone();
    properties.set("TargetFunctionArn", Node::reference(line, id));
    let mut made = function.with(&format!("{id}Url"), "AWS::Lambda::Url", line, properties);
    if let Some(alias) = alias {
        made.properties.set("Qualifier", Node::text(line, alias));
        made.depends_on.extend(to.renames.get(&format!("{id}.Alias")).cloned());
    }
    to.resources.push(made);
    if config.get("AuthType").and_then(Node::as_text) == Some("NONE") {
        let target = match to.renames.get(&format!("{id}.Alias")) {
            Some(alias) => Node::reference(line, alias),
            None => Node::reference(line, id),
        };
        let properties = Node::map(
            line,
            [
                ("Action", Node::text(line, "lambda:InvokeFunctionUrl")),
                ("FunctionName", target),
                ("Principal", Node::text(line, "*")),
                ("FunctionUrlAuthType", Node::text(line, "NONE")),
            ],
        );
        let id = format!("{id}UrlPublicPermissions");
        to.resources.push(function.with(&id, "AWS::Lambda::Permission", line, properties));
    }
}
