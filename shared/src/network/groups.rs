//! Channel groups: which channels must be removed together.
//!
//! Every output channel of every layer is an *atom*. Walking the graph, operators either make new atoms (a convolution,
//! a linear layer), pass their input's on (batch norm, activations, pooling, concat, flatten), or say that atoms stand
//! or fall together (an addition, a depthwise or grouped convolution). A set of atoms that stand or fall together is a
//! *unit*; the units made by the same layers are a *group*. Because the walk is per channel, concat offsets, flatten
//! into linear and grouped convolutions need no special case later.

use super::{Layer, LayerId, Network, Op, ShapeError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A side of a layer's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Output channels (also batch norm's only axis).
    Out,
    /// Input channels.
    In,
}

/// A layer's axis that shrinks with a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The layer's name.
    pub layer: String,
    /// The axis of its weight.
    pub axis: Axis,
}

/// Channels that are removed together, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The first layer that makes its channels.
    pub name: String,
    /// Prunable units. One channel each, but for grouped convolutions: there a unit is one channel in every block.
    pub channels: usize,
    /// Why it cannot be pruned, if so.
    pub fixed: Option<String>,
    /// The convolutions and linear layers that make its channels: what a criterion ranks by.
    pub producers: Vec<LayerId>,
    /// Every layer axis that shrinks with it.
    pub members: Vec<Member>,
}

/// The channel groups of a network, in the order of their first producers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    groups: Vec<Group>,
    /// Per layer, per output channel: (group, unit).
    outputs: Vec<Vec<(usize, usize)>>,
}

impl Groups {
    /// All groups.
    pub fn all(&self) -> &[Group] {
        &self.groups
    }

    /// The groups that may be pruned.
    pub fn prunable(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.fixed.is_none())
    }

    /// The group of this name, with its index.
    pub fn find(&self, name: &str) -> Option<(usize, &Group)> {
        self.groups.iter().enumerate().find(|(_, group)| group.name == name)
    }

    /// The (group, unit) of every output channel of a layer.
    pub fn of_output(&self, layer: LayerId) -> &[(usize, usize)] {
        &self.outputs[layer]
    }
}

