//! What can go wrong with the data directory, as sentences for a person.

use pleach_shared::task::BlobId;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why something could not be stored or read back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Another process has the data directory.
    #[error("data dir {} is in use by another coordinator{who}; stop it, or give another --data-dir", .dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who, where known, with a leading space.
        who: String,
    },
    /// Written by a newer version.
    #[error("data dir {} was written by a newer Pleach (schema {found}, this one knows {known}); update Pleach, or give another --data-dir", .dir.display())]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its version.
        found: u64,
        /// The version of this build.
        known: u64,
    },
    /// The database is no database.
    #[error("{} is damaged or not Pleach's: {reason}; restore it from a backup, or move it away to start afresh (blobs stay)", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system said no.
    #[error("cannot {doing} {}: {error}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        error: String,
    },
    /// A transaction failed.
    #[error("the database refused: {0}; if the disk is full, make room and start the coordinator again")]
    Database(String),
    /// A row that this version cannot read.
    #[error("{what} is unreadable in the database: {error}")]
    Row {
        /// Which row.
        what: String,
        /// Why.
        error: String,
    },
    /// The store was closed while something waited for it.
    #[error("the store is closed because the coordinator stops")]
    Closed,
    /// No such experiment.
    #[error("there is no experiment `{0}`; `pleach ls` lists them")]
    NoExperiment(String),
    /// An abbreviated id that is not enough.
    #[error("`{prefix}` could be {}; give more of the id", .fits.join(" or "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// What it could be.
        fits: Vec<String>,
    },
    /// No such blob.
    #[error("blob {0} is not stored here")]
    NoBlob(BlobId),
    /// A blob whose bytes are not what its id says.
    #[error("blob {id} is damaged on disk: its bytes hash to {found}; delete {} and submit again", .path.display())]
    DamagedBlob {
        /// The blob.
        id: BlobId,
        /// What it is now.
        found: BlobId,
        /// Its file.
        path: PathBuf,
    },
    /// A blob beyond the limit.
    #[error("a blob may have at most {} MiB, and this one has more", .0 >> 20)]
    TooLarge(u64),
    /// The sender broke off.
    #[error("the blob did not arrive whole: {0}")]
    Interrupted(String),
    /// The blob folder failed.
    #[error("the blob store failed: {0}")]
    Blobs(String),
}

impl StoreError {
    pub(super) fn io(doing: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
        StoreError::Io { doing, path: path.to_owned(), error: error.to_string() }
    }

    /// Any of redb's many error types.
    pub(super) fn database(error: impl Into<redb::Error>) -> StoreError {
        StoreError::Database(error.into().to_string())
    }

    pub(super) fn blobs(error: object_store::Error) -> StoreError {
        StoreError::Blobs(error.to_string())
    }
}
