#!/usr/bin/env bash
# Builds the agent as one static program: target/release-agent/gander-agent.
#   deploy/build-agent.sh
# By itself (-p), because a build of the whole workspace would give it the features the hub asks of
# the same crates; with the C library inside, so that it runs on old systems and on those without one.
set -euo pipefail
cd "$(dirname "$0")/.."
target_dir=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
# --target keeps these flags away from build scripts and macros.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
  cargo build --locked --profile release-agent --target "$host" -p gander-agent
mkdir -p "$target_dir/release-agent"
cp "$target_dir/$host/release-agent/gander-agent" "$target_dir/release-agent/gander-agent"
ls -lh "$target_dir/release-agent/gander-agent"
