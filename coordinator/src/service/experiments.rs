//! `Experiments`: submit, look, watch, cancel, resume.

use super::status::{Live, round_lines};
use super::{Coordinator, convert};
use crate::report::Summary;
use crate::store::ExperimentRow;
use async_stream::stream;
use futures::StreamExt;
use futures::stream::{BoxStream, Stream};
use pleach_shared::rpc::v1::experiments_server::Experiments;
use pleach_shared::rpc::v1::{
    CancelRequest, CancelResponse, Experiment, GetExperimentRequest, GetExperimentResponse, ListExperimentsRequest,
    ListExperimentsResponse, ResumeRequest, ResumeResponse, SubmitRequest, SubmitResponse, WatchEvent, WatchRequest,
};
use pleach_shared::submission::Submission;
use pleach_shared::task::BlobId;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Least time between two events of a watch: five a second is as fast as anybody reads.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

pub(super) struct Service {
    coordinator: Arc<Coordinator>,
}

impl Service {
    pub(super) fn new(coordinator: Arc<Coordinator>) -> Service {
        Service { coordinator }
    }

    fn row(&self, id: &str) -> Result<ExperimentRow, Status> {
        self.coordinator.store.experiment(id).map_err(convert::status)
    }

    fn refuse_while_stopping(&self) -> Result<(), Status> {
        match *self.coordinator.stopping.borrow() {
            true => Err(Status::unavailable("the coordinator stops")),
            false => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl Experiments for Service {
    type WatchStream = BoxStream<'static, Result<WatchEvent, Status>>;

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        self.refuse_while_stopping()?;
        let SubmitRequest { document, submission } = request.into_inner();
        let submission: Submission = serde_json::from_slice(&submission).map_err(|error| {
            Status::invalid_argument(format!("the submission is unreadable: {error}; are client and coordinator of one version?"))
        })?;
        let wanted: Vec<BlobId> = submission.data.files.iter().map(|file| file.blob).chain(submission.checkpoint).collect();
        let stored = self.coordinator.store.blobs().have(&wanted).await.map_err(convert::status)?;
        let missing: Vec<String> = wanted.iter().filter(|id| !stored.contains(id)).map(BlobId::to_string).collect();
        if !missing.is_empty() {
            return Err(Status::failed_precondition(format!("put these blobs first, then submit again: {}", missing.join(", "))));
        }
        let id = self.coordinator.programs.submit(submission, document).await.map_err(convert::status)?;
        Ok(Response::new(SubmitResponse { id }))
    }

    async fn list(&self, _: Request<ListExperimentsRequest>) -> Result<Response<ListExperimentsResponse>, Status> {
        let rows = self.coordinator.store.experiments().map_err(convert::status)?;
        Ok(Response::new(ListExperimentsResponse { experiments: rows.into_iter().map(experiment).collect() }))
    }

    async fn get(&self, request: Request<GetExperimentRequest>) -> Result<Response<GetExperimentResponse>, Status> {
        let mut row = self.row(&request.into_inner().id)?;
        let stored = std::mem::take(&mut row.summary);
        // Of one that runs, the summary in memory knows more than the last record did.
        let live = self.coordinator.programs.live(&row.id).filter(|live| !live.state().is_final());
        let summary = live.map_or(stored, |live| live.summary_json());
        let document = std::mem::take(&mut row.document);
        let model = row.model.map(|model| model.to_string()).unwrap_or_default();
        Ok(Response::new(GetExperimentResponse { experiment: Some(experiment(row)), summary, document, model }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let row = self.row(&request.into_inner().id)?;
        Ok(Response::new(match self.coordinator.programs.live(&row.id) {
            Some(live) => follow(self.coordinator.clone(), live, row.sequence).boxed(),
            // It has not run in this life of the coordinator, so there is one thing to say.
            None => futures::stream::iter([Ok(as_stored(&row))]).boxed(),
        }))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let row = self.row(&request.into_inner().id)?;
        self.coordinator.programs.cancel(&row).await.map_err(convert::status)?;
        Ok(Response::new(CancelResponse {}))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<ResumeResponse>, Status> {
        self.refuse_while_stopping()?;
        let row = self.row(&request.into_inner().id)?;
        self.coordinator.programs.resume(&row).await.map_err(convert::status)?;
        Ok(Response::new(ResumeResponse {}))
    }
}

fn experiment(row: ExperimentRow) -> Experiment {
    Experiment {
        id: row.id,
        name: row.name,
        state: row.state.to_string(),
        submitted: row.submitted_unix,
        error: row.error.unwrap_or_default(),
    }
}

fn as_stored(row: &ExperimentRow) -> WatchEvent {
    let summary: Summary = serde_json::from_slice(&row.summary).unwrap_or_default();
    let mut lines = round_lines(&summary);
    lines.extend(row.error.as_ref().map(|error| format!("failed: {error}")));
    let (done, reused) = ((summary.tasks.run + summary.tasks.reused) as u64, summary.tasks.reused as u64);
    WatchEvent { state: row.state.to_string(), phase: row.state.to_string(), done, reused, lines, ..WatchEvent::default() }
}

/// An event now, then one after changes, until the run has ended.
fn follow(coordinator: Arc<Coordinator>, live: Arc<Live>, experiment: u64) -> impl Stream<Item = Result<WatchEvent, Status>> + Send {
    let (mut changed, mut pulse, mut stopping) = (live.subscribe(), coordinator.handle.pulse(), coordinator.stopping.subscribe());
    let handle = coordinator.handle.clone();
    // The stream may be the last to know the coordinator, and then must not keep its data directory locked.
    drop(coordinator);
    stream! {
        let mut seen = 0;
        let mut last = None;
        loop {
            // Marked as seen before looking, so that a change in between is not missed.
            changed.borrow_and_update();
            pulse.borrow_and_update();
            let view = live.view(seen);
            seen += view.lines.len();
            let sight = handle.look(experiment).await;
            let event = WatchEvent {
                state: view.state.to_string(),
                phase: view.phase,
                done: view.done,
                reused: view.reused,
                left_s: view.left_s,
                running: sight.running,
                lines: view.lines,
                waiting: sight.waiting,
            };
            // The pulse is of all experiments; one whose tasks did not move has nothing to say.
            if last.as_ref().is_none_or(|last: &WatchEvent| !alike(last, &event)) {
                last = Some(event.clone());
                yield Ok(event);
            }
            if view.state.is_final() {
                break;
            }
            if *stopping.borrow() {
                yield Err(Status::unavailable("the coordinator stops; the experiment goes on when it starts again"));
                break;
            }
            tokio::time::sleep(BETWEEN_EVENTS).await;
            tokio::select! {
                gone = changed.changed() => if gone.is_err() { break },
                // Without a shell there are no more changes of this kind.
                gone = pulse.changed() => if gone.is_err() { break },
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
    }
}

/// Whether an event says nothing new. The estimate alone is no news: it counts down at the reader's end too.
fn alike(last: &WatchEvent, event: &WatchEvent) -> bool {
    event.lines.is_empty() && *last == WatchEvent { left_s: last.left_s, lines: last.lines.clone(), ..event.clone() }
}
