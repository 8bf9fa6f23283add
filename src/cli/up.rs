//! `mayfly up`: the flags of the server. What they start is in `boot`.

use std::net::SocketAddr;
use std::path::PathBuf;

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
