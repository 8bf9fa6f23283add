//! The code that a template names: read from beside the template, and replaced by its digest.

use super::build;
use super::package::Package;
use super::resources::PACKAGE;
use super::template::{Node, Problem, Resource, is_pending};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Packages all code of the template that lies in `root` or in the template itself.
pub(super) fn collect(
    resources: &mut [Resource],
    root: &Path,
    install: bool,
) -> Result<BTreeMap<String, Package>, Problem> {
    let mut packages = BTreeMap::new();
    for resource in resources {
        let property = match resource.kind.as_str() {
            "AWS::Lambda::Function" => "Code",
            "AWS::Lambda::LayerVersion" => "Content",
            _ => continue,
        };
        let line = resource.properties.line_of(&[property]);
        let wrong = |error: anyhow::Error| Problem::new(line, format!("{error:#}")).of(&resource.id);
        let Some(package) = package(resource, property, root, install).map_err(wrong)? else { continue };
        let digest = Node::text(line, &package.digest);
        resource.properties.set(property, Node::map(line, [(PACKAGE, digest)]));
        packages.insert(package.digest.clone(), package);
    }
    Ok(packages)
}

/// The package of one resource, unless its code lies in a bucket.
fn package(
    resource: &Resource,
    property: &str,
    root: &Path,
    install: bool,
) -> anyhow::Result<Option<Package>> {
    let Some(code) = resource.properties.get(property) else { return Ok(None) };
    let runtime = resource.properties.get("Runtime").and_then(Node::scalar).unwrap_or_default();
    if let Some(path) = code.as_text() {
        let path = root.join(path);
        let path = match install && path.is_dir() {
            true => build::with_dependencies(&path, &runtime, root)?,
            false => path,
        };
        return Package::read(&path).map(Some);
    }
    let Some(inline) = code.get("ZipFile") else { return Ok(None) };
    anyhow::ensure!(!is_pending(inline), "inline code cannot refer to other resources; use the environment");
    let text = inline.scalar().unwrap_or_default();
    let name = match runtime.as_str() {
        runtime if runtime.starts_with("python") => "index.py",
        runtime if runtime.starts_with("nodejs") => "index.js",
        other => anyhow::bail!("inline code is for Python and Node.js, not {other}"),
    };
    Package::inline(name, &text).map(Some)
}

/// The folders and files whose change makes another deployment worth while, besides the template.
pub(super) fn watched(resources: &[Resource], root: &Path) -> Vec<PathBuf> {
    let code = |resource: &Resource| {
        let node = resource.properties.get("Code").or_else(|| resource.properties.get("Content"))?;
        node.as_text().map(|path| root.join(path))
    };
    resources.iter().filter_map(code).collect()
}
