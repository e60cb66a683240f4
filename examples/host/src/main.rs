//! A small real Matrix homeserver that shows how `matrix-knock` is embedded. The README beside this
//! crate says how to run it.
//!
//! Read it in this order: [`knock`] (a user of this server knocks on a room of another),
//! [`resident`] (users of other servers knock on a room of this one), [`answer`] (a member accepts,
//! declines or bans), [`invite`] (another server accepts), [`receive`] (events of other servers).
//! In each, a step of the library says which entries of the room's state it reads, [`store`]
//! fetches them, and the next step takes what was fetched.
//!
//! The rest is what every homeserver has: [`http`] and the two tables of endpoints ([`client`],
//! [`server`]), [`peers`] (requests to other servers, their keys), [`room`] (making rooms and
//! events), [`join`], [`sync`].

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

use std::io::Error as IoError;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::host::Host;
use crate::store::{Store, StoreError};

/// Why the server does not start, or ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database `{0}`: {1}")]
    Database(String, StoreError),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, IoError),
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("{0}")]
    Io(#[from] IoError),
}

#[tokio::main]
async fn main() -> ExitCode {
    // A wrong command line ends the process here, with status 2.
    let Err(failure) = serve(Config::parse()).await else { return ExitCode::SUCCESS };
    eprintln!("knock-host: {failure}");
    ExitCode::FAILURE
}

async fn serve(config: Config) -> Result<(), Failure> {
    let path = config.database.as_ref().map_or("(in memory)".into(), |path| path.display().to_string());
    let database = |error| Failure::Database(path.clone(), error);
    let store = Store::open(config.database.as_deref(), config.server_name.as_borrowed()).map_err(database)?;
    let key = store.signing_key().await.map_err(database)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| Failure::Listen(config.listen, error))?;
    let address = listener.local_addr()?;
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
