//! Simulated servers in a process of their own: `fleet NODES OWN_ADDRESSES ROUND_TRIP_MS REKEY_MS`, as the
//! benchmark `fleet` and the measurements start it. See `gander_e2e::fleet`.

#![allow(clippy::print_stderr, reason = "a program for the developer's terminal")]

use std::process::ExitCode;

use gander_e2e::{
    fleet::process::{serve, spec_of},
    measure::allow_many_files,
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(spec) = spec_of(&arguments) else {
        eprintln!(
            "fleet NODES OWN_ADDRESSES(true|false) ROUND_TRIP_MS REKEY_MS, such as fleet 5000 true 0 3600000"
        );
        return ExitCode::FAILURE;
    };
    allow_many_files();
    match serve(spec).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
