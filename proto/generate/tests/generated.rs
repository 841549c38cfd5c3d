//! The code in `proto/src/generated` is what the `.proto` files say. `GANDER_UPDATE=1 cargo test -p
//! gander-proto-generate` writes it anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeMap, fs, path::Path};

const FILES: [&str; 3] = [
    "gander/v1/common.proto",
    "gander/v1/agent.proto",
    "gander/v1/monitor.proto",
];

/// What `src/generated` should hold, by file name.
fn generate(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut compiler = protox::Compiler::new([root.join("proto")]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES).unwrap();

    let directory = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(directory.path())
        .build_transport(false)
        .codec_path("crate::codec::Lean")
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())
        .unwrap();
    let mut generated: BTreeMap<String, Vec<u8>> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    // Reflection needs no comments.
    compiler.include_source_info(false);
    generated.insert(
        "descriptors.bin".to_owned(),
        compiler.encode_file_descriptor_set(),
    );
    generated
}

#[test]
fn the_generated_code_is_what_the_proto_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = root.join("src/generated");
    let generated = generate(root);
    assert!(generated.contains_key("gander.v1.rs"), "{:?}", generated.keys());
    if std::env::var_os("GANDER_UPDATE").is_some() {
        fs::create_dir_all(&target).unwrap();
        for (name, bytes) in &generated {
            fs::write(target.join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in &generated {
        let kept = fs::read(target.join(name)).unwrap_or_default();
        assert!(
            kept == *bytes,
            "proto/src/generated/{name} is not what the .proto files say: GANDER_UPDATE=1 cargo test -p gander-proto-generate"
        );
    }
    let kept = fs::read_dir(&target).unwrap().count();
    assert_eq!(
        kept,
        generated.len(),
        "proto/src/generated holds files that nothing makes"
    );
}
