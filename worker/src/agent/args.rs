//! A worker's command line, shared by `pleach worker` and `pleach-worker`.

use super::{AgentError, Config, work};
use crate::compute::Compute;
use clap::Args;

/// Attach to a coordinator and work for it.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  pleach worker --coordinator http://10.0.0.1:7420 --device wgpu:0
  pleach worker --slots 4                        # four tasks at a time on this CPU
  pleach worker --measure-only --measures pi4    # this machine is the board `device: pi4` of a YAML file")]
pub struct WorkerArgs {
    /// Address of the coordinator.
    #[arg(long, env = "PLEACH_COORDINATOR", default_value = "http://127.0.0.1:7420")]
    pub coordinator: String,
    /// Tasks at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub slots: u32,
    /// What computes: flex (CPU), wgpu (the best GPU) or wgpu:N (the Nth discrete GPU).
    #[arg(long, default_value_t)]
    pub device: Compute,
    /// Name of this worker [default: host name and process id].
    #[arg(long)]
    pub name: Option<String>,
    /// Name of the device whose latency this worker measures: what `device:` in a YAML file asks for.
    #[arg(long, default_value = "local")]
    pub measures: String,
    /// Only measure latency; train nothing.
    #[arg(long)]
    pub measure_only: bool,
}

impl WorkerArgs {
    /// The worker that they describe.
    pub fn config(&self) -> Config {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        Config {
            coordinator: self.coordinator.clone(),
            name: self.name.clone().unwrap_or_else(|| format!("{host}-{}", std::process::id())),
            host,
            device: self.measures.clone(),
            slots: self.slots,
            compute: self.device,
            computes: !self.measure_only,
        }
    }

    /// Works until Ctrl-C.
    ///
    /// # Errors
    /// As [`work`].
    pub async fn run(&self) -> Result<(), AgentError> {
        let interrupt = async {
            // Without a signal handler the process is simply killed: leases and results survive that too.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        work(self.config(), interrupt).await
    }
}
