//! Repositories: CreateRepository, DescribeRepositories, DeleteRepository, PutImageTagMutability.

use super::keys::{LAYERS, MANIFESTS, REPOSITORIES, RepositoryKey, TAGS};
use super::model::{Repository, layer_blob};
use super::{faults, names};
use crate::tags::{self, Tag};
use crate::{Cx, blobs, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};

/// Rows that are deleted between two reads.
const SWEEP: usize = 1000;
const PAGE: usize = 100;
const PAGE_MAX: i64 = 1000;

/// A repository that the caller may use.
pub(super) struct Open {
    pub(super) name: String,
    pub(super) key: RepositoryKey,
    pub(super) row: Repository,
}

/// Asks whether the caller may do this to the repository, and finds it.
pub(super) fn open(cx: &mut Cx<'_>, name: &str, registry: Option<&str>) -> Result<Open, Fault> {
    let resource = cx.arn("ecr", format!("repository/{name}"));
    cx.allow(&resource)?;
    names::check_repository(name)?;
    check_registry(cx, registry)?;
    let key = (cx.caller.account.clone(), cx.caller.region.clone(), name.to_owned());
    match REPOSITORIES.get(cx.tx, &key)? {
        Some(row) => Ok(Open { name: name.into(), key, row }),
        None => Err(faults::no_repository(name, &cx.caller.account)),
    }
}

/// There is one registry, the account's own.
pub(super) fn check_registry(cx: &Cx<'_>, id: Option<&str>) -> Result<(), Fault> {
    match id {
        None => Ok(()),
        Some(id) if id == cx.caller.account => Ok(()),
        Some(id) if id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()) => Err(Fault::new(
            400,
            "RepositoryNotFoundException",
            format!("There is no registry with id '{id}'"),
        )),
        Some(_) => Err(faults::invalid("registryId", "must satisfy regular expression '[0-9]{12}'")),
    }
}

