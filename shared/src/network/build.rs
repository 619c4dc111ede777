//! A builder for networks, used by the zoo and by tests.

use super::{Conv2d, Layer, LayerId, Network, Op, Pool2d, ShapeError};

/// Adds layers one by one; every method returns the new layer's id for the next to read.
#[derive(Debug, Default)]
pub struct Builder {
    layers: Vec<Layer>,
}

impl Builder {
    /// An empty builder.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Adds a layer.
    pub fn add_layer(&mut self, name: impl Into<String>, op: Op, inputs: &[LayerId]) -> LayerId {
        self.layers.push(Layer { name: name.into(), op, inputs: inputs.to_vec() });
        self.layers.len() - 1
    }

    /// The network's input, `[channels, height, width]`.
    pub fn input(&mut self, shape: [usize; 3]) -> LayerId {
        self.add_layer("input", Op::Input { shape: shape.to_vec() }, &[])
    }

    /// A square convolution without bias, as before a batch norm.
    #[allow(clippy::too_many_arguments)] // PyTorch's own order of arguments
    pub fn conv(
        &mut self,
        name: impl Into<String>,
        x: LayerId,
        out_channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        groups: usize,
    ) -> LayerId {
        let conv =
            Conv2d { out_channels, kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], dilation: [1; 2], groups, bias: false };
        self.add_layer(name, Op::Conv2d(conv), &[x])
    }

    /// A square convolution with bias.
    #[allow(clippy::too_many_arguments)] // PyTorch's own order of arguments
    pub fn conv_bias(
        &mut self,
        name: impl Into<String>,
        x: LayerId,
        out_channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> LayerId {
        let id = self.conv(name, x, out_channels, kernel, stride, padding, 1);
        if let Op::Conv2d(conv) = &mut self.layers[id].op {
            conv.bias = true;
        }
        id
    }

    /// Batch normalisation with PyTorch's default epsilon.
    pub fn batch_norm(&mut self, name: impl Into<String>, x: LayerId) -> LayerId {
        self.batch_norm_eps(name, x, 1e-5)
    }

    /// Batch normalisation with another epsilon.
    pub fn batch_norm_eps(&mut self, name: impl Into<String>, x: LayerId, eps: f64) -> LayerId {
        self.add_layer(name, Op::BatchNorm2d { eps }, &[x])
    }

    /// Squeeze and excite (Hu et al. 2018): every channel times what two small layers make of all channels' means.
    pub fn squeeze_excite(&mut self, name: &str, x: LayerId, squeeze: usize, channels: usize, activation: Op, scale: Op) -> LayerId {
        let y = self.global_avg_pool(format!("{name}.avgpool"), x);
        let y = self.conv_bias(format!("{name}.fc1"), y, squeeze, 1, 1, 0);
        let y = self.then(format!("{name}.activation"), activation, y);
        let y = self.conv_bias(format!("{name}.fc2"), y, channels, 1, 1, 0);
        let y = self.then(format!("{name}.scale_activation"), scale, y);
        self.add_layer(format!("{name}.mul"), Op::Mul, &[y, x])
    }

    /// A layer of one input and no weights, such as an activation or a pooling.
    pub fn then(&mut self, name: impl Into<String>, op: Op, x: LayerId) -> LayerId {
        self.add_layer(name, op, &[x])
    }

    /// ReLU.
    pub fn relu(&mut self, name: impl Into<String>, x: LayerId) -> LayerId {
        self.add_layer(name, Op::Relu, &[x])
    }

    /// A square max pooling whose stride is its size.
    pub fn max_pool(&mut self, name: impl Into<String>, x: LayerId, size: usize) -> LayerId {
        self.add_layer(name, Op::MaxPool2d(Pool2d::square(size, size, 0)), &[x])
    }

    /// Global average pooling.
    pub fn global_avg_pool(&mut self, name: impl Into<String>, x: LayerId) -> LayerId {
        self.add_layer(name, Op::GlobalAvgPool, &[x])
    }

    /// Elementwise sum.
    pub fn add(&mut self, name: impl Into<String>, a: LayerId, b: LayerId) -> LayerId {
        self.add_layer(name, Op::Add, &[a, b])
    }

    /// Flatten.
    pub fn flatten(&mut self, name: impl Into<String>, x: LayerId) -> LayerId {
        self.add_layer(name, Op::Flatten, &[x])
    }

    /// A linear layer with bias.
    pub fn linear(&mut self, name: impl Into<String>, x: LayerId, out_features: usize) -> LayerId {
        self.add_layer(name, Op::Linear { out_features, bias: true }, &[x])
    }

    /// The network that ends in `output`.
    ///
    /// # Errors
    /// The first layer that does not fit its inputs.
    pub fn finish(self, output: LayerId) -> Result<Network, ShapeError> {
        let network = Network { layers: self.layers, outputs: vec![output] };
        network.shapes()?;
        Ok(network)
    }
}
