#!/bin/sh
# Installs gander's agent and makes this machine known to the hub. Made by the hub; the one line that
# runs it checks its sum first, and it checks the agent's:
#   sh install.sh --hub HOST:PORT --ca SHA256 --token TOKEN [--again]
#   sh install.sh --uninstall      takes everything away again
# Needs a POSIX shell, curl or wget, and sha256sum. Safe to run again: it updates the program.
set -eu

base_url='@BASE_URL@'
# Architecture and SHA-256 of each agent this hub hands out.
agents='@AGENTS@'

program=/usr/local/bin/gander-agent
state=/var/lib/gander-agent
user=gander-agent
unit=/etc/systemd/system/gander-agent.service
script=/etc/init.d/gander-agent
script_log=/var/log/gander-agent.log

say() { printf '%s\n' "gander: $*"; }
fail() { printf '%s\n' "gander: $*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# A running systemd, a running OpenRC, or none of them.
has_systemd() { [ -d /run/systemd/system ] && has systemctl; }
has_openrc() { [ -e /run/openrc/softlevel ] && has rc-service && has rc-update; }

uninstall() {
    if [ -e /usr/bin/gander-agent ] && [ ! -e "$program" ]; then
        fail "the agent came from a package: apt-get purge gander-agent, or dnf remove gander-agent"
    fi
    if has_systemd && [ -e "$unit" ]; then
        systemctl disable --now gander-agent >/dev/null 2>&1 || true
    fi
    if has_openrc && [ -e "$script" ]; then
        rc-service gander-agent stop >/dev/null 2>&1 || true
        rc-update del gander-agent >/dev/null 2>&1 || true
    fi
    rm -f "$unit" "$script" "$script_log" "$program"
    rm -rf "$state"
    if has_systemd; then systemctl daemon-reload; systemctl reset-failed gander-agent 2>/dev/null || true; fi
    if grep -q "^$user:" /etc/passwd; then userdel "$user" 2>/dev/null || deluser "$user" >/dev/null 2>&1 || true; fi
    if grep -q "^$user:" /etc/group; then groupdel "$user" 2>/dev/null || delgroup "$user" >/dev/null 2>&1 || true; fi
    say "the agent is gone, and all it kept. Delete the server, or revoke its agent, on the hub's page"
}

hub='' ca='' token=${GANDER_TOKEN:-} again=''
while [ $# -gt 0 ]; do
    case $1 in
    --hub) hub=${2:?--hub needs a value} && shift ;;
    --ca) ca=${2:?--ca needs a value} && shift ;;
    --token) token=${2:?--token needs a value} && shift ;;
    --again) again=--again ;;
    --uninstall) action=uninstall ;;
    *) fail "unknown argument $1: run the line as the hub shows it" ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || fail "run it as root: put sudo in front of sh"
if [ "${action:-}" = uninstall ]; then
    uninstall
    exit 0
fi
[ -n "$hub" ] && [ -n "$ca" ] && [ -n "$token" ] ||
    fail "--hub, --ca and --token are needed: run the line as the hub shows it"
[ "$(uname -s)" = Linux ] || fail "this installs on Linux only, and this is $(uname -s)"
[ ! -e /usr/bin/gander-agent ] ||
    fail "the agent was installed from a package: gander-agent enroll --hub $hub --ca $ca --token …"

# --- the program ------------------------------------------------------------------------------

architecture=$(uname -m)
sum=$(printf '%s\n' "$agents" | while read -r name sum; do [ "$name" != "$architecture" ] || printf '%s' "$sum"; done)
[ -n "$sum" ] || fail "this hub has no agent for $architecture: see grpc.agent_directory in the hub's settings"

# Beside its place, so that it gets there whole or not at all.
mkdir -p "$(dirname "$program")"
fetched=$program.new
trap 'rm -f "$fetched"' EXIT
address=$base_url/agent/$architecture
say "fetching the agent for $architecture from $base_url"
if has curl; then
    curl -fsSL -o "$fetched" "$address" || fail "$address cannot be fetched with curl"
elif has wget; then
    wget -qO "$fetched" "$address" || fail "$address cannot be fetched with wget"
else
    fail "neither curl nor wget is here: install one of them"
fi
has sha256sum || fail "sha256sum is not here: install coreutils"
[ "$(sha256sum <"$fetched" | cut -d' ' -f1)" = "$sum" ] ||
    fail "what came from $address is not the agent this hub has: nothing was installed"
chmod 755 "$fetched"
"$fetched" --version >/dev/null 2>&1 ||
    fail "the agent does not run on this machine ($(uname -srm)): nothing was installed"
chown root:root "$fetched"
mv -f "$fetched" "$program"

# --- its user, its directory ------------------------------------------------------------------

if ! grep -q "^$user:" /etc/passwd; then
    nologin=/usr/sbin/nologin
    [ -e "$nologin" ] || nologin=/sbin/nologin
    if has useradd; then
        useradd --system --user-group --no-create-home --home-dir "$state" --shell "$nologin" "$user"
    else
        addgroup -S "$user" 2>/dev/null || true
        adduser -S -D -H -h "$state" -s "$nologin" -G "$user" "$user"
    fi
fi
mkdir -p "$state"
chown "$user:$user" "$state"
chmod 700 "$state"

# --- who it is ---------------------------------------------------------------------------------

if [ -e "$state/identity.pem" ] && [ -z "$again" ]; then
    say "this machine is enrolled already: the program was updated. To enrol it anew, add --again"
else
    # Not on a command line: everybody may read those.
    GANDER_TOKEN=$token "$program" enroll --state "$state" --hub "$hub" --ca "$ca" $again ||
        fail "not enrolled. The program is installed; run the line again when the cause is gone"
fi

# --- and start it -------------------------------------------------------------------------------

if has_systemd; then
    "$program" service >"$unit"
    chmod 644 "$unit"
    systemctl daemon-reload
    systemctl enable gander-agent >/dev/null 2>&1
    systemctl restart gander-agent || fail "the service does not start: journalctl -u gander-agent"
    say "running; systemctl status gander-agent shows how it is, gander-agent check what is wrong"
elif has_openrc; then
    "$program" service --openrc >"$script"
    chmod 755 "$script"
    rc-update add gander-agent default >/dev/null
    rc-service gander-agent restart || fail "the service does not start: see $script_log"
    say "running; rc-service gander-agent status shows how it is, gander-agent check what is wrong"
else
    say "installed, but there is neither systemd nor OpenRC here. Let your init system run, as the user $user:"
    say "    $program run --state $state"
fi
