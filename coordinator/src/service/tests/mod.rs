//! The services over real sockets, with workers that are only a few messages.

mod experiments;
mod workers;

use super::*;
use crate::run::RunError;
use pleach_shared::network::zoo;
use pleach_shared::rpc::PROTOCOL;
use pleach_shared::rpc::v1::coordinator_message::Message as Down;
use pleach_shared::rpc::v1::worker_message::Message as Up;
use pleach_shared::rpc::v1::workers_client::WorkersClient;
use pleach_shared::rpc::v1::*;
use pleach_shared::task::{Engine, Latency, Measure, Outcome, Task};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// A coordinator that serves, in a directory of its own.
struct Served {
    coordinator: Arc<Coordinator>,
    address: String,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

async fn serve(dir: &Path) -> Served {
    let coordinator = Coordinator::open(dir).await.unwrap();
    coordinator.resume_unfinished().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (shutdown, told) = oneshot::channel();
    let stop = async { drop(told.await) };
    let serving = tokio::spawn(coordinator.clone().serve(listener, stop));
    Served { coordinator, address, shutdown, serving }
}

impl Served {
    async fn channel(&self) -> Channel {
        Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap()
    }

    /// Somebody who waits for a task.
    fn want(&self, task: &Task) -> JoinHandle<Result<(Outcome, bool), RunError>> {
        let (handle, task) = (self.coordinator.handle.clone(), task.clone());
        tokio::spawn(async move { handle.run(task, Order::new(0, 0)).await })
    }

    async fn stop(self) {
        self.shutdown.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

/// A worker that does nothing by itself.
struct FakeWorker {
    up: mpsc::Sender<WorkerMessage>,
    down: Streaming<CoordinatorMessage>,
}

fn register(name: &str) -> Register {
    Register {
        protocol: PROTOCOL,
        name: name.into(),
        host: name.into(),
        device: "local".into(),
        kind: "fake".into(),
        slots: 1,
        computes: true,
        holding: Vec::new(),
    }
}

impl FakeWorker {
    async fn dial(served: &Served, register: Register) -> Result<FakeWorker, Status> {
        let (up, messages) = mpsc::channel(16);
        up.send(WorkerMessage { message: Some(Up::Register(register)) }).await.unwrap();
        let down = WorkersClient::new(served.channel().await).attach(ReceiverStream::new(messages)).await?.into_inner();
        let mut worker = FakeWorker { up, down };
        let Down::Welcome(welcome) = worker.next().await else { panic!("no welcome") };
        assert_eq!(welcome.heartbeat_ms, 3000);
        Ok(worker)
    }

    async fn attach(served: &Served, name: &str) -> FakeWorker {
        FakeWorker::dial(served, register(name)).await.unwrap()
    }

    async fn next(&mut self) -> Down {
        let message = tokio::time::timeout(Duration::from_secs(10), self.down.message()).await.expect("a message within 10 s");
        message.unwrap().expect("an open stream").message.unwrap()
    }

    async fn lease(&mut self) -> Lease {
        match self.next().await {
            Down::Lease(lease) => lease,
            other => panic!("no lease: {other:?}"),
        }
    }

    async fn acked(&mut self, lease: &Lease) {
        let Down::Ack(ack) = self.next().await else { panic!("no ack") };
        assert_eq!((ack.key, ack.attempt), (lease.key.clone(), lease.attempt));
    }

    async fn say(&self, message: Up) {
        self.up.send(WorkerMessage { message: Some(message) }).await.unwrap();
    }

    async fn finish(&self, lease: &Lease, outcome: impl Into<Vec<u8>>) {
        let finished = Finished { key: lease.key.clone(), attempt: lease.attempt, outcome: outcome.into(), seconds: 0.5 };
        self.say(Up::Finished(finished)).await;
    }
}

/// A task that is told from others by its device, which every worker here is if it is `local`.
fn measurement(width: usize) -> Task {
    let network = zoo::vgg(&[zoo::VggItem::Conv(width)], [1, 8, 8], 2).unwrap();
    Task::Measure(Measure { network, device: "local".into(), engine: Engine::Burn })
}

fn latency(median_ms: f64) -> Outcome {
    Outcome::Measured(Latency { median_ms, mad_ms: 0.01, min_ms: 0.1, p10_ms: 0.1, p90_ms: 0.3, runs: 100, threads: 1 })
}

fn json(outcome: &Outcome) -> Vec<u8> {
    serde_json::to_vec(outcome).unwrap()
}
