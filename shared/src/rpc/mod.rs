//! The wire: code generated from `proto/pleach/v1`, and its limits.

/// Version of the worker protocol.
pub const PROTOCOL: u32 = 1;

/// Bytes in a blob's chunk.
pub const CHUNK: usize = 256 * 1024;

/// Where a coordinator listens unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7420";

/// `pleach.v1`.
#[allow(missing_docs, clippy::all)] // generated; documented in the .proto files
pub mod v1 {
    tonic::include_proto!("pleach.v1");

    /// Encoded descriptors, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
