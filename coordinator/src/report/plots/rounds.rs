//! The way that the search took: accuracy over the resource, round by round.

use super::*;
use crate::report::{Figures, Summary};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 460;

/// What a point stands for.
#[derive(PartialEq)]
enum Kind {
    Dense,
    Round,
    Final,
}

struct Point {
    kind: Kind,
    label: String,
    at: (f64, f64),
}

/// Accuracy on holdout over the resource of the budget: a point a round with its number, the dense and the final network,
/// the budget as a vertical line. A latency is the measured one, where there is one.
pub fn rounds(summary: &Summary) -> Option<String> {
    let budget = summary.budget.as_ref();
    let resource = budget.map_or("latency", |budget| budget.resource.as_str());
    let mut points = points(summary, resource);
    // Dense and final alone say nothing that the table does not.
    if !points.iter().any(|point| point.kind == Kind::Round) {
        return None;
    }
    let limit = budget.map(|budget| budget.target).filter(|&target| usable(target));

    let (scale, name) = scale(summary, resource, points.iter().map(|point| point.at.0));
    points.iter_mut().for_each(|point| point.at.0 /= scale);
    let limit = limit.map(|limit| limit / scale);
    let x = around(points.iter().map(|point| point.at.0).chain(limit), 1e-6)?;
    let y = accuracies(points.iter().map(|point| point.at.1))?;
    let digits = decimals(&x);
    let number = move |value: &f64| format!("{value:.digits$}");

    svg((WIDTH, HEIGHT), |root| {
        let x = Axis { range: x, name: &name, label: &number };
        let y = Axis { range: y, name: "accuracy on holdout", label: &percent };
        let chart = chart(root, 24, &x, &y)?;
        let (across, down) = chart.plotting_area().get_pixel_range();
        let mut labels = Labels { across: across.clone(), down: down.clone(), taken: Vec::new(), path: Vec::new() };
        if let Some(limit) = limit {
            let at = chart.backend_coord(&(limit, y.range.start)).0;
            root.draw(&Rectangle::new([(across.start, down.start), (at, down.end)], GREEN.mix(0.06).filled()))?;
            line(root, vec![(at, down.start), (at, down.end)], true, GREEN.stroke_width(2))?;
            labels.path.extend(along((at, down.start), (at, down.end)));
            let text = format!("budget {}", crate::report::format::with_unit(limit * scale, budget.map_or("", |budget| &budget.unit)));
            // On the side that has more room; the network ends up near the line, so at its foot or head is equally free.
            let left = if at - across.start > across.end - at { at - text_width(&text) - 8 } else { at + 8 };
            labels.taken.push((left, down.start, left + text_width(&text), down.start + 24));
            write(root, &text, (left, down.start + 12), HPos::Left, GREEN)?;
        }
        let pixels: Vec<Pixel> = points.iter().map(|point| chart.backend_coord(&point.at)).collect();
        let path: Vec<Pixel> = points.iter().zip(&pixels).filter(|(point, _)| point.kind != Kind::Final).map(|(_, &pixel)| pixel).collect();
        labels.path.extend(path.windows(2).flat_map(|ends| along(ends[0], ends[1])));
        labels.taken.extend(pixels.iter().map(|&(x, y)| (x - 5, y - 5, x + 5, y + 5)));
        line(root, path.clone(), false, BLUE.mix(0.5).stroke_width(2))?;
        for (point, &pixel) in points.iter().zip(&pixels) {
            match point.kind {
                Kind::Dense => marker(root, 1, pixel, 6, INK)?,
                Kind::Round => marker(root, 0, pixel, 4, BLUE)?,
                Kind::Final => marker(root, 3, pixel, 7, RED)?,
            }
        }
        // The two that people look for first choose their places first.
        let named = |kind: &Kind| *kind != Kind::Round;
        for first in [true, false] {
            for (point, &pixel) in points.iter().zip(&pixels).filter(|(point, _)| named(&point.kind) == first) {
                let color = match point.kind {
                    Kind::Final => RED,
                    Kind::Dense | Kind::Round => INK,
                };
                if let Some(at) = labels.place(&point.label, pixel) {
                    write(root, &point.label, at, HPos::Left, color)?;
                }
            }
        }
        Ok(())
    })
}

