//! What lasts: results, experiments and blobs, all under one data directory.
//!
//! ```text
//! DATA/pleach.redb        results (the memo) and experiments; one writer at a time, durable after every commit
//! DATA/blobs/ab/abcd...   models and data files by their hash
//! DATA/coordinator.json   who uses the directory now, for the message that a second coordinator gets
//! ```
//!
//! All writes to the database go through one thread that commits whatever arrived meanwhile in one transaction: a hundred
//! results that come in while the disk syncs cost one more sync, not a hundred.

mod blobs;
mod error;
mod experiments;
mod memo;
mod writer;

#[cfg(test)]
mod tests;

pub use blobs::{Blobs, MAX_BLOB};
pub use error::StoreError;
pub use experiments::{ExperimentRow, ExperimentState};
pub use memo::{Committed, StoredResult};
pub use writer::Pending;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use writer::Writer;

/// Version of the tables. Raised when an older Pleach could no longer read them.
const SCHEMA: u64 = 1;

/// How long opening waits for another process to let go of the database.
const PATIENCE: Duration = Duration::from_secs(1);

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const RESULTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("results");
const EXPERIMENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("experiments");

/// The results, experiments and blobs of one data directory. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    // Before the database, so that it is joined first and nothing is written to a closed file.
    writer: Writer,
    database: Arc<Database>,
    blobs: Blobs,
}

/// `coordinator.json`: who uses a data directory.
#[derive(Serialize, Deserialize)]
struct Owner {
    pid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

impl Store {
    /// Opens a data directory, which is created if it is not there.
    ///
    /// # Errors
    /// When another process uses it, when a newer Pleach wrote it, or when it cannot be read or written.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::io("create the data dir", dir, &error))?;
        let database = Arc::new(open_database(dir)?);
        prepare(dir, &database)?;
        let blobs = Blobs::open(&dir.join("blobs"))?;
        let writer = Writer::start(database.clone())?;
        let store = Store { inner: Arc::new(Inner { dir: dir.to_owned(), writer, database, blobs }) };
        store.write_owner(None)?;
        Ok(store)
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The blobs.
    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// Leaves the address that this coordinator listens on where another one that finds the directory in use can read it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self, address: &str) -> Result<(), StoreError> {
        self.write_owner(Some(address.to_owned()))
    }

    fn write_owner(&self, address: Option<String>) -> Result<(), StoreError> {
        let path = owner_file(self.dir());
        // Two plain fields: serialising cannot fail.
        let json = serde_json::to_vec(&Owner { pid: std::process::id(), address }).unwrap_or_default();
        std::fs::write(&path, json).map_err(|error| StoreError::io("write", &path, &error))
    }

    fn read(&self) -> Result<redb::ReadTransaction, StoreError> {
        self.inner.database.begin_read().map_err(StoreError::database)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Only a courtesy: what keeps others out is the lock on the database.
        let _ = std::fs::remove_file(owner_file(&self.dir));
    }
}

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn owner_file(dir: &Path) -> PathBuf {
    dir.join("coordinator.json")
}

fn open_database(dir: &Path) -> Result<Database, StoreError> {
    let path = dir.join("pleach.redb");
    let until = Instant::now() + PATIENCE;
    loop {
        let mut builder = Database::builder();
        // Costs a pass over the file; without it redb trusts pages that somebody may have damaged, and panics later.
        builder.set_check_integrity_on_open(true).set_cache_size(256 << 20);
        let opened = catch_unwind(AssertUnwindSafe(|| builder.create(&path)));
        match opened {
            Ok(Ok(database)) => return Ok(database),
            // A coordinator that was told to stop may need a moment to let go.
            Ok(Err(redb::DatabaseError::DatabaseAlreadyOpen)) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            Ok(Err(redb::DatabaseError::DatabaseAlreadyOpen | redb::DatabaseError::LockProtocolMismatch)) => return Err(in_use(dir)),
            Ok(Err(redb::DatabaseError::Storage(redb::StorageError::Io(error)))) if error.kind() != std::io::ErrorKind::InvalidData => {
                return Err(StoreError::io("open", &path, &error));
            }
            Ok(Err(error)) => return Err(StoreError::Damaged { path, reason: error.to_string() }),
            Err(_) => return Err(StoreError::Damaged { path, reason: "its pages contradict each other".into() }),
        }
    }
}

fn in_use(dir: &Path) -> StoreError {
    let owner = std::fs::read(owner_file(dir)).ok().and_then(|bytes| serde_json::from_slice::<Owner>(&bytes).ok());
    let who = match owner {
        Some(Owner { pid, address: Some(address) }) => format!(" (process {pid}, at {address})"),
        Some(Owner { pid, address: None }) => format!(" (process {pid})"),
        None => String::new(),
    };
    StoreError::InUse { dir: dir.to_owned(), who }
}

/// Makes the tables of a new database, and turns away from one that a newer Pleach wrote.
fn prepare(dir: &Path, database: &Database) -> Result<(), StoreError> {
    let write = database.begin_write().map_err(StoreError::database)?;
    {
        let mut meta = write.open_table(META).map_err(StoreError::database)?;
        let found = meta.get("schema").map_err(StoreError::database)?.map(|version| version.value());
        match found {
            Some(version) if version > SCHEMA => {
                return Err(StoreError::Newer { dir: dir.to_owned(), found: version, known: SCHEMA });
            }
            Some(_) => {}
            None => drop(meta.insert("schema", SCHEMA).map_err(StoreError::database)?),
        }
        write.open_table(RESULTS).map_err(StoreError::database)?;
        write.open_table(EXPERIMENTS).map_err(StoreError::database)?;
    }
    write.commit().map_err(StoreError::database)
}
