#!/usr/bin/env bash
# `make test`: every check, in stages, each with its time. Stops at the first stage that fails.
#   tests/run.sh              all stages
#   tests/run.sh fmt clippy   these only (a stage installs what it needs)
#   tests/run.sh --list       their names
set -euo pipefail
cd "$(dirname "$0")/.."

stages=(fmt scripts web-lint web-check web-test web-build clippy deny build unit e2e browser units)

export PATH="$PWD/target/tools/bin:$PATH:/usr/sbin:/sbin"
export CARGO_NET_RETRY="${CARGO_NET_RETRY:-5}"
# The end-to-end tests run this very program.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export GANDER_HUB_BIN="$CARGO_TARGET_DIR/debug/gander-hub"

say() { printf '%s\n' "    $*"; }

# --- what stages need -------------------------------------------------------------------------

need() { deploy/install-packages.sh "$@"; }

# Installs npm packages when the lock file is newer than what lies there.
npm_packages() {
  deploy/check-tools.sh node
  if [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ]; then return; fi
  say "npm ci in $1"
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error </dev/null)
  touch "$1/node_modules/.package-lock.json"
}

deny_version=0.20.2
cargo_deny() {
  if ! command -v cargo-deny >/dev/null 2>&1; then
    say "installing cargo-deny $deny_version into target/tools (2 to 4 minutes, once)"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$PWD/target/tools/build" \
      cargo install --quiet --locked --debug --root target/tools "cargo-deny@$deny_version" </dev/null
    rm -rf target/tools/build
  fi
  cargo deny --locked "$@"
}

# Runs some test targets of the workspace with nextest where it is installed, else with cargo's own
# runner; as root, for accounts of real sshds, mounts and namespaces, but compiled as who asked.
# Always with the whole workspace selected: a part of it would have other features, and so be
# compiled anew.
#   rust_tests THREADS --lib|--test NAME...
rust_tests() {
  local runner
  export NEXTEST_TEST_THREADS=$1 RUST_TEST_THREADS=$1
  shift
  runner=CARGO_TARGET_$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER
  if [ "$(id -u)" -ne 0 ]; then export "$runner=$PWD/tests/as-root.sh"; fi
  if command -v cargo-nextest >/dev/null 2>&1; then
    cargo nextest run --locked --cargo-quiet --no-fail-fast --status-level slow --final-status-level slow \
      --workspace "$@" </dev/null
  else
    cargo test --locked --no-fail-fast --quiet --workspace "$@" </dev/null
  fi
}

# `--test NAME` for every integration test of some crates.
targets() {
  local path
  for path in "$@"; do
    case $path in */main.rs) path=$(dirname "$path") ;; esac
    if [ -e "$path" ]; then printf -- '--test\n%s\n' "$(basename "$path" .rs)"; fi
  done
}

# --- the stages -------------------------------------------------------------------------------

stage_fmt() { cargo fmt --all --check; }

stage_scripts() {
  need test
  local scripts
  mapfile -t scripts < <(git ls-files -co --exclude-standard '*.sh' .ci/run)
  shellcheck --severity=warning "${scripts[@]}"
  say "${#scripts[@]} shell scripts, no warning"
}

stage_web-lint() { npm_packages web; (cd web && npm run --silent lint); }
stage_web-check() { npm_packages web; (cd web && npm run --silent check && npm run --silent check:types); }
stage_web-test() { npm_packages web; (cd web && npm run --silent test </dev/null); }
stage_web-build() { make web; }

stage_clippy() { need build; cargo clippy --locked --quiet --workspace --all-targets -- -D warnings; }

stage_deny() {
  cargo_deny check bans licenses sources
  # The same rule read off the tree that is really built: one crypto provider, one only.
  local crate
  for crate in ring openssl-sys native-tls; do
    if [ -n "$(cargo tree --locked --workspace --edges all --invert "$crate" 2>/dev/null)" ]; then
      cargo tree --locked --workspace --edges all --invert "$crate"
      echo "$crate is in the tree: gander has exactly one crypto provider, aws-lc-rs" >&2
      return 1
    fi
  done
  cargo tree --locked --workspace --invert aws-lc-rs --depth 0
  if timeout 120 cargo deny --locked fetch db >/dev/null 2>&1; then
    cargo_deny check --disable-fetch advisories
  else
    say "NOT CHECKED: advisories. The RustSec database cannot be fetched from here (it needs github.com)."
    say "             Where it can: cargo deny check advisories"
  fi
}

# The programs (the hub's, the agent's, the browser tests') come with the test targets of their crates.
stage_build() {
  need build
  if command -v cargo-nextest >/dev/null 2>&1; then
    cargo nextest run --locked --cargo-quiet --workspace --no-run
  else
    cargo test --locked --quiet --workspace --no-run
  fi
  "$GANDER_HUB_BIN" --version
}

stage_unit() {
  need build test
  npm_packages tests/s3
  local names
  mapfile -t names < <(targets {agent,agent/probe,proto,proto/generate,hub}/tests/{*.rs,*/main.rs})
  rust_tests "$(nproc)" --lib --bins "${names[@]}"
}

stage_e2e() {
  need build test
  stage_build
  local names
  mapfile -t names < <(targets tests/tests/{*.rs,*/main.rs})
  # They mostly wait for a hub or an sshd: four at once suit two cores.
  rust_tests 4 "${names[@]}"
}

stage_browser() {
  need build test
  npm_packages tests/browser
  make web
  stage_build
  tests/as-root.sh "$CARGO_TARGET_DIR/debug/browser" </dev/null
}

stage_units() {
  need test
  # systemd-analyze exits 0 on a key it does not know, so what it says is what counts.
  local said scratch
  scratch=$(mktemp -d)
  # The unit names the installed program; a stand-in at that path lets the unit be verified anywhere.
  said=$(tests/verify-units.sh "$scratch" 2>&1) || { rm -rf "$scratch"; echo "$said"; return 1; }
  rm -rf "$scratch"
  if [ -n "$said" ]; then
    echo "$said"
    return 1
  fi
  say "$(find systemd -name '*.service' -o -name '*.timer' -o -name '*.socket' | wc -l) units, nothing to say"
}

# --- running them -----------------------------------------------------------------------------

if [ "${1:-}" = --list ]; then
  printf '%s\n' "${stages[@]}"
  exit 0
fi
[ $# -eq 0 ] || stages=("$@")
deploy/check-tools.sh cargo

times=()
started=$SECONDS
number=0
for stage in "${stages[@]}"; do
  if ! declare -F "stage_$stage" >/dev/null; then
    echo "There is no stage $stage. tests/run.sh --list names them." >&2
    exit 2
  fi
  number=$((number + 1))
  began=$SECONDS
  printf '\n==> [%d/%d] %s\n' "$number" "${#stages[@]}" "$stage"
  # In a process of its own: `set -e` stays in force inside, which it does not in an `if` or `||`.
  set +e
  ( set -e; "stage_$stage" )
  code=$?
  set -e
  times+=("$(printf '%4d s  %s' $((SECONDS - began)) "$stage")")
  if [ $code -ne 0 ]; then
    printf '\nFAILED in stage %s (exit %d). This stage alone: make test ONLY=%s\n' "$stage" "$code" "$stage" >&2
    exit 1
  fi
done

printf '\n==> All %d stages passed\n' "${#stages[@]}"
printf '    %s\n' "${times[@]}"
printf '    %4d s  in all\n' $((SECONDS - started))
