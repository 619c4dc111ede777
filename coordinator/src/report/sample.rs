//! A finished experiment with six groups and fourteen rounds, as the tests and the example page need one.

use super::{Budget, Candidate, Figures, LayerWidth, Round, SensitivityPoint, SplitRecord, Summary, TaskCounts};

/// Group name, channels before and after, and how badly it takes pruning.
const GROUPS: [(&str, usize, usize, f64); 6] = [
    ("conv1", 16, 12, 0.9),
    ("conv2", 16, 12, 0.6),
    ("conv3", 32, 20, 0.5),
    ("conv4", 32, 16, 0.35),
    ("conv5", 64, 28, 0.2),
    ("conv6", 64, 20, 0.1),
];

/// To four decimals: without its feature `float_roundtrip`, serde_json may read the last digits of longer ones back differently.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The experiment.
pub fn sample() -> Summary {
    let mut summary = Summary {
        experiment: "fashion-vgg".into(),
        id: "fashion-vgg-7f3a91".into(),
        state: "finished".into(),
        dense: Some(Figures {
            accuracy_holdout: Some(0.912),
            accuracy_test: Some(0.9087),
            latency_ms: Some(0.687),
            latency_spread_ms: Some(0.004),
            predicted_ms: None,
            macs: 5_214_720,
            params: 72_810,
            ..Figures::default()
        }),
        searched: Some(Figures {
            accuracy_holdout: Some(0.894),
            accuracy_test: None,
            latency_ms: Some(0.398),
            latency_spread_ms: Some(0.003),
            predicted_ms: Some(0.405),
            macs: 2_402_112,
            params: 19_514,
            ..Figures::default()
        }),
        budget: Some(Budget { resource: "latency".into(), device: Some("local".into()), target: 0.412, unit: "ms".into() }),
        tasks: TaskCounts { run: 83, reused: 12 },
        seconds: 241.3,
        ..Summary::default()
    };
    summary.final_ =
        summary.searched.clone().map(|searched| Figures { accuracy_holdout: Some(0.907), accuracy_test: Some(0.9031), ..searched });
    for (name, images) in [("train", 9000), ("holdout", 1000), ("test", 2000)] {
        summary.splits.insert(name.into(), SplitRecord { images, hash: format!("b3:{:064x}", images * 7919) });
    }
    for (group, before, after, fragile) in GROUPS {
        summary.layers.push(LayerWidth { layer: group.into(), before, after });
        for step in 0..10_u32 {
            let ratio = f64::from(step) / 10.0;
            let lost = ratio.powf(1.0 + 2.0 * (1.0 - fragile)) * (0.4 + 0.5 * fragile);
            summary.sensitivity.push(SensitivityPoint {
                group: group.into(),
                ratio,
                accuracy: rounded(0.912 - lost),
                loss: rounded(0.25 + 3.0 * lost),
            });
        }
    }
    summary.layers.push(LayerWidth { layer: "classifier".into(), before: 10, after: 10 });
    for index in 0..14_usize {
        let done = (index + 1) as f64 / 14.0;
        let resource = rounded(0.687 - (0.687 - 0.405) * done);
        let accuracy = rounded(0.912 - 0.018 * done * done - if index % 3 == 1 { 0.003 } else { 0.0 });
        let candidates = GROUPS.iter().enumerate().map(|(number, (group, before, ..))| Candidate {
            group: (*group).into(),
            channels: before - 4,
            resource: rounded(resource + 0.001 * number as f64),
            accuracy: rounded(accuracy - 0.001 * ((number + 6 - index % 6) % 6) as f64),
        });
        summary.rounds.push(Round {
            round: index + 1,
            target: rounded(resource + 0.002),
            resource,
            accuracy,
            group: GROUPS[index % 6].0.into(),
            channels: GROUPS[index % 6].1 - 4,
            predicted_ms: Some(resource),
            measured_ms: Some(rounded(resource * if index % 2 == 0 { 0.983 } else { 1.012 })),
            macs: 5_214_720 - 200_900 * (index as u64 + 1),
            params: 72_810 - 3_806 * (index as u64 + 1),
            candidates: candidates.collect(),
        });
    }
    summary
}
