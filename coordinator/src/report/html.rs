//! The report's page: one file that needs nothing else, so that it can be mailed, kept and opened without a network.

use super::format::{self, NOTHING};
use super::table::{FIGURE_COLUMNS, budget_line, figure_rows, tasks_line};
use super::{Round, Summary, plots};
use std::fmt::Write as _;

/// The whole page. Every text that comes from outside is escaped; there is no script in it.
pub fn html(summary: &Summary, document_yaml: &str) -> String {
    let title = if summary.experiment.is_empty() { "experiment" } else { &summary.experiment };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} - Pleach</title>\n\
         <style>\n{css}</style>\n</head>\n<body>\n{head}<main>\n",
        title = escape(title),
        css = include_str!("style.css"),
        head = head(summary, title),
    );
    for part in [
        result(summary),
        picture("Search", "Accuracy over the resource, round by round", plots::rounds(summary)),
        picture("Widths", "Output channels of every layer before and after", plots::widths(summary)),
        rounds(summary),
        candidates(summary),
        picture("Sensitivity", "Accuracy over the fraction of channels removed", plots::sensitivity(summary)),
        sensitivity(summary),
        splits(summary),
        section("Document", &format!("<pre>{}</pre>", escape(document_yaml))),
    ] {
        page.push_str(&part);
    }
    let _ = write!(
        page,
        "</main>\n<footer>Written by Pleach {} (summary version {}). The same numbers are in <code>summary.json</code>, \
         <code>history.csv</code> and <code>sensitivity.csv</code>. Accuracy is on the holdout split unless it says test; selection never sees the \
         test split.</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        summary.version,
    );
    page
}

fn head(summary: &Summary, title: &str) -> String {
    let mut head = format!("<header>\n<h1>{}", escape(title));
    if !summary.state.is_empty() {
        let _ = write!(head, "<span class=\"state {0}\">{0}</span>", escape(&summary.state));
    }
    let _ = write!(head, "</h1>\n<p><code>{}</code> {}</p>\n", escape(&summary.id), escape(&tasks_line(summary)));
    if let Some(error) = &summary.error {
        let _ = writeln!(head, "<p class=\"error\">{}</p>", escape(error));
    }
    head + "</header>\n"
}

fn result(summary: &Summary) -> String {
    let rows = figure_rows(summary);
    let line = budget_line(summary).map(|line| format!("<p class=\"budget\">{}</p>\n", escape(&line))).unwrap_or_default();
    match rows.is_empty() {
        true if line.is_empty() => String::new(),
        true => section("Result", &line),
        false => section(
            "Result",
            &(table("names", &FIGURE_COLUMNS.map(String::from), rows.iter().map(|row| row.iter().map(|cell| escape(cell)))) + &line),
        ),
    }
}

fn rounds(summary: &Summary) -> String {
    if summary.rounds.is_empty() {
        return String::new();
    }
    let (resource, unit) = summary.budget.as_ref().map_or(("", ""), |budget| (budget.resource.as_str(), budget.unit.as_str()));
    let dense = summary.dense.as_ref().and_then(|dense| dense.predicted(resource));
    let latency = resource == "latency";
    let mut columns = vec!["round".into(), "group".into(), "channels".into(), format!("target, {unit}")];
    // For latency the resource is the table's prediction: the measured one stands beside it.
    columns.push(if latency { "predicted, ms".into() } else { format!("reached, {unit}") });
    columns.push("of dense".into());
    if latency {
        columns.extend(["measured, ms".into(), "off by".into()]);
    }
    columns.extend(["accuracy", "MACs", "parameters", "candidates"].map(String::from));

    let row = |round: &Round| {
        let mut cells = vec![
            round.round.to_string(),
            escape(&round.group),
            round.channels.to_string(),
            format::resource(round.target, unit),
            format::resource(round.resource, unit),
            dense.and_then(|dense| format::ratio(round.resource, dense)).unwrap_or_else(|| NOTHING.into()),
        ];
        if latency {
            cells.push(format::optional(round.measured_ms, format::ms));
            let off = round.measured_ms.and_then(|measured| format::deviation(measured, round.resource));
            cells.push(off.unwrap_or_else(|| NOTHING.into()));
        }
        cells.extend([
            format::percent(round.accuracy),
            format::count(round.macs as f64),
            format::count(round.params as f64),
            round.candidates.len().to_string(),
        ]);
        cells
    };
    section("Rounds", &table("names second", &columns, summary.rounds.iter().map(row)))
}

/// Everything that was tried, for who asks why a group won.
fn candidates(summary: &Summary) -> String {
    let all = summary.rounds.iter().flat_map(|round| round.candidates.iter().map(move |candidate| (round, candidate)));
    let unit = summary.budget.as_ref().map_or("", |budget| budget.unit.as_str());
    let rows = all.map(|(round, candidate)| {
        let won = (&round.group, round.channels) == (&candidate.group, candidate.channels);
        [
            round.round.to_string(),
            escape(&candidate.group),
            candidate.channels.to_string(),
            format::resource(candidate.resource, unit),
            format::percent(candidate.accuracy),
            if won { "won".into() } else { String::new() },
        ]
    });
    folded("Candidates", "names second", &["round", "group", "channels", unit, "accuracy", ""].map(String::from), rows.collect())
}

fn sensitivity(summary: &Summary) -> String {
    let rows = summary.sensitivity.iter().map(|point| {
        let loss = if point.loss.is_finite() { format!("{:.4}", point.loss) } else { NOTHING.into() };
        [escape(&point.group), format::percent(point.ratio), format::percent(point.accuracy), loss]
    });
    folded("Sensitivity in numbers", "names", &["group", "channels removed", "accuracy", "loss"].map(String::from), rows.collect())
}

fn splits(summary: &Summary) -> String {
    if summary.splits.is_empty() {
        return String::new();
    }
    let columns = ["split", "images", "hash of the images"].map(String::from);
    let rows = summary
        .splits
        .iter()
        .map(|(name, split)| [escape(name), split.images.to_string(), format!("<code>{}</code>", escape(&split.hash))]);
    section("Data", &table("names third", &columns, rows))
}

fn picture(title: &str, alternative: &str, svg: Option<String>) -> String {
    let figure = |svg| format!("<figure role=\"img\" aria-label=\"{}\">\n{svg}</figure>\n", escape(alternative));
    svg.map(|svg| section(title, &figure(svg))).unwrap_or_default()
}

fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", escape(title))
}

/// A section that is closed until somebody asks for it; none without rows.
fn folded<const N: usize>(title: &str, class: &str, columns: &[String; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let title = format!("{} ({})", escape(title), rows.len());
    format!("<section>\n<details><summary>{title}</summary>\n{}</details>\n</section>\n", table(class, columns, rows))
}

/// A table. The columns' names are text, the cells are HTML already.
fn table<R: IntoIterator<Item = String>>(class: &str, columns: &[String], rows: impl IntoIterator<Item = R>) -> String {
    let mut text = format!("<div class=\"scroll\"><table class=\"{class}\">\n<thead><tr>");
    for column in columns {
        let _ = write!(text, "<th>{}</th>", escape(column));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for cell in row {
            let _ = write!(text, "<td>{cell}</td>");
        }
        text.push_str("</tr>\n");
    }
    text + "</tbody>\n</table></div>\n"
}

/// Text as text: in elements and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
