//! Networks and models to and from ONNX.
//!
//! [`import`] reads a file that an exporter wrote and gives a [`crate::model::Model`] whose layers are called as PyTorch
//! calls them; [`export`] writes one that ONNX Runtime and tract run. Import walks the graph once: shape arithmetic is
//! computed as it goes (one image, so the batch is 1), spelt-out activations are put together again, and what has no
//! layer is reported all at once.

mod error;
mod export;
mod import;
#[cfg(test)]
mod tests;

pub use error::{OnnxError, Unsupported};
pub use export::export;
pub use import::{ImportOptions, Imported, import};
