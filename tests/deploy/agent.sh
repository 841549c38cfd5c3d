#!/usr/bin/env bash
# The agent under a real systemd, from the one line that a hub on the same machine shows, and from the
# Debian package: installed, confined, killed, hung, restarted with its machine, revoked, taken away. Then
# under OpenRC, and where there is neither.
# Run by tests/deploy/run.sh, which sets the laboratory up; by itself it asks that for it.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -n "${LAB:-}" ] || exec tests/deploy/run.sh agent
# shellcheck source=tests/deploy/lab.sh
. tests/deploy/lab.sh

unit=gander-agent.service
machine=gander-lab-agent
state=/var/lib/gander-agent
# shellcheck source=tests/deploy/machine.sh
. tests/deploy/machine.sh
# shellcheck source=tests/deploy/agent-openrc.sh
. tests/deploy/agent-openrc.sh

install_hub() {
  copy_in "$HUB_BIN" "$(sed -n 's/^ExecStart=[-@:+!]*\([^ ]*\).*/\1/p' systemd/gander-hub.service)" 755
  copy_in systemd/gander-hub.service /etc/systemd/system/gander-hub.service 644
  run mkdir -p /etc/gander /srv/agents /var/log/journal
  copy_in "$AGENT_BIN" "/srv/agents/gander-agent-$(uname -m)" 755
  run sh -c 'printf "GANDER_INTERVAL=1s\nGANDER_LOCAL_SERVER=false\nGANDER_AGENT_DIRECTORY=/srv/agents\n" >/etc/gander/gander-hub.env'
  # A journal that outlives the machine's restart, a watchdog that bites while somebody waits for it, and
  # a line for every look, to be compared with what the hub holds.
  run systemctl restart systemd-journald
  run mkdir -p "/etc/systemd/system/$unit.d"
  run sh -c "printf '[Service]\nWatchdogSec=10\nEnvironment=GANDER_LOG=debug\n' >/etc/systemd/system/$unit.d/test.conf"
  run systemctl daemon-reload
  run systemctl enable --now gander-hub
}

body() { run cat /tmp/body; }
# new_line JSON: a token, and the one line that goes with it.
new_line() {
  has '^2' "$(post /api/agent-tokens "$1")" >&2
  body | jq -r .command
}
server_field() { status /api/servers >/dev/null; body | jq -r ".[0].$1"; }
server_is() { same "$1" "$(server_field status)"; }
agent_field() { status /api/agents >/dev/null; body | jq -r "[.[] | select(.revoked_at == null)][-1].$1"; }

