//! `pleach coordinator`.

use super::CliError;
use crate::service::Coordinator;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;

/// Serve experiments to workers and clients.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pleach coordinator --data-dir /var/lib/pleach
  pleach coordinator --listen 127.0.0.1:0        # a free port, printed at the start")]
pub(super) struct CoordinatorArgs {
    /// Where results, experiments and models are kept [default: $XDG_DATA_HOME/pleach].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Address to listen on. Anyone who can reach it can use it: keep it on loopback or a private network.
    #[arg(long, default_value = pleach_shared::rpc::DEFAULT_ADDRESS)]
    listen: SocketAddr,
}

pub(super) async fn serve(args: CoordinatorArgs) -> Result<(), CliError> {
    let data_dir = data_dir(args.data_dir)?;
    let listener = listen(args.listen).await?;
    let address = listener.local_addr()?;
    let coordinator = Coordinator::open(&data_dir).await.map_err(|error| CliError::failed(error.to_string()))?;
    coordinator.resume_unfinished().await.map_err(|error| CliError::failed(error.to_string()))?;
    println!("listening on http://{address}, data in {}", data_dir.display());
    coordinator.serve(listener, interrupted()).await.map_err(|error| CliError::failed(error.to_string()))
}

/// Binds, with the remedy in the error.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => CliError::failed(format!("{address} is in use by another process"))
            .help("is a coordinator running there already? Otherwise give another --listen, or port 0 for a free one"),
        _ => CliError::failed(format!("cannot listen on {address}: {error}")),
    })
}

/// The given data dir, or the one of the XDG base directories.
pub(super) fn data_dir(given: Option<PathBuf>) -> Result<PathBuf, CliError> {
    use etcetera::BaseStrategy;
    match given {
        Some(folder) => Ok(folder),
        None => etcetera::choose_base_strategy()
            .map(|base| base.data_dir().join("pleach"))
            .map_err(|error| CliError::usage(format!("there is no home folder to keep data in ({error})")).help("give --data-dir")),
    }
}

/// Completes at Ctrl-C or SIGTERM.
pub(super) async fn interrupted() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
