//! Running a network.

use super::{NetworkModule, RUNNING_MOMENTUM, Slot};
use burn::tensor::activation::{gelu, leaky_relu, relu, sigmoid, silu, softmax, tanh};
use burn::tensor::module::{adaptive_avg_pool2d, avg_pool2d, batch_norm, batch_norm_train, conv2d, linear, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Int, Tensor, TensorData};
use pleach_shared::network::{LayerId, Op, Pool2d};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A tensor between two layers.
#[derive(Debug, Clone)]
pub enum Value {
    /// `[batch, channels, height, width]`.
    Map(Tensor<4>),
    /// `[batch, features]`.
    Vector(Tensor<2>),
}

/// Whether batch norms use the batch's statistics and dropout drops.
#[derive(Debug)]
pub enum Mode<'a> {
    /// Running statistics, no dropout.
    Evaluate,
    /// Batch statistics, which are folded into the running ones; dropout draws from this generator.
    Train(&'a mut ChaCha8Rng),
}

impl Value {
    /// As `[batch, features]`; a map is flattened.
    pub fn into_vector(self) -> Tensor<2> {
        match self {
            Value::Map(x) => x.flatten(1, 3),
            Value::Vector(x) => x,
        }
    }

    fn map(self, f: impl FnOnce(Tensor<4>) -> Tensor<4>, g: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Value {
        match self {
            Value::Map(x) => Value::Map(f(x)),
            Value::Vector(x) => Value::Vector(g(x)),
        }
    }

    fn expect_map(self) -> Tensor<4> {
        match self {
            Value::Map(x) => x,
            // Shape inference refused the network before it got here; keep the data rather than stop.
            Value::Vector(x) => x.unsqueeze_dims(&[2, 3]),
        }
    }
}

impl NetworkModule {
    /// Logits `[batch, classes]` of images `[batch, channels, height, width]`, with running statistics.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        first(self.clone().run(vec![Value::Map(images)], Mode::Evaluate, |_, value| value)).into_vector()
    }

    /// As [`NetworkModule::forward`] in training mode: batch statistics, and the running ones updated.
    pub fn forward_train(&mut self, images: Tensor<4>, rng: &mut ChaCha8Rng) -> Tensor<2> {
        first(self.run(vec![Value::Map(images)], Mode::Train(rng), |_, value| value)).into_vector()
    }

    /// Runs the graph and gives the network's outputs. `inputs` are its inputs in order; `hook` sees, and may change, every
    /// layer's output.
    pub fn run(&mut self, inputs: Vec<Value>, mut mode: Mode<'_>, mut hook: impl FnMut(LayerId, Value) -> Value) -> Vec<Value> {
        let graph = self.graph.clone();
        let mut readers = graph.readers.clone();
        let mut values: Vec<Option<Value>> = vec![None; graph.network.layers.len()];
        let mut inputs = inputs.into_iter();
        for (id, layer) in graph.network.layers.iter().enumerate() {
            // The last reader takes the value itself, so that memory is freed and backends can work in place.
            let mut arguments: Vec<Value> = Vec::with_capacity(layer.inputs.len());
            for &input in &layer.inputs {
                readers[input] -= 1;
                let value = if readers[input] == 0 { values[input].take() } else { values[input].clone() };
                arguments.extend(value);
            }
            let output = match arguments.is_empty() {
                true => inputs.next(),
                false => Some(self.layer(id, arguments, &mut mode)),
            };
            values[id] = output.map(|value| hook(id, value));
        }
        // `readers` counts the network's own outputs, so nobody took them.
        graph.network.outputs.iter().filter_map(|&output| values[output].clone()).collect()
    }