# The moments the agent says it looked at, and those the hub holds, in milliseconds.
looked() { run journalctl -u "$unit" -o cat --no-pager | sed -n 's/.*looked taken_at_ms=\([0-9]*\).*/\1/p' | sort; }
held() {
  status '/api/metrics?hours=24&limit=10000' >/dev/null
  body | jq -r '.[].timestamp | capture("(?<s>[^.Z]+)(\\.(?<f>[0-9]+))?Z")
    | (.s + "Z" | fromdateiso8601) * 1000 + (((.f // "0") + "000") | .[0:3] | tonumber)' | sort
}
held_at_least() { [ "$(held | wc -l)" -ge "$1" ] || { echo "$(held | wc -l) rows"; return 1; }; }
# All that was looked at when asked is at the hub in the end, and nothing twice.
nothing_lost() {
  looked >"$LAB/looked"
  until_true 60 no_gap
  same '' "$(held | uniq -d)"
}
no_gap() {
  local missing
  missing=$(comm -23 "$LAB/looked" <(held))
  [ -z "$missing" ] || { printf 'not at the hub: %s\n' "$missing"; return 1; }
}

listening() { # sockets of the agent's that listen
  local main
  main=$(property MainPID)
  comm -12 \
    <(run sh -c "ls -l /proc/$main/fd" | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p' | sort) \
    <(run cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" {print $10}' | sort)
}
written_elsewhere() {
  run find / -xdev -newer /run/installed -type f \
    ! -path '/proc/*' ! -path '/sys/*' ! -path '/run/*' ! -path '/tmp/*' ! -path '/var/tmp/*' ! -path '/var/log/*' \
    ! -path "$state/*" ! -path '/var/lib/systemd/*' ! -path '/var/lib/gander/*' ! -path '/var/lib/private/gander/*'
}

one_line() {
  step "The one line"
  local line
  line=$(new_line '{"name":"lab"}')
  say "$line"
  check "installs, enrols and starts it" run sh -c "$line"
  check "systemd-analyze verify has nothing to say" same '' "$(run systemd-analyze verify --man=no "/etc/systemd/system/$unit" 2>&1)"
  check "it is active" active
  check "because the agent said so" same notify "$(property Type)"
  check "it will be after a restart of the machine" same enabled "$(property UnitFileState)"
  must "the server is online" until_true 60 server_is online
  local score
  score=$(exposure)
  check "systemd-analyze security: at most 1.5" at_most 15 "${score:-999}"
  say "exposure $((score / 10)).$((score % 10))"
  check "run again it only updates the program" has 'enrolled already' "$(run sh -c "$line" 2>&1)"
  run touch /run/installed
  must "the server is online" until_true 60 server_is online
}

confinement() {
  step "What it may do"
  confined
  check "its system calls are filtered" same 2 "$(process Seccomp)"
  check "it listens on nothing" same '' "$(listening)"
  check "its state is for nobody else" same '700 gander-agent' "$(run stat -c '%a %U' "$state")"
  check "its key neither" same '600 gander-agent' "$(run stat -c '%a %U' "$state/identity.pem")"
  check "values arrive under the filter" until_true 60 held_at_least 5
  check "nothing was written elsewhere" same '' "$(written_elsewhere)"
  check "gander-agent check finds nothing" run gander-agent check
}

kill_nine() {
  step "kill -9"
  local before
  before=$(property NRestarts)
  run systemctl kill --kill-who=main --signal=KILL "$unit"
  check "systemd starts it again" until_true 60 restarted "$before"
  check "it is active again" until_true 60 active
  check "the server is online" until_true 60 server_is online
}

hang() {
  step "An agent that hangs (SIGSTOP)"
  local before
  before=$(property NRestarts)
  run systemctl kill --kill-who=main --signal=STOP "$unit"
  check "the watchdog starts it again" until_true 120 restarted "$before"
  check "and says why" has 'Watchdog timeout' "$(run journalctl -u "$unit" -o cat --no-pager)"
  check "it is active again" until_true 60 active
}

waiting_samples() { run gander-agent check 2>/dev/null | sed -n 's/.*the spool holds \([0-9]*\) samples.*/\1/p'; }
waiting_at_least() { [ "$(waiting_samples)" -ge "$1" ] || { echo "$(waiting_samples) samples wait"; return 1; }; }

reboot() {
  step "The machine restarts while the hub is away"
  check "the hub stops, for long" run systemctl disable --now gander-hub
  check "samples wait on the disk" until_true 90 waiting_at_least 6
  looked >"$LAB/looked-before"
  check "the machine goes down and comes up" docker restart --time 30 "$machine"
  must "it boots" until_true 60 booted
  check "with the agent, unasked" until_true 60 active
  check "more samples wait" until_true 90 waiting_at_least "$(($(waiting_samples) + 3))"
  run systemctl enable --now gander-hub
  must "the hub answers" until_true 60 answers
  check "the account is still there" has '^2' "$(post /api/login "$account")"
  check "the server is online" until_true 60 server_is online
  check "nothing is lost nor doubled" nothing_lost
  check "what was looked at before the restart is among it" same '' "$(comm -23 "$LAB/looked-before" "$LAB/looked")"
  say "$(wc -l <"$LAB/looked-before") looks before, $(wc -l <"$LAB/looked") in all"
}

revoked() {
  step "Revoked"
  local id line
  id=$(agent_field id)
  check "by a person" has '^2' "$(post "/api/agents/$id/revoke" '{}')"
  check "it says so, and what helps" until_true 30 says_revoked
  check "gander-agent check says so too" fails run gander-agent check
  line=$(new_line "{\"name\":\"again\",\"server_id\":$(server_field id)}")
  check "the next line alone does nothing: this machine is enrolled" has 'enrolled already' "$(run sh -c "$line" 2>&1)"
  line=$(new_line "{\"name\":\"again\",\"server_id\":$(server_field id)}")
  line=$(sed 's/--token [^ ;]*/& --again/' <<<"$line")
  check "with --again it is taken in again" run sh -c "$line"
  check "the server is online" until_true 60 server_is online
  check "nothing is lost nor doubled" nothing_lost
}
says_revoked() { has 'Only a new token helps' "$(run gander-agent status 2>&1)"; }

leftovers() {
  run sh -c "find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /srv/agents -o -path /var/log \) -prune \
    -o -name '*gander-agent*' ! -name '*.deb' -print"
  run grep -l gander-agent /etc/passwd /etc/group /etc/shadow /etc/gshadow || true
}

uninstall() {
  step "Taken away"
  run rm -r "/etc/systemd/system/$unit.d"
  check "by the installer" run sh -c 'curl -fsS http://127.0.0.1:8000/install.sh | sh -s -- --uninstall'
  check "no process of it is left" same '' "$(run ps -eo comm= | grep gander-agent || true)"
  check "no file, no user, no group" same '' "$(leftovers | grep -v -- '-$')"
}

package() {
  step "From the Debian package"
  local line deb
  if ! deploy/packages/build.sh "$AGENT_BIN" "$LAB/packages" >"$LAB/packages.log" 2>&1; then
    flunk "the package is built" "$(cat "$LAB/packages.log")"
    return
  fi
  deb=$(basename "$(ls "$LAB"/packages/*.deb)")
  # Not into /tmp, which is a file system that docker cp does not see.
  copy_in "$LAB/packages/$deb" "/root/$deb" 644
  check "it installs" run dpkg -i "/root/$deb"
  line=$(new_line "{\"name\":\"package\",\"server_id\":$(server_field id)}")
  # The installer's own words, for the program that is there already.
  # shellcheck disable=SC2046 # three options and their values
  check "and enrols" run gander-agent enroll $(sed -n 's/.*\(--hub [^ ]* --ca [^ ]* --token [^ ;]*\).*/\1/p' <<<"$line")
  check "it is active" until_true 30 active
  check "and enabled" same enabled "$(property UnitFileState)"
  check "the server is online" until_true 60 server_is online
  confined
  check "removed, it is away but keeps who it is" run dpkg -r gander-agent
  check "its identity is there" run test -s "$state/identity.pem"
  check "installed again" run dpkg -i "/root/$deb"
  check "it is active again" until_true 30 active
  check "purged" run dpkg -P gander-agent
  run rm "/root/$deb"
  check "no file, no user, no group" same '' "$(leftovers | grep -v -- '-$')"

  step "The RPM, as far as Debian's rpm can tell"
  local rpm
  rpm=$(ls "$LAB"/packages/*.rpm)
  check "it has the program" has '^-rwxr-xr-x .* root +root .* /usr/bin/gander-agent$' "$(rpm -qp --list --verbose "$rpm")"
  check "and the unit" has ' /usr/lib/systemd/system/gander-agent.service$' "$(rpm -qp --list --verbose "$rpm")"
  check "its state is for nobody else" has '^drwx------ .* gander-a[^ ]* +gander-a[^ ]* .* /var/lib/gander-agent$' "$(rpm -qp --list --verbose "$rpm")"
  rpm -qp --scripts "$rpm" | sed 's/^.*scriptlet (using .*$//' >"$LAB/scriptlets"
  check "its scripts can be read by a shell" sh -n "$LAB/scriptlets"
  check "and take everything away" has 'rm -rf /var/lib/gander-agent' "$(cat "$LAB/scriptlets")"
}

nothing_else() {
  step "A machine with nothing on it: no C library, no file but the agent"
  mkdir -p "$LAB/empty"
  cp "$AGENT_BIN" "$LAB/empty/gander-agent"
  check "it runs" has '^gander-agent [0-9]' "$(chroot "$LAB/empty" /gander-agent --version 2>&1)"
  check "and says what it lacks in words" has 'never enrolled' "$(chroot "$LAB/empty" /gander-agent check 2>&1 || true)"
}

nothing_else
step "A machine with systemd, and a hub on it"
must "it boots" boot
must "the hub is installed" install_hub
must "the hub answers" until_true 60 answers
first_admin
one_line
confinement
kill_nine
hang
reboot
revoked
uninstall
package
docker rm -f "$machine" >/dev/null
machine=gander-lab-openrc
no_service_manager
under_openrc
docker rm -f "$machine" >/dev/null
