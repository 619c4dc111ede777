//! Blobs over the wire.

use crate::error::TaskError;
use crate::execute::Blobs;
use pleach_shared::rpc::CHUNK;
use pleach_shared::rpc::v1::blobs_client::BlobsClient;
use pleach_shared::rpc::v1::{BlobChunk, GetBlobRequest};
use pleach_shared::task::BlobId;
use std::sync::Arc;
use tokio::runtime::Handle;
use tonic::transport::Channel;

/// The coordinator's blobs, for a thread outside the runtime.
pub(super) struct RemoteBlobs {
    channel: Channel,
    runtime: Handle,
}

impl RemoteBlobs {
    pub(super) fn new(channel: Channel, runtime: Handle) -> RemoteBlobs {
        RemoteBlobs { channel, runtime }
    }
}

impl Blobs for RemoteBlobs {
    fn get(&self, blob: BlobId) -> Result<Arc<Vec<u8>>, TaskError> {
        let fail = |error: String| TaskError::Blob { blob, error };
        let bytes = self.runtime.block_on(async {
            let mut client = BlobsClient::new(self.channel.clone());
            let mut stream = client.get(GetBlobRequest { id: blob.as_bytes().to_vec() }).await?.into_inner();
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.message().await? {
                bytes.extend_from_slice(&chunk.data);
            }
            Ok::<_, tonic::Status>(bytes)
        });
        let bytes = bytes.map_err(|status| fail(status.message().to_owned()))?;
        match BlobId::of(&bytes) == blob {
            true => Ok(Arc::new(bytes)),
            false => Err(fail("it arrived damaged".into())),
        }
    }

    fn put(&self, bytes: Vec<u8>) -> Result<BlobId, TaskError> {
        let blob = BlobId::of(&bytes);
        let chunks: Vec<BlobChunk> = bytes.chunks(CHUNK).map(|data| BlobChunk { data: data.to_vec() }).collect();
        let put = self.runtime.block_on(BlobsClient::new(self.channel.clone()).put(tokio_stream::iter(chunks)));
        put.map(|_| blob).map_err(|status| TaskError::Blob { blob, error: status.message().to_owned() })
    }
}
