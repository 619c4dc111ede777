//! Masks: which weights stay, at every granularity but whole channels (Mao et al. 2017).

use crate::spec::{Granularity, Scope};
use std::collections::BTreeMap;

/// Which weights of a tensor stay: one bit each, row-major, lowest bit first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    len: usize,
    bits: Vec<u8>,
}

impl Mask {
    /// A mask of `len` weights that all stay.
    pub fn whole(len: usize) -> Mask {
        Mask::from_fn(len, |_| true)
    }

    /// A mask by index.
    pub fn from_fn(len: usize, stays: impl Fn(usize) -> bool) -> Mask {
        let mut bits = vec![0; len.div_ceil(8)];
        for index in (0..len).filter(|&index| stays(index)) {
            bits[index / 8] |= 1 << (index % 8);
        }
        Mask { len, bits }
    }

    /// From its bytes; `None` unless they are as many as `len` weights need.
    pub fn from_bytes(len: usize, bits: &[u8]) -> Option<Mask> {
        (bits.len() == len.div_ceil(8)).then(|| Mask { len, bits: bits.to_vec() })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Weights, those that are gone included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a weight stays.
    pub fn stays(&self, index: usize) -> bool {
        self.bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// Weights that stay.
    pub fn ones(&self) -> usize {
        (0..self.len).filter(|&index| self.stays(index)).count()
    }

    /// Sets every weight that is gone to zero.
    pub fn apply(&self, weights: &mut [f32]) {
        for (index, weight) in weights.iter_mut().enumerate() {
            if !self.stays(index) {
                *weight = 0.0;
            }
        }
    }

    /// The weights that both keep.
    #[must_use]
    pub fn and(&self, other: &Mask) -> Mask {
        Mask { len: self.len, bits: self.bits.iter().zip(&other.bits).map(|(a, b)| a & b).collect() }
    }
}

/// The scores of one weight tensor.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// `[out, in, height, width]`, or `[out, in]`.
    pub shape: &'a [usize],
    /// One a weight; the lowest go first.
    pub scores: &'a [f64],
}

/// Masks that remove the fraction `ratio` of the weights with the lowest scores, per tensor or over all of them. Patterns and
/// N:M remove their own fraction. A unit's score is the sum over its weights; ties keep the lower index; every tensor
/// keeps at least one unit.
pub fn masks(tensors: &BTreeMap<String, Scored<'_>>, granularity: Granularity, ratio: f64, scope: Scope) -> BTreeMap<String, Mask> {
    let blocks = |tensor: &Scored<'_>| match granularity {
        Granularity::Pattern { keep } => best_of_blocks(tensor, &kernels(tensor.shape), keep),
        Granularity::NM { n, m } => best_of_blocks(tensor, &input_blocks(tensor.shape, m), n),
        Granularity::Channel | Granularity::FineGrained | Granularity::Vector | Granularity::Kernel => Mask::whole(tensor.scores.len()),
    };
    if granularity.own_ratio().is_some() {
        return tensors.iter().map(|(name, tensor)| (name.clone(), blocks(tensor))).collect();
    }
    // Units of a tensor are runs of `size` weights.
    let sized: Vec<(&String, &Scored<'_>, usize)> =
        tensors.iter().map(|(name, tensor)| (name, tensor, unit(tensor.shape, granularity))).collect();
    let mut kept: Vec<Vec<bool>> = sized.iter().map(|(_, tensor, size)| vec![true; tensor.scores.len() / size]).collect();
    let score = |tensor: &Scored<'_>, size: usize, unit: usize| tensor.scores[unit * size..(unit + 1) * size].iter().sum::<f64>();
    let mut order: Vec<(f64, usize, usize)> = Vec::new();
    for (index, (_, tensor, size)) in sized.iter().enumerate() {
        let from = order.len();
        order.extend((0..kept[index].len()).map(|unit| (score(tensor, *size, unit), index, unit)));
        if scope == Scope::Layer {
            remove(&mut order[from..], &sized, &mut kept, ratio);
        }
    }
    if scope == Scope::Global {
        remove(&mut order, &sized, &mut kept, ratio);
    }
    let mask = |((name, tensor, size), kept): (&(&String, &Scored<'_>, usize), &Vec<bool>)| {
        ((*name).clone(), Mask::from_fn(tensor.scores.len(), |index| kept[index / size]))
    };
    sized.iter().zip(&kept).map(mask).collect()
}

/// Marks the lowest units as gone until the fraction `ratio` of the weights is.
fn remove(order: &mut [(f64, usize, usize)], tensors: &[(&String, &Scored<'_>, usize)], kept: &mut [Vec<bool>], ratio: f64) {
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then((b.1, b.2).cmp(&(a.1, a.2))));
    let total: usize = order.iter().map(|&(_, tensor, _)| tensors[tensor].2).sum();
    let target = (ratio * total as f64).round() as usize;
    let mut left: Vec<usize> = kept.iter().map(Vec::len).collect();
    let mut gone = 0;
    for &(_, tensor, unit) in order.iter() {
        let size = tensors[tensor].2;
        if gone + size > target {
            break;
        }
        if left[tensor] > 1 {
            kept[tensor][unit] = false;
            left[tensor] -= 1;
            gone += size;
        }
    }
}

/// Weights that are removed together; they follow each other in memory.
fn unit(shape: &[usize], granularity: Granularity) -> usize {
    match (granularity, shape) {
        (Granularity::Vector, &[_, _, _, width]) => width,
        (Granularity::Kernel, &[_, _, height, width]) => height * width,
        _ => 1,
    }
}

/// The 3x3 kernels of a convolution.
fn kernels(shape: &[usize]) -> Vec<Vec<usize>> {
    match *shape {
        [out, input, 3, 3] => (0..out * input).map(|kernel| (kernel * 9..kernel * 9 + 9).collect()).collect(),
        _ => Vec::new(),
    }
}

/// Blocks of `m` weights along the input channels.
fn input_blocks(shape: &[usize], m: usize) -> Vec<Vec<usize>> {
    let (Some(&out), Some(&input)) = (shape.first(), shape.get(1)) else { return Vec::new() };
    let area: usize = shape[2..].iter().product();
    let mut blocks = Vec::new();
    for row in 0..out {
        for place in 0..area {
            for block in 0..input / m {
                blocks.push((block * m..block * m + m).map(|channel| (row * input + channel) * area + place).collect());
            }
        }
    }
    blocks
}

fn best_of_blocks(tensor: &Scored<'_>, blocks: &[Vec<usize>], keep: usize) -> Mask {
    let mut gone = vec![false; tensor.scores.len()];
    for block in blocks {
        let mut order = block.clone();
        order.sort_by(|&a, &b| tensor.scores[b].total_cmp(&tensor.scores[a]).then(a.cmp(&b)));
        order.iter().skip(keep).for_each(|&index| gone[index] = true);
    }
    Mask::from_fn(tensor.scores.len(), |index| !gone[index])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(shape: &[usize], scores: &[f64], granularity: Granularity, ratio: f64) -> Vec<usize> {
        let tensors = BTreeMap::from([("w".to_owned(), Scored { shape, scores })]);
        let mask = &masks(&tensors, granularity, ratio, Scope::Layer)["w"];
        (0..scores.len()).filter(|&index| mask.stays(index)).collect()
    }

    #[test]
    fn each_granularity_removes_its_own_unit() {
        let scores: Vec<f64> = (0..36).map(f64::from).collect();
        let shape = [2, 2, 3, 3];
        assert_eq!(one(&shape, &scores, Granularity::FineGrained, 0.5), (18..36).collect::<Vec<_>>());
        assert_eq!(one(&shape, &scores, Granularity::Vector, 0.75), (27..36).collect::<Vec<_>>(), "nine of twelve rows");
        assert_eq!(one(&shape, &scores, Granularity::Kernel, 0.5), (18..36).collect::<Vec<_>>(), "two of four kernels");
        assert_eq!(one(&shape, &scores, Granularity::Pattern { keep: 4 }, 0.0)[..4], [5, 6, 7, 8]);
    }

    #[test]
    fn two_of_four_holds_along_the_input_channels_and_a_rest_stays_whole() {
        let scores = [1.0, 4.0, 3.0, 2.0, 0.0];
        assert_eq!(one(&[1, 5], &scores, Granularity::NM { n: 2, m: 4 }, 0.0), [1, 2, 4]);
    }

    #[test]
    fn a_global_ranking_takes_more_from_the_less_important_layer_but_not_all_of_it() {
        let (low, high) = ([0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]);
        let tensors = BTreeMap::from([
            ("low".to_owned(), Scored { shape: &[2, 2], scores: &low }),
            ("high".to_owned(), Scored { shape: &[2, 2], scores: &high }),
        ]);
        let masks = masks(&tensors, Granularity::FineGrained, 0.5, Scope::Global);
        assert_eq!((masks["low"].ones(), masks["high"].ones()), (1, 3));
    }

    proptest! {
        #[test]
        fn masks_keep_the_fraction_that_they_are_told_to(
            out in 1usize..5, input in 1usize..9, ratio in 0.0..0.95f64, seed in any::<u64>(), n in 1usize..4,
        ) {
            let shape = [out, input, 3, 3];
            let scores: Vec<f64> = (0..out * input * 9).map(|i| ((i as u64).wrapping_mul(seed | 1) % 1009) as f64).collect();
            let count = scores.len();
            let kept = one(&shape, &scores, Granularity::FineGrained, ratio).len();
            prop_assert_eq!(kept, (count - (ratio * count as f64).round() as usize).max(1));
            prop_assert_eq!(one(&shape, &scores, Granularity::Pattern { keep: n }, 0.0).len(), out * input * n);
            let blocks = input / 4;
            prop_assert_eq!(one(&shape, &scores, Granularity::NM { n, m: 4 }, 0.0).len(), out * 9 * (blocks * n + input % 4));
            let mask = Mask::from_fn(count, |i| scores[i] > 500.0);
            prop_assert_eq!(Mask::from_bytes(count, mask.bytes()), Some(mask));
        }
    }
}
