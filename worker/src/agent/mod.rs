//! The attach stream: leases in, heartbeats and results out.
//!
//! A worker that loses its coordinator keeps computing, reconnects with back-off and announces what it holds. A finished
//! result stays in the outbox until the coordinator says that it is durable.

mod args;
mod blobs;
mod held;

pub use args::WorkerArgs;

use crate::compute::Compute;
use crate::execute::Executor;
use blobs::RemoteBlobs;
use futures::StreamExt;
use held::Held;
use pleach_shared::rpc::PROTOCOL;
use pleach_shared::rpc::v1::coordinator_message::Message as Down;
use pleach_shared::rpc::v1::worker_message::Message as Up;
use pleach_shared::rpc::v1::workers_client::WorkersClient;
use pleach_shared::rpc::v1::{Failed, Finished, Heartbeat, Lease, Progress, Register, WorkerMessage};
use pleach_shared::task::{Task, TaskKey};
use rand::Rng;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

/// How long a new worker tries to reach its coordinator before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest pause between two tries to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Least time between two progress messages of a task.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Who a worker is and whom it works for.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the coordinator, such as `http://127.0.0.1:7420`.
    pub coordinator: String,
    /// Its name, for people.
    pub name: String,
    /// Name of the machine; measurements have a machine to themselves.
    pub host: String,
    /// Name of the device whose latency it measures.
    pub device: String,
    /// Tasks at a time.
    pub slots: u32,
    /// What computes.
    pub compute: Compute,
    /// Whether it trains, or only measures.
    pub computes: bool,
}

/// Why a worker ends.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The address is none.
    #[error("`{0}` is no address of a coordinator; expected something like http://127.0.0.1:7420")]
    Address(String),
    /// Nobody answers there.
    #[error("cannot reach the coordinator at {address}: {error}; start it with `pleach coordinator`, or give another --coordinator")]
    Unreachable {
        /// Where.
        address: String,
        /// What the transport said.
        error: String,
    },
    /// The coordinator refuses this worker.
    #[error("the coordinator refused this worker: {0}")]
    Refused(String),
}

/// Turns panics of tasks into log lines: the agent reports them as failures, and nobody should read a backtrace.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| tracing::error!("{info}")));
}

/// Works until `shutdown` completes.
///
/// # Errors
/// When the coordinator cannot be reached at first, or refuses the worker. Once attached, a lost connection is retried for ever.
pub async fn work(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    tokio::select! {
        () = shutdown => Ok(()),
        result = attach_for_ever(config) => result,
    }
}

