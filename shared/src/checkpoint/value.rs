//! What a pickle says, as plain values.
//!
//! Values that refer to others are numbered objects in one vector: a stack of copies stays small, circles are harmless and
//! nothing is dropped recursively.

use super::Dtype;
use super::globals::Global;
use std::borrow::Cow;

/// What starts a file of `torch.save` before 1.6: 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The same in the decimal notation of protocol 0.
const MAGIC_DECIMAL: &[u8] = b"119547037146038801333356L";

/// Number of an object.
pub(super) type Id = u32;

/// What the stack holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// A number.
    Int(i64),
    /// PyTorch's magic number, which is no `i64`.
    Magic,
    /// A name from the list.
    Global(Global),
    /// An object.
    Object(Id),
    /// Anything that no state dict needs.
    Opaque,
}

/// What values refer to.
#[derive(Debug)]
pub(super) enum Object<'a> {
    Text(Cow<'a, str>),
    /// A tuple or a list.
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(TensorRef),
}

/// A storage as a tensor names it: the bytes come later in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage {
    /// The text that is its key.
    pub key: Id,
    pub dtype: Dtype,
    /// Elements that the pickle announces for the whole storage.
    pub numel: u64,
    /// First element of a view of the storage, and its length: PyTorch before 0.4 had them.
    pub view: Option<(u64, u64)>,
}

/// Where a tensor lies in its storage. Sizes are as the file says, unchecked.
#[derive(Debug)]
pub(super) struct TensorRef {
    pub storage: Storage,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// What a pickle says.
#[derive(Debug)]
pub(super) struct Pickled<'a> {
    pub objects: Vec<Object<'a>>,
    pub root: Value,
}

impl<'a> Pickled<'a> {
    /// The same without the bytes that it was read from.
    pub fn into_owned<'b>(self) -> Pickled<'b> {
        let owned = |object| match object {
            Object::Text(text) => Object::Text(Cow::Owned(text.into_owned())),
            Object::List(list) => Object::List(list),
            Object::Dict(dict) => Object::Dict(dict),
            Object::Storage(storage) => Object::Storage(storage),
            Object::Tensor(tensor) => Object::Tensor(tensor),
        };
        Pickled { objects: self.objects.into_iter().map(owned).collect(), root: self.root }
    }

    pub fn object(&self, value: Value) -> Option<&Object<'a>> {
        match value {
            Value::Object(id) => self.objects.get(id as usize),
            _ => None,
        }
    }

    pub fn text(&self, value: Value) -> Option<&str> {
        match self.object(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A whole number of any length: those that are no `i64` matter only if they are the magic one.
pub(super) fn long(bytes: &[u8]) -> Value {
    if bytes == MAGIC {
        return Value::Magic;
    }
    let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut number = [sign; 8];
    match number.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(number))
        }
        None => Value::Opaque,
    }
}

/// The same in decimal, with the `L` of Python 2 or without.
pub(super) fn decimal(line: &[u8]) -> Value {
    if line == MAGIC_DECIMAL {
        return Value::Magic;
    }
    let text = std::str::from_utf8(line.strip_suffix(b"L").unwrap_or(line)).unwrap_or_default();
    text.trim().parse().map_or(Value::Opaque, Value::Int)
}
