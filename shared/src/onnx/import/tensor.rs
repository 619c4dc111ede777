//! Constants: the initializers of a graph, as plain numbers.

use super::ImportOptions;
use crate::onnx::OnnxError;
use half::{bf16, f16};
use std::mem::take;
use std::path::{Component, Path};
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

/// A constant tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    /// The initializer that it comes from, for errors and for the names of layers. Empty when it was computed.
    pub name: String,
    pub dims: Vec<usize>,
    pub data: Data,
}

/// Its elements: all floats are `f32`, all integers and truth values `i64`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

impl Constant {
    pub fn ints(dims: Vec<usize>, data: Vec<i64>) -> Constant {
        Constant { name: String::new(), dims, data: Data::Int(data) }
    }

    pub fn floats(dims: Vec<usize>, data: Vec<f32>) -> Constant {
        Constant { name: String::new(), dims, data: Data::Float(data) }
    }

    pub fn len(&self) -> usize {
        match &self.data {
            Data::Float(data) => data.len(),
            Data::Int(data) => data.len(),
        }
    }

    /// Its elements as integers, if they are.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(data) => Some(data),
            Data::Float(_) => None,
        }
    }

    /// Its elements as floats, if they are.
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(data) => Some(data),
            Data::Int(_) => None,
        }
    }

    /// Its elements as floats, whatever they are.
    pub fn into_floats(self) -> Vec<f32> {
        match self.data {
            Data::Float(data) => data,
            Data::Int(data) => data.into_iter().map(|x| x as f32).collect(),
        }
    }

    /// Its only element, or the value that all of its elements have.
    pub fn uniform(&self) -> Option<f64> {
        match &self.data {
            Data::Float(data) => data.first().filter(|&&first| data.iter().all(|&x| x == first)).map(|&x| shortest(x)),
            Data::Int(data) => data.first().filter(|&&first| data.iter().all(|&x| x == first)).map(|&x| x as f64),
        }
    }

    /// The numbers of a layer: as many as their shape says, none of them missing or infinite.
    pub fn into_weights(self) -> Result<Vec<f32>, OnnxError> {
        let fail = |problem: String| OnnxError::Tensor { tensor: self.name.clone(), problem };
        if self.dims.contains(&0) {
            return Err(fail(format!("has no elements: its shape is {:?}", self.dims)));
        }
        if let Data::Float(data) = &self.data
            && let Some(at) = data.iter().position(|x| !x.is_finite())
        {
            return Err(fail(format!("holds {} at position {at}; weights must be finite", data[at])));
        }
        Ok(self.into_floats())
    }
}

/// A float as people wrote it: `1e-5f32` is `1e-5`, not `0.00000999999974`.
pub(super) fn shortest(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// Reads a tensor, taking its bytes out of the file's structures so that they are freed one by one.
pub(super) fn constant(mut proto: TensorProto, options: &ImportOptions) -> Result<Constant, OnnxError> {
    let name = take(&mut proto.name);
    let fail = |problem: String| OnnxError::Tensor { tensor: name.clone(), problem };
    let dims: Option<Vec<usize>> = proto.dims.iter().map(|&size| usize::try_from(size).ok()).collect();
    let dims = dims.ok_or_else(|| fail(format!("has a negative size: {:?}", proto.dims)))?;
    let count = dims.iter().try_fold(1usize, |count, &size| count.checked_mul(size)).filter(|&count| count < 1 << 40);
    let count = count.ok_or_else(|| fail(format!("is too large: {dims:?}")))?;
    let kind = DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined);
    let Some(width) = width(kind) else {
        return Err(fail(format!("is of type {}, which is not read", kind.as_str_name())));
    };
    if proto.segment.is_some() {
        return Err(fail("is split into segments, which is not read".into()));
    }
    if proto.data_location == Some(1) {
        proto.raw_data = external(&proto, &name, count * width, options)?;
    }
    let raw = take(&mut proto.raw_data);
    // An empty tensor has neither.
    let data = if raw.is_empty() { typed(proto, kind) } else { bytes(raw, kind) };
    let data = data.ok_or_else(|| fail(format!("is of type {}, but its numbers are not", kind.as_str_name())))?;
    let tensor = Constant { name, dims, data };
    match tensor.len() == count {
        true => Ok(tensor),
        false => Err(OnnxError::Tensor {
            problem: format!("is {:?} and needs {count} numbers, but holds {}: the file is cut short", tensor.dims, tensor.len()),
            tensor: tensor.name,
        }),
    }
}