async fn attach_for_ever(config: Config) -> Result<(), AgentError> {
    let endpoint = Endpoint::from_shared(config.coordinator.clone())
        .map_err(|_| AgentError::Address(config.coordinator.clone()))?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    let agent = Arc::new(Agent { executor: Executor::new(config.compute), held: Held::default(), config });
    let started = Instant::now();
    let mut attached_once = false;
    let mut pause = Duration::from_millis(200);
    loop {
        let error = match endpoint.connect().await {
            Err(error) => source(&error),
            Ok(channel) => match agent.clone().attach(channel).await {
                Ok(()) => {
                    (attached_once, pause) = (true, Duration::from_millis(200));
                    "the connection was closed".to_owned()
                }
                Err(status) if matches!(status.code(), tonic::Code::FailedPrecondition | tonic::Code::InvalidArgument) => {
                    return Err(AgentError::Refused(status.message().to_owned()));
                }
                Err(status) => status.message().to_owned(),
            },
        };
        if !attached_once && started.elapsed() > PATIENCE {
            return Err(AgentError::Unreachable { address: agent.config.coordinator.clone(), error });
        }
        tracing::info!(%error, "coordinator lost; reconnecting");
        // Jitter keeps a cluster's workers from coming back all at once.
        let jitter = rand::rng().random_range(0.5..1.5);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Agent {
    config: Config,
    executor: Executor,
    held: Held,
}

impl Agent {
    /// One life of the stream. Ends well when an accepted stream is closed.
    async fn attach(self: Arc<Self>, channel: Channel) -> Result<(), tonic::Status> {
        let (up, messages) = mpsc::channel(256);
        send(&up, Up::Register(self.register())).await;
        let mut client = WorkersClient::new(channel.clone());
        let mut down = client.attach(ReceiverStream::new(messages)).await?.into_inner();
        let Some(first) = down.next().await else { return Err(tonic::Status::unavailable("the stream ended before the welcome")) };
        let Some(Down::Welcome(welcome)) = first?.message else {
            return Err(tonic::Status::failed_precondition("the first message was no welcome; is this a Pleach coordinator?"));
        };
        tracing::info!(worker = welcome.worker, slots = self.config.slots, "attached");
        self.held.connect(up.clone());
        for finished in self.held.outbox() {
            send(&up, Up::Finished(finished)).await;
        }
        let mut heartbeat = tokio::time::interval(Duration::from_millis(welcome.heartbeat_ms.max(100)));
        loop {
            tokio::select! {
                _ = heartbeat.tick() => send(&up, Up::Heartbeat(Heartbeat {})).await,
                message = down.next() => match message {
                    Some(Ok(message)) => self.clone().receive(message.message, &channel),
                    // Reported as a lost connection: everything held goes on.
                    Some(Err(_)) | None => return Ok(()),
                },
            }
        }
    }

    fn register(&self) -> Register {
        let config = &self.config;
        Register {
            protocol: PROTOCOL,
            name: config.name.clone(),
            host: config.host.clone(),
            device: config.device.clone(),
            kind: config.compute.kind().to_owned(),
            slots: config.slots,
            computes: config.computes,
            holding: self.held.holding(),
        }
    }

    fn receive(self: Arc<Self>, message: Option<Down>, channel: &Channel) {
        match message {
            Some(Down::Lease(lease)) => {
                let Some(key) = TaskKey::from_slice(&lease.key) else { return };
                let revoked = self.held.take_on(key, lease.attempt);
                // The lease's task: ends by itself, and its result goes through `held`, so nobody needs to join it.
                tokio::spawn(self.work_on(key, lease, revoked, channel.clone()));
            }
            Some(Down::Ack(ack)) => self.held.forget(&ack.key, ack.attempt),
            Some(Down::Revoke(revoke)) => self.held.forget(&revoke.key, revoke.attempt),
            Some(Down::Welcome(_)) | None => {}
        }
    }

    async fn work_on(self: Arc<Self>, key: TaskKey, lease: Lease, revoked: Arc<AtomicBool>, channel: Channel) {
        let started = Instant::now();
        let attempt = lease.attempt;
        let agent = self.clone();
        let blobs = RemoteBlobs::new(channel, tokio::runtime::Handle::current());
        // Burn computes for minutes: never on a thread of the runtime.
        let done = tokio::task::spawn_blocking(move || {
            if TaskKey::of(&lease.task) != key {
                return Err(crate::error::TaskError::Unknown("its bytes do not hash to its key".into()));
            }
            let task = Task::decode(&lease.task).map_err(|error| crate::error::TaskError::Unknown(error.to_string()))?;
            tracing::debug!(task = task.what(), attempt, "started");
            let last = std::cell::Cell::new(Instant::now());
            let progress = |fraction: f64| {
                if revoked.load(Ordering::Relaxed) {
                    return Err(crate::error::TaskError::Revoked);
                }
                if last.get().elapsed() >= PROGRESS_EVERY {
                    last.set(Instant::now());
                    agent.held.tell(Up::Progress(Progress { key: key.as_bytes().to_vec(), fraction }));
                }
                Ok(())
            };
            agent.executor.execute(&task, &blobs, &progress)
        })
        .await;
        let failed = |error: String, retry: bool| Up::Failed(Failed { key: key.as_bytes().to_vec(), attempt, error, retry });
        match done {
            Ok(Ok(outcome)) => match serde_json::to_vec(&outcome) {
                Ok(outcome) => {
                    let seconds = started.elapsed().as_secs_f64();
                    self.held.finish(key, Finished { key: key.as_bytes().to_vec(), attempt, outcome, seconds });
                }
                Err(error) => self.held.fail(key, attempt, failed(error.to_string(), false)),
            },
            Ok(Err(crate::error::TaskError::Revoked)) => {}
            Ok(Err(error)) => self.held.fail(key, attempt, failed(error.to_string(), error.is_transient())),
            Err(join) => {
                let panic = join.try_into_panic().ok();
                let text = panic
                    .as_ref()
                    .and_then(|p| p.downcast_ref::<String>().cloned().or_else(|| p.downcast_ref::<&str>().map(|s| (*s).to_owned())));
                let error = format!("the worker broke down on it: {}", text.unwrap_or_else(|| "the task was aborted".into()));
                self.held.fail(key, attempt, failed(error, true));
            }
        }
    }
}

async fn send(up: &mpsc::Sender<WorkerMessage>, message: Up) {
    // A closed channel is a closed stream; the receiving side reports it.
    let _ = up.send(WorkerMessage { message: Some(message) }).await;
}

/// The innermost cause: what a person can act on ("connection refused").
fn source(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
