//! What the search took from each layer.

use super::*;
use crate::report::Summary;

const ROW: i32 = 24;
const TOP: i32 = 40;
const BOTTOM: i32 = 50;
const BARS: i32 = 620;
/// Room for `512 of 512 (100 %)` right of the longest bar.
const NUMBERS: i32 = 150;
const PALE: RGBColor = RGBColor(203, 213, 225);

/// Output channels of every layer, before (pale) and after (blue), as horizontal bars.
pub fn widths(summary: &Summary) -> Option<String> {
    let layers = &summary.layers;
    let widest = layers.iter().map(|layer| layer.before.max(layer.after)).max()?.max(1);
    let names: Vec<String> = layers.iter().map(|layer| short(&layer.layer, 34)).collect();
    let left = 24 + names.iter().map(|name| text_width(name)).max().unwrap_or(0);
    let height = TOP + layers.len() as i32 * ROW + BOTTOM;

    svg(((left + BARS + NUMBERS) as u32, height as u32), |root| {
        // No y axis: its labels are names, at the rows' middles.
        let mut chart = ChartBuilder::on(root)
            .margin_top(TOP)
            .margin_right(NUMBERS)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(left)
            .build_cartesian_2d(0.0..widest as f64, 0.0..layers.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .x_labels(8)
            .y_labels(0)
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(MUTED)
            .label_style(font(FONT).color(&INK))
            .axis_desc_style(font(FONT + 1.0).color(&INK))
            .x_desc("output channels")
            .x_label_formatter(&|channels| format!("{channels:.0}"))
            .draw()?;
        for (index, (layer, name)) in layers.iter().zip(&names).enumerate() {
            let middle = TOP + index as i32 * ROW + ROW / 2;
            let end = |channels: usize| chart.backend_coord(&(channels as f64, 0.0)).0;
            let bar = |channels: usize, half: i32, color: RGBColor| {
                root.draw(&Rectangle::new([(left, middle - half), (end(channels), middle + half)], color.filled()))
            };
            bar(layer.before, 9, PALE)?;
            bar(layer.after, 6, BLUE)?;
            write(root, name, (left - 8, middle), HPos::Right, INK)?;
            let text = match layer.after == layer.before {
                true => layer.before.to_string(),
                false => format!("{} of {} ({:.0} %)", layer.after, layer.before, layer.after as f64 / layer.before.max(1) as f64 * 100.0),
            };
            write(root, &text, (end(layer.before.max(layer.after)) + 8, middle), HPos::Left, MUTED)?;
        }
        for (x, color, text) in [(left, PALE, "before"), (left + 90, BLUE, "after")] {
            root.draw(&Rectangle::new([(x, 12), (x + 14, 26)], color.filled()))?;
            write(root, text, (x + 21, 19), HPos::Left, INK)?;
        }
        Ok(())
    })
}
