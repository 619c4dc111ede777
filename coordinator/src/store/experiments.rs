//! The experiments: what was submitted, and where each stands.

use super::memo::text;
use super::{EXPERIMENTS, Pending, Store, StoreError};
use pleach_shared::task::BlobId;
use redb::{ReadableTable, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of a stored experiment's encoding.
const VERSION: u32 = 1;

/// An experiment as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its place in the order of submission, from 0. [`Store::put_experiment`] gives it.
    pub sequence: u64,
    /// The YAML document as the user wrote it.
    pub document: String,
    /// The resolved submission, JSON.
    #[serde(with = "text")]
    pub submission: Vec<u8>,
    /// Where it stands.
    pub state: ExperimentState,
    /// When it was first submitted, in Unix seconds.
    pub submitted_unix: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// Its summary, JSON; empty before the first record.
    #[serde(with = "text")]
    pub summary: Vec<u8>,
    /// The best model so far.
    pub model: Option<BlobId>,
}

/// Where an experiment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentState {
    /// Stored, not started yet.
    Queued,
    /// Its search runs, or goes on as soon as the coordinator starts again.
    Running,
    /// It has its result.
    Finished,
    /// It gave up.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl ExperimentState {
    /// Whether nothing more happens unless somebody asks for it.
    pub fn is_final(self) -> bool {
        match self {
            ExperimentState::Queued | ExperimentState::Running => false,
            ExperimentState::Finished | ExperimentState::Failed | ExperimentState::Cancelled => true,
        }
    }

    /// The word for it, as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ExperimentState::Queued => "queued",
            ExperimentState::Running => "running",
            ExperimentState::Finished => "finished",
            ExperimentState::Failed => "failed",
            ExperimentState::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for ExperimentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    v: u32,
    #[serde(flatten)]
    row: ExperimentRow,
}

impl Store {
    /// Stores an experiment and answers with the row. One that is stored already keeps its place, its time of submission and
    /// its best model.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_experiment(&self, row: ExperimentRow) -> Pending<ExperimentRow> {
        self.inner.writer.change(move |write| {
            let mut table = write.open_table(EXPERIMENTS).map_err(StoreError::database)?;
            let mut row = row.clone();
            match read(&table, &row.id)? {
                Some(old) => {
                    row.sequence = old.sequence;
                    row.submitted_unix = old.submitted_unix;
                    row.model = row.model.or(old.model);
                }
                // Rows are never deleted, so their number is a place that nobody has.
                None => row.sequence = redb::ReadableTableMetadata::len(&table).map_err(StoreError::database)?,
            }
            insert(&mut table, row)
        })
    }

    /// Changes an experiment, and answers with the new row.
    ///
    /// # Errors
    /// When there is none of this id, or it cannot be written.
    pub fn update_experiment(&self, id: &str, change: impl Fn(&mut ExperimentRow) + Send + 'static) -> Pending<ExperimentRow> {
        let id = id.to_owned();
        self.inner.writer.change(move |write| {
            let mut table = write.open_table(EXPERIMENTS).map_err(StoreError::database)?;
            let mut row = read(&table, &id)?.ok_or_else(|| StoreError::NoExperiment(id.clone()))?;
            change(&mut row);
            insert(&mut table, row)
        })
    }

    /// The experiment of this id, or the only one whose id starts so.
    ///
    /// # Errors
    /// When none or several fit, or the database cannot be read.
    pub fn experiment(&self, prefix: &str) -> Result<ExperimentRow, StoreError> {
        let table = self.read()?.open_table(EXPERIMENTS).map_err(StoreError::database)?;
        if let Some(row) = read(&table, prefix)? {
            return Ok(row);
        }
        let mut fits = Vec::new();
        if !prefix.is_empty() {
            for entry in table.range(prefix..).map_err(StoreError::database)? {
                let (id, _) = entry.map_err(StoreError::database)?;
                if !id.value().starts_with(prefix) {
                    break;
                }
                fits.push(id.value().to_owned());
            }
        }
        match fits.as_slice() {
            [] => Err(StoreError::NoExperiment(prefix.to_owned())),
            [id] => read(&table, id)?.ok_or_else(|| StoreError::NoExperiment(id.clone())),
            _ => Err(StoreError::Ambiguous { prefix: prefix.to_owned(), fits }),
        }
    }

    /// All experiments, in the order of submission.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn experiments(&self) -> Result<Vec<ExperimentRow>, StoreError> {
        let table = self.read()?.open_table(EXPERIMENTS).map_err(StoreError::database)?;
        let entries = table.iter().map_err(StoreError::database)?;
        let mut rows = entries
            .map(|entry| {
                let (id, row) = entry.map_err(StoreError::database)?;
                decode(id.value(), row.value())
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        rows.sort_by_key(|row| row.sequence);
        Ok(rows)
    }
}

fn read(table: &impl ReadableTable<&'static str, &'static [u8]>, id: &str) -> Result<Option<ExperimentRow>, StoreError> {
    table.get(id).map_err(StoreError::database)?.map(|row| decode(id, row.value())).transpose()
}

fn insert(table: &mut Table<'_, &'static str, &'static [u8]>, row: ExperimentRow) -> Result<ExperimentRow, StoreError> {
    let bytes = serde_json::to_vec(&Stored { v: VERSION, row: row.clone() }).map_err(|error| unreadable(&row.id, &error))?;
    table.insert(row.id.as_str(), bytes.as_slice()).map_err(StoreError::database)?;
    Ok(row)
}

fn decode(id: &str, bytes: &[u8]) -> Result<ExperimentRow, StoreError> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| unreadable(id, &error))?;
    Ok(stored.row)
}

fn unreadable(id: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Row { what: format!("experiment {id}"), error: error.to_string() }
}