impl Network {
    /// Finds the channel groups by walking the graph.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn groups(&self) -> Result<Groups, ShapeError> {
        let shapes = self.shapes()?;
        let mut atoms = Atoms::default();
        let mut outputs: Vec<Vec<usize>> = Vec::with_capacity(self.layers.len());
        let mut makers: Vec<LayerId> = Vec::new();
        let mut mixed: Vec<(usize, LayerId)> = Vec::new();
        for (id, layer) in self.layers.iter().enumerate() {
            let width = shapes[id][0];
            let first = layer.inputs.first().map(|&input| (&outputs[input], &shapes[input]));
            let output = match (&layer.op, first) {
                (Op::Conv2d(conv), Some((input, _))) => {
                    let (per_out, per_in) = (width / conv.groups, input.len() / conv.groups);
                    if conv.groups > 1 && per_in == 1 {
                        (0..width).map(|channel| input[channel / per_out]).collect()
                    } else {
                        let made = atoms.fresh(width, id);
                        makers.push(id);
                        // Blocks must stay equally wide: the same position of every block goes together.
                        for channel in per_out..width {
                            atoms.join(made[channel], made[channel % per_out]);
                        }
                        for channel in per_in..input.len() {
                            atoms.join(input[channel], input[channel % per_in]);
                        }
                        made
                    }
                }
                (Op::Input { .. } | Op::Linear { .. } | Op::Shortcut { .. }, _) => {
                    makers.push(id);
                    atoms.fresh(width, id)
                }
                (Op::Flatten, Some((input, shape))) => {
                    let area: usize = shape[1..].iter().product();
                    input.iter().flat_map(|&atom| std::iter::repeat_n(atom, area)).collect()
                }
                (Op::Add | Op::Mul, Some(_)) => {
                    // An operand of one channel is broadcast: it ties nothing.
                    let operands: Vec<&Vec<usize>> =
                        layer.inputs.iter().map(|&input| &outputs[input]).filter(|o| o.len() == width).collect();
                    for other in &operands[1..] {
                        for (&a, &b) in operands[0].iter().zip(*other) {
                            atoms.join(a, b);
                        }
                    }
                    operands[0].clone()
                }
                (Op::Select { channels }, Some((input, _))) => channels.iter().map(|&channel| input[channel]).collect(),
                (Op::Softmax, Some((input, _))) => {
                    mixed.extend(input.iter().map(|&atom| (atom, id)));
                    input.clone()
                }
                (Op::Concat, _) => layer.inputs.iter().flat_map(|&input| outputs[input].iter().copied()).collect(),
                (_, Some((input, _))) => input.clone(),
                (_, None) => Vec::new(),
            };
            outputs.push(output);
        }
        Ok(self.collect(&mut atoms, &makers, &outputs, &mixed))
    }

    fn collect(&self, atoms: &mut Atoms, makers: &[LayerId], outputs: &[Vec<usize>], mixed: &[(usize, LayerId)]) -> Groups {
        // A group is what is reached from a maker through shared units.
        let mut families = Sets::new(atoms.owner.len());
        // A maker's atoms are numbered one after the other.
        for atom in 1..atoms.owner.len() {
            if atoms.owner[atom] == atoms.owner[atom - 1] {
                families.join(atom - 1, atom);
            }
        }
        for atom in 0..atoms.owner.len() {
            let unit = atoms.sets.root(atom);
            families.join(atom, unit);
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut index: BTreeMap<usize, usize> = BTreeMap::new();
        let mut unit_index: BTreeMap<usize, usize> = BTreeMap::new();
        let mut place = vec![(0, 0); atoms.owner.len()];
        // Atoms are numbered in the order of their makers, so groups and units come out in network order.
        for (atom, slot) in place.iter_mut().enumerate() {
            let maker = &self.layers[atoms.owner[atom]];
            let group = *index.entry(families.root(atom)).or_insert_with(|| {
                groups.push(Group { name: maker.name.clone(), channels: 0, fixed: None, producers: Vec::new(), members: Vec::new() });
                groups.len() - 1
            });
            let unit = *unit_index.entry(atoms.sets.root(atom)).or_insert_with(|| {
                groups[group].channels += 1;
                groups[group].channels - 1
            });
            *slot = (group, unit);
            if matches!(maker.op, Op::Input { .. }) {
                groups[group].fixed = Some("it is the network's input".into());
            }
        }
        for &(group, _) in self.outputs.iter().flat_map(|&output| &outputs[output]).map(|&atom| &place[atom]) {
            groups[group].fixed.get_or_insert_with(|| "it is the network's output".into());
        }
        for &(atom, mixer) in mixed {
            let Layer { name, op, .. } = &self.layers[mixer];
            groups[place[atom].0].fixed.get_or_insert_with(|| format!("{} `{name}` mixes its channels", op.name()));
        }
        let outputs: Vec<Vec<(usize, usize)>> = outputs.iter().map(|atoms| atoms.iter().map(|&atom| place[atom]).collect()).collect();
        for (id, layer) in self.layers.iter().enumerate() {
            let weighted = layer.op.width().is_some();
            if weighted && makers.contains(&id) {
                let (group, _) = outputs[id][0];
                groups[group].producers.push(id);
            }
            let mut touch = |units: &[(usize, usize)], axis: Axis| {
                let mut seen: Vec<usize> = units.iter().map(|&(group, _)| group).collect();
                seen.sort_unstable();
                seen.dedup();
                for group in seen {
                    groups[group].members.push(Member { layer: layer.name.clone(), axis });
                }
            };
            if weighted || matches!(layer.op, Op::BatchNorm2d { .. }) {
                touch(&outputs[id], Axis::Out);
            }
            if weighted && !self.is_depthwise(id, outputs[layer.inputs[0]].len()) {
                touch(&outputs[layer.inputs[0]], Axis::In);
            }
        }
        for group in &mut groups {
            if group.fixed.is_none() && group.producers.is_empty() {
                group.fixed = Some("no convolution or linear layer makes it, so nothing ranks its channels".into());
            }
            if group.fixed.is_none() && group.channels < 2 {
                group.fixed = Some("it has a single channel".into());
            }
        }
        Groups { groups, outputs }
    }

    /// Whether a layer is a convolution whose blocks each read one channel, so that its input axis has nothing to slice.
    pub(crate) fn is_depthwise(&self, id: LayerId, input_channels: usize) -> bool {
        matches!(&self.layers[id].op, Op::Conv2d(conv) if conv.groups > 1 && conv.groups == input_channels)
    }
}

