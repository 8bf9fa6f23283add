//! How asynchronous invocations of a function are retried, and where their outcomes go.

use super::keys::{ALIASES, ASYNC, FUNCTIONS, VERSIONS};
use super::model::{AsyncRow, VersionRow};
use super::names::{self, Function, Qualifier};
use super::paging::{self, OfFunction};
use super::{check, faults};
use crate::Cx;
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};

const ARN_PATTERN: &str = concat!(
    r"^$|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12",
    r"})?:(.*)",
);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    #[serde(with = "epoch_seconds")]
    last_modified: Time,
    function_arn: String,
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: Destinations,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destinations {
    on_success: Destination,
    on_failure: Destination,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    destination: Option<String>,
}

impl Destination {
    fn text(&self) -> &str {
        self.destination.as_deref().unwrap_or_default()
    }

    fn of(text: String) -> Destination {
        Destination { destination: (!text.is_empty()).then_some(text) }
    }
}

impl Config {
    fn new(function: &Function, row: AsyncRow) -> Config {
        Config {
            last_modified: Time::from_ms(row.modified_ms),
            function_arn: function.arn_of(qualifier(function)).to_string(),
            maximum_retry_attempts: row.retries,
            maximum_event_age_in_seconds: row.max_age_s,
            destination_config: Destinations {
                on_success: Destination::of(row.on_success),
                on_failure: Destination::of(row.on_failure),
            },
        }
    }
}

fn qualifier(function: &Function) -> &str {
    function.qualifier.as_deref().unwrap_or(VersionRow::LATEST)
}

/// What holds for asynchronous invocations under this name.
pub(super) fn of(cx: &Cx<'_>, function: &Function) -> Result<AsyncRow, Fault> {
    Ok(ASYNC.get(cx.tx, &function.qualified_key(qualifier(function)))?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    function_name: String,
    qualifier: Option<String>,
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<Destinations>,
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Config, Fault> {
    let function = existing(cx, &input.function_name, input.qualifier.as_deref())?;
    write(cx, &function, AsyncRow::default(), input)
}

pub(super) fn update(cx: &mut Cx<'_>, input: Put) -> Result<Config, Fault> {
    let function = existing(cx, &input.function_name, input.qualifier.as_deref())?;
    let row = stored(cx, &function)?;
    write(cx, &function, row, input)
}

fn existing(cx: &mut Cx<'_>, name: &str, qualifier: Option<&str>) -> Result<Function, Fault> {
    let function = names::function(cx, name, qualifier)?;
    let exists = FUNCTIONS.contains(cx.tx, &function.key())?
        && match function.meaning() {
            Qualifier::Version(number) => VERSIONS.contains(cx.tx, &function.version_key(number))?,
            Qualifier::Alias(alias) => ALIASES.contains(cx.tx, &function.qualified_key(&alias))?,
        };
    if exists { Ok(function) } else { Err(faults::not_found("The function doesn't exist.")) }
}

fn write(cx: &mut Cx<'_>, function: &Function, mut row: AsyncRow, input: Put) -> Result<Config, Fault> {
    let (retries, age) = (input.maximum_retry_attempts, input.maximum_event_age_in_seconds);
    if retries.is_none() && age.is_none() && input.destination_config.is_none() {
        return Err(faults::parameter(
            "You must specify at least one of error handling or destination setting.",
        ));
    }
    if let Some(retries) = retries {
        row.retries = Some(check::number(retries, "maximumRetryAttempts", 0, 2)?);
    }
    if let Some(age) = age {
        row.max_age_s = Some(check::number(age, "maximumEventAgeInSeconds", 60, 21_600)?);
    }
    if let Some(destinations) = input.destination_config {
        check_destinations(cx, function, &destinations)?;
        row.on_success = destinations.on_success.text().to_owned();
        row.on_failure = destinations.on_failure.text().to_owned();
    }
    row.modified_ms = cx.now.ms();
    ASYNC.put(cx.tx, &function.qualified_key(qualifier(function)), &row);
    Ok(Config::new(function, row))
}

fn check_destinations(cx: &Cx<'_>, function: &Function, destinations: &Destinations) -> Result<(), Fault> {
    let (success, failure) = (destinations.on_success.text(), destinations.on_failure.text());
    let mut valid = true;
    for (text, member) in [(failure, "onFailure"), (success, "onSuccess")] {
        if text.is_empty() {
            continue;
        }
        let path = format!("destinationConfig.{member}.destination");
        let arn: Arn = text.parse().map_err(|_| faults::pattern(text, &path, ARN_PATTERN))?;
        match arn.service.as_str() {
            "lambda" => check_function_destination(cx, function, &arn)?,
            "sqs" | "sns" | "events" | "s3" => {}
            _ => valid = false,
        }
    }
    if valid {
        return Ok(());
    }
    let part = |name: &str, text: &str| match text {
        "" => "null".to_owned(),
        text => format!("{name}(destination={text})"),
    };
    Err(faults::parameter(format!(
        "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
        part("OnSuccess", success),
        part("OnFailure", failure)
    )))
}

fn check_function_destination(cx: &Cx<'_>, function: &Function, arn: &Arn) -> Result<(), Fault> {
    let invalid = || faults::parameter(format!("The destination ARN {arn} is invalid."));
    let target = super::resolve::of_arn(arn).map_err(|_| invalid())?;
    if (&target.account, &target.region) != (&function.account, &function.region)
        || !FUNCTIONS.contains(cx.tx, &target.key())?
    {
        return Err(invalid());
    }
    if target.name == function.name {
        return Err(faults::parameter("You can't specify the function as a destination for itself."));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    function_name: String,
    qualifier: Option<String>,
}

fn stored(cx: &Cx<'_>, function: &Function) -> Result<AsyncRow, Fault> {
    let qualifier = qualifier(function);
    let row = ASYNC.get(cx.tx, &function.qualified_key(qualifier))?;
    row.ok_or_else(|| {
        faults::not_found(format!(
            "The function {} doesn't have an EventInvokeConfig",
            function.arn_of(qualifier)
        ))
    })
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Config, Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    let row = stored(cx, &function)?;
    Ok(Config::new(&function, row))
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    stored(cx, &function)?;
    ASYNC.delete(cx.tx, &function.qualified_key(qualifier(&function)));
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    function_event_invoke_configs: Vec<Config>,
    next_marker: Option<String>,
}

/// A marker is the qualifier of the last one shown.
pub(super) fn list(cx: &mut Cx<'_>, input: OfFunction) -> Result<Listed, Fault> {
    let function = existing(cx, &input.function_name, None)?;
    let limit = paging::size(input.max_items, 50)?;
    let mut scan = Scan::prefix(&function.key(), limit + 1);
    if let Some(marker) = input.marker {
        scan = scan.after(&function.qualified_key(&marker));
    }
    let (rows, next_marker) =
        paging::cut(ASYNC.scan(cx.tx, scan)?, limit, |((.., qualifier), _)| qualifier.clone());
    let shown = |((.., qualifier), row): (super::keys::QualifiedKey, AsyncRow)| {
        Config::new(&Function { qualifier: Some(qualifier), ..function.clone() }, row)
    };
    Ok(Listed { function_event_invoke_configs: rows.into_iter().map(shown).collect(), next_marker })
}
