//! Leases, results and blobs.

use super::*;
use crate::store::StoredResult;
use pleach_shared::rpc::v1::blobs_client::BlobsClient;
use pleach_shared::task::{BlobId, Evaluation, TaskKey, Trained};
use std::collections::BTreeMap;
use tonic::Code;

#[tokio::test]
async fn a_result_is_durable_before_it_is_acknowledged_and_is_there_for_the_next_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let task = measurement(4);
    let mut worker = FakeWorker::attach(&served, "w1").await;
    let (first, second) = (served.want(&task), served.want(&task));
    let lease = worker.lease().await;
    assert_eq!((Task::decode(&lease.task).unwrap(), TaskKey::of(&lease.task)), (task.clone(), task.key()));
    assert_eq!(served.coordinator.store.result(&task.key()), Ok(None));

    let progress = Progress { key: lease.key.clone(), fraction: 0.25 };
    worker.say(Up::Progress(progress)).await;
    let mut clients = WorkersClient::new(served.channel().await);
    let running = loop {
        let list = clients.list(ListWorkersRequest {}).await.unwrap().into_inner().workers;
        assert_eq!((list.len(), list[0].name.as_str()), (1, "w1"));
        if list[0].running[0].fraction > 0.0 {
            break list[0].running[0].clone();
        }
    };
    assert_eq!((running.what.as_str(), running.fraction), ("measure on local", 0.25));

    worker.finish(&lease, json(&latency(1.5))).await;
    worker.acked(&lease).await;
    let StoredResult { outcome, task: bytes, worker: name, kind, attempt, .. } =
        served.coordinator.store.result(&task.key()).unwrap().expect("stored when acknowledged");
    assert_eq!((outcome, bytes), (json(&latency(1.5)), task.encode()));
    assert_eq!((name.as_str(), kind.as_str(), attempt), ("w1", "fake", 1));
    assert_eq!(first.await.unwrap(), Ok((latency(1.5), false)));
    assert_eq!(second.await.unwrap(), Ok((latency(1.5), false)), "shared the execution");
    assert_eq!(served.want(&task).await.unwrap(), Ok((latency(1.5), true)));
    served.stop().await;
}

#[tokio::test]
async fn a_task_whose_worker_is_lost_goes_to_another_and_a_late_result_is_not_needed() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let task = measurement(4);
    let mut lost = FakeWorker::attach(&served, "lost").await;
    let wanted = served.want(&task);
    let lease = lost.lease().await;
    drop(lost);
    let mut worker = FakeWorker::attach(&served, "w2").await;
    let again = worker.lease().await;
    assert_eq!((again.key.clone(), again.attempt), (lease.key.clone(), 2));
    worker.finish(&again, json(&latency(2.0))).await;
    worker.acked(&again).await;
    assert_eq!(wanted.await.unwrap(), Ok((latency(2.0), false)));

    // It comes back with its own result, holding the lease: told at once that it may forget it.
    let holding = vec![Holding { key: lease.key.clone(), attempt: lease.attempt }];
    let mut back = FakeWorker::dial(&served, Register { holding, ..register("lost") }).await.unwrap();
    back.acked(&lease).await;
    back.finish(&lease, json(&latency(9.0))).await;
    back.acked(&lease).await;
    assert_eq!(served.want(&task).await.unwrap(), Ok((latency(2.0), true)), "the first result stays");
    served.stop().await;
}

#[tokio::test]
async fn a_result_that_nobody_waits_for_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let task = measurement(4);
    let mut worker = FakeWorker::attach(&served, "w1").await;
    let wanted = served.want(&task);
    let lease = worker.lease().await;
    wanted.abort();
    let Down::Revoke(revoke) = worker.next().await else { panic!("no revoke") };
    assert_eq!((revoke.key, revoke.attempt), (lease.key.clone(), 1));
    worker.finish(&lease, json(&latency(1.0))).await;
    worker.acked(&lease).await;
    assert!(served.coordinator.store.result(&task.key()).unwrap().is_some());
    assert_eq!(served.want(&task).await.unwrap(), Ok((latency(1.0), true)));
    served.stop().await;
}

