//! The report's pictures, as SVG text. Each is `None` where there is nothing to draw.
//!
//! Values that are not finite are left out. Text is measured by a guess (SVG leaves the font to whoever shows it), so
//! room for it is generous.

mod rounds;
mod sensitivity;
mod widths;

pub use rounds::rounds;
pub use sensitivity::sensitivity;
pub use widths::widths;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;
type Pixel = (i32, i32);

const INK: RGBColor = RGBColor(31, 41, 55);
const MUTED: RGBColor = RGBColor(107, 114, 128);
const GRID: RGBColor = RGBColor(229, 231, 235);
const BLUE: RGBColor = RGBColor(37, 99, 235);
const GREEN: RGBColor = RGBColor(5, 128, 90);
const RED: RGBColor = RGBColor(200, 40, 40);

/// Plotters divides a font's size by this before it writes it; sizes here are what the SVG shall say, in pixels.
const FONT_SCALE: f64 = 1.24;
const FONT: f64 = 13.0;

/// Draws on a white canvas. A picture that cannot be drawn is left out: the report's numbers matter more.
fn svg(size: (u32, u32), draw: impl FnOnce(&Canvas<'_>) -> Drawn) -> Option<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).ok()?;
        draw(&root).ok()?;
        root.present().ok()?;
    }
    Some(text)
}

/// What stands on an axis.
struct Axis<'a> {
    range: Range<f64>,
    name: &'a str,
    label: &'a dyn Fn(&f64) -> String,
}

/// Axes and grid in the part of the canvas that is `right` pixels short of its right edge.
fn chart<'a, 'b>(root: &'a Canvas<'b>, right: u32, x: &Axis<'_>, y: &Axis<'_>) -> Drawn<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(root)
        .margin(14)
        .margin_right(right)
        .x_label_area_size(46)
        .y_label_area_size(76)
        .build_cartesian_2d(x.range.clone(), y.range.clone())?;
    chart
        .configure_mesh()
        .x_labels(10)
        .y_labels(9)
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(MUTED)
        .label_style(font(FONT).color(&INK))
        .axis_desc_style(font(FONT + 1.0).color(&INK))
        .x_desc(x.name)
        .y_desc(y.name)
        .x_label_formatter(x.label)
        .y_label_formatter(y.label)
        .draw()?;
    Ok(chart)
}

fn font(pixels: f64) -> FontDesc<'static> {
    ("sans-serif", pixels * FONT_SCALE).into_font()
}

/// Writes `text`, anchored at `at` horizontally as told and in the middle vertically.
fn write(root: &Canvas<'_>, text: &str, at: Pixel, anchor: HPos, color: RGBColor) -> Drawn {
    Ok(root.draw_text(text, &font(FONT).color(&color).pos(Pos::new(anchor, VPos::Center)), at)?)
}

/// A guess at how wide a text is: the common sans-serif fonts stay below it.
fn text_width(text: &str) -> i32 {
    (text.chars().count() as f64 * FONT * 0.6).ceil() as i32
}

/// A name as it fits beside a plot. Control characters have no place in SVG.
fn short(name: &str, longest: usize) -> String {
    let clean: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match clean.chars().count() > longest {
        true => clean.chars().take(longest - 1).chain(['…']).collect(),
        false => clean,
    }
}

/// Draws nothing beyond this: differences of such values are no longer finite.
fn usable(value: f64) -> bool {
    value.is_finite() && value.abs() < 1e18
}

/// A range that holds all values with some air, never empty: at least `span` wide, and wide enough that a double can
/// still tell its ticks apart.
fn around(values: impl Iterator<Item = f64>, span: f64) -> Option<Range<f64>> {
    let (low, high) = values
        .filter(|&value| usable(value))
        .fold(None, |ends: Option<(f64, f64)>, value| Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value)))))?;
    let width = (high - low).max(span).max(low.abs().max(high.abs()) * 1e-3);
    let middle = f64::midpoint(low, high);
    Some(middle - 0.56 * width..middle + 0.56 * width)
}

/// A range of accuracies. At least 1 % wide, so that the axis' one decimal tells its ticks apart; never beyond 0 and 100 %.
fn accuracies(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    let range = around(values, 0.01)?;
    let (low, high) = (range.start.max(0.0), range.end.min(1.0));
    // Both ends can only pass each other for values that are no accuracies.
    Some(if high - low >= 0.005 { low..high } else { range })
}

fn percent(fraction: &f64) -> String {
    format!("{:.1} %", fraction * 100.0)
}

/// Decimals that tell ticks of such a range apart.
fn decimals(range: &Range<f64>) -> usize {
    (-((range.end - range.start) / 10.0).log10()).ceil().clamp(0.0, 6.0) as usize
}

/// A line through pixels, dashed where told.
fn line(root: &Canvas<'_>, points: Vec<Pixel>, dashed: bool, style: ShapeStyle) -> Drawn {
    match dashed {
        true => root.draw(&DashedPathElement::new(points, 6, 4, style))?,
        false => root.draw(&PathElement::new(points, style))?,
    }
    Ok(())
}

/// How many shapes [`marker`] knows.
const MARKERS: usize = 5;

/// A small shape around a pixel; `kind` chooses which.
fn marker(root: &Canvas<'_>, kind: usize, (x, y): Pixel, r: i32, color: RGBColor) -> Drawn {
    match kind % MARKERS {
        0 => root.draw(&Circle::new((x, y), r, color.filled()))?,
        1 => root.draw(&Rectangle::new([(x - r, y - r), (x + r, y + r)], color.filled()))?,
        2 => root.draw(&Polygon::new([(x - r, y + r), (x + r, y + r), (x, y - r)], color.filled()))?,
        3 => root.draw(&Polygon::new([(x - r - 1, y), (x, y + r + 1), (x + r + 1, y), (x, y - r - 1)], color.filled()))?,
        _ => {
            root.draw(&Circle::new((x, y), r, WHITE.filled()))?;
            root.draw(&Circle::new((x, y), r, color.stroke_width(2)))?;
        }
    }
    Ok(())
}
