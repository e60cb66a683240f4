//! The command line.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use matrix_knock::RoomVersion;
use matrix_knock::id::OwnedServerName;
use pico_args::Arguments;

pub const USAGE: &str = "\
usage: knock-host --server-name NAME --listen ADDRESS:PORT [OPTION]…
  --database FILE     keep everything in this SQLite database; without it, in memory
  --versions 7,8,…    the room versions to have: of 3 to 12, all of them by default
  --insecure-peers    take any TLS certificate of other servers (for tests)
  --test-hooks        have the endpoints and the header that are for tests
  --help              print this";

/// What the command line says.
#[derive(Debug)]
pub struct Config {
    pub server_name: OwnedServerName,
    pub listen: SocketAddr,
    pub database: Option<PathBuf>,
    pub versions: Vec<RoomVersion>,
    pub insecure_peers: bool,
    pub test_hooks: bool,
}

/// What is wrong with the command line.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("{0}")]
    Arguments(#[from] pico_args::Error),
    #[error("unknown argument `{}`", .0.display())]
    Unknown(OsString),
}

impl Config {
    /// Reads the arguments. `None` if they ask for help.
    pub fn of_arguments(mut arguments: Arguments) -> Result<Option<Self>, UsageError> {
        if arguments.contains("--help") {
            return Ok(None);
        }
        let config = Self {
            server_name: arguments
                .value_from_fn("--server-name", |name| OwnedServerName::parse(name).map_err(|_| "not a server name"))?,
            listen: arguments.value_from_fn("--listen", |address| {
                address.parse().map_err(|_| "not an address with a port, such as 127.0.0.1:8008")
            })?,
            database: arguments.opt_value_from_os_str("--database", |path| Ok::<_, Infallible>(path.into()))?,
            versions: arguments.opt_value_from_fn("--versions", versions)?.unwrap_or_else(|| available().collect()),
            insecure_peers: arguments.contains("--insecure-peers"),
            test_hooks: arguments.contains("--test-hooks"),
        };
        match arguments.finish().into_iter().next() {
            Some(unknown) => Err(UsageError::Unknown(unknown)),
            None => Ok(Some(config)),
        }
    }
}

/// Events of versions 1 and 2 name others in another way; this server does not have them.
fn available() -> impl Iterator<Item = RoomVersion> {
    RoomVersion::ALL.into_iter().skip(2)
}

fn versions(names: &str) -> Result<Vec<RoomVersion>, String> {
    let version = |name| available().find(|version| version == name);
    names.split(',').map(|name| version(name).ok_or_else(|| format!("no room version `{name}` here"))).collect()
}
