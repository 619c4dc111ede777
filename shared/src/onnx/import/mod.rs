//! From a file to a model.

mod arithmetic;
mod axes;
mod draft;
mod finish;
mod fold;
mod layers;
mod lift;
mod names;
mod node;
mod picks;
mod pooling;
mod tensor;
mod walk;

pub(in crate::onnx) use layers::adaptive;

use super::OnnxError;
use crate::model::Model;
use prost::Message;
use std::io;
use tract_onnx::pb::ModelProto;

/// The newest operator set that the tests cover.
const NEWEST: i64 = 22;

/// The oldest operator set that is read: before it, broadcasting was an attribute.
const OLDEST: i64 = 7;

/// Reads `(file, offset, length)`.
pub type External<'a> = dyn Fn(&str, u64, usize) -> io::Result<Vec<u8>> + 'a;

/// What the file does not say.
#[derive(Clone, Copy)]
pub struct ImportOptions<'a> {
    /// `[channels, height, width]` of the network's input; needed where the file leaves them open.
    pub input: Option<[usize; 3]>,
    /// Reads a part of a file next to the model, for models whose weights are not inside: `(file, offset, length)` to exactly
    /// `length` bytes. The file is a relative path without `..`. A broken model may ask for more bytes than there are.
    pub external: &'a External<'a>,
}

impl Default for ImportOptions<'_> {
    fn default() -> Self {
        ImportOptions { input: None, external: &|_, _, _| Err(io::ErrorKind::NotFound.into()) }
    }
}

/// A model, and what the user should know about how it was read.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The model. Its layers are called as PyTorch calls their modules, as far as the file tells.
    pub model: Model,
    /// Whole sentences, such as which inputs are not used.
    pub notes: Vec<String>,
}

/// Reads an ONNX file. Takes the bytes so that they can be freed before the weights are converted.
///
/// # Errors
/// When the file is broken or cut short, when a size is missing, and when there are operators that have no layer: these
/// are all listed at once.
pub fn import(bytes: Vec<u8>, options: &ImportOptions) -> Result<Imported, OnnxError> {
    let mut proto = ModelProto::decode(bytes.as_slice())?;
    drop(bytes);
    let graph = proto.graph.take().ok_or(OnnxError::Missing("graph"))?;
    let versions = proto.opset_import.iter().filter(|set| set.domain.is_empty() || set.domain == "ai.onnx").map(|set| set.version);
    let opset = versions.max().ok_or(OnnxError::Missing("version of the operator set"))?;
    if opset < OLDEST {
        return Err(OnnxError::Opset(opset));
    }
    let mut notes = Vec::new();
    if !(11..=NEWEST).contains(&opset) {
        notes.push(format!("The file is of opset {opset}. Opsets 11 to {NEWEST} are tested."));
    }
    let drafted = walk::walk(graph, opset, options, &mut notes)?;
    let model = finish::finish(drafted)?;
    Ok(Imported { model, notes })
}
