//! The report's folder.

use super::{Summary, html};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes `index.html`, `history.csv`, `sensitivity.csv`, `summary.json` and, where there is one, `model.safetensors`.
///
/// Each file is replaced at once: whoever reads while an experiment runs sees an old file or a new one, never a half.
///
/// # Errors
/// When the folder cannot be made or written.
pub fn write(dir: &Path, summary: &Summary, document_yaml: &str, model: Option<&[u8]>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    replace(dir, "index.html", html(summary, document_yaml).as_bytes())?;
    replace(dir, "history.csv", &history(summary)?)?;
    replace(dir, "sensitivity.csv", &sensitivity(summary)?)?;
    let mut json = serde_json::to_vec_pretty(summary)?;
    json.push(b'\n');
    replace(dir, "summary.json", &json)?;
    if let Some(model) = model {
        replace(dir, "model.safetensors", model)?;
    }
    Ok(())
}

/// One row a round; candidates are in the JSON.
fn history(summary: &Summary) -> io::Result<Vec<u8>> {
    let header = ["round", "target", "resource", "accuracy", "group", "channels", "predicted_ms", "measured_ms", "macs", "params"];
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let row = |round: &super::Round| {
        [
            round.round.to_string(),
            round.target.to_string(),
            round.resource.to_string(),
            round.accuracy.to_string(),
            round.group.clone(),
            round.channels.to_string(),
            optional(round.predicted_ms),
            optional(round.measured_ms),
            round.macs.to_string(),
            round.params.to_string(),
        ]
    };
    csv(&header, summary.rounds.iter().map(row))
}

fn sensitivity(summary: &Summary) -> io::Result<Vec<u8>> {
    let row = |point: &super::SensitivityPoint| {
        [point.group.clone(), point.ratio.to_string(), point.accuracy.to_string(), point.loss.to_string()]
    };
    csv(&["group", "ratio", "accuracy", "loss"], summary.sensitivity.iter().map(row))
}

fn csv<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// Writes beside the file and renames: a rename within a folder is atomic.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    // Two writers of one folder (a coordinator and `pleach export`) must not share a temporary file.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let temporary = dir.join(format!(".{name}.{}.{}.tmp", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    let written = File::create(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            // Before the rename: after a power cut the name must not stand for an empty file.
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, dir.join(name)));
    if written.is_err() {
        // The first error is the one to tell; a leftover is hidden and harmless.
        let _ = fs::remove_file(&temporary);
    }
    written
}
