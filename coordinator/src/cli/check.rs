//! `pleach check`.

use super::{CliError, Output};
use crate::search::first_candidates;
use crate::submit::inspect;
use clap::Args;
use pleach_shared::spec::{Resource, Search, reachable_minimum};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Check a document without running it.
#[derive(Debug, Args)]
#[command(after_help = "Example: pleach check experiments/quickstart.yaml --output json")]
pub(super) struct CheckArgs {
    /// The YAML document. Paths in it are relative to it.
    file: PathBuf,
    /// What to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn check(args: &CheckArgs) -> Result<(), CliError> {
    let (prepared, mismatch) = inspect(&args.file)?;
    if let Some(mismatch) = mismatch {
        eprintln!("warning: {}: {mismatch}\nwarning: `pleach run` will refuse it", args.file.display());
    }
    let submission = &prepared.submission;
    let failed = |error: &dyn std::fmt::Display| CliError::usage(format!("{}: {error}", args.file.display()));
    let cost = submission.network.cost().map_err(|error| failed(&error))?;
    let groups = submission.network.groups().map_err(|error| failed(&error))?;
    let mut budget = Value::Null;
    let mut candidates = Vec::new();
    if let Some(Search::Netadapt(search)) = &submission.spec.search {
        let resource = search.budget.resource();
        let dense = match resource {
            Resource::Latency => None,
            Resource::Macs => Some(cost.macs as f64),
            Resource::Params => Some(cost.params as f64),
        };
        // Without a measurement a latency in milliseconds can only be checked at the start of the run.
        let known = dense.is_some() || search.budget.is_relative();
        let minimum = reachable_minimum(&search.step, search.max_rounds);
        budget = json!({
            "resource": resource,
            "target": search.budget.target(dense.unwrap_or(1.0)),
            "unit": match (resource, known) { (Resource::Latency, true) => "of dense", (Resource::Latency, false) => "ms", (Resource::Macs, _) => "macs", (Resource::Params, _) => "params" },
            "reachable_minimum": minimum * dense.unwrap_or(1.0),
            "reachable": known.then_some(true),
        });
        if resource != Resource::Latency {
            for (group, channels, resource) in first_candidates(search, &submission.network).map_err(|error| failed(&error))? {
                // A count, not a float: it is MACs or parameters.
                candidates.push(json!({ "group": group, "channels": channels, "resource": resource as u64 }));
            }
        }
    }
    match args.output {
        Output::Json => {
            let document = json!({
                "experiment": submission.id(),
                "document": submission.spec,
                "macs": cost.macs,
                "params": cost.params,
                "groups": groups.prunable().map(|group| json!({ "group": group.name, "channels": group.channels })).collect::<Vec<_>>(),
                "splits": submission.data.splits,
                "budget": budget,
                "candidates": candidates,
            });
            println!("{}", serde_json::to_string_pretty(&document).map_err(|error| failed(&error))?);
        }
        Output::Table => {
            let splits = &submission.data.splits;
            println!("{}", submission.spec.to_yaml().trim_end());
            println!("---");
            println!("experiment  {}", submission.id());
            println!("network     {} MACs, {} parameters, {} prunable groups", cost.macs, cost.params, groups.prunable().count());
            println!("data        train {}, holdout {}, test {} images", splits.train.images, splits.holdout.images, splits.test.images);
            if let Value::Object(budget) = &budget {
                println!(
                    "budget      {} {} {}; the schedule reaches {:.4}",
                    budget["resource"].as_str().unwrap_or_default(),
                    budget["target"],
                    budget["unit"].as_str().unwrap_or_default(),
                    budget["reachable_minimum"].as_f64().unwrap_or_default(),
                );
            }
            for candidate in &candidates {
                println!(
                    "candidate   {} to {} channels: {}",
                    candidate["group"].as_str().unwrap_or_default(),
                    candidate["channels"],
                    candidate["resource"]
                );
            }
        }
    }
    Ok(())
}
