//! `pleach bench`: figures to compare machines and versions with.

use super::{CliError, Output};
use crate::service::{Coordinator, Order};
use clap::Args;
use pleach_shared::data::{Amount, Cut, Format, SplitHashes, SplitName, SplitRecord};
use pleach_shared::network::zoo::{ShortcutKind, VggItem, mobilenet_v1, resnet, vgg};
use pleach_shared::rpc::PROTOCOL;
use pleach_shared::rpc::v1::coordinator_message::Message as Down;
use pleach_shared::rpc::v1::worker_message::Message as Up;
use pleach_shared::rpc::v1::workers_client::WorkersClient;
use pleach_shared::rpc::v1::{Finished, Heartbeat, Register, WorkerMessage};
use pleach_shared::spec::Augment;
use pleach_shared::task::{BlobId, DataRef, Evaluate, Evaluation, Outcome, Task};
use pleach_worker::bench::throughput;
use pleach_worker::compute::Compute;
use serde_json::json;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Measure this machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pleach bench
  pleach bench --device wgpu --output json")]
pub(super) struct BenchArgs {
    /// What computes: flex (CPU), wgpu (the best GPU) or wgpu:N (the Nth discrete GPU).
    #[arg(long, default_value_t)]
    device: Compute,
    /// Optimizer steps to time per network.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Tasks to send through the coordinator.
    #[arg(long, default_value_t = 2000)]
    tasks: usize,
    /// What to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Images per training step.
const BATCH: usize = 64;

/// Leases that the no-op worker takes at a time.
const SLOTS: u32 = 64;

pub(super) async fn bench(args: BenchArgs) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::failed(error.to_string());
    let quickstart = [VggItem::Conv(16), VggItem::Conv(16), VggItem::MaxPool, VggItem::Conv(32), VggItem::Conv(32), VggItem::MaxPool];
    let networks = [
        ("vgg [16, 16, M, 32, 32, M, 64, 64]", [1, 28, 28], vgg(&[&quickstart[..], &[VggItem::Conv(64); 2]].concat(), [1, 28, 28], 10)),
        ("resnet20", [3, 32, 32], resnet(20, 1.0, ShortcutKind::A, [3, 32, 32], 10)),
        ("mobilenet_v1 width 0.25", [3, 32, 32], mobilenet_v1(0.25, [3, 32, 32], 10)),
    ];
    let mut rows = Vec::new();
    for (name, shape, network) in networks {
        let network = network.map_err(|error| failed(&error))?;
        let (device, steps) = (args.device.device(), args.steps);
        let figures = tokio::task::spawn_blocking(move || throughput(&network, shape, BATCH, steps, &device))
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        if args.output == Output::Table {
            println!(
                "{name:<36} {:8.2} training steps/s (batch {BATCH})  {:9.0} images evaluated/s",
                figures.steps_per_second, figures.images_per_second
            );
        }
        rows.push(json!({
            "network": name, "batch": BATCH,
            "steps_per_second": figures.steps_per_second, "images_per_second": figures.images_per_second,
        }));
    }
    let (fresh, reused) = tasks_per_second(args.tasks).await?;
    match args.output {
        Output::Table => {
            println!("{:<36} {fresh:8.0} durable tasks/s, {reused:.0} answered from the memo/s", "coordinator, memo and no-op worker");
        }
        Output::Json => println!(
            "{}",
            json!({ "device": args.device.to_string(), "networks": rows, "tasks_per_second": fresh, "memo_per_second": reused })
        ),
    }
    Ok(())
}

/// Tasks a second through a coordinator on loopback, every result durable, and the same tasks again from the memo.
async fn tasks_per_second(count: usize) -> Result<(f64, f64), CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::failed(error.to_string());
    let folder = std::env::temp_dir().join(format!("pleach-bench-{}", std::process::id()));
    let coordinator = Coordinator::open(&folder).await.map_err(|error| failed(&error))?;
    let listener = super::serve::listen(([127, 0, 0, 1], 0).into()).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let handle = coordinator.handle().clone();
    // Both end with the process.
    tokio::spawn(coordinator.serve(listener, std::future::pending()));
    tokio::spawn(no_op_worker(address.clone()));
    let mut rates = Vec::new();
    for _ in 0..2 {
        let start = Instant::now();
        let all = (0..count).map(|index| handle.run(no_op_task(index), Order::new(0, index as u32)));
        futures::future::try_join_all(all).await.map_err(|error| failed(&error))?;
        rates.push(count as f64 / start.elapsed().as_secs_f64());
    }
    let _ = std::fs::remove_dir_all(&folder);
    Ok((rates[0], rates[1]))
}

/// A task of the usual size whose blobs nobody fetches.
fn no_op_task(index: usize) -> Task {
    let record = || SplitRecord { images: 0, hash: String::new() };
    Task::Evaluate(Evaluate {
        model: BlobId::of(&index.to_le_bytes()),
        prune: None,
        data: DataRef {
            format: Format::Idx,
            files: Vec::new(),
            cut: Cut { holdout: Amount::Count(0), test: None },
            splits: SplitHashes { train: record(), holdout: record(), test: record() },
            normalize: None,
            augment: Augment::default(),
        },
        split: SplitName::Holdout,
    })
}

/// Attaches and answers every lease at once.
async fn no_op_worker(address: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut client = WorkersClient::connect(address).await?;
    let (up, messages) = mpsc::channel(1024);
    let send = async |message| up.send(WorkerMessage { message: Some(message) }).await;
    let name = "no-op".to_owned();
    let register = Register {
        protocol: PROTOCOL,
        host: name.clone(),
        device: name.clone(),
        kind: name.clone(),
        name,
        slots: SLOTS,
        computes: true,
        holding: Vec::new(),
    };
    send(Up::Register(register)).await?;
    let mut down = client.attach(ReceiverStream::new(messages)).await?.into_inner();
    let outcome = serde_json::to_vec(&Outcome::Evaluated(Evaluation { right: 0, total: 1, loss: 0.0 }))?;
    while let Some(message) = down.message().await? {
        match message.message {
            Some(Down::Lease(lease)) => {
                send(Up::Finished(Finished { key: lease.key, attempt: lease.attempt, outcome: outcome.clone(), seconds: 0.0 })).await?;
            }
            _ => send(Up::Heartbeat(Heartbeat {})).await?,
        }
    }
    Ok(())
}
