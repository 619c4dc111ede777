//! The slim worker: everything a GPU node or an edge board needs, without coordinator, searches or reports.

use clap::Parser;
use pleach_worker::agent::{WorkerArgs, log_panics};
use std::process::ExitCode;

/// Pleach's worker: trains and measures for a coordinator.
#[derive(Debug, Parser)]
#[command(name = "pleach-worker", version)]
struct Cli {
    #[command(flatten)]
    args: WorkerArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLEACH_LOG").unwrap_or_else(|_| "warn,pleach_worker=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    log_panics();
    match cli.args.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
