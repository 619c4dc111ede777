//! The coordinator as a process sees it: gRPC services, and the I/O round the scheduler.
//!
//! ```text
//! workers.rs      the attach streams            \
//! handle.rs       what a search asks for tasks   > inputs > shell.rs, which owns the scheduler and commits results
//! programs.rs     the searches that run         /
//! status.rs       what is known of each, for watchers
//! experiments.rs  what clients do with experiments, watching included
//! blobs.rs        bytes by hash
//! ```

mod blobs;
mod convert;
mod experiments;
mod handle;
mod input;
mod programs;
mod shell;
mod status;
mod workers;

#[cfg(test)]
mod tests;

pub use handle::{Handle, Order};
pub use status::{Live, View};

use crate::store::{Store, StoreError};
use pleach_shared::rpc::v1;
use pleach_shared::rpc::v1::blobs_server::BlobsServer;
use pleach_shared::rpc::v1::experiments_server::ExperimentsServer;
use pleach_shared::rpc::v1::workers_server::WorkersServer;
use programs::Programs;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::Instrument;

/// The largest submission or summary: a big network with a long document is some megabytes.
const EXPERIMENT_LIMIT: usize = 64 << 20;

/// The largest message of a worker, and the largest part of a blob.
const MESSAGE_LIMIT: usize = 16 << 20;

/// How long open requests may take to end once everything else has stopped.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// A coordinator: a data directory, the scheduler, the searches that run.
pub struct Coordinator {
    store: Store,
    handle: Handle,
    programs: Programs,
    /// Whether the coordinator stops.
    stopping: watch::Sender<bool>,
    /// Whether workers may attach: not before the searches of an earlier life have asked for what those may still run.
    ready: watch::Sender<bool>,
}

/// Why a coordinator ends.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network failed.
    #[error("cannot serve: {0}")]
    Transport(String),
}

impl Coordinator {
    /// Opens a data directory and starts the scheduler. Nothing runs and nobody is served yet.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open(data_dir: &Path) -> Result<Arc<Coordinator>, StoreError> {
        let dir = data_dir.to_owned();
        // Opening checks the whole database, which may take a while.
        let opened = tokio::task::spawn_blocking(move || Store::open(&dir)).await;
        let store = opened.map_err(|error| StoreError::Database(error.to_string()))??;
        let stopping = watch::Sender::new(false);
        let handle = shell::start(store.clone());
        let programs = Programs::new(store.clone(), handle.clone(), stopping.subscribe());
        Ok(Arc::new(Coordinator { store, handle, programs, stopping, ready: watch::Sender::new(true) }))
    }

    /// Starts the experiments again that ran (or waited) when the last coordinator of this data directory stopped. Their
    /// finished work is not done twice. Call it before [`Coordinator::serve`]: workers that attach are held back for a moment,
    /// until the searches have asked for the tasks that these workers may still be at.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn resume_unfinished(&self) -> Result<(), StoreError> {
        let settled = self.programs.start_unfinished().await?;
        if settled.is_empty() {
            return Ok(());
        }
        self.ready.send_replace(false);
        let ready = self.ready.clone();
        // Ends by itself after some seconds at most.
        spawn("recovery", async move {
            programs::all_settled(settled).await;
            ready.send_replace(true);
        });
        Ok(())
    }

    /// The tasks' way to workers, for searches.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The data directory.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until `shutdown` completes, then stops the searches (they go on at the next start), makes durable what workers
    /// have handed in, and closes their streams. A coordinator serves once.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let address = listener.local_addr().map_err(|error| ServeError::Transport(error.to_string()))?;
        self.store.announce(&address.to_string())?;
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<ExperimentsServer<experiments::Service>>().await;
        health.set_serving::<WorkersServer<workers::Service>>().await;
        health.set_serving::<BlobsServer<blobs::Service>>().await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .build_v1()
            .map_err(|error| ServeError::Transport(error.to_string()))?;
        let experiments = ExperimentsServer::new(experiments::Service::new(self.clone()))
            .max_decoding_message_size(EXPERIMENT_LIMIT)
            .max_encoding_message_size(EXPERIMENT_LIMIT);
        let workers = WorkersServer::new(workers::Service::new(self.clone())).max_decoding_message_size(MESSAGE_LIMIT);
        let blobs = BlobsServer::new(blobs::Service::new(self.store.blobs().clone())).max_decoding_message_size(MESSAGE_LIMIT);

        let (stopped, is_stopped) = oneshot::channel();
        let stop = async {
            shutdown.await;
            self.stop().await;
            // `serve` may have failed meanwhile, and then nobody listens.
            let _ = stopped.send(());
        };
        let serving = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .add_service(health_service)
            .add_service(reflection)
            .add_service(experiments)
            .add_service(workers)
            .add_service(blobs)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop);
        let overdue = async {
            match is_stopped.await {
                Ok(()) => tokio::time::sleep(LAST_REQUESTS).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            served = serving => served.map_err(|error| ServeError::Transport(causes(&error))),
            () = overdue => {
                tracing::warn!("some clients did not let go; stopping without them");
                Ok(())
            }
        }
    }

    async fn stop(&self) {
        self.stopping.send_replace(true);
        self.programs.stop_all().await;
        self.handle.stop().await;
    }
}

/// Spawns a task that has a name in the logs.
fn spawn<T: Send + 'static>(name: &'static str, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future.instrument(tracing::debug_span!("task", name)))
}

/// An error with what caused it: tonic's own words are only "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
