//! Weights from files that other tools wrote: PyTorch state dicts and safetensors.
