//! Tells insta's macros that this package is their workspace, so that they read the `insta.yaml` beside this
//! file and behave alike wherever `cargo test` is started.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=INSTA_WORKSPACE_ROOT={}", env!("CARGO_MANIFEST_DIR"));
}
