//! The fixed list of names that a pickle may use. None of them runs anything.

use super::Dtype;

/// What a name of the list stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    /// A mapping; called with nothing, or with a list of pairs as Python 2 wrote them.
    Dict,
    /// `(storage, offset, shape, strides, ..)` to a tensor.
    RebuildTensor,
    /// Called with a value first, which it is: parameters around their tensors, sizes around their tuples.
    Same,
    /// `(function, class, arguments, state)`: a tensor that carries Python attributes.
    FromType,
    /// A storage's class.
    Storage(Dtype),
    /// Tolerated: whatever it makes is looked at no further.
    Opaque,
}

impl Global {
    /// The entry of `module.name`, if it is on the list.
    pub fn find(module: &str, name: &str) -> Option<Global> {
        let global = match (module, name) {
            ("collections", "OrderedDict" | "defaultdict") => Global::Dict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::Same,
            ("torch.nn.parameter", "Parameter" | "Buffer") | ("torch", "Size") => Global::Same,
            ("torch._tensor", "_rebuild_from_type_v2") => Global::FromType,
            ("torch" | "torch.cuda" | "torch.storage", storage) if storage.ends_with("Storage") => Global::Storage(storage_dtype(storage)?),
            ("torch", "device") | ("argparse", "Namespace") | ("_codecs", "encode") => Global::Opaque,
            ("torch", dtype) if is_dtype(dtype) => Global::Opaque,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct") | ("numpy", "dtype" | "ndarray") => {
                Global::Opaque
            }
            // Arguments of `defaultdict`, and what else carries plain values.
            (
                "builtins" | "__builtin__",
                "dict" | "list" | "tuple" | "set" | "frozenset" | "int" | "long" | "float" | "complex" | "str" | "bool",
            ) => Global::Opaque,
            _ => return None,
        };
        Some(global)
    }
}

fn storage_dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        _ => return None,
    })
}

fn is_dtype(name: &str) -> bool {
    let names = [
        "float",
        "float16",
        "float32",
        "float64",
        "bfloat16",
        "half",
        "double",
        "int",
        "int8",
        "int16",
        "int32",
        "int64",
        "short",
        "long",
        "uint8",
        "bool",
        "complex64",
        "complex128",
    ];
    names.contains(&name)
}
