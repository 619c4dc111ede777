//! A client of a coordinator.

use super::CliError;
use super::progress::Progress;
use crate::report::Summary;
use crate::submit::Prepared;
use pleach_shared::rpc::CHUNK;
use pleach_shared::rpc::v1::blobs_client::BlobsClient;
use pleach_shared::rpc::v1::experiments_client::ExperimentsClient;
use pleach_shared::rpc::v1::workers_client::WorkersClient;
use pleach_shared::rpc::v1::{
    BlobChunk, CancelRequest, Experiment, GetBlobRequest, GetExperimentRequest, HaveBlobsRequest, ListExperimentsRequest,
    ListWorkersRequest, ResumeRequest, SubmitRequest, WatchRequest, Worker,
};
use pleach_shared::task::BlobId;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// Largest message that a client takes: a summary of a long search.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// One connection, all services.
pub(super) struct Client {
    experiments: ExperimentsClient<Channel>,
    workers: WorkersClient<Channel>,
    blobs: BlobsClient<Channel>,
}

impl Client {
    pub(super) async fn connect(address: &str) -> Result<Client, CliError> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|_| CliError::usage(format!("`{address}` is no address; expected something like http://127.0.0.1:7420")))?;
        let channel = endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true).connect().await.map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            CliError::failed(format!("cannot reach the coordinator at {address}: {cause}"))
                .help("start one with `pleach coordinator`, or say where it is with --coordinator or PLEACH_COORDINATOR")
        })?;
        Ok(Client {
            experiments: ExperimentsClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT),
            workers: WorkersClient::new(channel.clone()),
            blobs: BlobsClient::new(channel),
        })
    }

    /// Uploads what the coordinator lacks, then submits.
    pub(super) async fn submit(&mut self, prepared: &Prepared) -> Result<String, CliError> {
        let ids = prepared.blobs.iter().map(|(id, _)| id.as_bytes().to_vec()).collect();
        let have = self.blobs.have(HaveBlobsRequest { ids }).await?.into_inner().ids;
        for (id, bytes) in &prepared.blobs {
            if !have.iter().any(|known| known == id.as_bytes()) {
                let bytes = bytes.clone();
                let chunks = (0..bytes.len().div_ceil(CHUNK)).map(move |i| bytes.slice(i * CHUNK..bytes.len().min((i + 1) * CHUNK)));
                self.blobs.put(tokio_stream::iter(chunks.map(|data| BlobChunk { data: data.to_vec() }))).await?;
            }
        }
        let request = SubmitRequest { document: prepared.document.clone(), submission: prepared.submission.encode() };
        Ok(self.experiments.submit(request).await?.into_inner().id)
    }

    pub(super) async fn list(&mut self) -> Result<Vec<Experiment>, CliError> {
        Ok(self.experiments.list(ListExperimentsRequest {}).await?.into_inner().experiments)
    }

    pub(super) async fn workers(&mut self) -> Result<Vec<Worker>, CliError> {
        Ok(self.workers.list(ListWorkersRequest {}).await?.into_inner().workers)
    }

    /// Summary, document and best model.
    pub(super) async fn get(&mut self, id: &str) -> Result<(Summary, String, Option<BlobId>), CliError> {
        let answer = self.experiments.get(GetExperimentRequest { id: id.to_owned() }).await?.into_inner();
        let summary = serde_json::from_slice(&answer.summary).map_err(|error| {
            CliError::failed(format!("cannot read the coordinator's summary: {error}"))
                .help("client and coordinator must be of one version")
        })?;
        Ok((summary, answer.document, answer.model.parse().ok()))
    }

    pub(super) async fn cancel(&mut self, id: &str) -> Result<(), CliError> {
        self.experiments.cancel(CancelRequest { id: id.to_owned() }).await?;
        Ok(())
    }

    pub(super) async fn resume(&mut self, id: &str) -> Result<(), CliError> {
        self.experiments.resume(ResumeRequest { id: id.to_owned() }).await?;
        Ok(())
    }

    /// Shows progress until the experiment ends.
    pub(super) async fn watch(&mut self, id: &str) -> Result<(), CliError> {
        let mut events = self.experiments.watch(WatchRequest { id: id.to_owned() }).await?.into_inner();
        let mut progress = Progress::new();
        while let Some(event) = events.message().await? {
            progress.show(&event);
        }
        progress.end();
        Ok(())
    }

    pub(super) async fn blob(&mut self, id: BlobId) -> Result<Vec<u8>, CliError> {
        let mut chunks = self.blobs.get(GetBlobRequest { id: id.as_bytes().to_vec() }).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            bytes.extend_from_slice(&chunk.data);
        }
        match BlobId::of(&bytes) == id {
            true => Ok(bytes),
            false => Err(CliError::failed(format!("blob {id} arrived damaged"))),
        }
    }
}
