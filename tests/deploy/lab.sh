# shellcheck shell=bash
# The laboratory of tests/deploy: namespaces, a Docker engine, and their end. Sourced by the scripts
# beside it. What `lab_up` made, `lab_down` removes, also when the run fails or is interrupted.
#
#   engine namespace  10.77.0.1   dockerd and its bridges; deploy.sh runs here
#   client a          10.77.0.11  two machines in the network
#   client b          10.77.0.12
#   node              10.77.0.21  a real sshd
#
# None of them has a way out.

export PATH="$PATH:/usr/sbin:/sbin"
times=()

say() { printf '    %s\n' "$*"; }
step() { printf '\n==> %s\n' "$*"; }
took() { times+=("$(printf '%4d s  %s' $((SECONDS - $2)) "$1")"); }
times_print() { printf '\n'; printf '    %s\n' "${times[@]}"; }

# --- checks -----------------------------------------------------------------------------------

# check WHAT COMMAND...: counts it, prints what it said when it fails, goes on either way.
check() {
  local what=$1 said code
  shift
  # In a process of its own, with `set -e` in force inside, which it is not under `if` or `||`.
  set +e
  said=$(set -e; "$@" 2>&1)
  code=$?
  set -e
  if [ $code -eq 0 ]; then
    pass "$what"
  else
    flunk "$what" "${said:-(exit $code, nothing said)}"
  fi
}
pass() { printf '  ok   %s\n' "$1"; echo "ok $1" >>"$LAB_RESULTS"; }
flunk() {
  printf '  FAIL %s\n' "$1"
  printf '%s\n' "${2:-}" | tail -n 40 | sed 's/^/         /'
  echo "not ok $1" >>"$LAB_RESULTS"
}
# must WHAT COMMAND...: the same, but without it nothing after makes sense.
must() {
  local before
  before=$(grep -c '^not' "$LAB_RESULTS" || true)
  check "$@"
  if [ "$(grep -c '^not' "$LAB_RESULTS" || true)" -gt "$before" ]; then exit 1; fi
}
same() { # same EXPECTED ACTUAL
  [ "$1" = "$2" ] || { printf 'expected: %s\n     got: %s\n' "$1" "$2"; return 1; }
}
has() { # has PATTERN TEXT
  grep -Eq -- "$1" <<<"$2" || { printf 'expected to match: %s\nin: %s\n' "$1" "$2"; return 1; }
}
lacks() { # lacks PATTERN TEXT
  if grep -Eq -- "$1" <<<"$2"; then printf 'expected not to match: %s\nin: %s\n' "$1" "$2"; return 1; fi
}
fails() { # fails COMMAND...
  if "$@"; then echo "expected to fail, but worked: $*"; return 1; fi
}
# Waits for a condition, never for a time. until_true SECONDS COMMAND...
until_true() {
  local deadline=$((SECONDS + $1)) said
  shift
  until said=$("$@" 2>&1); do
    if [ $SECONDS -ge "$deadline" ]; then
      printf 'waited in vain for: %s\n%s\n' "$*" "$said"
      return 1
    fi
    sleep 0.1
  done
}

# --- namespaces -------------------------------------------------------------------------------

at() { # at engine|a|b|node COMMAND...
  local where=$1
  shift
  nsenter --net="/run/netns/$LAB_NAME-$where" "$@"
}

_host() { # _host NAME ADDRESS: a namespace on the laboratory's own bridge
  ip netns add "$LAB_NAME-$1"
  ip -n "$LAB_NAME-$1" link set lo up
  ip -n "$LAB_NAME-engine" link add "v-$1" type veth peer name eth0 netns "$LAB_NAME-$1"
  ip -n "$LAB_NAME-engine" link set "v-$1" master lan0 up
  ip -n "$LAB_NAME-$1" addr add "$2/24" dev eth0
  ip -n "$LAB_NAME-$1" link set eth0 up
}

_network_up() {
  ip netns add "$LAB_NAME-engine"
  ip -n "$LAB_NAME-engine" link set lo up
  ip -n "$LAB_NAME-engine" link add lan0 type bridge
  ip -n "$LAB_NAME-engine" addr add 10.77.0.1/24 dev lan0
  ip -n "$LAB_NAME-engine" link set lan0 up
  _host a 10.77.0.11
  _host b 10.77.0.12
  _host node 10.77.0.21
}

# --- the engine -------------------------------------------------------------------------------

# The engine lives in its own mount and process namespace: when its first process dies, every container
# and mount of it is gone. It has a /run of its own, where it would leave things and meet another engine.
# Its data is in memory where there is plenty, which saves half a minute of deleting files; LAB_DISK=1
# keeps it on disk.
# engine_start NAME NETNS-FILE|- DOCKERD-OPTION...
engine_start() {
  local name=$1 net=$2 enter=() memory=
  shift 2
  mkdir -p "$LAB/$name/data"
  if [ "$name" = engine ] && [ -z "${LAB_DISK:-}" ] && [ "$(awk '/^MemAvailable/ {print $2}' /proc/meminfo)" -gt 8000000 ]; then
    memory=$LAB/$name/data
  fi
  [ "$net" = - ] || enter=(nsenter --net="$net")
  # The outer resolv.conf may be a link into the outer /run.
  cp -L /etc/resolv.conf "$LAB/resolv.conf"
  # shellcheck disable=SC2016 # expanded by the inner shell
  setpriv --pdeathsig KILL "${enter[@]}" \
    unshare --mount --pid --fork --kill-child --mount-proc \
    sh -c '
      mount -t tmpfs run /run
      if [ ! -e /etc/resolv.conf ]; then
        names=$(readlink -m /etc/resolv.conf)
        mkdir -p "${names%/*}" && cp "$1" "$names"
      fi
      if [ -n "$2" ]; then mount -t tmpfs -o mode=711 engine "$2"; fi
      shift 2
      "$@" & wait $!' sh "$LAB/resolv.conf" "$memory" \
    dockerd --data-root "$LAB/$name/data" --exec-root "$LAB/$name/exec" --pidfile "$LAB/$name/pid" \
    --host "unix://$LAB/$name/sock" --exec-opt native.cgroupdriver=cgroupfs \
    --cgroup-parent "/$LAB_NAME" --config-file "$LAB/daemon.json" "$@" \
    >"$LAB/$name/log" 2>&1 </dev/null &
  echo $! >"$LAB/$name/unshare"
  if ! DOCKER_HOST=unix://$LAB/$name/sock until_true 60 docker version >/dev/null; then
    tail -n 20 "$LAB/$name/log" >&2
    echo "The Docker engine did not start (its last words are above)." >&2
    return 1
  fi
}