fn points(summary: &Summary, resource: &str) -> Vec<Point> {
    let figures = |kind: Kind, label: &str, figures: &Figures| {
        Some(Point { kind, label: label.into(), at: (figures.measured(resource)?, figures.accuracy_holdout?) })
    };
    let dense = summary.dense.as_ref().and_then(|dense| figures(Kind::Dense, "dense", dense));
    let last = summary.final_.as_ref().and_then(|last| figures(Kind::Final, "final", last));
    let rounds = summary.rounds.iter().map(|round| {
        let measured = round.measured_ms.filter(|_| resource == "latency");
        Point { kind: Kind::Round, label: round.round.to_string(), at: (measured.unwrap_or(round.resource), round.accuracy) }
    });
    let points = dense.into_iter().chain(rounds).chain(last);
    points.filter(|point| usable(point.at.0) && usable(point.at.1)).collect()
}

/// What to divide by, and the axis' name with its unit.
fn scale(summary: &Summary, resource: &str, values: impl Iterator<Item = f64>) -> (f64, String) {
    let (scale, prefix) = match values.fold(0.0, f64::max) {
        _ if resource == "latency" => (1.0, ""),
        most if most >= 2e9 => (1e9, "billions"),
        most if most >= 2e6 => (1e6, "millions"),
        most if most >= 2e3 => (1e3, "thousands"),
        _ => (1.0, ""),
    };
    let name = match (resource, summary.budget.as_ref().and_then(|budget| budget.device.as_ref())) {
        ("latency", Some(device)) => format!("latency on {}, ms", short(device, 40)),
        ("latency", None) => "latency, ms".into(),
        (_, _) => {
            let unit = summary.budget.as_ref().map_or(resource, |budget| budget.unit.as_str());
            if prefix.is_empty() { short(unit, 40) } else { format!("{}, {prefix}", short(unit, 40)) }
        }
    };
    (scale, name)
}

/// Finds places for labels where they cover neither points nor each other.
struct Labels {
    across: Range<i32>,
    down: Range<i32>,
    /// By points and labels.
    taken: Vec<Area>,
    /// Pixels of the lines: kept free where that is possible.
    path: Vec<Pixel>,
}

/// Left, top, right, bottom.
type Area = (i32, i32, i32, i32);

/// Pixels on the way from one to another, close enough that no label slips between them.
fn along((x0, y0): Pixel, (x1, y1): Pixel) -> impl Iterator<Item = Pixel> {
    let steps = ((x1 - x0).abs().max((y1 - y0).abs()) / 4).max(1);
    (0..=steps).map(move |step| (x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps))
}

impl Labels {
    /// Where a label's left edge and middle go, near `point`; `None` where all is taken: a label too few is no harm.
    fn place(&mut self, label: &str, (x, y): Pixel) -> Option<Pixel> {
        let width = text_width(label);
        let (above, below) = (y - 15, y + 15);
        let (centre, right, left) = (x - width / 2, x + 9, x - width - 9);
        let places =
            [(centre, above), (centre, below), (right, y), (left, y), (right, above), (left, below), (left, above), (right, below)];
        let area = |&(left, middle): &Pixel| (left, middle - 8, left + width, middle + 8);
        let free = |place: &&Pixel| {
            let wanted = area(place);
            let inside =
                wanted.0 >= self.across.start && wanted.2 <= self.across.end && wanted.1 >= self.down.start && wanted.3 <= self.down.end;
            inside && self.taken.iter().all(|t| wanted.2 <= t.0 || t.2 <= wanted.0 || wanted.3 <= t.1 || t.3 <= wanted.1)
        };
        let off_path = |place: &&Pixel| {
            let wanted = area(place);
            !self.path.iter().any(|&(x, y)| (wanted.0..=wanted.2).contains(&x) && (wanted.1..=wanted.3).contains(&y))
        };
        let place = places.iter().filter(free).find(off_path).or_else(|| places.iter().find(free)).copied()?;
        self.taken.push(area(&place));
        Some(place)
    }
}