    fn layer(&mut self, id: LayerId, mut arguments: Vec<Value>, mode: &mut Mode<'_>) -> Value {
        let graph = self.graph.clone();
        let first = arguments.remove(0);
        match (&graph.network.layers[id].op, graph.slots[id]) {
            (Op::Conv2d(conv), Slot::Conv { kernel, bias }) => {
                let options = ConvOptions::new(conv.stride, conv.padding, conv.dilation, conv.groups);
                let bias = bias.map(|bias| self.vectors[bias].val());
                Value::Map(conv2d(first.expect_map(), self.kernels[kernel].val(), bias, options))
            }
            (Op::Shortcut { stride, .. }, Slot::Conv { kernel, .. }) => {
                let options = ConvOptions::new([*stride; 2], [0; 2], [1; 2], 1);
                Value::Map(conv2d(first.expect_map(), self.kernels[kernel].val(), None, options))
            }
            (Op::Linear { .. }, Slot::Linear { matrix, bias }) => {
                let bias = bias.map(|bias| self.vectors[bias].val());
                Value::Vector(linear(first.into_vector(), self.matrices[matrix].val(), bias))
            }
            (Op::BatchNorm2d { eps }, Slot::Norm { scale, shift, running }) => {
                let (scale, shift) = (self.vectors[scale].val(), self.vectors[shift].val());
                let is_vector = matches!(first, Value::Vector(_));
                let x = first.expect_map();
                let normalised = Value::Map(match mode {
                    Mode::Evaluate => {
                        let running = &self.running[running];
                        batch_norm(x, scale, shift, running.mean.clone(), running.variance.clone(), *eps)
                    }
                    Mode::Train(_) => {
                        let [batch, _, height, width] = x.dims();
                        let count = (batch * height * width) as f32;
                        let out = batch_norm_train(x, scale, shift, *eps);
                        // PyTorch keeps the unbiased variance.
                        let unbiased = out.variance * (count / (count - 1.0).max(1.0));
                        let running = &mut self.running[running];
                        running.mean = blend(&running.mean, out.mean);
                        running.variance = blend(&running.variance, unbiased);
                        out.output
                    }
                });
                if is_vector { Value::Vector(normalised.into_vector()) } else { normalised }
            }
            (Op::Relu, _) => first.map(relu, relu),
            (Op::Relu6, _) => first.map(|x| x.clamp(0.0, 6.0), |x| x.clamp(0.0, 6.0)),
            (Op::HardSwish, _) => first.map(hard_swish, hard_swish),
            (Op::Sigmoid, _) => first.map(sigmoid, sigmoid),
            (Op::HardSigmoid { alpha, beta }, _) => {
                first.map(|x| (x * *alpha + *beta).clamp(0.0, 1.0), |x| (x * *alpha + *beta).clamp(0.0, 1.0))
            }
            (Op::Silu, _) => first.map(silu, silu),
            (Op::Gelu, _) => first.map(gelu, gelu),
            (Op::Tanh, _) => first.map(tanh, tanh),
            (Op::LeakyRelu { slope }, _) => first.map(|x| leaky_relu(x, *slope), |x| leaky_relu(x, *slope)),
            (Op::Clip { min, max }, _) => first.map(|x| x.clamp(*min, *max), |x| x.clamp(*min, *max)),
            (Op::Softmax, _) => first.map(|x| softmax(x, 1), |x| softmax(x, 1)),
            (Op::MaxPool2d(pool), _) => {
                let options = MaxPoolOptions {
                    stride: pool.stride,
                    padding: pad(pool),
                    ceil_mode: pool.ceil_mode,
                    ..MaxPoolOptions::new(pool.kernel)
                };
                Value::Map(max_pool2d(first.expect_map(), options))
            }
            (Op::AvgPool2d(pool), _) => {
                let options = AvgPoolOptions {
                    stride: pool.stride,
                    padding: pad(pool),
                    ceil_mode: pool.ceil_mode,
                    count_include_pad: pool.count_include_pad,
                    ..AvgPoolOptions::new(pool.kernel)
                };
                Value::Map(avg_pool2d(first.expect_map(), options))
            }
            (Op::AdaptiveAvgPool2d { size }, _) => Value::Map(adaptive_avg_pool2d(first.expect_map(), *size)),
            (Op::Pad { padding: [top, left, bottom, right] }, _) => {
                Value::Map(first.expect_map().pad([(0, 0), (0, 0), (*top, *bottom), (*left, *right)], 0.0))
            }
            (Op::Select { channels }, _) => first.map(|x| pick(x, channels), |x| pick(x, channels)),
            (Op::Mul, _) => arguments.into_iter().fold(first, |product, next| match (product, next) {
                (Value::Vector(a), b) => Value::Vector(a * b.into_vector()),
                (Value::Map(a), b) => Value::Map(a * b.expect_map()),
            }),
            (Op::GlobalAvgPool, _) => Value::Map(first.expect_map().mean_dim(3).mean_dim(2)),
            (Op::Add, _) => arguments.into_iter().fold(first, |sum, next| match (sum, next) {
                (Value::Vector(a), b) => Value::Vector(a + b.into_vector()),
                (Value::Map(a), b) => Value::Map(a + b.expect_map()),
            }),
            (Op::Concat, _) => match first {
                Value::Map(x) => Value::Map(Tensor::cat([x].into_iter().chain(arguments.into_iter().map(Value::expect_map)).collect(), 1)),
                Value::Vector(x) => {
                    Value::Vector(Tensor::cat([x].into_iter().chain(arguments.into_iter().map(Value::into_vector)).collect(), 1))
                }
            },
            (Op::Flatten, _) => Value::Vector(first.into_vector()),
            (Op::Dropout { p }, _) => match mode {
                Mode::Evaluate => first,
                Mode::Train(rng) => match first {
                    Value::Map(x) => Value::Map(dropout(x, *p, rng)),
                    Value::Vector(x) => Value::Vector(dropout(x, *p, rng)),
                },
            },
            (Op::Input { .. }, _) => first,
            (Op::Conv2d(_) | Op::Linear { .. } | Op::BatchNorm2d { .. } | Op::Shortcut { .. }, _) => {
                unreachable!("`load` gave layer {id} ({}) its weights", self.op(id).name())
            }
        }
    }
}

