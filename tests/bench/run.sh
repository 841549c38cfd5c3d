#!/usr/bin/env bash
# make bench: runs the benchmarks named; poll, store and micro by default. As root where real sshd accounts are needed.
#   tests/bench/run.sh [poll] [store] [micro] [fleet] [agents] [agent]
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
      agent)
        # The agent as it is installed; the hub beside it only has to be there.
        deploy/build-agent.sh
        cargo build --locked --release -p gander-hub -p gander-e2e --bin gander-hub
        GANDER_AGENT_BIN="${CARGO_TARGET_DIR:-$PWD/target}/release-agent/gander-agent" \
          cargo bench --locked -p gander-hub -p gander-e2e --bench agent
        ;;
      fleet)
        cargo build --locked --release -p gander-hub -p gander-e2e --bin gander-hub --bin fleet
        # FLEET="5000 10" is one stage alone; see the head of the benchmark for its parts.
        # shellcheck disable=SC2086
        cargo bench --locked -p gander-hub -p gander-e2e --bench fleet -- ${FLEET:-}
        ;;
      agents)
        cargo build --locked --release -p gander-hub -p gander-e2e --bin gander-hub
        cargo bench --locked -p gander-hub -p gander-e2e --bench agents
        ;;
      *)
        echo "There is no benchmark \"$name\": poll, store, micro, fleet, agents, agent" >&2
        exit 1
        ;;
    esac
  done
done
