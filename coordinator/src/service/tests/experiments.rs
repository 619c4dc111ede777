//! Submitting, watching, cancelling, resuming, restarting.

use super::*;
use crate::report::Summary;
use crate::store::{ExperimentRow, ExperimentState};
use pleach_shared::rpc::v1::experiments_client::ExperimentsClient;
use pleach_shared::submission::Submission;
use pleach_shared::task::{Adapt, BlobId, Evaluation, Prune, Trained};
use std::collections::BTreeMap;
use tonic::Code;

#[tokio::test]
async fn what_clients_get_wrong_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let mut client = ExperimentsClient::new(served.channel().await);
    let request = SubmitRequest { document: String::new(), submission: b"{}".to_vec() };
    let status = client.submit(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("the submission is unreadable: missing field"), "{}", status.message());
    let status = client.get(GetExperimentRequest { id: "nope".into() }).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "there is no experiment `nope`; `pleach ls` lists them"));
    served.stop().await;
}

/// An experiment that another version wrote.
fn foreign(id: &str) -> ExperimentRow {
    ExperimentRow {
        id: id.into(),
        name: "old".into(),
        sequence: 0,
        document: "name: old".into(),
        submission: b"{\"from\":\"the future\"}".to_vec(),
        state: ExperimentState::Running,
        submitted_unix: 1,
        error: None,
        summary: Vec::new(),
        model: None,
    }
}

#[tokio::test]
async fn an_experiment_that_cannot_go_on_fails_and_says_why_and_the_coordinator_starts_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().put_experiment(foreign("old-1")).await.unwrap();
    let served = serve(dir.path()).await;
    let mut client = ExperimentsClient::new(served.channel().await);
    let experiment = client.get(GetExperimentRequest { id: "old".into() }).await.unwrap().into_inner().experiment.unwrap();
    assert_eq!(experiment.state, "failed");
    assert!(experiment.error.starts_with("the submission of old-1 is unreadable in the database"), "{}", experiment.error);
    let mut events = client.watch(WatchRequest { id: "old".into() }).await.unwrap().into_inner();
    let event = events.message().await.unwrap().unwrap();
    assert_eq!((event.state.as_str(), event.lines), ("failed", vec![format!("failed: {}", experiment.error)]));
    assert_eq!(events.message().await.unwrap(), None);
    served.stop().await;
}

const MODEL: &[u8] = b"a model, as far as the coordinator knows";

const DOCUMENT: &str = "
name: demo
model: { zoo: vgg, widths: [8, 8] }
data: { dataset: fashion-mnist-10k, holdout: 10 }
train: { epochs: 1 }
search:
  netadapt:
    budget: { macs: 0.6 }
    step: { initial: 0.1 }
    channels: { multiple_of: 1 }
";

fn submission() -> Submission {
    let spec = pleach_shared::spec::parse(DOCUMENT).unwrap();
    let network = zoo::vgg(&[zoo::VggItem::Conv(8), zoo::VggItem::Conv(8)], [1, 8, 8], 2).unwrap();
    let split = |images: usize| serde_json::json!({ "images": images, "hash": format!("b3:{images}") });
    let data = serde_json::json!({
        "format": "idx",
        "files": [{ "name": "images", "blob": BlobId::of(b"images") }],
        "cut": { "holdout": 10 },
        "splits": { "train": split(80), "holdout": split(10), "test": split(10) },
    });
    Submission { spec, network, data: serde_json::from_value(data).unwrap(), checkpoint: None }
}

async fn submit(served: &Served) -> Result<String, Status> {
    let request = SubmitRequest { document: DOCUMENT.into(), submission: submission().encode() };
    Ok(client(served).await.submit(request).await?.into_inner().id)
}

async fn client(served: &Served) -> ExperimentsClient<Channel> {
    ExperimentsClient::new(served.channel().await)
}

