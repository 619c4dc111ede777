//! `Workers`: the attach streams, and who is there.

use super::input::{Input, Said};
use super::{Coordinator, Handle, convert, spawn};
use crate::schedule::{Attempt, WorkerId};
use crate::store::Store;
use pleach_shared::rpc::v1::worker_message::Message;
use pleach_shared::rpc::v1::workers_server::Workers;
use pleach_shared::rpc::v1::{CoordinatorMessage, Failed, Finished, ListWorkersRequest, ListWorkersResponse, Progress, WorkerMessage};
use pleach_shared::task::Outcome;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Messages that may wait for a worker to read them. It gets at most a lease a slot and an answer to what it says itself.
const OUTBOX: usize = 4096;

/// How long a connection may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(10);

pub(super) struct Service {
    coordinator: Arc<Coordinator>,
}

impl Service {
    pub(super) fn new(coordinator: Arc<Coordinator>) -> Service {
        Service { coordinator }
    }
}

#[tonic::async_trait]
impl Workers for Service {
    type AttachStream = ReceiverStream<Result<CoordinatorMessage, Status>>;

    async fn attach(&self, request: Request<Streaming<WorkerMessage>>) -> Result<Response<Self::AttachStream>, Status> {
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(INTRODUCTION, inbound.message()).await;
        let Some(WorkerMessage { message: Some(Message::Register(register)) }) = first.map_err(|_| unregistered())?? else {
            return Err(unregistered());
        };
        let (info, holding) = convert::register(register)?;
        // Fails only without a sender, and the coordinator is one.
        let _ = self.coordinator.ready.subscribe().wait_for(|ready| *ready).await;
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let (open, closed) = oneshot::channel();
        let (id, worker) = oneshot::channel();
        let handle = self.coordinator.handle.clone();
        handle.tell(Input::Attach { info, holding, outbox, open, id });
        let worker = worker.await.map_err(|_| Status::unavailable("the coordinator stops"))?;
        // Ends with the stream, from whichever side, and tells the shell.
        spawn("worker stream", read(worker, inbound, closed, handle, self.coordinator.store.clone()));
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn list(&self, _: Request<ListWorkersRequest>) -> Result<Response<ListWorkersResponse>, Status> {
        Ok(Response::new(ListWorkersResponse { workers: self.coordinator.handle.workers().await }))
    }
}

fn unregistered() -> Status {
    Status::invalid_argument("the first message on an attach stream must be Register")
}

async fn read(worker: WorkerId, mut inbound: Streaming<WorkerMessage>, mut closed: oneshot::Receiver<()>, handle: Handle, store: Store) {
    loop {
        let message = tokio::select! {
            message = inbound.message() => message,
            _ = &mut closed => break,
        };
        match message {
            Ok(Some(message)) => match understand(message, &store).await {
                Ok(said) => handle.tell(Input::Worker(worker, said)),
                // A newer worker may say more than this coordinator knows; what it says wrongly is its own loss.
                Err(status) => tracing::warn!(worker = worker.0, error = status.message(), "message ignored"),
            },
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(worker = worker.0, error = status.message(), "stream broke");
                break;
            }
        }
    }
    handle.tell(Input::Worker(worker, Said::Gone));
}

async fn understand(message: WorkerMessage, store: &Store) -> Result<Said, Status> {
    match message.message {
        Some(Message::Heartbeat(_)) => Ok(Said::Heartbeat),
        Some(Message::Finished(Finished { key, attempt, outcome, seconds })) => {
            let (key, attempt) = (convert::task_key(&key)?, Attempt(attempt));
            // JSON has no infinities, and the record of the result is JSON.
            let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
            Ok(Said::Finished { key, attempt, outcome: check(outcome, store).await, seconds })
        }
        Some(Message::Failed(Failed { key, attempt, error, retry })) => {
            Ok(Said::Failed { key: convert::task_key(&key)?, attempt: Attempt(attempt), error, retry })
        }
        Some(Message::Progress(Progress { key, fraction })) => {
            let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
            Ok(Said::Progress { key: convert::task_key(&key)?, fraction })
        }
        Some(Message::Register(_)) => Err(Status::invalid_argument("a worker registers once a stream")),
        None => Err(Status::invalid_argument("an empty message")),
    }
}

/// Whether these bytes are a result that can be relied on: an outcome, with its model stored.
async fn check(outcome: Vec<u8>, store: &Store) -> Result<Vec<u8>, String> {
    match serde_json::from_slice(&outcome) {
        Err(error) => Err(format!("its result is unreadable: {error}")),
        Ok(Outcome::Trained(trained)) => match store.blobs().has(&trained.model).await {
            Ok(true) => Ok(outcome),
            Ok(false) => Err(format!("its model {} was not stored before the result was sent", trained.model)),
            Err(error) => Err(error.to_string()),
        },
        Ok(Outcome::Evaluated(_) | Outcome::Measured(_)) => Ok(outcome),
    }
}
