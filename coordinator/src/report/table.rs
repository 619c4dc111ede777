//! What the terminal shows: tables at the end, a line a round on the way. Plain text: it also goes into logs.

use super::format::{self, NOTHING};
use super::{Figures, Round, Summary};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;

/// The columns of [`figure_rows`].
pub(super) const FIGURE_COLUMNS: [&str; 6] = ["", "accuracy (holdout)", "accuracy (test)", "latency ms", "MACs", "parameters"];

/// The tables and lines that `pleach show` prints: figures, widths, budget, tasks. What is missing is left out.
pub fn summary_table(summary: &Summary) -> String {
    let mut text = format!("{} ({}): {}\n", summary.experiment, summary.id, summary.state);
    if let Some(error) = &summary.error {
        let _ = writeln!(text, "Error: {error}");
    }
    let rows = figure_rows(summary);
    if !rows.is_empty() {
        let _ = writeln!(text, "\n{}", table(&FIGURE_COLUMNS, rows));
    }
    if !summary.layers.is_empty() {
        let _ = writeln!(text, "\n{}", table(&["layer", "before", "after", "kept"], layer_rows(summary)));
    }
    text.push('\n');
    if let Some(line) = budget_line(summary) {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "{}", tasks_line(summary));
    text
}

/// One finished round in one line, with columns that stay in place from round to round.
///
/// `dense` is the dense network's resource, in the unit of `round.resource`.
pub fn round_line(round: &Round, dense: f64) -> String {
    // A round does not name its unit, but only a latency is predicted, and MACs and parameters equal its own figures.
    let unit = match round {
        Round { predicted_ms: Some(_), .. } => "ms",
        Round { macs, resource, .. } if *resource == *macs as f64 => "MACs",
        _ => "parameters",
    };
    let mut line = format!("round {:>3}  {:<12} -> {:>4} channels", round.round, round.group, round.channels);
    let _ = write!(line, "  {:>9}", format::with_unit(round.resource, unit));
    if let Some(ratio) = format::ratio(round.resource, dense) {
        let _ = write!(line, "  {ratio:>5} of dense");
    }
    if let Some(measured) = round.measured_ms {
        let _ = write!(line, "  measured {} ms", format::ms(measured));
    }
    let _ = write!(line, "  accuracy {:>7}", format::percent(round.accuracy));
    match round.candidates.len() {
        0 => {}
        1 => line.push_str("  the only candidate"),
        many => {
            let _ = write!(line, "  best of {many}");
        }
    }
    line
}

/// Name and figures of each network there is, each with its relation to the dense one.
///
/// Until the search is through (or where it failed) its last round stands for what it found.
pub(super) fn figure_rows(summary: &Summary) -> Vec<[String; 6]> {
    let dense = summary.dense.as_ref();
    let last = last_round(summary);
    let networks = [
        ("dense".to_owned(), dense),
        (last.as_ref().map(|(name, _)| name.clone()).unwrap_or_default(), last.as_ref().map(|(_, figures)| figures)),
        ("after search".to_owned(), summary.searched.as_ref()),
        ("final".to_owned(), summary.final_.as_ref()),
    ];
    networks.into_iter().filter_map(|(name, figures)| Some(figure_row(&name, figures?, dense.filter(|_| name != "dense")))).collect()
}

/// The last round of a search that has not found its network.
fn last_round(summary: &Summary) -> Option<(String, Figures)> {
    let round = summary.rounds.last().filter(|_| summary.searched.is_none() && summary.final_.is_none())?;
    let figures = Figures {
        accuracy_holdout: Some(round.accuracy),
        latency_ms: round.measured_ms,
        predicted_ms: round.predicted_ms,
        macs: round.macs,
        params: round.params,
        ..Figures::default()
    };
    Some((format!("round {}", round.round), figures))
}

