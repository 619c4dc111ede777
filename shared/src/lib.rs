//! Pleach's vocabulary as types. No Burn, no tokio, no I/O: bytes and values in, values out.

pub mod checkpoint;
pub mod data;
pub mod model;
pub mod network;
pub mod onnx;
pub mod plan;
pub mod rpc;
pub mod spec;
pub mod submission;
pub mod task;
