# shellcheck shell=bash
# The agent where no systemd runs: under OpenRC, and where there is no service manager at all. Sourced by
# agent.sh, whose words it uses, with `machine` set to a container of its own.

: "${machine:?}" "${account:?}"

# OpenRC, as its own init would bring it up.
openrc_boots() {
  run mkdir -p /run/openrc
  run openrc sysinit
  run openrc boot
  run openrc default
}

bare_machine() {
  docker run --detach --name "$machine" --network none --stop-signal SIGKILL --tmpfs /run --tmpfs /tmp \
    gander-lab-openrc:local >/dev/null
  copy_in "$HUB_BIN" /usr/local/bin/gander-hub 755
  run mkdir -p /srv/hub /srv/agents
  copy_in "$AGENT_BIN" "/srv/agents/gander-agent-$(uname -m)" 755
}
bare_hub() {
  docker exec --detach --env DATABASE_PATH=/srv/hub/gander.db --env GANDER_INTERVAL=1s --env GANDER_LOCAL_SERVER=false \
    --env GANDER_AGENT_DIRECTORY=/srv/agents --env GANDER_ADMIN_USER=admin \
    --env "GANDER_ADMIN_PASSWORD=$(jq -r .password <<<"$account")" "$machine" gander-hub
  until_true 60 answers
}
supervised() { has 'status: started' "$(run rc-service --nocolor gander-agent status 2>&1)"; }
agent_process() { run pgrep -x gander-agent; }
another_process() { # another_process BEFORE
  local now
  now=$(agent_process)
  [ -n "$now" ] && [ "$now" != "$1" ]
}

no_service_manager() {
  step "A machine with neither systemd nor OpenRC running"
  must "it is there" bare_machine
  must "with a hub on it" bare_hub
  check "who has an admin" has '^2' "$(post /api/login "$account")"
  local line said
  line=$(new_line '{"name":"bare"}')
  said=$(run sh -c "$line" 2>&1) || flunk "the one line ends well" "$said"
  check "the one line says what is missing" has 'neither systemd nor OpenRC' "$said"
  check "and what to run" has ' /usr/local/bin/gander-agent run --state /var/lib/gander-agent$' "$said"
  check "nothing runs yet" fails agent_process
  # As its user, with the very words.
  docker exec --detach --user gander-agent "$machine" \
    sh -c "exec $(sed -n 's/^gander: *\(\/usr\/local\/bin\/gander-agent run .*\)/\1/p' <<<"$said")"
  check "that works" until_true 60 server_is online
  run pkill -x gander-agent
  check "taken away" run sh -c 'curl -fsS http://127.0.0.1:8000/install.sh | sh -s -- --uninstall'
  check "no file, no user, no group" same '' "$(leftovers | grep -v -- '-$')"
}

under_openrc() {
  step "A machine with OpenRC"
  must "it boots" openrc_boots
  local line before
  line=$(new_line "{\"name\":\"openrc\",\"server_id\":$(server_field id)}")
  check "the one line installs, enrols and starts it" run sh -c "$line"
  check "it is supervised" until_true 30 supervised
  check "as its own user" same gander-agent "$(run ps -o user:32= -C gander-agent | tail -n1 | tr -d ' ')"
  check "the server is online" until_true 60 server_is online
  check "it will be after a restart of the machine" has 'gander-agent \| *default' "$(run rc-update show)"
  check "its log says what it does" has 'reporting to' "$(run cat /var/log/gander-agent.log)"
  before=$(agent_process)
  run pkill -KILL -x gander-agent
  check "killed, it is started again" until_true 60 another_process "$before"
  check "the server is online again" until_true 60 server_is online
  check "run again the line only updates the program" has 'enrolled already' "$(run sh -c "$line" 2>&1)"
  check "it is supervised still" until_true 30 supervised

  check "the machine goes down and comes up" docker restart --time 1 "$machine"
  must "it boots" openrc_boots
  check "with the agent, unasked" until_true 30 agent_process
  must "the hub is back" bare_hub
  check "who knows the account" has '^2' "$(post /api/login "$account")"
  check "the server is online" until_true 60 server_is online
  check "taken away" run sh -c 'curl -fsS http://127.0.0.1:8000/install.sh | sh -s -- --uninstall'
  check "no process of it is left" same '' "$(agent_process || true)"
  check "no file, no user, no group" same '' "$(leftovers | grep -v -- '-$')"
  check "nor in a runlevel" lacks gander-agent "$(run rc-update show)"
  check "nor a log" fails run test -e /var/log/gander-agent.log
}
