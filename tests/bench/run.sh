#!/usr/bin/env bash
# make bench: runs the benchmarks named; poll, store and micro by default. As root where real sshd accounts are needed.
#   tests/bench/run.sh [poll] [store] [micro] [agents]
set -euo pipefail
cd "$(dirname "$0")/../.."

host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${host}_RUNNER=$PWD/tests/as-root.sh"
if [ -n "${RECORDING:-}" ]; then RECORDING=$(realpath "$RECORDING") && export RECORDING; fi

for part in "${@:-poll store micro}"; do
  for name in $part; do
    case $name in
      poll) cargo bench --locked -p gander-e2e --bench poll ;;
      micro) cargo bench --locked -p gander-hub --benches ;;
      store)
        # The rivals answer over HTTP, so the real hub does, too.
        cargo build --locked --release -p gander-hub -p gander-e2e --bin gander-hub
        cargo bench --locked -p gander-hub -p gander-e2e --bench history
        ;;
      agents)
        cargo build --locked --release -p gander-hub -p gander-e2e --bin gander-hub
        cargo bench --locked -p gander-hub -p gander-e2e --bench agents
        ;;
      *)
        echo "There is no benchmark \"$name\": poll, store, micro, agents" >&2
        exit 1
        ;;
    esac
  done
done