fn figure_row(name: &str, figures: &Figures, dense: Option<&Figures>) -> [String; 6] {
    // Accuracies are compared by their difference: 58 % "of" an accuracy says nothing.
    let accuracy = |of: fn(&Figures) -> Option<f64>| match (of(figures), dense.and_then(of)) {
        (Some(value), Some(dense)) => format!("{} ({:+.2})", format::percent(value), (value - dense) * 100.0),
        (value, _) => format::optional(value, format::percent),
    };
    let related = |text: String, value: f64, dense: Option<f64>| match dense.and_then(|dense| format::ratio(value, dense)) {
        Some(ratio) => format!("{text} ({ratio})"),
        None => text,
    };
    let number = |of: fn(&Figures) -> u64, nonzero: Option<u64>| match (of(figures), nonzero) {
        (0, _) => NOTHING.to_owned(),
        (value, Some(nonzero)) => {
            let nonzero = related(format::count(nonzero as f64), nonzero as f64, dense.map(|dense| of(dense) as f64));
            format!("{}, not zero {nonzero}", format::count(value as f64))
        }
        (value, None) => related(format::count(value as f64), value as f64, dense.map(|dense| of(dense) as f64)),
    };
    let latency = format::optional(figures.latency_ms, |value| {
        let spread = figures.latency_spread_ms.map(|spread| format!(" ± {}", format::ms(spread))).unwrap_or_default();
        related(format!("{}{spread}", format::ms(value)), value, dense.and_then(|dense| dense.latency_ms))
    });
    [
        name.into(),
        accuracy(|f| f.accuracy_holdout),
        accuracy(|f| f.accuracy_test),
        latency,
        number(|f| f.macs, figures.nonzero_macs),
        number(|f| f.params, figures.nonzero_params),
    ]
}

fn layer_rows(summary: &Summary) -> impl Iterator<Item = [String; 4]> {
    summary.layers.iter().map(|layer| {
        let kept = format::ratio(layer.after as f64, layer.before as f64).unwrap_or_else(|| NOTHING.into());
        [layer.layer.clone(), layer.before.to_string(), layer.after.to_string(), kept]
    })
}

/// Whether the budget is met, and how far the prediction was off. Nothing without a budget.
pub(super) fn budget_line(summary: &Summary) -> Option<String> {
    let budget = summary.budget.as_ref()?;
    let what = match (budget.resource.as_str(), &budget.device) {
        ("latency", Some(device)) => format!("latency on {device} at most"),
        ("latency", None) => "latency at most".into(),
        // The unit says what it is about.
        _ => "at most".into(),
    };
    let limit = format!("{what} {}.", format::with_unit(budget.target, &budget.unit));
    let figures = summary.final_.as_ref().or(summary.searched.as_ref());
    let Some(value) = figures.and_then(|figures| figures.measured(&budget.resource)) else {
        return Some(match last_round(summary).and_then(|(name, figures)| Some((name, figures.measured(&budget.resource)?))) {
            Some((name, value)) => format!("Budget: {limit} After {name}: {}.", format::with_unit(value, &budget.unit)),
            None => format!("Budget: {limit} No round has been finished."),
        });
    };
    let verdict = if value <= budget.target { "Budget met" } else { "Budget not met" };
    let predicted = figures.and_then(|figures| figures.predicted_ms).filter(|_| budget.resource == "latency");
    let found = match predicted.map(|predicted| (predicted, format::deviation(value, predicted))) {
        Some((predicted, Some(deviation))) => {
            format!(
                "Measured {}, predicted {} ({deviation})",
                format::with_unit(value, &budget.unit),
                format::with_unit(predicted, &budget.unit)
            )
        }
        _ if budget.resource == "latency" => format!("Measured {}", format::with_unit(value, &budget.unit)),
        _ => format!("Reached {}", format::with_unit(value, &budget.unit)),
    };
    Some(format!("{verdict}: {limit} {found}."))
}

/// How many tasks it took, and how long.
pub(super) fn tasks_line(summary: &Summary) -> String {
    format!("Tasks: {} run, {} reused. {}.", summary.tasks.run, summary.tasks.reused, format::duration(summary.seconds))
}

fn table<const N: usize>(header: &[&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.iter()).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
