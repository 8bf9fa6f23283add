//! `mayfly env`: the variables by which every AWS tool finds the server. For `eval "$(mayfly env)"`.

use super::{output, settings};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the variables by which AWS tools find the server: eval "$(mayfly env)"
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The server's data directory [default: $MAYFLY_DATA or ~/.mayfly]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Another account than the server's first, by its number
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let data = args.data.clone().unwrap_or_else(settings::default_data_dir);
    let key = settings::root_key(&data, args.account.as_deref())?;
    let variables = [
        ("AWS_ENDPOINT_URL", &key.endpoint),
        ("AWS_ACCESS_KEY_ID", &key.access_key),
        ("AWS_SECRET_ACCESS_KEY", &key.secret_key),
        ("AWS_REGION", &key.region),
        ("AWS_DEFAULT_REGION", &key.region),
    ];
    if args.json {
        let pairs = variables.into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
        output::json(&serde_json::Value::Object(pairs.collect()));
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in variables {
        output::line(format!("export {name}={}", quoted(value)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A word that every POSIX shell reads as this text.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_value_survives_the_shell() {
        assert_eq!(quoted("http://127.0.0.1:4566"), "http://127.0.0.1:4566");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("$(rm); it's"), r"'$(rm); it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
