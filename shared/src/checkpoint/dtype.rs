//! Element types of other tools' tensors, and their conversion to `f32`.

use half::{bf16, f16};
use std::fmt;

/// What the elements of a tensor were in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

impl Dtype {
    /// The name that PyTorch gives it.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F64 => "float64",
            Dtype::F32 => "float32",
            Dtype::F16 => "float16",
            Dtype::Bf16 => "bfloat16",
            Dtype::I64 => "int64",
            Dtype::I32 => "int32",
            Dtype::I16 => "int16",
            Dtype::I8 => "int8",
            Dtype::U64 => "uint64",
            Dtype::U32 => "uint32",
            Dtype::U16 => "uint16",
            Dtype::U8 => "uint8",
            Dtype::Bool => "bool",
        }
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 | Dtype::U64 => 8,
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 | Dtype::U16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// The elements at `positions`, `count` of them. Positions behind the end of `bytes` are left out: callers check before.
    pub(super) fn gather(self, bytes: &[u8], big_endian: bool, count: usize, positions: impl Iterator<Item = usize>) -> Vec<f32> {
        let source = Source { bytes, big_endian, count };
        match self {
            Dtype::F64 => source.gather(positions, |bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::F32 => source.gather(positions, f32::from_le_bytes),
            Dtype::F16 => source.gather(positions, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::Bf16 => source.gather(positions, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::I64 => source.gather(positions, |bytes| i64::from_le_bytes(bytes) as f32),
            Dtype::I32 => source.gather(positions, |bytes| i32::from_le_bytes(bytes) as f32),
            Dtype::I16 => source.gather(positions, |bytes| i16::from_le_bytes(bytes).into()),
            Dtype::I8 => source.gather(positions, |bytes| i8::from_le_bytes(bytes).into()),
            Dtype::U64 => source.gather(positions, |bytes| u64::from_le_bytes(bytes) as f32),
            Dtype::U32 => source.gather(positions, |bytes| u32::from_le_bytes(bytes) as f32),
            Dtype::U16 => source.gather(positions, |bytes| u16::from_le_bytes(bytes).into()),
            Dtype::U8 => source.gather(positions, |[byte]| byte.into()),
            Dtype::Bool => source.gather(positions, |[byte]| f32::from(u8::from(byte != 0))),
        }
    }
}

struct Source<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    count: usize,
}

impl Source<'_> {
    fn gather<const N: usize>(&self, positions: impl Iterator<Item = usize>, convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (elements, _) = self.bytes.as_chunks::<N>();
        // The iterator cannot say how many come, and a growing vector would take twice the memory.
        let mut data = Vec::with_capacity(self.count);
        data.extend(positions.filter_map(|position| elements.get(position)).map(|&element| {
            let mut element = element;
            if self.big_endian {
                element.reverse();
            }
            convert(element)
        }));
        data
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
