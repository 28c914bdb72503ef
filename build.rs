//! The only code generation of the project: the Rust types of `proto/`, without a system `protoc`.
//!
//! Writes into `OUT_DIR`:
//! - `rowstream.v1.rs`: messages and service traits, with the row messages replaced by the
//!   hand-written ones of `proto/rows.rs`;
//! - `reference/rowstream.v1.rs`: the same messages all generated, which tests hold the
//!   hand-written ones against;
//! - `rowstream.bin`: the descriptor set that the server's reflection serves;
//! - `proto_files.rs`: the `.proto` files themselves, for those who generate code from them.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PROTOS: [&str; 5] = [
    "rowstream/v1/query_service.proto",
    "rowstream/v1/read_session_service.proto",
    "rowstream/v1/result.proto",
    "rowstream/v1/statement.proto",
    "rowstream/v1/table.proto",
];

/// Messages that `proto/rows.rs` writes by hand.
const BY_HAND: [&str; 3] = ["Row", "RowBatch", "Batch"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/rowstream");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);

    fs::write(out.join("proto_files.rs"), proto_files())?;

    let mut descriptors = protox::compile(PROTOS, ["proto"])?;

    let mut ours = tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::SizedCodec")
        .bytes(".rowstream.v1.Value")
        .bytes(".rowstream.v1.Header");
    for name in BY_HAND {
        ours = ours.extern_path(format!(".rowstream.v1.{name}"), format!("crate::rows::{name}"));
    }
    ours.out_dir(&out).compile_fds(descriptors.clone())?;

    let reference = out.join("reference");
    fs::create_dir_all(&reference)?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .bytes(".rowstream.v1.Value")
        .out_dir(&reference)
        .compile_fds(descriptors.clone())?;

    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::write(out.join("rowstream.bin"), descriptors.encode_to_vec())?;
    Ok(())
}

/// A Rust expression: every file's path below the import path, and its text.
fn proto_files() -> String {
    let file = |path| format!("({path:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/proto/{path}\")))");
    format!("&[{}]", PROTOS.map(file).join(", "))
}
