//! A release holds the dashboard: without its files there is none, so the build stops and says how
//! to get them. A debug build goes on without; then the hub shows a page that says the same.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../web/dist");
    println!("cargo::rerun-if-env-changed=GANDER_WITHOUT_DASHBOARD");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let is_waived = std::env::var_os("GANDER_WITHOUT_DASHBOARD").is_some();
    if is_release && !is_waived && !Path::new("../web/dist/index.html").exists() {
        println!(
            "cargo::error=the dashboard is not built: run `make web` first (or `make build`, which does both). \
             GANDER_WITHOUT_DASHBOARD=1 builds a hub without it."
        );
    }
}
