//! The `gander-hub` program: see `gander_hub::cli`.

fn main() -> std::process::ExitCode {
    gander_hub::cli::main()
}