/// How many things a page has.
pub(super) fn page_size(asked: Option<i64>) -> Result<usize, Fault> {
    match asked {
        None => Ok(PAGE),
        Some(size @ 1..=PAGE_MAX) => usize::try_from(size).map_err(|e| Fault::internal("page", e)),
        Some(_) => Err(faults::invalid("maxResults", "must be between 1 and 1000")),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    repository_arn: String,
    registry_id: String,
    repository_name: String,
    repository_uri: String,
    #[serde(with = "mayfly_wire::with::epoch_seconds")]
    created_at: Time,
    image_tag_mutability: &'static str,
    image_scanning_configuration: Scanning,
    encryption_configuration: Encryption,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scanning {
    #[serde(default)]
    scan_on_push: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Encryption {
    encryption_type: String,
}

fn shown(cx: &Cx<'_>, name: &str, row: &Repository) -> Shown {
    Shown {
        repository_arn: cx.arn("ecr", format!("repository/{name}")).to_string(),
        registry_id: cx.caller.account.clone(),
        repository_name: name.to_owned(),
        repository_uri: format!("{}/{name}", cx.site.authority),
        created_at: Time::from_ms(row.created_ms),
        image_tag_mutability: if row.immutable { "IMMUTABLE" } else { "MUTABLE" },
        image_scanning_configuration: Scanning { scan_on_push: false },
        encryption_configuration: Encryption { encryption_type: "AES256".into() },
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    repository_name: String,
    registry_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    image_tag_mutability: Option<String>,
    image_scanning_configuration: Option<Scanning>,
    encryption_configuration: Option<Encryption>,
}

#[derive(Serialize)]
pub(super) struct One {
    repository: Shown,
}

fn immutable(asked: Option<&str>) -> Result<bool, Fault> {
    match asked {
        None | Some("MUTABLE") => Ok(false),
        Some("IMMUTABLE") => Ok(true),
        Some("IMMUTABLE_WITH_EXCLUSION" | "MUTABLE_WITH_EXCLUSION") => {
            Err(Fault::not_implemented("exclusions of tag mutability"))
        }
        Some(_) => Err(faults::invalid("imageTagMutability", "must be MUTABLE or IMMUTABLE")),
    }
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<One, Fault> {
    let name = input.repository_name;
    let mut row = match open(cx, &name, input.registry_id.as_deref()) {
        Ok(open) => return Err(faults::repository_exists(&open.name, &cx.caller.account)),
        Err(fault) if fault.code != "RepositoryNotFoundException" => return Err(fault),
        Err(_) => Repository {
            uid: cx.ids.lower(16),
            created_ms: cx.now.ms(),
            immutable: immutable(input.image_tag_mutability.as_deref())?,
            ..Repository::default()
        },
    };
    if input.image_scanning_configuration.is_some_and(|scanning| scanning.scan_on_push) {
        return Err(Fault::not_implemented("the scanning of images"));
    }
    match input.encryption_configuration.as_ref().map(|config| config.encryption_type.as_str()) {
        None | Some("AES256") => {}
        Some("KMS" | "KMS_DSSE") => return Err(Fault::not_implemented("the encryption of repositories")),
        Some(_) => return Err(faults::invalid("encryptionConfiguration.encryptionType", "must be AES256")),
    }
    row.tags = tags::checked::<Open>(cx, input.tags)?;
    let key = (cx.caller.account.clone(), cx.caller.region.clone(), name.clone());
    REPOSITORIES.put(cx.tx, &key, &row);
    Ok(One { repository: shown(cx, &name, &row) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    registry_id: Option<String>,
    repository_names: Option<Vec<String>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    repositories: Vec<Shown>,
    next_token: Option<String>,
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let resource = cx.arn("ecr", "repository/*");
    cx.allow(&resource)?;
    check_registry(cx, input.registry_id.as_deref())?;
    let limit = page_size(input.max_results)?;
    if let Some(wanted) = input.repository_names {
        if !(1..=100).contains(&wanted.len()) {
            return Err(faults::invalid("repositoryNames", "must have length between 1 and 100"));
        }
        let one = |name: String| open(cx, &name, None).map(|open| shown(cx, &open.name, &open.row));
        let repositories = wanted.into_iter().map(one).collect::<Result<_, _>>()?;
        return Ok(Described { repositories, next_token: None });
    }
    let (account, region) = (cx.caller.account.as_str(), cx.caller.region.as_str());
    let mut scan = Scan::prefix(&(account, region), limit + 1);
    if let Some(token) = &input.next_token {
        scan = scan.after(&(account, region, token.as_str()));
    }
    let (rows, next_token) =
        paging::cut(REPOSITORIES.scan(cx.tx, scan)?, limit, |((.., name), _)| name.clone());
    let repositories = rows.iter().map(|((.., name), row)| shown(cx, name, row)).collect();
    Ok(Described { repositories, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete {
    registry_id: Option<String>,
    repository_name: String,
    #[serde(default)]
    force: bool,
}

/// Uploads that are under way are left to their expiry.
pub(super) fn delete(cx: &mut Cx<'_>, input: Delete) -> Result<One, Fault> {
    let open = open(cx, &input.repository_name, input.registry_id.as_deref())?;
    let uid = &open.row.uid;
    if !input.force && !MANIFESTS.scan(cx.tx, Scan::prefix(&(uid,), 1))?.is_empty() {
        return Err(faults::not_empty(&open.name, &cx.caller.account));
    }
    while let rows @ [_, ..] = &MANIFESTS.scan(cx.tx, Scan::prefix(&(uid,), SWEEP))?[..] {
        rows.iter().for_each(|(key, _)| MANIFESTS.delete(cx.tx, key));
    }
    while let rows @ [_, ..] = &TAGS.scan(cx.tx, Scan::prefix(&(uid,), SWEEP))?[..] {
        rows.iter().for_each(|(key, _)| TAGS.delete(cx.tx, key));
    }
    while let rows @ [_, ..] = &LAYERS.scan(cx.tx, Scan::prefix(&(uid,), SWEEP))?[..] {
        for (key, _) in rows {
            LAYERS.delete(cx.tx, key);
            blobs::release(cx, &layer_blob(&key.1))?;
        }
    }
    REPOSITORIES.delete(cx.tx, &open.key);
    Ok(One { repository: shown(cx, &open.name, &open.row) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutMutability {
    registry_id: Option<String>,
    repository_name: String,
    image_tag_mutability: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mutability {
    registry_id: String,
    repository_name: String,
    image_tag_mutability: String,
}

pub(super) fn put_mutability(cx: &mut Cx<'_>, input: PutMutability) -> Result<Mutability, Fault> {
    let mut open = open(cx, &input.repository_name, input.registry_id.as_deref())?;
    open.row.immutable = immutable(Some(&input.image_tag_mutability))?;
    REPOSITORIES.put(cx.tx, &open.key, &open.row);
    Ok(Mutability {
        registry_id: cx.caller.account.clone(),
        repository_name: open.name,
        image_tag_mutability: input.image_tag_mutability,
    })
}
