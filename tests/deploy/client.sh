# shellcheck shell=bash
# Clients a and b of the laboratory, and the server to watch. Sourced by stack.sh, which says where
# the hub is (`base`) and what curl needs besides (`curl_options`).

base='' tree='' curl_options=()

# status_of CLIENT METHOD PATH [JSON [CURL-OPTION...]]: prints the status; the body is in
# $LAB/body-CLIENT, the headers in $LAB/headers-CLIENT, cookies stay in $LAB/jar-CLIENT.
status_of() {
  local client=$1 method=$2 path=$3 body=()
  shift 3
  if [ $# -gt 0 ]; then
    if [ -n "$1" ]; then body=(-H 'Content-Type: application/json' --data-binary "$1"); fi
    shift
  fi
  at "$client" curl --silent --show-error --max-time 20 --noproxy '*' -X "$method" \
    -b "$LAB/jar-$client" -c "$LAB/jar-$client" -D "$LAB/headers-$client" -o "$LAB/body-$client" \
    -w '%{http_code}' "${curl_options[@]}" "${body[@]}" "$@" "$base$path"
}

# expect CLIENT STATUS-PATTERN METHOD PATH [JSON]
expect() {
  local client=$1 pattern=$2 status
  shift 2
  status=$(status_of "$client" "$@") || return 1
  if [[ ! $status =~ ^$pattern$ ]]; then
    printf '%s %s: expected %s, got %s: %s\n' "$1" "$2" "$pattern" "$status" "$(head -c 2000 "$LAB/body-$client")"
    return 1
  fi
}

# answer CLIENT METHOD PATH [JSON]: prints the body, whatever the status.
answer() {
  status_of "$@" >/dev/null
  cat "$LAB/body-$1"
}

has_header() { has "^$1:" "$(tr '[:upper:]\r' '[:lower:] ' <"$LAB/headers-a")"; }
# (Vary is a list, and nginx may add to it.)
no_header_twice() {
  same '' "$(tr '[:upper:]' '[:lower:]' <"$LAB/headers-a" | sed -n 's/^\([a-z-]*\):.*/\1/p' | grep -vE '^(set-cookie|vary)$' | sort | uniq -d)"
}

# live CLIENT WHAT [ORIGIN]: a WebSocket with the client's cookies sees this.
live() {
  local tls=
  case $base in https:*) tls=$tree/deploy/tls/fullchain.pem ;; esac
  at "$1" /usr/bin/python3 tests/deploy/live.py --want "$2" --jar "$LAB/jar-$1" --origin "${3:-}" \
    --certificate "$tls" --address 10.77.0.1 "ws${base#http}/ws"
}

# --- the server to watch ----------------------------------------------------------------------

# An sshd with an account that exists in its own view of /etc only.
export NODE_PASSWORD='the node password 7Zq'
node_up() {
  local dir=$LAB/node id=60123
  mkdir -p "$dir/home"
  chmod 711 "$LAB" "$dir"
  chown $id:$id "$dir/home"
  { cat /etc/passwd; echo "watched:x:$id:$id::$dir/home:/bin/bash"; } >"$dir/passwd"
  { cat /etc/group; echo "watched:x:$id:"; } >"$dir/group"
  { cat /etc/shadow; echo "watched:$(openssl passwd -6 "$NODE_PASSWORD"):19000:0:99999:7:::"; } >"$dir/shadow"
  chmod 600 "$dir/shadow"
  ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
  cat >"$dir/sshd_config" <<CONFIG
Port 22
ListenAddress 10.77.0.21
HostKey $dir/host_key
PidFile none
UsePAM no
PasswordAuthentication yes
StrictModes no
CONFIG
  # shellcheck disable=SC2016 # expanded by the inner shell
  at node setpriv --pdeathsig KILL unshare --mount sh -c '
    for file in passwd group shadow; do mount --bind "$1/$file" "/etc/$file"; done
    mount -t tmpfs sshd /run && mkdir -m 755 /run/sshd
    exec /usr/sbin/sshd -D -e -f "$1/sshd_config"' sh "$dir" >"$dir/log" 2>&1 </dev/null &
}
node_answers() { timeout 2 nsenter --net="/run/netns/$LAB_NAME-engine" bash -c 'exec 3<>/dev/tcp/10.77.0.21/22' || { cat "$LAB/node/log"; return 1; }; }
