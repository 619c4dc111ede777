//! `Blobs`: bytes by their hash.

use super::convert;
use crate::store::Blobs as Stored;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use pleach_shared::rpc::v1::blobs_server::Blobs;
use pleach_shared::rpc::v1::{BlobChunk, GetBlobRequest, HaveBlobsRequest, HaveBlobsResponse, PutBlobResponse};
use tonic::{Request, Response, Status, Streaming};

pub(super) struct Service {
    blobs: Stored,
}

impl Service {
    pub(super) fn new(blobs: Stored) -> Service {
        Service { blobs }
    }
}

#[tonic::async_trait]
impl Blobs for Service {
    type GetStream = BoxStream<'static, Result<BlobChunk, Status>>;

    async fn get(&self, request: Request<GetBlobRequest>) -> Result<Response<Self::GetStream>, Status> {
        let id = convert::blob_id(&request.into_inner().id)?;
        let chunks = self.blobs.stream(id).map(|chunk| match chunk {
            Ok(data) => Ok(BlobChunk { data: data.into() }),
            Err(error) => Err(convert::status(error)),
        });
        Ok(Response::new(chunks.boxed()))
    }

    async fn put(&self, request: Request<Streaming<BlobChunk>>) -> Result<Response<PutBlobResponse>, Status> {
        let chunks =
            request.into_inner().map(|chunk| chunk.map(|chunk| Bytes::from(chunk.data)).map_err(|status| status.message().to_owned()));
        let id = self.blobs.put_stream(chunks).await.map_err(convert::status)?;
        Ok(Response::new(PutBlobResponse { id: id.as_bytes().to_vec() }))
    }

    async fn have(&self, request: Request<HaveBlobsRequest>) -> Result<Response<HaveBlobsResponse>, Status> {
        let ids = request.into_inner().ids.iter().map(|id| convert::blob_id(id)).collect::<Result<Vec<_>, _>>()?;
        let stored = self.blobs.have(&ids).await.map_err(convert::status)?;
        Ok(Response::new(HaveBlobsResponse { ids: stored.iter().map(|id| id.as_bytes().to_vec()).collect() }))
    }
}