# Runs a command where the engine's processes are seen under the numbers Docker gives them.
in_engine() {
  local first
  first=$(pgrep -P "$(cat "$LAB/engine/unshare")" | head -n1)
  nsenter --target "$first" --pid --mount "$@"
}

engine_stop() { # engine_stop NAME
  local name=$1 parent first
  [ -f "$LAB/$name/unshare" ] || return 0
  parent=$(cat "$LAB/$name/unshare")
  if [ -S "$LAB/$name/sock" ] && kill -0 "$parent" 2>/dev/null; then
    # Containers first: the engine then leaves no cgroup behind.
    DOCKER_HOST=unix://$LAB/$name/sock timeout 60 sh -c 'docker ps -aq | xargs -r docker rm -f' >/dev/null 2>&1 || true
    first=$(pgrep -P "$parent" | head -n1) || true
    if [ -n "$first" ]; then
      pkill -TERM -P "$first" -x dockerd 2>/dev/null || true
      for _ in $(seq 100); do
        kill -0 "$parent" 2>/dev/null || break
        sleep 0.1
      done
    fi
  fi
  kill -KILL "$parent" 2>/dev/null || true
  wait "$parent" 2>/dev/null || true
  rm -f "$LAB/$name/unshare"
}

# --- up and down ------------------------------------------------------------------------------

# Names, files and control groups of one laboratory, whose processes are gone.
_remove() { # _remove LAB-NAME DIRECTORY...
  local name=$1 space
  shift
  for space in "/run/netns/$name"-*; do
    [ ! -e "$space" ] || ip netns del "${space##*/}" || true
  done
  # The engine's own control groups, empty by now; the deepest first.
  find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} + 2>/dev/null || true
  rm -rf "$@"
}

# Removes what a run that was killed could not: its processes died with it.
_remove_stale() {
  local directory name
  for directory in /var/tmp/gander-lab-*; do
    name=${directory##*/}
    name=${name%.*}
    if [ -d "$directory" ] && [ ! -d "/proc/${name#gander-lab-}" ]; then _remove "$name" "$directory"; fi
  done
}

lab_up() {
  step "Setting up namespaces and a Docker engine"
  local began=$SECONDS
  export LAB_NAME="gander-lab-$$" LAB LAB_RESULTS LAB_CACHE="$GANDER_LAB_CACHE"
  # Not /tmp: it is in memory on many machines.
  LAB=$(mktemp -d "/var/tmp/$LAB_NAME.XXXXXX")
  LAB_RESULTS=$(mktemp)
  trap 'lab_down; rm -f "$LAB_RESULTS"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  mkdir -p "$LAB_CACHE" "$LAB/bin" "$LAB/docker/cli-plugins"
  echo '{}' >"$LAB/daemon.json"
  _remove_stale
  _network_up
  engine_start engine "/run/netns/$LAB_NAME-engine"
  # The client that came with the engine, where there is another one before it in the path.
  if [ -x /usr/bin/docker ]; then ln -s /usr/bin/docker "$LAB/bin/docker"; fi
  export PATH="$LAB/bin:$PATH"
  # Where `docker` finds this engine and the compose plugin; a settings file of the user plays no part.
  export DOCKER_HOST="unix://$LAB/engine/sock" DOCKER_CONFIG="$LAB/docker"
  unset DOCKER_CONTEXT COMPOSE_FILE COMPOSE_PROFILES
  compose_plugin
  say "engine $(docker version --format '{{.Server.Version}}'), compose $(docker compose version --short)"
  took "namespaces and engine" "$began"
}

lab_down() {
  trap - EXIT
  trap '' INT TERM HUP
  local where
  engine_stop engine
  engine_stop builder
  for where in a b node engine; do
    # What still runs in a namespace was started here: by number, never by name.
    ip netns pids "$LAB_NAME-$where" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
  done
  _remove "$LAB_NAME" "$LAB"
  trap - INT TERM HUP
}

# A copy of the source tree as a clone would be, so that nothing of the developer's own plays a part.
source_tree() { # source_tree DIRECTORY
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do if [ -f "$file" ]; then printf '%s\0' "$file"; fi; done |
    tar --null --files-from=- --create --file=- | tar -C "$1" --extract --file=-
}

keep() {
  step "Left standing (KEEP). In another terminal, as root:"
  say "export DOCKER_HOST=$DOCKER_HOST DOCKER_CONFIG=$DOCKER_CONFIG"
  say "nsenter --net=/run/netns/$LAB_NAME-a curl http://10.77.0.1:8080/api/health"
  read -r -p "    Enter tears it down. " _ </dev/tty
}
