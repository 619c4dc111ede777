//! What can be wrong with an ONNX file, or with a model that is to become one.

use crate::network::ShapeError;
use std::fmt;
use thiserror::Error;

/// A file that cannot be imported, or a model that cannot be exported.
#[derive(Debug, Error)]
pub enum OnnxError {
    /// Not protobuf, or cut short.
    #[error("it is not a readable ONNX file, or is cut short ({0})")]
    Decode(#[from] prost::DecodeError),
    /// Protobuf, but a part of every ONNX file is not there.
    #[error("it holds no {0}: it is not an ONNX file, or is cut short")]
    Missing(&'static str),
    /// Too old.
    #[error("it is of opset {0}; 7 is the oldest that is read: export it again with opset 11 to 22")]
    Opset(i64),
    /// Operators that have no layer. All of them are listed.
    #[error("these operators are not supported:\n  {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
    Unsupported(Vec<Unsupported>),
    /// Height, width or channels are not in the file.
    #[error("input `{input}` is [{}], and every size but the batch must be known: write `input: [C, H, W]` in the YAML", .dims.join(", "))]
    DynamicShape {
        /// The graph input.
        input: String,
        /// Its sizes as the file has them.
        dims: Vec<String>,
    },
    /// Weights in another file, which cannot be read.
    #[error("tensor `{tensor}` is in the file `{file}`, which cannot be read: {source}")]
    External {
        /// The file, as the model names it.
        file: String,
        /// The tensor.
        tensor: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A broken tensor.
    #[error("tensor `{tensor}` {problem}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong, to be read after the name.
        problem: String,
    },
    /// A broken node.
    #[error("node `{node}` ({op}): {problem}")]
    Node {
        /// Its name.
        node: String,
        /// Its operator.
        op: String,
        /// What is wrong.
        problem: String,
    },
    /// A broken graph.
    #[error("its graph is broken: {0}")]
    Graph(String),
    /// Layers that do not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// An operator, or a use of one, that no layer stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The operator's type, and in parentheses what of it is not supported.
    pub op: String,
    /// The nodes.
    pub nodes: Vec<String>,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.nodes.join(", "))
    }
}