/// The channels made so far, who made each, and which stand or fall together.
#[derive(Default)]
struct Atoms {
    owner: Vec<LayerId>,
    sets: Sets,
}

impl Atoms {
    fn fresh(&mut self, count: usize, owner: LayerId) -> Vec<usize> {
        let first = self.owner.len();
        self.owner.extend(std::iter::repeat_n(owner, count));
        self.sets.parent.extend(first..first + count);
        (first..first + count).collect()
    }

    fn join(&mut self, a: usize, b: usize) {
        self.sets.join(a, b);
    }
}

/// Disjoint sets; the root of a set is its smallest element, which keeps the order of groups and units stable.
#[derive(Default)]
struct Sets {
    parent: Vec<usize>,
}

impl Sets {
    fn new(count: usize) -> Sets {
        Sets { parent: (0..count).collect() }
    }

    fn root(&mut self, mut element: usize) -> usize {
        while self.parent[element] != element {
            self.parent[element] = self.parent[self.parent[element]];
            element = self.parent[element];
        }
        element
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Builder, zoo};

    #[test]
    fn a_residual_add_ties_the_layers_on_both_sides_and_a_batch_norm_follows() {
        let network = zoo::resnet(20, 1.0, zoo::ShortcutKind::A, [3, 32, 32], 10).unwrap();
        let groups = network.groups().unwrap();
        let (_, stem) = groups.find("conv1").unwrap();
        assert_eq!(stem.channels, 16);
        let producers: Vec<&str> = stem.producers.iter().map(|&id| network.layers[id].name.as_str()).collect();
        assert_eq!(producers, ["conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2"]);
        assert!(stem.members.iter().any(|member| member.layer == "bn1"));
        // Option A's shortcut remaps channels, so a stage is pruned on its own.
        assert_eq!(groups.find("layer2.0.conv2").unwrap().1.channels, 32);
        assert_eq!(groups.prunable().count(), 3 + 9, "three stages and the inside of nine blocks");
        assert_eq!(groups.find("fc").map(|(_, group)| group.fixed.clone()), None, "the last layer is called linear there");
        assert!(groups.find("linear").unwrap().1.fixed.as_deref().unwrap().contains("output"));
    }

    #[test]
    fn a_depthwise_convolution_follows_its_producer() {
        let network = zoo::mobilenet_v1(1.0, [3, 224, 224], 10).unwrap();
        let groups = network.groups().unwrap();
        let first = groups.prunable().next().unwrap();
        assert_eq!((first.channels, first.producers.len()), (32, 1));
        assert!(first.members.iter().filter(|member| member.axis == super::Axis::Out).count() >= 4, "conv, bn, depthwise, bn");
    }

    #[test]
    fn a_grouped_convolution_loses_the_same_place_of_every_block() {
        let mut b = Builder::new();
        let x = b.input([4, 6, 6]);
        let x = b.conv("a", x, 8, 3, 1, 1, 1);
        let x = b.conv("b", x, 12, 3, 1, 1, 4);
        let x = b.global_avg_pool("pool", x);
        let x = b.flatten("flat", x);
        let x = b.linear("fc", x, 3);
        let groups = b.finish(x).unwrap().groups().unwrap();
        assert_eq!(groups.find("a").unwrap().1.channels, 2);
        assert_eq!(groups.find("b").unwrap().1.channels, 3);
    }
}
