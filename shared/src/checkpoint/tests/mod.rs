//! Files as other tools write them, damaged ones and malicious ones. `fixtures/make.py` wrote the files.

mod fitting;
mod hostile;
mod reading;

use super::{Checkpoint, Format};
use crate::model::Tensor;

pub const ZIP: &[u8] = include_bytes!("../fixtures/zip.pt");
pub const LEGACY: &[u8] = include_bytes!("../fixtures/legacy.pt");
pub const LEGACY4: &[u8] = include_bytes!("../fixtures/legacy4.pt");
pub const DEFLATED: &[u8] = include_bytes!("../fixtures/deflated.pt");
pub const TRAINING: &[u8] = include_bytes!("../fixtures/training.pt");

/// A state dict as `torch.save` gives it, with values that tell tensors apart.
pub fn checkpoint(tensors: &[(&str, &[usize])]) -> Checkpoint {
    let tensor = |(index, (name, shape)): (usize, &(&str, &[usize]))| {
        ((*name).to_owned(), Tensor { shape: shape.to_vec(), data: vec![index as f32; shape.iter().product()] })
    };
    Checkpoint {
        format: Format::Torch,
        path: String::new(),
        tensors: tensors.iter().enumerate().map(tensor).collect(),
        dtypes: Default::default(),
        order: tensors.iter().map(|(name, _)| (*name).to_owned()).collect(),
    }
}
