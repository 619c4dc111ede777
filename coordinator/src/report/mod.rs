//! What an experiment found, for people and for programs: tables for the terminal, one HTML page, CSV and JSON.
//!
//! Everything here is a function of a [`Summary`]; a run that failed half-way has a report too, of what there is.

mod files;
mod format;
mod html;
pub mod plots;
#[cfg(test)]
mod sample;
mod summary;
mod table;
#[cfg(test)]
mod tests;

pub use files::write;
pub use html::html;
pub use summary::{Budget, Candidate, Figures, LayerWidth, Round, SUMMARY_VERSION, SensitivityPoint, SplitRecord, Summary, TaskCounts};
pub use table::{round_line, summary_table};
