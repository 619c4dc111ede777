//! The memo: what every finished task answered, for ever.

use super::{Pending, RESULTS, Store, StoreError};
use pleach_shared::task::TaskKey;
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

/// Version of a stored result's encoding.
const VERSION: u32 = 1;

/// What a task answered, and how that came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredResult {
    /// The outcome, JSON as the worker sent it.
    #[serde(with = "text")]
    pub outcome: Vec<u8>,
    /// The task, JSON: the bytes whose hash is the key. Empty where a result came in after everybody who knew the task
    /// had gone.
    #[serde(with = "text")]
    pub task: Vec<u8>,
    /// Name of the worker.
    pub worker: String,
    /// What it computes with.
    pub kind: String,
    /// Which lease of the task it was.
    pub attempt: u32,
    /// Seconds of work.
    pub seconds: f64,
    /// When it was accepted, in Unix seconds.
    pub finished_unix: u64,
}

/// What became of a result that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is the task's result now.
    First,
    /// The task had one already, which stays.
    AlreadyThere,
}

#[derive(Serialize, Deserialize)]
struct Row {
    v: u32,
    #[serde(flatten)]
    result: StoredResult,
}

impl Store {
    /// The result of a task, if it has one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn result(&self, key: &TaskKey) -> Result<Option<StoredResult>, StoreError> {
        let table = self.read()?.open_table(RESULTS).map_err(StoreError::database)?;
        let row = table.get(key.as_bytes().as_slice()).map_err(StoreError::database)?;
        row.map(|row| decode(key, row.value())).transpose()
    }

    /// Stores a result. The first one of a task wins. It is durable when the answer comes, and is written also when nobody
    /// awaits the answer.
    ///
    /// # Errors
    /// When the result is not JSON or cannot be written.
    pub fn commit(&self, key: TaskKey, result: StoredResult) -> Pending<Committed> {
        let row = serde_json::to_vec(&Row { v: VERSION, result });
        self.inner.writer.change(move |write| {
            let row = row.as_ref().map_err(|error| unreadable(&key, error))?;
            let mut table = write.open_table(RESULTS).map_err(StoreError::database)?;
            if table.get(key.as_bytes().as_slice()).map_err(StoreError::database)?.is_some() {
                return Ok(Committed::AlreadyThere);
            }
            table.insert(key.as_bytes().as_slice(), row.as_slice()).map_err(StoreError::database)?;
            Ok(Committed::First)
        })
    }

    /// Forgets a result, so that the task runs again: for one whose model file was lost.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget(&self, key: TaskKey) -> Pending<()> {
        self.inner.writer.change(move |write| {
            let mut table = write.open_table(RESULTS).map_err(StoreError::database)?;
            table.remove(key.as_bytes().as_slice()).map_err(StoreError::database)?;
            Ok(())
        })
    }
}

fn decode(key: &TaskKey, bytes: &[u8]) -> Result<StoredResult, StoreError> {
    let row: Row = serde_json::from_slice(bytes).map_err(|error| unreadable(key, &error))?;
    Ok(row.result)
}

fn unreadable(key: &TaskKey, error: &serde_json::Error) -> StoreError {
    StoreError::Row { what: format!("the result of task {key}"), error: error.to_string() }
}

/// Bytes that are JSON, hence text: kept readable inside a JSON row instead of as a list of numbers.
pub(super) mod text {
    use serde::{Deserialize, Deserializer, Serializer, ser::Error};

    pub(in crate::store) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(bytes).map_err(S::Error::custom)?)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}