#[tokio::test]
async fn an_unreadable_result_and_one_without_its_model_are_failures() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let mut worker = FakeWorker::attach(&served, "w1").await;
    let wanted = served.want(&measurement(4));
    let model = BlobId::of(b"a model");
    let trained = Trained {
        model,
        kept: BTreeMap::new(),
        nonzero: None,
        evaluation: Evaluation { right: 1, total: 2, loss: 0.5 },
        steps: 1,
        train_loss: 0.5,
    };
    for outcome in [b"{".to_vec(), b"{\"kind\":\"guessed\"}".to_vec(), json(&Outcome::Trained(trained.clone()))] {
        let lease = worker.lease().await;
        worker.finish(&lease, outcome).await;
        worker.acked(&lease).await;
    }
    let error = wanted.await.unwrap().unwrap_err().to_string();
    let end = format!("its model {model} was not stored before the result was sent");
    assert_eq!(error, format!("measure on local failed: failed 3 times, the last time on worker w1: {end}"));

    // With its model it is taken; when the model is lost later, the task runs again.
    let mut blobs = BlobsClient::new(served.channel().await);
    let chunks = [b"a mo".to_vec(), b"del".to_vec()].map(|data| BlobChunk { data });
    let put = blobs.put(tokio_stream::iter(chunks)).await.unwrap().into_inner();
    assert_eq!(put.id, model.as_bytes());
    let wanted = served.want(&measurement(4));
    let lease = worker.lease().await;
    worker.finish(&lease, json(&Outcome::Trained(trained))).await;
    worker.acked(&lease).await;
    assert!(wanted.await.unwrap().is_ok());
    std::fs::remove_dir_all(dir.path().join("blobs").join(&model.to_string()[..2])).unwrap();
    let wanted = served.want(&measurement(4));
    let lease = worker.lease().await;
    worker.finish(&lease, json(&latency(3.0))).await;
    assert_eq!(wanted.await.unwrap(), Ok((latency(3.0), false)));
    served.stop().await;
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let refused = |register| async { FakeWorker::dial(&served, register).await.map(drop).unwrap_err() };
    let status = refused(Register { protocol: 7, ..register("w1") }).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        format!("the worker speaks protocol version 7, this coordinator version {PROTOCOL}; install the same Pleach on both")
    );
    let holding = vec![Holding { key: vec![1, 2, 3], attempt: 1 }];
    assert_eq!(refused(Register { holding, ..register("w1") }).await.code(), Code::InvalidArgument);
    let mut client = WorkersClient::new(served.channel().await);
    let silent = tokio_stream::iter([WorkerMessage { message: Some(Up::Heartbeat(Heartbeat {})) }]);
    assert_eq!(client.attach(silent).await.unwrap_err().code(), Code::InvalidArgument);

    // Nonsense on an open stream is ignored, and the stream goes on.
    let mut worker = FakeWorker::attach(&served, "w1").await;
    worker.say(Up::Progress(Progress { key: vec![1], fraction: f64::NAN })).await;
    worker.say(Up::Failed(Failed { key: vec![7; 32], attempt: 3, error: String::new(), retry: true })).await;
    let Down::Ack(ack) = worker.next().await else { panic!("no ack") };
    assert_eq!(ack.attempt, 3);
    served.stop().await;
}

#[tokio::test]
async fn stopping_ends_streams_and_waits_and_lets_go_of_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let mut worker = FakeWorker::attach(&served, "w1").await;
    let wanted = served.want(&measurement(4));
    worker.lease().await;
    let (coordinator, serving) = (served.coordinator.clone(), served.serving);
    served.shutdown.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert_eq!(wanted.await.unwrap(), Err(RunError::Cancelled));
    assert!(!matches!(worker.down.message().await, Ok(Some(_))), "the stream is closed");
    drop((coordinator, served.coordinator));
    Coordinator::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn blobs_travel_in_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let bytes: Vec<u8> = (0..600_000u32).map(|n| n as u8).collect();
    let mut client = BlobsClient::new(served.channel().await);
    let chunks: Vec<BlobChunk> = bytes.chunks(100_000).map(|data| BlobChunk { data: data.to_vec() }).collect();
    let id = client.put(tokio_stream::iter(chunks)).await.unwrap().into_inner().id;
    assert_eq!(id, BlobId::of(&bytes).as_bytes());
    let have = HaveBlobsRequest { ids: vec![vec![0; 32], id.clone()] };
    assert_eq!(client.have(have).await.unwrap().into_inner().ids, std::slice::from_ref(&id));
    let mut chunks = client.get(GetBlobRequest { id }).await.unwrap().into_inner();
    let mut sizes = Vec::new();
    let mut received = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        sizes.push(chunk.data.len());
        received.extend(chunk.data);
    }
    assert_eq!((sizes, received == bytes), (vec![262_144, 262_144, 75_712], true));
    let mut none = client.get(GetBlobRequest { id: vec![0; 32] }).await.unwrap().into_inner();
    assert_eq!(none.message().await.unwrap_err().code(), Code::NotFound);
    served.stop().await;
}
