//! From where a tensor lies in its storage to its values.

use super::CheckpointError;
use super::container::Storages;
use super::value::{Pickled, TensorRef, Value};
use crate::model::Tensor;

/// How many elements the tensors of a file may have together, for each of its bytes. Tensors that share a storage and views
/// that repeat one cost the file nothing, so something must bound them; a float in the file is four bytes, so it may serve
/// eight times.
const ELEMENTS_PER_BYTE: usize = 2;

/// Converts tensors straight from the storages' bytes.
pub(super) struct Converter<'p, 'a> {
    pickled: &'p Pickled<'a>,
    storages: Storages<'p>,
    limit: usize,
    left: usize,
}

impl<'p, 'a> Converter<'p, 'a> {
    pub fn new(pickled: &'p Pickled<'a>, storages: Storages<'p>, file: usize) -> Converter<'p, 'a> {
        let limit = file.saturating_mul(ELEMENTS_PER_BYTE).saturating_add(1 << 12);
        Converter { pickled, storages, limit, left: limit }
    }

    /// The values of a tensor, row-major whatever its strides.
    pub fn convert(&mut self, name: &str, tensor: &TensorRef) -> Result<Tensor, CheckpointError> {
        let broken = |reason: String| CheckpointError::Tensor { tensor: name.to_owned(), reason };
        let key = self.pickled.text(Value::Object(tensor.storage.key)).unwrap_or_default();
        let big_endian = self.storages.big_endian();
        let bytes = self.storages.get(key)?;
        let dtype = tensor.storage.dtype;
        let held = (bytes.len() / dtype.size()) as u64;
        if held < tensor.storage.numel {
            return Err(broken(format!("its storage {key} holds {held} elements, expected {}", tensor.storage.numel)));
        }
        let overflow =
            || broken(format!("its shape {:?} with strides {:?} has more elements than can be counted", tensor.shape, tensor.strides));
        let (start, length) = tensor.storage.view.unwrap_or((0, tensor.storage.numel));
        let first = start.checked_add(tensor.offset).ok_or_else(overflow)?;
        let count = tensor.shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size)).ok_or_else(overflow)?;
        let span = tensor
            .shape
            .iter()
            .zip(&tensor.strides)
            .try_fold(0u64, |span, (&size, &stride)| span.checked_add(size.saturating_sub(1).checked_mul(stride)?));
        let last = first.checked_add(span.ok_or_else(overflow)?).ok_or_else(overflow)?;
        let end = start.checked_add(length).ok_or_else(overflow)?.min(tensor.storage.numel);
        if count > 0 && last >= end {
            return Err(broken(format!("it reaches element {last} of its storage {key}, which ends at {end}")));
        }
        let shape = tensor.shape.iter().map(|&size| usize::try_from(size)).collect::<Result<Vec<_>, _>>().map_err(|_| overflow())?;
        let strides: Vec<usize> = tensor.strides.iter().map(|&stride| stride as usize).collect();
        let left = usize::try_from(count).ok().and_then(|count| Some((count, self.left.checked_sub(count)?)));
        let Some((count, left)) = left else {
            return Err(CheckpointError::TooLarge { what: format!("tensors up to {name}"), limit: 4 * self.limit as u64 });
        };
        self.left = left;
        let first = first as usize;
        let data = match is_contiguous(&shape, &strides) {
            true => dtype.gather(bytes, big_endian, count, first..first.saturating_add(count)),
            false => dtype.gather(bytes, big_endian, count, Positions::new(&shape, &strides, first, count)),
        };
        Ok(Tensor { shape, data })
    }
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected = expected.saturating_mul(size);
        fits
    })
}

/// The positions of a strided tensor's elements, in row-major order.
struct Positions<'a> {
    shape: &'a [usize],
    strides: &'a [usize],
    index: Vec<usize>,
    next: usize,
    left: usize,
}

impl<'a> Positions<'a> {
    fn new(shape: &'a [usize], strides: &'a [usize], first: usize, count: usize) -> Positions<'a> {
        Positions { shape, strides, index: vec![0; shape.len()], next: first, left: count }
    }
}

impl Iterator for Positions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let here = self.next;
        for ((index, &size), &stride) in self.index.iter_mut().zip(self.shape).zip(self.strides).rev() {
            *index += 1;
            // Wraps only between an axis's end and its return to the start.
            self.next = self.next.wrapping_add(stride);
            if *index < size {
                break;
            }
            self.next = self.next.wrapping_sub(size.wrapping_mul(stride));
            *index = 0;
        }
        Some(here)
    }
}
