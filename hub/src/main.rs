//! The `gander-hub` program: picks a subcommand.

fn main() {}
