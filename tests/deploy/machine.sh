# shellcheck shell=bash
# A machine with systemd, as a container of the laboratory, and the hub's REST interface on it. Sourced
# by systemd.sh and agent.sh, which say `machine` (the container) and `unit` (what it is about) first.

: "${machine:?}" "${unit:?}"
account='{"username":"admin","password":"an honest long password"}'

run() { docker exec "$machine" "$@"; }
property() { run systemctl show --property "$1" --value "$unit"; }
status() { # status PATH [CURL-OPTION...]: the body goes to /tmp/body inside
  local path=$1
  shift
  run curl -s -o /tmp/body -w '%{http_code}' -b /tmp/jar -c /tmp/jar -m 20 "$@" "http://127.0.0.1:8000$path"
}
answers() { same 200 "$(status /api/health)"; }
active() { same active "$(property ActiveState)"; }
post() { status "$1" -H 'Content-Type: application/json' --data-binary "$2"; }

# systemd 252 on either kind of control groups; on the unified one Docker mounts them read-only.
boot() {
  docker run --detach --name "$machine" --network none --cap-add SYS_ADMIN --security-opt seccomp=unconfined \
    --security-opt apparmor=unconfined --cgroupns=private --tmpfs /run --tmpfs /run/lock --tmpfs /tmp --stop-signal SIGRTMIN+3 \
    gander-lab-systemd:local \
    sh -c 'mount -o remount,rw /sys/fs/cgroup 2>/dev/null; exec /sbin/init' >/dev/null
  # Its state is said on the way; `degraded` is fine here, as long as it is up.
  until_true 60 booted
}
booted() { has 'running|degraded' "$(run systemctl is-system-running 2>/dev/null || true)"; }

copy_in() { # copy_in FILE PLACE MODE
  docker cp --quiet "$1" "$machine:$2" 2>/dev/null || docker cp "$1" "$machine:$2"
  run chown root:root "$2"
  run chmod "$3" "$2"
}

exposure() { # the score systemd-analyze gives, times ten
  run systemd-analyze security --no-pager "$unit" 2>/dev/null | sed -n 's/.*exposure level.*: \([0-9]*\)\.\([0-9]\).*/\1\2/p'
}
at_most() { [ "$2" -le "$1" ] || { echo "$2 is more than $1"; return 1; }; }

setup_token() { run journalctl -u gander-hub -o cat --no-pager | sed -n 's/.*setup[^ ]*token=\([A-Za-z0-9_-]*\).*/\1/p' | tail -n1; }
# The first admin, by the link that the hub's journal has; logged in from then on.
first_admin() {
  local token
  token=$(setup_token)
  must "the journal has the set-up link" test -n "$token"
  check "it makes the first admin" has '^2' "$(post /api/setup "$(jq -c --arg t "$token" '.token=$t' <<<"$account")")"
  check "who logs in" has '^2' "$(post /api/login "$account")"
}

restarted() { [ "$(property NRestarts)" -gt "$1" ]; }
process() { run sed -n "s/^$1:[[:space:]]*//p" "/proc/$(property MainPID)/status"; }
confined() {
  check "it is not root" lacks '(^|[[:space:]])0([[:space:]]|$)' "$(process Uid)"
  check "it has no capabilities" same 0000000000000000 "$(process CapEff)"
  check "it cannot gain privileges" same 1 "$(process NoNewPrivs)"
}
