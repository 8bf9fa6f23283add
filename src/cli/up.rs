//! `mayfly up`: the flags of the server. What they start is in `boot`.

use super::output;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Start the server, and run until it is told to stop
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct UpArgs {
    /// Where everything is kept [default: $MAYFLY_DATA or ~/.mayfly]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:4566]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// A configuration file, in TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// The ready line, on standard output because scripts wait for it; and at first start, how to begin.
pub(crate) fn ready(endpoint: &str, data: &Path, first_key: Option<&str>) {
    output::line(format!("mayfly is ready at {endpoint}"));
    if let Some(key) = first_key {
        output::note(format!(
            "a root access key was made: {key}, in {}",
            data.join("root-key.json").display()
        ));
        output::note(format!("to use it: eval \"$(mayfly env --data {})\"", data.display()));
    }
}

/// Says why the server did not start or ended.
pub(crate) fn complain(error: &anyhow::Error) {
    output::note(format!("{} {error:#}", output::paint(output::Color::Red, "error:")));
}