/// A coordinator that has the blobs that the submission needs.
async fn stocked(dir: &Path) -> Served {
    let served = serve(dir).await;
    served.coordinator.store.blobs().put(bytes::Bytes::from_static(b"images")).await.unwrap();
    served.coordinator.store.blobs().put(bytes::Bytes::from_static(MODEL)).await.unwrap();
    served
}

/// What a worker might answer.
fn answer(task: &Task) -> Outcome {
    let evaluation = Evaluation { right: 9, total: 10, loss: 0.3 };
    match task {
        Task::Train(_) | Task::Adapt(_) => {
            let kept = match task {
                Task::Adapt(Adapt { prune: Prune::Channels { group, channels, .. }, .. }) => {
                    BTreeMap::from([(group.clone(), (0..*channels).collect())])
                }
                _ => BTreeMap::new(),
            };
            Outcome::Trained(Trained { model: BlobId::of(MODEL), kept, nonzero: None, evaluation, steps: 1, train_loss: 0.3 })
        }
        Task::Evaluate(_) => Outcome::Evaluated(evaluation),
        Task::Measure(_) => latency(1.0),
    }
}

/// Answers leases for as long as the stream is open.
async fn work(mut worker: FakeWorker) {
    while let Ok(Some(CoordinatorMessage { message })) = worker.down.message().await {
        if let Some(Down::Lease(lease)) = message {
            worker.finish(&lease, json(&answer(&Task::decode(&lease.task).unwrap()))).await;
        }
    }
}

/// All events until the end.
async fn watch_to_the_end(served: &Served, id: &str) -> Vec<WatchEvent> {
    let mut stream = client(served).await.watch(WatchRequest { id: id.into() }).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        events.push(event);
    }
    events
}

async fn summary(served: &Served, id: &str) -> (Experiment, Summary, String) {
    let found = client(served).await.get(GetExperimentRequest { id: id.into() }).await.unwrap().into_inner();
    (found.experiment.unwrap(), serde_json::from_slice(&found.summary).unwrap(), found.model)
}

#[tokio::test]
async fn an_experiment_runs_to_its_end_and_again_from_the_memo() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let status = submit(&served).await.unwrap_err();
    let missing = format!("put these blobs first, then submit again: {}", BlobId::of(b"images"));
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, missing.as_str()));
    served.stop().await;

    let served = stocked(dir.path()).await;
    let id = submit(&served).await.unwrap();
    assert_eq!(id, submission().id());
    let mut early = client(&served).await.watch(WatchRequest { id: id.clone() }).await.unwrap().into_inner();
    let waiting = loop {
        let event = early.message().await.unwrap().unwrap();
        if !event.waiting.is_empty() {
            break event;
        }
    };
    assert_eq!((waiting.state.as_str(), waiting.phase.as_str()), ("running", "measuring the dense network"));
    assert_eq!(waiting.waiting, "no worker with device=local attached");

    tokio::spawn(work(FakeWorker::attach(&served, "w1").await));
    let events = watch_to_the_end(&served, &id).await;
    let last = events.last().unwrap();
    assert_eq!(last.state, "finished");
    assert!(last.reused < last.done, "next to nothing was in the memo: {last:?}");
    let done = last.done;
    let lines: Vec<String> = events.iter().flat_map(|event| event.lines.clone()).collect();
    assert!(lines.len() > 1 && lines[0].starts_with("round   1"), "{lines:?}");
    let (experiment, found, model) = summary(&served, "demo").await;
    assert_eq!((experiment.id, experiment.state.as_str(), experiment.error), (id.clone(), "finished", String::new()));
    assert_eq!((found.version, found.id.as_str(), found.state.as_str(), found.error), (1, id.as_str(), "finished", None));
    assert_eq!(((found.tasks.run + found.tasks.reused) as u64, found.splits["train"].images), (done, 80));
    assert_eq!(model, BlobId::of(MODEL).to_string());
    assert_eq!((found.rounds.len(), found.budget.is_some(), found.final_.is_some()), (lines.len(), true, true));

    assert_eq!(submit(&served).await.unwrap(), id, "the same submission is the same experiment");
    let events = watch_to_the_end(&served, &id).await;
    let last = events.last().unwrap();
    assert_eq!((last.state.as_str(), last.done, last.reused), ("finished", done, done));
    assert_eq!(events.iter().flat_map(|event| event.lines.clone()).collect::<Vec<_>>(), lines, "each round once");
    assert_eq!(summary(&served, &id).await.1.rounds, found.rounds);
    let list = client(&served).await.list(ListExperimentsRequest {}).await.unwrap().into_inner().experiments;
    assert_eq!(list.len(), 1);
    served.stop().await;
}

