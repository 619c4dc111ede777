//! The versioned interface: what `summary.json` holds and `--output json` prints.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Goes up when a field of [`Summary`] changes its meaning or goes away; a new field alone does not raise it.
pub const SUMMARY_VERSION: u32 = 1;

/// Everything that an experiment found. Accuracies are fractions (0 to 1); what is not known yet is `null`, never left out.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default)]
pub struct Summary {
    /// [`SUMMARY_VERSION`] of the program that wrote it.
    pub version: u32,
    /// The experiment's name, from its document.
    pub experiment: String,
    /// The experiment's id.
    pub id: String,
    /// `queued`, `running`, `finished`, `failed` or `cancelled`.
    pub state: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The network that the search started from.
    pub dense: Option<Figures>,
    /// The network that met the budget, before the long fine-tune.
    pub searched: Option<Figures>,
    /// The same network after the long fine-tune.
    #[serde(rename = "final")]
    pub final_: Option<Figures>,
    /// What the search had to reach.
    pub budget: Option<Budget>,
    /// The search's rounds, in order.
    pub rounds: Vec<Round>,
    /// The sensitivity scan, group by group.
    pub sensitivity: Vec<SensitivityPoint>,
    /// Width of every layer that has one, before and after.
    pub layers: Vec<LayerWidth>,
    /// The data's splits by name: `train`, `holdout`, `test`.
    pub splits: BTreeMap<String, SplitRecord>,
    /// How many tasks it took.
    pub tasks: TaskCounts,
    /// Wall-clock seconds from start to end, or until now.
    pub seconds: f64,
}

impl Default for Summary {
    /// An empty summary, of this program's version.
    fn default() -> Summary {
        Summary {
            version: SUMMARY_VERSION,
            experiment: String::new(),
            id: String::new(),
            state: String::new(),
            error: None,
            dense: None,
            searched: None,
            final_: None,
            budget: None,
            rounds: Vec::new(),
            sensitivity: Vec::new(),
            layers: Vec::new(),
            splits: BTreeMap::new(),
            tasks: TaskCounts::default(),
            seconds: 0.0,
        }
    }
}

/// What is known of one network.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Accuracy on the holdout split, the one that selection looks at.
    pub accuracy_holdout: Option<f64>,
    /// Accuracy on the test split, which only the report reads.
    pub accuracy_test: Option<f64>,
    /// Measured median latency of the whole network, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Median absolute deviation of that latency, in milliseconds.
    pub latency_spread_ms: Option<f64>,
    /// The lookup table's sum, in milliseconds.
    pub predicted_ms: Option<f64>,
    /// Multiply-accumulates of one input.
    pub macs: u64,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-accumulates with weights that no mask removes.
    #[serde(default)]
    pub nonzero_macs: Option<u64>,
    /// Trainable parameters that no mask removes.
    #[serde(default)]
    pub nonzero_params: Option<u64>,
}

impl Figures {
    /// The measured value of a resource, by the name that a [`Budget`] gives it.
    pub fn measured(&self, resource: &str) -> Option<f64> {
        match resource {
            "latency" => self.latency_ms,
            "macs" => Some(self.macs as f64),
            "params" => Some(self.params as f64),
            _ => None,
        }
    }

    /// The value of a resource that rounds compare themselves with: for latency the lookup table's, where there is one.
    pub fn predicted(&self, resource: &str) -> Option<f64> {
        match resource {
            "latency" => self.predicted_ms.or(self.latency_ms),
            _ => self.measured(resource),
        }
    }
}

/// What a search had to reach.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Budget {
    /// `latency`, `macs` or `params`.
    pub resource: String,
    /// Where the latency counts.
    pub device: Option<String>,
    /// The most that the network may take, in `unit`.
    pub target: f64,
    /// `ms`, `MACs` or `parameters`.
    pub unit: String,
}

/// One finished round of the search.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Round {
    /// From 1.
    pub round: usize,
    /// The resource that candidates had to come down to.
    pub target: f64,
    /// The winner's resource; for latency, as predicted by the lookup table.
    pub resource: f64,
    /// The winner's accuracy on holdout after its short fine-tune.
    pub accuracy: f64,
    /// The channel group that the winner narrowed.
    pub group: String,
    /// How many channels the winner left it.
    pub channels: usize,
    /// The winner's latency by the lookup table, in milliseconds.
    pub predicted_ms: Option<f64>,
    /// The winner's measured latency, in milliseconds.
    pub measured_ms: Option<f64>,
    /// The winner's multiply-accumulates.
    pub macs: u64,
    /// The winner's parameters.
    pub params: u64,
    /// Everything that the round tried, in the order of the groups.
    pub candidates: Vec<Candidate>,
}

/// One candidate of a round.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// The channel group that it narrowed.
    pub group: String,
    /// How many channels it left the group.
    pub channels: usize,
    /// Its resource.
    pub resource: f64,
    /// Its accuracy on holdout after the short fine-tune.
    pub accuracy: f64,
}

/// One group pruned at one ratio, without fine-tuning.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct SensitivityPoint {
    /// The channel group.
    pub group: String,
    /// Fraction of its channels that was removed; 0 is the dense network.
    pub ratio: f64,
    /// Accuracy on holdout.
    pub accuracy: f64,
    /// Mean cross-entropy on holdout. A network pruned to pieces may have none: NaN here, `null` in JSON.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
}

/// Width of one layer.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct LayerWidth {
    /// The layer's name.
    pub layer: String,
    /// Output channels (or features) of the dense network.
    pub before: usize,
    /// Output channels (or features) after the search.
    pub after: usize,
}

/// One split of the data.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct SplitRecord {
    /// How many images it has.
    pub images: usize,
    /// Hash of which images those are.
    pub hash: String,
}

/// Where the results came from.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Run for this experiment.
    pub run: usize,
    /// Answered by the memo.
    pub reused: usize,
}

/// JSON has no NaN: serde writes it as `null`, and without this could not read its own file again.
fn null_is_nan<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
