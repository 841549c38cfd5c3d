//! The `gander-agent` program: see `gander_agent::cli`.

fn main() -> std::process::ExitCode {
    gander_agent::cli::main()
}
