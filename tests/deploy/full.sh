#!/usr/bin/env bash
# The image compiled from source inside Docker, as `deploy/deploy.sh` without --prebuilt does it.
# Part of `FULL=1 make test-deploy`: 10 to 25 minutes on 2 cores, and the package registries must be in reach.
#
# The laboratory's engine has no way out, so a second one, in the machine's own network, builds. There
# may be no image registry: node and rust are Debian with this machine's own tools laid in.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -n "${LAB:-}" ] || exec tests/deploy/run.sh full
# shellcheck source=tests/deploy/lab.sh
. tests/deploy/lab.sh
# shellcheck source=tests/deploy/images.sh
. tests/deploy/images.sh

tree="$LAB/source"
export DOCKER_HOST="unix://$LAB/builder/sock"

stand_ins() {
  _make build _derived_root build gcc libc6-dev libstdc++6 ca-certificates
  _import base debian:bookworm-slim --change 'CMD ["bash"]'
  _import build gander-lab-build:local
  local tools="$LAB/tools" modules
  mkdir -p "$tools/node/bin" "$tools/rust" "$tools/certificates"
  cp "$(realpath "$(command -v node)")" "$tools/node/bin/node"
  # npm is a directory beside node: lib/node_modules/npm.
  modules=$(realpath "$(npm root --global)")
  mkdir -p "$tools/node/lib/node_modules"
  cp -a "$modules/npm" "$tools/node/lib/node_modules/"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$tools/node/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$tools/node/bin/npx"
  cp -a "$(rustc --print sysroot)/." "$tools/rust/"
  rm -rf "$tools/rust/share"
  # Whom this machine trusts on the way to the registries.
  cp -L /etc/ssl/certs/ca-certificates.crt "$tools/certificates/"
  printf 'FROM gander-lab-build:local\nCOPY certificates/ /etc/ssl/certs/\nENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt\nCOPY node/ /usr/local/\n' |
    docker build --quiet --tag node:22-bookworm-slim --file - "$tools"
  printf 'FROM gander-lab-build:local\nCOPY certificates/ /etc/ssl/certs/\nCOPY rust/ /usr/local/\n' |
    docker build --quiet --tag rust:1.95-bookworm --file - "$tools"
  rm -rf "$tools"
}
_finish_build() { :; }

# Proxies of this machine hold for the build too; Docker knows these arguments by itself.
build() {
  docker build --network host \
    --build-arg http_proxy --build-arg https_proxy --build-arg no_proxy \
    --file deploy/Dockerfile --tag gander-hub:full "$@" "$tree"
}

step "Compiling the image from source"
engine_start builder - --bridge=none --iptables=false --ip-forward=false --ip-masq=false
must "stand-ins for node and rust are made" stand_ins
mkdir "$tree"
source_tree "$tree"
cd "$tree"
began=$SECONDS
must "the image is built from a fresh clone" build
say "took $((SECONDS - began)) s"
check "it has the program" has '^gander-hub [0-9]' "$(docker run --rm --network none gander-hub:full --version 2>&1)"
check "it is not root's" same 10001:10001 "$(docker image inspect --format '{{.Config.User}}' gander-hub:full)"
check "no compiler is left in it" fails docker run --rm --network none --entrypoint sh gander-hub:full -c 'command -v cc || command -v cargo || command -v node'
say "size $(docker image inspect --format '{{.Size}}' gander-hub:full | awk '{printf "%.0f MB, of it the base %s", $1 / 1e6, ""}')$(docker image inspect --format '{{.Size}}' debian:bookworm-slim | awk '{printf "%.0f MB", $1 / 1e6}')"

# Over to the laboratory's engine, where it runs as deploy.sh --no-build runs it.
docker save gander-hub:full | DOCKER_HOST="unix://$LAB/engine/sock" docker load >/dev/null
DOCKER_HOST="unix://$LAB/engine/sock"
printf 'NGINX_IMAGE=gander-lab-nginx:local\nGANDER_IMAGE=gander-hub:full\n' >.env
deploys() { at engine env COMPOSE_PROJECT_NAME=ganderfull deploy/deploy.sh "$@"; }
check "deploy.sh --no-build brings it up" deploys --no-build --port 8092
check "it serves the dashboard" has '<script' "$(at a curl -s -m 20 http://10.77.0.1:8092/)"
check "deploy.sh --down" deploys --down
