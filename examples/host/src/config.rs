//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use matrix_knock::RoomVersion;
use matrix_knock::id::OwnedServerName;

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
#[error("{0}")]
pub struct UsageError(String);

impl Config {
    /// Reads the arguments. `None` if they ask for help.
    pub fn of_arguments(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, UsageError> {
        let mut arguments = arguments.into_iter();
        let (mut server_name, mut listen, mut database, mut versions) = (None, None, None, None);
        let (mut insecure_peers, mut test_hooks) = (false, false);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| UsageError(format!("`{argument}` needs a value")));
            match argument.as_str() {
                "--server-name" => {
                    let name = OwnedServerName::parse(value()?);
                    server_name = Some(name.map_err(|error| UsageError(format!("`--server-name` {error}")))?);
                }
                "--listen" => {
                    let address = value()?.parse();
                    let error = "`--listen` is not an address with a port, such as 127.0.0.1:8008";
                    listen = Some(address.map_err(|_| UsageError(error.to_owned()))?);
                }
                "--database" => database = Some(PathBuf::from(value()?)),
                "--versions" => versions = Some(value()?.split(',').map(version).collect::<Result<Vec<_>, _>>()?),
                "--insecure-peers" => insecure_peers = true,
                "--test-hooks" => test_hooks = true,
                "--help" => return Ok(None),
                _ => return Err(UsageError(format!("unknown argument `{argument}`"))),
            }
        }
        let missing = |name| move || UsageError(format!("`{name}` is missing"));
        Ok(Some(Self {
            server_name: server_name.ok_or_else(missing("--server-name"))?,
            listen: listen.ok_or_else(missing("--listen"))?,
            database,
            versions: versions.unwrap_or_else(|| available().collect()),
            insecure_peers,
            test_hooks,
        }))
    }
}

/// Events of versions 1 and 2 name others in another way; this server does not have them.
fn available() -> impl Iterator<Item = RoomVersion> {
    RoomVersion::ALL.into_iter().skip(2)
}

fn version(name: &str) -> Result<RoomVersion, UsageError> {
    let found = available().find(|version| version == name);
    found.ok_or_else(|| UsageError(format!("`--versions`: there is no room version `{name}` here")))
}
