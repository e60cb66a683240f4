//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use matrix_knock::RoomVersion;
use matrix_knock::id::OwnedServerName;

/// A small real Matrix homeserver that knocks and is knocked on.
#[derive(Debug, clap::Parser)]
#[command(name = "knock-host", override_usage = "knock-host --server-name <NAME> --listen <ADDRESS:PORT> [OPTIONS]")]
pub struct Config {
    /// Name of this server
    #[arg(long, value_name = "NAME")]
    pub server_name: OwnedServerName,
    /// Where to listen, such as 127.0.0.1:8008
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Keep everything in this SQLite database; without it, in memory
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// Room versions to support: of 3 to 12, all of them by default
    #[arg(long, value_name = "7,8,…", value_delimiter = ',', value_parser = version)]
    pub versions: Vec<RoomVersion>,
    /// Accept any TLS certificate of other servers (for tests)
    #[arg(long)]
    pub insecure_peers: bool,
    /// Serve the endpoints and read the header that are for tests
    #[arg(long)]
    pub test_hooks: bool,
}

impl Config {
    /// Returns the room versions to support. Versions 1 and 2 are left out: their events name
    /// others in another way.
    pub fn versions(&self) -> Vec<RoomVersion> {
        if self.versions.is_empty() { available().collect() } else { self.versions.clone() }
    }
}

fn available() -> impl Iterator<Item = RoomVersion> {
    RoomVersion::ALL.into_iter().skip(2)
}

fn version(name: &str) -> Result<RoomVersion, &'static str> {
    available().find(|version| version == name).ok_or("this server has no such room version")
}
