//! How accuracy falls as one group is narrowed.

use super::*;
use crate::report::Summary;

/// Told apart on white and by most colour-blind eyes; lines beyond the tenth differ by marker and dash too.
const COLORS: [RGBColor; 10] = [
    RGBColor(37, 99, 235),
    RGBColor(230, 120, 20),
    RGBColor(5, 140, 100),
    RGBColor(200, 40, 60),
    RGBColor(130, 80, 200),
    RGBColor(20, 160, 190),
    RGBColor(160, 130, 20),
    RGBColor(215, 80, 160),
    RGBColor(130, 85, 60),
    RGBColor(100, 110, 125),
];
const PLOT_WIDTH: i32 = 740;
const LEGEND_ROW: i32 = 18;
/// Legend rows in a column; more groups open a second column.
const LEGEND_ROWS: usize = 32;

/// Accuracy on holdout over the fraction of channels removed, one line a group, the legend beside the plot.
pub fn sensitivity(summary: &Summary) -> Option<String> {
    let groups = lines(summary);
    let y = accuracies(groups.iter().flat_map(|(_, points)| points.iter().map(|point| point.1)))?;

    let columns = groups.len().div_ceil(LEGEND_ROWS);
    let rows = groups.len().div_ceil(columns);
    let names: Vec<String> = groups.iter().map(|(name, _)| short(name, 26)).collect();
    let column = 50 + names.iter().map(|name| text_width(name)).max().unwrap_or(0);
    let legend = column * columns as i32;
    let height = 440.max(rows as i32 * LEGEND_ROW + 40);

    svg(((PLOT_WIDTH + legend) as u32, height as u32), |root| {
        let x = Axis { range: 0.0..1.0, name: "channels removed", label: &|ratio| format!("{:.0} %", ratio * 100.0) };
        let y = Axis { range: y, name: "accuracy on holdout", label: &percent };
        let chart = chart(root, (legend + 36) as u32, &x, &y)?;
        for (index, (_, points)) in groups.iter().enumerate() {
            let pixels: Vec<Pixel> = points.iter().map(|point| chart.backend_coord(point)).collect();
            series(root, index, &pixels, &pixels)?;
        }
        for (index, name) in names.iter().enumerate() {
            let left = PLOT_WIDTH + (index / rows) as i32 * column;
            let middle = 24 + (index % rows) as i32 * LEGEND_ROW;
            series(root, index, &[(left, middle), (left + 32, middle)], &[(left + 16, middle)])?;
            write(root, name, (left + 40, middle), HPos::Left, INK)?;
        }
        Ok(())
    })
}

/// Line and markers in the look of the `index`th group.
fn series(root: &Canvas<'_>, index: usize, path: &[Pixel], markers: &[Pixel]) -> Drawn {
    let (color, look) = (COLORS[index % COLORS.len()], index / COLORS.len());
    line(root, path.to_vec(), look % 2 == 1, color.stroke_width(2))?;
    markers.iter().try_for_each(|&at| marker(root, look, at, 3, color))
}

/// The groups in the order of the scan, each with its points from the lowest ratio to the highest.
fn lines(summary: &Summary) -> Vec<(&str, Vec<(f64, f64)>)> {
    let mut groups: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for point in summary.sensitivity.iter().filter(|point| (0.0..=1.0).contains(&point.ratio) && usable(point.accuracy)) {
        let at = (point.ratio, point.accuracy);
        match groups.iter_mut().find(|(name, _)| *name == point.group) {
            Some((_, points)) => points.push(at),
            None => groups.push((&point.group, vec![at])),
        }
    }
    for (_, points) in &mut groups {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    groups
}
