#!/usr/bin/env bash
# The service unit systemd/gander-hub.service under a real systemd, in a container of the laboratory.
# Run by tests/deploy/run.sh, which sets the laboratory up; by itself it asks that for it.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -n "${LAB:-}" ] || exec tests/deploy/run.sh systemd
# shellcheck source=tests/deploy/lab.sh
. tests/deploy/lab.sh

unit=gander-hub.service
machine=gander-lab-systemd
# shellcheck source=tests/deploy/machine.sh
. tests/deploy/machine.sh

# As the unit says of itself, with the paths it names.
install_unit() {
  copy_in "$HUB_BIN" "$program" 755
  copy_in "systemd/$unit" "/etc/systemd/system/$unit" 644
  run mkdir -p /etc/gander
  run sh -c 'echo GANDER_INTERVAL=5s >/etc/gander/gander-hub.env'
  run systemctl daemon-reload
  run touch /run/installed
}

first_start() {
  step "The unit under systemd $(run systemctl --version | awk 'NR==1 {print $2}')"
  check "systemd-analyze verify has nothing to say" same '' "$(run systemd-analyze verify --man=no "/etc/systemd/system/$unit" 2>&1)"
  check "enable --now" run systemctl enable --now "$unit"
  check "it is active" active
  check "because the hub said so" same notify "$(property Type)"
  check "it will be after a restart of the machine" same enabled "$(property UnitFileState)"
  must "it answers" answers
  local score
  score=$(exposure)
  check "systemd-analyze security: at most 2.0" at_most 20 "${score:-999}"
  say "exposure $((score / 10)).$((score % 10))"
}

confinement() {
  step "What the service may do, and where its files are"
  confined
  check "the database is /var/lib/gander/gander.db" run test -s /var/lib/gander/gander.db
  check "nobody else may read it" same 700 "$(run stat -L -c %a /var/lib/gander)"
  check "the master key is beside it, for the hub only" same 600 "$(run stat -L -c %a /var/lib/gander/master.key)"
  check "nothing else was written" same '' "$(written_elsewhere)"
}
# Files younger than the installation, outside of what systemd and the test themselves write.
written_elsewhere() {
  run find / -xdev -newer /run/installed -type f \
    ! -path '/proc/*' ! -path '/sys/*' ! -path '/run/*' ! -path '/tmp/*' ! -path '/var/tmp/*' ! -path '/var/log/*' \
    ! -path '/var/lib/gander/*' ! -path '/var/lib/private/gander/*' ! -path '/var/lib/systemd/*' ! -path '/etc/systemd/*'
}

people() {
  first_admin
  # Where /proc is the container's own, the hub watches the machine it runs on from the start.
  check "values arrive, as often as /etc/gander/gander-hub.env says" until_true 60 rows_at_least 3
  status /api/servers >/dev/null
  check "every 5 s" same 5 "$(run cat /tmp/body | jq '.[0].effective_interval_seconds')"
}
rows() {
  status '/api/metrics?hours=24&limit=10000' >/dev/null
  run cat /tmp/body | jq -r '.[] | "\(.server_id) \(.timestamp) \(.cpu_usage)"' | sort
}
rows_at_least() {
  local count
  count=$(rows | wc -l)
  [ "$count" -ge "$1" ] || { echo "$count rows"; return 1; }
}
nothing_lost() {
  local missing
  missing=$(comm -23 "$LAB/unit-before" <(rows))
  [ -z "$missing" ] || { printf 'lost:\n%s\n' "$missing"; return 1; }
}
survived() {
  check "it answers again" until_true 30 answers
  check "nobody is logged out" same 200 "$(status /api/stats)"
  check "no row is lost" nothing_lost
}

kill_nine() {
  step "kill -9"
  local before
  before=$(property NRestarts)
  rows >"$LAB/unit-before"
  run systemctl kill --kill-who=main --signal=KILL "$unit"
  check "systemd starts it again" until_true 60 restarted "$before"
  check "it is active again" until_true 60 active
  survived
}

hang() {
  step "A hub that hangs (SIGSTOP)"
  local before began=$SECONDS
  before=$(property NRestarts)
  rows >"$LAB/unit-before"
  run systemctl kill --kill-who=main --signal=STOP "$unit"
  check "the watchdog starts it again" until_true 180 restarted "$before"
  check "and says why" has 'Watchdog timeout' "$(run journalctl -u "$unit" -o cat --no-pager)"
  say "took $((SECONDS - began)) s"
  check "it is active again" until_true 60 active
  survived
}

stopping() {
  step "Stopping"
  local began=$SECONDS
  rows >"$LAB/unit-before"
  check "systemctl stop" run systemctl stop "$unit"
  say "took $((SECONDS - began)) s"
  check "it ended by itself, with success" same 'success 0' "$(property Result) $(property ExecMainStatus)"
  check "it left no unfinished business" run test ! -s /var/lib/private/gander/gander.db-wal -a ! -s /var/lib/gander/gander.db-wal
  check "start" run systemctl start "$unit"
  survived
  check "reload or restart by hand too" run systemctl restart "$unit"
  survived
}

reboot() {
  step "The machine restarts"
  rows >"$LAB/unit-before"
  check "it goes down and comes up" docker restart --time 30 "$machine"
  check "with the hub, unasked" until_true 60 active
  # /tmp, and with it the cookie, is gone.
  check "it answers again" until_true 30 answers
  check "the account is still there" has '^2' "$(post /api/login "$account")"
  check "no row is lost" nothing_lost
}

bad_setting() {
  step "A setting nobody knows"
  run mkdir -p "/run/systemd/system/$unit.d"
  run sh -c "printf '[Service]\nEnvironment=GANDER_INTERVALL=5s\n' >/run/systemd/system/$unit.d/wrong.conf"
  run systemctl daemon-reload
  run systemctl restart "$unit" >/dev/null 2>&1 || true
  check "the journal names it" until_true 30 journal_names GANDER_INTERVALL
  run rm -r "/run/systemd/system/$unit.d"
  run systemctl daemon-reload
  run systemctl reset-failed "$unit" || true
  check "without it all is well" run systemctl restart "$unit"
  check "it answers" until_true 30 answers
}
journal_names() { has "$1" "$(run journalctl -u "$unit" -o cat --no-pager)"; }

[ -f "systemd/$unit" ] || { flunk "there is a systemd/$unit" "it is missing"; exit 1; }
program=$(sed -n 's/^ExecStart=[-@:+!]*\([^ ]*\).*/\1/p' "systemd/$unit")
step "A machine with systemd"
must "it boots" boot
must "the hub and its unit are installed" install_unit
first_start
confinement
people
kill_nine
hang
stopping
reboot
bad_setting
docker rm -f "$machine" >/dev/null
