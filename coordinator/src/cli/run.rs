//! `pleach run`: coordinator and workers in one process, speaking gRPC to itself over loopback.

use super::client::Client;
use super::serve::{data_dir, interrupted, listen};
use super::{CliError, Output, ended, table};
use crate::service::Coordinator;
use clap::Args;
use pleach_worker::agent::{Config, work};
use pleach_worker::compute::Compute;
use std::path::{Path, PathBuf};

/// Run an experiment on this machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pleach run experiments/quickstart.yaml
  pleach run FILE --workers 4 --report out/      # four tasks at a time
  pleach run FILE --output json > summary.json   # progress goes to standard error

Killed? The same command goes on where it stopped. Raise max_rounds or lower the budget: only what is new is computed.")]
pub(super) struct RunArgs {
    /// The YAML document. Paths in it are relative to it.
    file: PathBuf,
    /// Where results, experiments and models are kept [default: $XDG_DATA_HOME/pleach].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where the report is written: a folder.
    #[arg(long, default_value = "report")]
    report: PathBuf,
    /// Tasks at a time [default: the number of processors].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    workers: Option<u32>,
    /// What computes: flex (CPU), wgpu (the best GPU) or wgpu:N (the Nth discrete GPU).
    #[arg(long, default_value_t)]
    device: Compute,
    /// What to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: RunArgs) -> Result<(), CliError> {
    let prepared = crate::submit::prepare(&args.file)?;
    let local = Local::start(&data_dir(args.data_dir)?, args.workers, args.device).await?;
    let mut client = Client::connect(&local.address).await?;
    let id = client.submit(&prepared).await?;
    let watched = tokio::select! {
        watched = client.watch(&id) => watched,
        () = interrupted() => Err(CliError::failed("interrupted").help("the same command goes on where it stopped")),
        error = local.failed => Err(error),
    };
    watched?;
    let (summary, document, model) = client.get(&id).await?;
    let model = match model {
        Some(blob) => Some(client.blob(blob).await?),
        None => None,
    };
    crate::report::write(&args.report, &summary, &document, model.as_deref())
        .map_err(|error| CliError::usage(format!("cannot write the report to {}: {error}", args.report.display())))?;
    table::summary(&summary, args.output)?;
    if args.output == Output::Table {
        println!("Report: {}", args.report.join("index.html").display());
    }
    ended(&summary)
}

/// A coordinator on a free loopback port with a worker attached.
pub(super) struct Local {
    pub(super) address: String,
    failed: std::pin::Pin<Box<dyn Future<Output = CliError> + Send>>,
}

impl Local {
    pub(super) async fn start(data_dir: &Path, workers: Option<u32>, compute: Compute) -> Result<Local, CliError> {
        let coordinator = Coordinator::open(data_dir).await.map_err(|error| CliError::failed(error.to_string()))?;
        let listener = listen(([127, 0, 0, 1], 0).into()).await?;
        let address = format!("http://{}", listener.local_addr()?);
        let slots = workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u32));
        let config = Config {
            coordinator: address.clone(),
            name: "local".into(),
            host: "local".into(),
            device: "local".into(),
            slots,
            compute,
            computes: true,
        };
        // Both live as long as the process; the run watches for their failure.
        let serving = tokio::spawn(async move { coordinator.serve(listener, std::future::pending()).await });
        let working = tokio::spawn(work(config, std::future::pending()));
        let failed = Box::pin(async move {
            tokio::select! {
                served = serving => CliError::failed(match served {
                    Ok(Ok(())) => "the coordinator stopped".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                }),
                worked = working => CliError::failed(match worked {
                    Ok(Ok(())) => "the worker stopped".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                }),
            }
        });
        Ok(Local { address, failed })
    }
}