#[tokio::test]
async fn a_cancelled_experiment_stops_and_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let served = stocked(dir.path()).await;
    let id = submit(&served).await.unwrap();
    let mut worker = FakeWorker::attach(&served, "w1").await;
    let lease = worker.lease().await;
    let watched = async { watch_to_the_end(&served, &id).await };
    let cancelled = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client(&served).await.cancel(CancelRequest { id: id.clone() }).await.unwrap();
    };
    let (events, ()) = tokio::join!(watched, cancelled);
    assert_eq!(events.first().unwrap().running.len(), 1);
    assert_eq!(events.last().unwrap().state, "cancelled");
    let Down::Revoke(revoke) = worker.next().await else { panic!("no revoke") };
    assert_eq!(revoke.key, lease.key);
    let (experiment, found, _) = summary(&served, &id).await;
    assert_eq!((experiment.state.as_str(), found.state.as_str()), ("cancelled", "cancelled"));
    client(&served).await.cancel(CancelRequest { id: id.clone() }).await.expect("to cancel twice is no error");

    client(&served).await.resume(ResumeRequest { id: id.clone() }).await.unwrap();
    let again = worker.lease().await;
    assert_eq!((again.key, again.attempt), (lease.key, 2));
    assert_eq!(summary(&served, &id).await.0.state, "running");
    served.stop().await;
}

#[tokio::test]
async fn a_task_that_fails_for_good_fails_the_experiment_and_the_reason_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let served = stocked(dir.path()).await;
    let id = submit(&served).await.unwrap();
    let mut worker = FakeWorker::attach(&served, "w1").await;
    let lease = worker.lease().await;
    let Lease { key, attempt, .. } = lease;
    worker.say(Up::Failed(Failed { key, attempt, error: "no such engine".into(), retry: false })).await;
    let events = watch_to_the_end(&served, &id).await;
    let reason = "measure on local failed: failed on worker w1: no such engine";
    assert_eq!(events.last().unwrap().lines, [format!("failed: {reason}")]);
    let (experiment, found, _) = summary(&served, &id).await;
    assert_eq!((experiment.state.as_str(), experiment.error.as_str(), found.error.as_deref()), ("failed", reason, Some(reason)));
    served.stop().await;
}

#[tokio::test]
async fn a_restarted_coordinator_goes_on_and_takes_over_what_its_workers_are_at() {
    let dir = tempfile::tempdir().unwrap();
    let served = stocked(dir.path()).await;
    let id = submit(&served).await.unwrap();
    let mut worker = FakeWorker::attach(&served, "w1").await;
    let lease = worker.lease().await;
    served.stop().await;

    let served = serve(dir.path()).await;
    let holding = vec![Holding { key: lease.key.clone(), attempt: lease.attempt }];
    let mut worker = FakeWorker::dial(&served, Register { holding, ..register("w1") }).await.unwrap();
    // Neither revoked nor given again: its result is the next thing that anybody hears of it.
    worker.finish(&lease, json(&latency(1.0))).await;
    worker.acked(&lease).await;
    assert_ne!(worker.lease().await.key, lease.key);
    assert_eq!(summary(&served, &id).await.0.state, "running");
    served.stop().await;
}
