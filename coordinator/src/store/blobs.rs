//! Blobs: bytes by their BLAKE3 hash, in a folder (or, later, a bucket: `object_store` speaks to those too).

use super::StoreError;
use async_stream::try_stream;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, pin_mut};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectStoreExt, WriteMultipart};
use pleach_shared::rpc::CHUNK;
use pleach_shared::task::BlobId;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most bytes that a blob may have: 2 GiB, which is far more than any data set or model that Pleach is for.
pub const MAX_BLOB: u64 = 2 << 30;

/// Parts of an upload that may be on their way to the disk at once.
const PARTS_IN_FLIGHT: usize = 4;

/// The blobs of a data directory. Clones share them.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<LocalFileSystem>,
    /// Numbers the uploads under way, which have no hash yet.
    uploads: Arc<AtomicU64>,
}

impl Blobs {
    pub(super) fn open(dir: &Path) -> Result<Blobs, StoreError> {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::io("create", dir, &error))?;
        // What an earlier life was receiving when it died. Nobody else writes there: the database's lock is held by now.
        let incoming = dir.join("incoming");
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming).map_err(|error| StoreError::io("clear", &incoming, &error))?;
        }
        // A result is durable only if the model that it names is: hence fsync.
        let store = LocalFileSystem::new_with_prefix(dir).map_err(StoreError::blobs)?.with_fsync(true);
        Ok(Blobs { store: Arc::new(store), uploads: Arc::default() })
    }

    /// Stores bytes, unless they are stored already.
    ///
    /// # Errors
    /// When they are too many or cannot be written.
    pub async fn put(&self, bytes: Bytes) -> Result<BlobId, StoreError> {
        if bytes.len() as u64 > MAX_BLOB {
            return Err(StoreError::TooLarge(MAX_BLOB));
        }
        let id = BlobId::of(&bytes);
        if !self.has(&id).await? {
            // A put shows up whole or not at all.
            self.store.put(&location(&id), bytes.into()).await.map_err(StoreError::blobs)?;
        }
        Ok(id)
    }

    /// Stores what a stream gives, hashing it on the way, without ever having all of it in memory.
    ///
    /// # Errors
    /// When the stream fails, gives more than [`MAX_BLOB`], or the bytes cannot be written. Nothing is stored then.
    pub async fn put_stream<E: ToString>(&self, chunks: impl Stream<Item = Result<Bytes, E>>) -> Result<BlobId, StoreError> {
        let incoming = Location::from(format!("incoming/{}", self.uploads.fetch_add(1, Ordering::Relaxed)));
        let mut upload = WriteMultipart::new(self.store.put_multipart(&incoming).await.map_err(StoreError::blobs)?);
        match receive(&mut upload, chunks).await {
            Ok(id) => {
                upload.finish().await.map_err(StoreError::blobs)?;
                // Over a blob that is there already: the bytes are the same, or those there are damaged and these are not.
                self.store.rename(&incoming, &location(&id)).await.map_err(StoreError::blobs)?;
                Ok(id)
            }
            Err(error) => {
                upload.abort().await.map_err(StoreError::blobs)?;
                Err(error)
            }
        }
    }

    /// A blob's bytes, checked against its id.
    ///
    /// # Errors
    /// When it is not stored, damaged or cannot be read.
    pub async fn get(&self, id: &BlobId) -> Result<Bytes, StoreError> {
        let chunks = self.stream(*id);
        pin_mut!(chunks);
        let mut bytes = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes.freeze())
    }

    /// A blob's bytes in chunks of [`CHUNK`] bytes. Bytes that are not what the id says show as an error at the end, so
    /// trust nothing of it before.
    ///
    /// The stream fails as [`Blobs::get`] does.
    pub fn stream(&self, id: BlobId) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static {
        let store = self.store.clone();
        try_stream! {
            let location = location(&id);
            let failed = |error| match error {
                object_store::Error::NotFound { .. } => StoreError::NoBlob(id),
                error => StoreError::blobs(error),
            };
            let size = store.head(&location).await.map_err(failed)?.size;
            let mut hasher = blake3::Hasher::new();
            for start in (0..size).step_by(CHUNK) {
                let chunk = store.get_range(&location, start..size.min(start + CHUNK as u64)).await.map_err(failed)?;
                hasher.update(&chunk);
                yield chunk;
            }
            let found = BlobId::from_bytes(*hasher.finalize().as_bytes());
            if found != id {
                let path = store.path_to_filesystem(&location).map_err(StoreError::blobs)?;
                Err(StoreError::DamagedBlob { id, found, path })?;
            }
        }
    }

    /// Those of these blobs that are stored, in the order given.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn have(&self, ids: &[BlobId]) -> Result<Vec<BlobId>, StoreError> {
        let mut stored = Vec::new();
        for id in ids {
            if self.has(id).await? {
                stored.push(*id);
            }
        }
        Ok(stored)
    }

    /// Whether a blob is stored.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn has(&self, id: &BlobId) -> Result<bool, StoreError> {
        match self.store.head(&location(id)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(StoreError::blobs(error)),
        }
    }
}

async fn receive<E: ToString>(upload: &mut WriteMultipart, chunks: impl Stream<Item = Result<Bytes, E>>) -> Result<BlobId, StoreError> {
    pin_mut!(chunks);
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0u64);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| StoreError::Interrupted(error.to_string()))?;
        size += chunk.len() as u64;
        if size > MAX_BLOB {
            return Err(StoreError::TooLarge(MAX_BLOB));
        }
        hasher.update(&chunk);
        // Back-pressure: a sender faster than the disk has to wait.
        upload.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(StoreError::blobs)?;
        upload.put(chunk);
    }
    Ok(BlobId::from_bytes(*hasher.finalize().as_bytes()))
}

/// Two hexadecimal digits as a folder keep the folders small enough for every file system.
fn location(id: &BlobId) -> Location {
    let hex = id.to_string();
    Location::from(format!("{}/{hex}", &hex[..2]))
}