/// The output that is trained and judged. A network has at least one.
fn first(outputs: Vec<Value>) -> Value {
    outputs.into_iter().next().unwrap_or_else(|| unreachable!("`shapes` refuses a network without outputs"))
}

/// Channels by index; neighbours in order are a slice, which needs no copy.
fn pick<const D: usize>(x: Tensor<D>, channels: &[usize]) -> Tensor<D> {
    if channels.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
        return x.narrow(1, channels[0], channels.len());
    }
    let indices: Vec<i64> = channels.iter().map(|&channel| channel as i64).collect();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [channels.len()]), &x.device());
    x.select(1, indices)
}

fn blend(running: &Tensor<1>, batch: Tensor<1>) -> Tensor<1> {
    running.clone() * (1.0 - RUNNING_MOMENTUM) + batch * RUNNING_MOMENTUM
}

fn pad(pool: &Pool2d) -> [(usize, usize); 2] {
    pool.padding.map(|padding| (padding, padding))
}

fn hard_swish<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * (x + 3.0).clamp(0.0, 6.0) / 6.0
}

/// Inverted dropout with a mask drawn here: a device's own generator is global, and tasks share devices.
fn dropout<const D: usize>(x: Tensor<D>, p: f64, rng: &mut ChaCha8Rng) -> Tensor<D> {
    let shape = x.dims();
    let scale = (1.0 / (1.0 - p)) as f32;
    let mask: Vec<f32> = (0..shape.iter().product()).map(|_| if rng.random_bool(p) { 0.0 } else { scale }).collect();
    let mask = Tensor::<D>::from_data(TensorData::new(mask, shape), &x.device());
    x * mask
}
