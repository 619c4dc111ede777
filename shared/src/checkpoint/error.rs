//! What can be wrong with a file of weights, each said for the person who pointed at it.

use super::fit::Fault;
use super::show::listing;
use crate::network::ShapeError;

/// Why bytes give no weights, or why the weights are not a network's.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Another format.
    #[error(
        "it is {found}, expected weights as PyTorch or safetensors files hold them; write them with \
         `torch.save(model.state_dict(), FILE)` or `safetensors.torch.save_file(model.state_dict(), FILE)`"
    )]
    NotACheckpoint {
        /// What it looks like.
        found: &'static str,
    },
    /// The safetensors header or its tensors are broken.
    #[error(
        "it is a broken safetensors file ({0}); fetch it again, or write it with `safetensors.torch.save_file(model.state_dict(), FILE)`"
    )]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// The zip archive around the weights is broken.
    #[error("its zip archive does not open ({0}), expected an intact file of `torch.save`; fetch it again")]
    Zip(#[from] zip::result::ZipError),
    /// The bytes end too early.
    #[error("it is cut short: {what} needs {expected} more bytes at byte {at}, but {found} are left; fetch it again")]
    Truncated {
        /// What is cut.
        what: &'static str,
        /// Where it starts.
        at: usize,
        /// Bytes that it needs.
        expected: u64,
        /// Bytes that are there.
        found: usize,
    },
    /// A pickle that no state dict has.
    #[error(
        "its pickle is broken at byte {at}: {reason}; fetch the file again, or save it anew with `torch.save(model.state_dict(), FILE)`"
    )]
    Pickle {
        /// Position in the pickle.
        at: usize,
        /// What was expected there.
        reason: String,
    },
    /// A pickle that calls something.
    #[error(
        "it wants to run `{global}`; only tensors are read, and nothing was run. If you trust whoever wrote it, save its weights alone \
         with `torch.save(model.state_dict(), FILE)`, or as a safetensors file; otherwise delete it"
    )]
    Refused {
        /// Module and name of what it calls.
        global: String,
    },
    /// A pickled module instead of its weights.
    #[error(
        "it holds a whole Python object of class `{class}`, not its weights; only tensors are read. If you trust whoever wrote it, run \
         `torch.save(torch.load(FILE, weights_only=False).state_dict(), \"weights.pt\")` where that class can be imported, and use weights.pt"
    )]
    WholeObject {
        /// Module and name of the class.
        class: String,
    },
    /// A compiled module instead of its weights.
    #[error(
        "it is a TorchScript archive, which holds a program; only tensors are read. Run \
         `torch.save(torch.jit.load(FILE).state_dict(), \"weights.pt\")` and use weights.pt"
    )]
    TorchScript,
    /// A tensor and the bytes that it points at do not belong together.
    #[error("its tensor {tensor} is broken: {reason}; fetch the file again")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The list of storages does not agree with the tensors.
    #[error("its storage {key} is broken: {reason}; fetch the file again")]
    Storage {
        /// Key of the storage.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It unpacks or expands to more than a file of its size can mean.
    #[error(
        "its {what} would take more than {limit} bytes, too many for a file of its size; save it anew, uncompressed and without expanded views"
    )]
    TooLarge {
        /// What is too large.
        what: String,
        /// The most that is accepted.
        limit: u64,
    },
    /// Elements that are no plain numbers.
    #[error(
        "its tensor {tensor} has elements of type {dtype}, expected plain floats or integers; convert it with `.float()` and save it again"
    )]
    Dtype {
        /// Name of the tensor.
        tensor: String,
        /// The type.
        dtype: String,
    },
    /// Nothing to read.
    #[error("it holds no tensors under names, expected a state dict; save it with `torch.save(model.state_dict(), FILE)`")]
    NoTensors,
    /// Weights that training has lost.
    #[error(
        "{} of its tensors hold values that are not finite; train it anew, or take an earlier checkpoint:\n{}",
        .0.len(),
        listing(.0.iter().map(|(tensor, values)| vec![tensor.clone(), format!("{values} NaN or infinite")]).collect())
    )]
    NotFinite(Vec<(String, usize)>),
    /// Tensors without elements.
    #[error(
        "{} of its tensors are empty, expected at least one element on every axis; save the trained model:\n{}",
        .0.len(),
        listing(.0.iter().map(|(tensor, shape)| vec![tensor.clone(), format!("{shape:?}")]).collect())
    )]
    Empty(Vec<(String, Vec<usize>)>),
    /// Tensors that do not fit the network, all of them.
    #[error(
        "its tensors do not fit the network; see what it holds with `pleach inspect FILE`, and say under `names:` in the YAML which \
         tensor is which, or choose the network that it was trained as:\n{}",
        listing(.0.iter().map(Fault::cells).collect())
    )]
    Mismatch(Vec<Fault>),
    /// The network is broken, whatever the weights.
    #[error("the network is broken: {0}")]
    Network(#[from] ShapeError),
}