/// Bytes of an element, for the types that are read.
fn width(kind: DataType) -> Option<usize> {
    match kind {
        DataType::Bool | DataType::Int8 | DataType::Uint8 => Some(1),
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => Some(2),
        DataType::Float | DataType::Int32 | DataType::Uint32 => Some(4),
        DataType::Double | DataType::Int64 | DataType::Uint64 => Some(8),
        _ => None,
    }
}

/// The part of another file that holds a tensor.
fn external(proto: &TensorProto, tensor: &str, length: usize, options: &ImportOptions) -> Result<Vec<u8>, OnnxError> {
    let entry = |key: &str| proto.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let fail = |problem: String| OnnxError::Tensor { tensor: tensor.to_owned(), problem };
    let file = entry("location").ok_or_else(|| fail("is in another file, but the model does not say which".into()))?;
    // The name comes from the model, which may be anyone's: it must not lead out of the model's folder.
    if file.is_empty() || !Path::new(file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(fail(format!("is in the file `{file}`, which is not in the model's folder")));
    }
    let number =
        |key: &str| entry(key).map(|text| text.trim().parse::<u64>().map_err(|_| fail(format!("has a broken {key} in `{file}`: {text}"))));
    let offset = number("offset").transpose()?.unwrap_or(0);
    if let Some(said) = number("length").transpose()?
        && said != length as u64
    {
        return Err(fail(format!("needs {length} bytes of the file `{file}`, but the model gives it {said}")));
    }
    let read = (options.external)(file, offset, length);
    let bytes = read.map_err(|source| OnnxError::External { file: file.to_owned(), tensor: tensor.to_owned(), source })?;
    match bytes.len() == length {
        true => Ok(bytes),
        false => {
            Err(fail(format!("needs {length} bytes at {offset} of the file `{file}`, which has {} there: it is cut short", bytes.len())))
        }
    }
}

/// Elements from little-endian bytes; none where these do not come out even.
fn bytes(raw: Vec<u8>, kind: DataType) -> Option<Data> {
    fn map<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
        let (chunks, rest) = raw.as_chunks::<N>();
        rest.is_empty().then(|| chunks.iter().map(|&chunk| read(chunk)).collect())
    }
    Some(match kind {
        DataType::Float => Data::Float(map(&raw, f32::from_le_bytes)?),
        DataType::Double => Data::Float(map(&raw, |b| f64::from_le_bytes(b) as f32)?),
        DataType::Float16 => Data::Float(map(&raw, |b| f16::from_le_bytes(b).to_f32())?),
        DataType::Bfloat16 => Data::Float(map(&raw, |b| bf16::from_le_bytes(b).to_f32())?),
        DataType::Int64 => Data::Int(map(&raw, i64::from_le_bytes)?),
        DataType::Uint64 => Data::Int(map(&raw, |b| u64::from_le_bytes(b) as i64)?),
        DataType::Int32 => Data::Int(map(&raw, |b| i32::from_le_bytes(b).into())?),
        DataType::Uint32 => Data::Int(map(&raw, |b| u32::from_le_bytes(b).into())?),
        DataType::Int16 => Data::Int(map(&raw, |b| i16::from_le_bytes(b).into())?),
        DataType::Uint16 => Data::Int(map(&raw, |b| u16::from_le_bytes(b).into())?),
        DataType::Int8 => Data::Int(map(&raw, |b| i8::from_le_bytes(b).into())?),
        DataType::Uint8 | DataType::Bool => Data::Int(map(&raw, |[b]: [u8; 1]| b.into())?),
        _ => return None,
    })
}

/// Elements from the field of their type. Half floats are bit patterns in the field of 32-bit integers.
fn typed(mut proto: TensorProto, kind: DataType) -> Option<Data> {
    Some(match kind {
        DataType::Float => Data::Float(take(&mut proto.float_data)),
        DataType::Double => Data::Float(proto.double_data.iter().map(|&x| x as f32).collect()),
        DataType::Float16 => Data::Float(proto.int32_data.iter().map(|&x| f16::from_bits(x as u16).to_f32()).collect()),
        DataType::Bfloat16 => Data::Float(proto.int32_data.iter().map(|&x| bf16::from_bits(x as u16).to_f32()).collect()),
        DataType::Int64 => Data::Int(take(&mut proto.int64_data)),
        DataType::Uint64 | DataType::Uint32 => Data::Int(proto.uint64_data.iter().map(|&x| x as i64).collect()),
        DataType::Int32 | DataType::Int16 | DataType::Int8 | DataType::Uint16 | DataType::Uint8 | DataType::Bool => {
            Data::Int(proto.int32_data.iter().map(|&x| x.into()).collect())
        }
        _ => return None,
    })
}
