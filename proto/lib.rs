//! The contract that `rowstream-server` and `rowstream-client` share: the generated gRPC types, the
//! row messages in their encoded form, error reasons, deadlines on the wire, and how PostgreSQL
//! prints floating-point numbers.
//!
//! Nothing here does I/O, and neither side's behaviour lives here: the server depends on this crate,
//! the client depends on this crate, and they never depend on each other.

pub mod code;
pub mod codec;
pub mod deadline;
pub mod float;
pub mod reason;
pub mod rows;

/// The messages and services of package `rowstream.v1`, generated from `proto/rowstream/v1`.
#[allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::doc_lazy_continuation)]
pub mod v1 {
    tonic::include_proto!("rowstream.v1");
}

/// The encoded `FileDescriptorSet` of package `rowstream.v1`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("rowstream");

/// The `.proto` files of package `rowstream.v1`: each one's path below the import path, and its text.
/// They import each other and protobuf's well-known types, nothing else.
pub const PROTO_FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/proto_files.rs"));
