//! RegNet (Radosavovic et al. 2020, "Designing Network Design Spaces"), as torchvision has it.

use super::{Options, Stem, scaled};
use crate::network::{Builder, LayerId, Network, Op, ShapeError};

/// A stage: its blocks, their width, and the groups of their 3x3 convolutions.
struct Stage {
    blocks: usize,
    width: usize,
    groups: usize,
}

/// The widths that a line `w_0 + w_a * block` is quantised to (section 3.3, equations 2 to 4), stage by stage.
fn stages(depth: usize, w_0: f64, w_a: f64, w_m: f64, group: usize, width: f64) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut before = 0;
    for block in 0..depth {
        let line = w_0 + w_a * block as f64;
        let power = ((line / w_0).ln() / w_m.ln()).round_ties_even();
        let quantised = (w_0 * w_m.powf(power) / 8.0).round_ties_even() as usize * 8;
        // Where a stage ends is decided before the multiplier: narrow networks keep all their strides.
        if let Some(stage) = stages.last_mut().filter(|_| quantised == before) {
            stage.blocks += 1;
            continue;
        }
        before = quantised;
        // Widths are made multiples of the group width, as torchvision does.
        let group = group.min(quantised);
        let divisible = {
            let nearest = ((quantised + group / 2) / group * group).max(group);
            if nearest * 10 < quantised * 9 { nearest + group } else { nearest }
        };
        // The multiplier narrows the groups, as in ResNeXt: dropping whole ones would leave stages of one group as they are.
        let groups = divisible / group;
        stages.push(Stage { blocks: 1, width: groups * scaled(group, width), groups });
    }
    stages
}

pub(super) fn regnet(depth: usize, w_0: f64, w_a: f64, w_m: f64, group: usize, excite: bool, o: &Options) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let mut channels = scaled(32, o.width);
    let stride = if o.stem == Stem::Imagenet { 2 } else { 1 };
    x = b.conv("stem.0", x, channels, 3, stride, 1, 1);
    x = b.batch_norm("stem.1", x);
    x = b.relu("stem.2", x);
    for (index, stage) in stages(depth, w_0, w_a, w_m, group, o.width).into_iter().enumerate() {
        for block in 0..stage.blocks {
            let name = format!("trunk_output.block{}.block{}-{block}", index + 1, index + 1);
            let stride = if block == 0 { 2 } else { 1 };
            let mut bridge = x;
            if stride != 1 || channels != stage.width {
                bridge = b.conv(format!("{name}.proj.0"), bridge, stage.width, 1, stride, 0, 1);
                bridge = b.batch_norm(format!("{name}.proj.1"), bridge);
            }
            let squeeze = excite.then(|| (0.25 * channels as f64).round_ties_even() as usize);
            x = transform(&mut b, &format!("{name}.f"), x, &stage, stride, squeeze);
            x = b.add(format!("{name}.add"), bridge, x);
            x = b.relu(format!("{name}.activation"), x);
            channels = stage.width;
        }
    }
    x = b.global_avg_pool("avgpool", x);
    x = b.flatten("flatten", x);
    x = b.linear("fc", x, o.classes);
    b.finish(x)
}

fn transform(b: &mut Builder, name: &str, x: LayerId, stage: &Stage, stride: usize, squeeze: Option<usize>) -> LayerId {
    let mut x = b.conv(format!("{name}.a.0"), x, stage.width, 1, 1, 0, 1);
    x = b.batch_norm(format!("{name}.a.1"), x);
    x = b.relu(format!("{name}.a.2"), x);
    x = b.conv(format!("{name}.b.0"), x, stage.width, 3, stride, 1, stage.groups);
    x = b.batch_norm(format!("{name}.b.1"), x);
    x = b.relu(format!("{name}.b.2"), x);
    if let Some(squeeze) = squeeze {
        x = b.squeeze_excite(&format!("{name}.se"), x, squeeze.max(1), stage.width, Op::Relu, Op::Sigmoid);
    }
    x = b.conv(format!("{name}.c.0"), x, stage.width, 1, 1, 0, 1);
    b.batch_norm(format!("{name}.c.1"), x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_regnet_keeps_its_stages_and_groups() {
        // regnet_x_3_2gf: at a quarter, rounded counts of groups would make its first two stages equally wide.
        let shape = |width| stages(25, 88.0, 26.31, 2.25, 48, width).iter().map(|s| (s.blocks, s.width, s.groups)).collect::<Vec<_>>();
        assert_eq!(shape(1.0), [(2, 96, 2), (6, 192, 4), (15, 432, 9), (2, 1008, 21)]);
        assert_eq!(shape(0.25), [(2, 24, 2), (6, 48, 4), (15, 108, 9), (2, 252, 21)]);
    }
}
