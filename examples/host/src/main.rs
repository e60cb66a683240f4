//! A small real Matrix homeserver, to show how `matrix-knock` is embedded. How to run it stands in the README beside this crate.
//!
//! Read it in this order: [`knock`] (a user of this server knocks on a room of another), [`resident`] (users of other servers
//! knock on a room of this one), [`answer`] (a member accepts, declines or bans), [`invite`] (another server accepts), [`receive`]
//! (what comes of an event of another server). In all of them a step of the library says which entries of the room's state it
//! reads, [`store`] fetches these, and the next step takes what was fetched.
//!
//! The rest is what every homeserver has anyway: [`http`] and the two tables of endpoints ([`client`], [`server`]), [`peers`]
//! (requests to other servers, their keys), [`room`] (making rooms and events), [`join`], [`sync`].

mod answer;
mod client;
mod config;
mod host;
mod http;
mod invite;
mod join;
mod knock;
mod leave;
mod peers;
mod receive;
mod resident;
mod room;
mod server;
mod store;
mod sync;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, UsageError};
use crate::host::Host;
use crate::store::{Store, StoreError};

/// Why the server does not start, or ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}\n{usage}", usage = config::USAGE)]
    Usage(#[from] UsageError),
    #[error("the database `{path}`: {error}")]
    Database { path: String, error: StoreError },
    #[error("cannot listen on {address}: {error}")]
    Listen { address: std::net::SocketAddr, error: std::io::Error },
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn main() -> ExitCode {
    let failure = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    eprintln!("knock-host: {failure}");
    ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
}

fn run() -> Result<(), Failure> {
    let Some(config) = Config::of_arguments(pico_args::Arguments::from_env())? else {
        println!("{}", config::USAGE);
        return Ok(());
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let path = config.database.as_ref().map_or("(in memory)".into(), |path| path.display().to_string());
    let database = |error| Failure::Database { path: path.clone(), error };
    let store = Store::open(config.database.as_deref(), config.server_name.as_borrowed()).map_err(database)?;
    let key = store.signing_key().await.map_err(database)?;
    let address = config.listen;
    let listener = TcpListener::bind(address).await.map_err(|error| Failure::Listen { address, error })?;
    let mut terminated = signal(SignalKind::terminate())?;
    let host = Arc::new(Host::new(config, key, store)?);

    // What was half done when the server ended goes on: events on their way, knocks, invites.
    tokio::spawn(Arc::clone(&host).deliver());
    host.resume().await.map_err(database)?;

    println!("knock-host: {} listens on {address}", host.name);
    let (ending, ended) = tokio::sync::oneshot::channel::<()>();
    let served = axum::serve(listener, http::router(Arc::clone(&host))).with_graceful_shutdown(async move {
        terminated.recv().await;
        drop(ending);
    });
    tokio::select! {
        result = served => result?,
        // A request under way need not be waited for: what it has begun is in the database.
        () = async { drop(ended.await); tokio::time::sleep(Duration::from_secs(3)).await } => {}
    }
    Ok(())
}
