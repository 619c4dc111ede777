//! Weights from files that other tools wrote: PyTorch state dicts and safetensors.
//!
//! [`read`] finds the format by content and gives named tensors; [`fit`] gives a network's parameters to it by rules that can be
//! shown. Nothing in a file is ever run, and no size that a file announces is believed before the bytes are seen.

mod container;
mod dtype;
mod error;
mod fit;
mod globals;
mod names;
mod opcodes;
mod order;
mod pickle;
mod reader;
mod show;
mod state;
mod tensors;
#[cfg(test)]
mod tests;
mod value;

pub use dtype::Dtype;
pub use error::CheckpointError;
pub use fit::{Fault, Fitted, Match, Rule, fit};
pub use names::Names;

use crate::model::Tensor;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::fmt;

/// The container of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `safetensors.torch.save_file`.
    Safetensors,
    /// `torch.save` since PyTorch 1.6: a zip archive.
    Torch,
    /// `torch.save` before that: pickles, then bytes.
    TorchLegacy,
}

/// Named tensors from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Where they come from.
    pub format: Format,
    /// The key of the dict that holds them, such as `state_dict`; empty for the file's top level.
    pub path: String,
    /// The tensors, converted to `f32`.
    pub tensors: BTreeMap<String, Tensor>,
    /// What their elements were in the file.
    pub dtypes: BTreeMap<String, Dtype>,
    /// Their names in the order that the file gives them, which for PyTorch is that of the layers. Safetensors keep none: by name.
    pub order: Vec<String>,
}

/// Reads the weights in a file's bytes.
///
/// # Errors
/// When the bytes are of another format or damaged, or when they want something run.
pub fn read(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    if is_safetensors(bytes) {
        return read_safetensors(bytes);
    }
    let (format, pickled, storages) = container::open(bytes)?;
    let state = state::find(&pickled)?;
    let mut checkpoint = Checkpoint {
        format,
        path: state.path,
        tensors: BTreeMap::new(),
        dtypes: BTreeMap::new(),
        order: Vec::with_capacity(state.tensors.len()),
    };
    let mut converter = tensors::Converter::new(&pickled, storages, bytes.len());
    for (name, tensor) in state.tensors {
        let converted = converter.convert(&name, tensor)?;
        checkpoint.add(name, tensor.storage.dtype, converted);
    }
    match checkpoint.tensors.is_empty() {
        true => Err(CheckpointError::NoTensors),
        false => Ok(checkpoint),
    }
}

/// Eight bytes of length, then JSON of that length.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else { return false };
    // A header cut short is still one, and a better error than an unknown format.
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) < 1 << 32
}

fn read_safetensors(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut checkpoint = Checkpoint {
        format: Format::Safetensors,
        path: String::new(),
        tensors: BTreeMap::new(),
        dtypes: BTreeMap::new(),
        order: file.names().into_iter().map(str::to_owned).collect(),
    };
    checkpoint.order.sort();
    for (name, view) in file.iter() {
        let dtype = safetensors_dtype(view.dtype())
            .ok_or_else(|| CheckpointError::Dtype { tensor: name.to_owned(), dtype: format!("{:?}", view.dtype()) })?;
        let count = view.data().len() / dtype.size();
        let data = dtype.gather(view.data(), false, count, 0..count);
        checkpoint.tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
        checkpoint.dtypes.insert(name.to_owned(), dtype);
    }
    match checkpoint.tensors.is_empty() {
        true => Err(CheckpointError::NoTensors),
        false => Ok(checkpoint),
    }
}

fn safetensors_dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    Some(match dtype {
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::Bf16,
        safetensors::Dtype::I64 => Dtype::I64,
        safetensors::Dtype::I32 => Dtype::I32,
        safetensors::Dtype::I16 => Dtype::I16,
        safetensors::Dtype::I8 => Dtype::I8,
        safetensors::Dtype::U64 => Dtype::U64,
        safetensors::Dtype::U32 => Dtype::U32,
        safetensors::Dtype::U16 => Dtype::U16,
        safetensors::Dtype::U8 => Dtype::U8,
        safetensors::Dtype::BOOL => Dtype::Bool,
        _ => return None,
    })
}

impl Checkpoint {
    fn add(&mut self, name: String, dtype: Dtype, tensor: Tensor) {
        self.dtypes.insert(name.clone(), dtype);
        // A key that a dict has twice is the later one, as in Python.
        if self.tensors.insert(name.clone(), tensor).is_none() {
            self.order.push(name);
        }
    }

    /// Checks that every tensor has elements and that all of them are finite. [`fit`] does so for the tensors that it takes.
    ///
    /// # Errors
    /// All tensors that are empty, or else all with values that are not finite.
    pub fn check_finite(&self) -> Result<(), CheckpointError> {
        check(self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))
    }
}

fn check<'a>(tensors: impl Iterator<Item = (&'a str, &'a Tensor)> + Clone) -> Result<(), CheckpointError> {
    let empty: Vec<_> = tensors
        .clone()
        .filter(|(_, tensor)| tensor.data.is_empty())
        .map(|(name, tensor)| (name.to_owned(), tensor.shape.clone()))
        .collect();
    if !empty.is_empty() {
        return Err(CheckpointError::Empty(empty));
    }
    let lost = |tensor: &Tensor| tensor.data.iter().filter(|value| !value.is_finite()).count();
    let lost: Vec<_> = tensors.map(|(name, tensor)| (name.to_owned(), lost(tensor))).filter(|&(_, count)| count > 0).collect();
    match lost.is_empty() {
        true => Ok(()),
        false => Err(CheckpointError::NotFinite(lost)),
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Safetensors => "safetensors",
            Format::Torch => "PyTorch",
            Format::TorchLegacy => "PyTorch (before 1.6)",
        })
    }
}
