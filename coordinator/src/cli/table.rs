//! Lists as tables and as JSON.

use super::{CliError, Output};
use crate::report::{Summary, summary_table};
use comfy_table::{Table, presets};
use pleach_shared::rpc::v1::{Experiment, Worker};
use serde_json::json;

pub(super) fn summary(summary: &Summary, output: Output) -> Result<(), CliError> {
    match output {
        Output::Table => println!("{}", summary_table(summary)),
        Output::Json => {
            println!("{}", serde_json::to_string_pretty(summary).map_err(|error| CliError::failed(error.to_string()))?);
        }
    }
    Ok(())
}

pub(super) fn experiments(experiments: &[Experiment], output: Output) {
    match output {
        Output::Table => {
            let rows = experiments.iter().map(|e| [e.id.clone(), e.name.clone(), e.state.clone(), age(e.submitted)]);
            print(["ID", "NAME", "STATE", "SUBMITTED"], rows);
        }
        Output::Json => {
            let rows: Vec<_> =
                experiments.iter().map(|e| json!({ "id": e.id, "name": e.name, "state": e.state, "submitted": e.submitted })).collect();
            println!("{}", json!(rows));
        }
    }
}

pub(super) fn workers(workers: &[Worker], output: Output) {
    let running = |worker: &Worker| worker.running.iter().map(|task| task.what.clone()).collect::<Vec<_>>();
    match output {
        Output::Table => {
            let row = |w: &Worker| {
                let does = if w.computes { "computes and measures" } else { "measures" };
                [
                    w.name.clone(),
                    w.host.clone(),
                    w.kind.clone(),
                    w.device.clone(),
                    does.to_owned(),
                    w.slots.to_string(),
                    running(w).join(", "),
                ]
            };
            print(["NAME", "HOST", "KIND", "MEASURES AS", "DOES", "SLOTS", "RUNNING"], workers.iter().map(row));
        }
        Output::Json => {
            let rows: Vec<_> = workers
                .iter()
                .map(|w| {
                    json!({
                        "id": w.id, "name": w.name, "host": w.host, "kind": w.kind, "device": w.device,
                        "computes": w.computes, "slots": w.slots, "running": running(w),
                    })
                })
                .collect();
            println!("{}", json!(rows));
        }
    }
}

fn print<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    println!("{table}");
}

/// How long ago, in the largest unit that fits.
fn age(unix: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(unix, |now| now.as_secs());
    match now.saturating_sub(unix) {
        seconds if seconds < 120 => format!("{seconds} s ago"),
        seconds if seconds < 7200 => format!("{} min ago", seconds / 60),
        seconds if seconds < 172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}
