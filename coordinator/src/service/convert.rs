//! Between the wire and the vocabulary. What comes from a peer may be anything, and is answered with a sentence, not a panic.

use crate::schedule::{Attempt, WorkerId, WorkerInfo, WorkerView};
use crate::store::StoreError;
use pleach_shared::rpc::PROTOCOL;
use pleach_shared::rpc::v1::coordinator_message::Message;
use pleach_shared::rpc::v1::{Ack, Holding, Lease, Register, Revoke, RunningTask, Welcome, Worker};
use pleach_shared::task::{BlobId, TaskKey};
use tonic::Status;

/// Milliseconds between a worker's heartbeats: several fit into the silence that the scheduler allows.
const HEARTBEAT_MS: u64 = 3000;

pub(super) fn welcome(worker: WorkerId) -> Message {
    Message::Welcome(Welcome { worker: worker.0, heartbeat_ms: HEARTBEAT_MS })
}

pub(super) fn lease(key: TaskKey, attempt: Attempt, task: Vec<u8>) -> Message {
    Message::Lease(Lease { key: key.as_bytes().to_vec(), attempt: attempt.0, task })
}

pub(super) fn ack(key: TaskKey, attempt: Attempt) -> Message {
    Message::Ack(Ack { key: key.as_bytes().to_vec(), attempt: attempt.0 })
}

pub(super) fn revoke(key: TaskKey, attempt: Attempt) -> Message {
    Message::Revoke(Revoke { key: key.as_bytes().to_vec(), attempt: attempt.0 })
}

pub(super) fn worker(view: &WorkerView<'_>, running: impl Fn(&TaskKey) -> Option<RunningTask>) -> Worker {
    let WorkerInfo { name, host, device, kind, slots, computes } = view.info.clone();
    let running = view.leases.iter().filter_map(|(key, _)| running(key)).collect();
    Worker { id: view.id.0, name, host, device, kind, slots, computes, running }
}

/// Who a worker is and what it holds.
pub(super) fn register(register: Register) -> Result<(WorkerInfo, Vec<(TaskKey, Attempt)>), Status> {
    let Register { protocol, name, host, device, kind, slots, computes, holding } = register;
    if protocol != PROTOCOL {
        let text =
            format!("the worker speaks protocol version {protocol}, this coordinator version {PROTOCOL}; install the same Pleach on both");
        return Err(Status::failed_precondition(text));
    }
    if name.is_empty() || host.is_empty() {
        return Err(Status::invalid_argument("a worker needs a name and a host"));
    }
    let holding =
        holding.into_iter().map(|Holding { key, attempt }| Ok((task_key(&key)?, Attempt(attempt)))).collect::<Result<_, Status>>()?;
    Ok((WorkerInfo { name, host, device, kind, slots, computes }, holding))
}

pub(super) fn task_key(bytes: &[u8]) -> Result<TaskKey, Status> {
    TaskKey::from_slice(bytes).ok_or_else(|| Status::invalid_argument(format!("a task's key has 32 bytes, not {}", bytes.len())))
}

pub(super) fn blob_id(bytes: &[u8]) -> Result<BlobId, Status> {
    BlobId::from_slice(bytes).ok_or_else(|| Status::invalid_argument(format!("a blob's id has 32 bytes, not {}", bytes.len())))
}

/// A store's error as a client sees it.
pub(super) fn status(error: StoreError) -> Status {
    let text = error.to_string();
    match error {
        StoreError::NoExperiment(_) | StoreError::NoBlob(_) => Status::not_found(text),
        StoreError::Ambiguous { .. } | StoreError::TooLarge(_) => Status::invalid_argument(text),
        StoreError::DamagedBlob { .. } => Status::data_loss(text),
        StoreError::Interrupted(_) => Status::aborted(text),
        StoreError::Closed => Status::unavailable(text),
        StoreError::InUse { .. }
        | StoreError::Newer { .. }
        | StoreError::Damaged { .. }
        | StoreError::Io { .. }
        | StoreError::Database(_)
        | StoreError::Row { .. }
        | StoreError::Blobs(_) => Status::internal(text),
    }
}
