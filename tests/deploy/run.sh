#!/usr/bin/env bash
# `make test-deploy`: gander as people install it, for real. A Docker engine of its own in a network
# namespace of its own runs the compose stack that deploy/deploy.sh brings up; a systemd in one of its
# containers runs the service unit. Nothing outside the namespaces made here is contacted or changed.
#
#   tests/deploy/run.sh                  everything (first run: 4 to 6 minutes more, for Debian images)
#   tests/deploy/run.sh stack            the compose stack only; `systemd`: the hub's unit only; `agent`: the
#                                        agent's unit and packages only; `full`: the image compiled from
#                                        source only
#   FULL=1 tests/deploy/run.sh           everything and `full` (10 to 25 minutes more)
#   HUB_BIN=FILE AGENT_BIN=FILE tests/deploy/run.sh   these programs instead of fresh builds
#   KEEP=1 tests/deploy/run.sh stack     leaves it standing until Enter is pressed
#
# Images are cached in ${XDG_CACHE_HOME:-~/.cache}/gander-test-deploy; delete it to make them anew.
set -euo pipefail
cd "$(dirname "$0")/../.."

parts=("$@")
if [ ${#parts[@]} -eq 0 ]; then parts=(stack systemd agent ${FULL:+full}); fi
for part in "${parts[@]}"; do
  case $part in
    stack | systemd | agent | full) ;;
    -h | --help) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "There is no part $part: stack, systemd, agent and full are." >&2; exit 2 ;;
  esac
done

# First half, as the person who asked: what is to be tested gets built.
if [ -z "${GANDER_LAB_BUILT:-}" ]; then
  deploy/install-packages.sh deploy
  if [ -z "${HUB_BIN:-}" ]; then
    printf '==> Building the hub\n'
    make web </dev/null
    # With the dashboard inside, as in a release: a plain debug build reads it from the source tree.
    cargo build --locked --quiet -p gander-hub --features rust-embed/debug-embed </dev/null
    HUB_BIN=${CARGO_TARGET_DIR:-target}/debug/gander-hub
  fi
  if [ -z "${AGENT_BIN:-}" ]; then
    printf '==> Building the agent\n'
    # The one that is handed out, static and small: what a debug build does would prove nothing of it.
    deploy/build-agent.sh </dev/null
    AGENT_BIN=${CARGO_TARGET_DIR:-target}/release-agent/gander-agent
  fi
  HUB_BIN=$(realpath "$HUB_BIN")
  AGENT_BIN=$(realpath "$AGENT_BIN")
  export HUB_BIN AGENT_BIN GANDER_LAB_BUILT=yes
  # Kept with the person's other caches even when what follows runs under sudo.
  export GANDER_LAB_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/gander-test-deploy"
  exec tests/as-root.sh tests/deploy/run.sh "${parts[@]}"
fi

# Second half, as root.
# shellcheck source=tests/deploy/lab.sh
. tests/deploy/lab.sh
# shellcheck source=tests/deploy/images.sh
. tests/deploy/images.sh
lab_up
images_made

for part in "${parts[@]}"; do
  # In a process of its own: a check that cannot go on ends its part, not the run.
  began=$SECONDS
  "tests/deploy/$part.sh" || failed_parts="${failed_parts:-} $part"
  took "$part" "$began"
done
if [ -n "${KEEP:-}" ]; then keep; fi

began=$SECONDS
lab_down
took "tear down" "$began"
times_print
passed=$(grep -c '^ok' "$LAB_RESULTS" || true)
failed=$(grep -c '^not' "$LAB_RESULTS" || true)
if [ -n "${failed_parts:-}" ] && [ "$failed" -eq 0 ]; then failed=1; fi
rm -f "$LAB_RESULTS"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
