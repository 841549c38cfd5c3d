#!/usr/bin/env bash
# The compose stack as deploy/deploy.sh brings it up, on the laboratory's engine.
# Run by tests/deploy/run.sh, which sets the laboratory up; by itself it asks that for it.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -n "${LAB:-}" ] || exec tests/deploy/run.sh stack
# shellcheck source=tests/deploy/lab.sh
. tests/deploy/lab.sh
# shellcheck source=tests/deploy/client.sh
. tests/deploy/client.sh

tree="$LAB/gander"
base=http://10.77.0.1:8080
password='an honest long password'

# deploy.sh as somebody types it on the engine's machine. deploy LOCALE OPTION...
deploy() {
  local locale=$1
  shift
  (cd "$tree" && at engine env LC_ALL="$locale" "${deploy_env[@]}" deploy/deploy.sh "$@" 2>&1)
}
deploy_env=(COMPOSE_PROJECT_NAME=gander)
compose() { (cd "$tree" && at engine docker compose --project-name gander "$@"); }
container() { docker ps -aq --filter label=com.docker.compose.project=gander --filter "label=com.docker.compose.service=$1"; }
health() { docker inspect --format '{{.State.Health.Status}}' "$(container "$1")"; }
healthy() { same healthy "$(health "$1")"; }
inside() { # inside hub|nginx COMMAND...
  local service=$1
  shift
  docker exec "$(container "$service")" "$@"
}

fresh_tree() {
  mkdir -p "$tree" "$LAB/prebuilt"
  # Beside each other, as they come: the hub's image hands out the agent.
  ln -s "$HUB_BIN" "$LAB/prebuilt/gander-hub"
  ln -s "$AGENT_BIN" "$LAB/prebuilt/gander-agent"
  HUB_BIN=$LAB/prebuilt/gander-hub
  source_tree "$tree"
  echo 'NGINX_IMAGE=gander-lab-nginx:local' >"$tree/.env"
  # A short interval: the tests wait for values.
  echo 'GANDER_INTERVAL=5s' >>"$tree/.env"
}

# --- what deploy.sh refuses -------------------------------------------------------------------

# refuses PATTERN LOCALE OPTION...: deploy.sh ends with an error that says this.
refuses() {
  local pattern=$1 said
  shift
  if said=$(deploy "$@"); then
    printf 'expected a refusal, but it worked:\n%s\n' "$said"
    return 1
  fi
  has "$pattern" "$said"
  # An error a person can act on: what is wrong, what to do, and no more than a few lines.
  has '^(Fix:|解决办法：)' "$said"
  lacks 'line [0-9]+:|unbound variable|Traceback' "$said"
}

refusals() {
  step "What deploy.sh refuses, and what it says"
  # A machine with all the usual programs but Docker's.
  mkdir "$LAB/usual"
  find /usr/bin /usr/sbin -maxdepth 1 ! -type d ! -name 'docker*' -exec ln -s -t "$LAB/usual" -f {} +
  local usual=(COMPOSE_PROJECT_NAME=gander "PATH=$LAB/usual")
  deploy_env=("${usual[@]}")
  check "no docker (en)" refuses 'docker is not installed' C.UTF-8 --prebuilt "$HUB_BIN"
  check "no docker (zh)" refuses '没有安装 docker' zh_CN.UTF-8 --prebuilt "$HUB_BIN"

  deploy_env=(COMPOSE_PROJECT_NAME=gander "DOCKER_HOST=unix://$LAB/nobody")
  check "an engine that does not run (en)" refuses 'engine does not answer' C.UTF-8 --prebuilt "$HUB_BIN"
  check "an engine that does not run (zh)" refuses 'Docker 引擎没有响应' zh_CN.UTF-8 --prebuilt "$HUB_BIN"

  ln -s "$(command -v docker)" "$LAB/usual/docker"
  if [ ! -e /usr/libexec/docker/cli-plugins/docker-compose ] && [ ! -e /usr/lib/docker/cli-plugins/docker-compose ]; then
    deploy_env=("${usual[@]}" "DOCKER_CONFIG=$LAB/nowhere")
    check "no compose (en)" refuses 'docker compose is not installed' C.UTF-8 --prebuilt "$HUB_BIN"
    check "no compose (zh)" refuses '没有安装 docker compose' zh_CN.UTF-8 --prebuilt "$HUB_BIN"
  fi
  deploy_env=(COMPOSE_PROJECT_NAME=gander)

  at engine setpriv --pdeathsig KILL /usr/bin/python3 -m http.server --bind 0.0.0.0 8080 >/dev/null 2>&1 &
  local other=$!
  until_true 10 at engine bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080'
  check "a port that is taken (en)" refuses 'port 8080 is taken' C.UTF-8 --prebuilt "$HUB_BIN"
  check "a port that is taken (zh)" refuses '端口 8080 已被其他程序占用' zh_CN.UTF-8 --prebuilt "$HUB_BIN"
  kill "$other"
  wait "$other" 2>/dev/null || true

  # Too little disk: a full one stands where the engine keeps its images, for deploy.sh's eyes only.
  check "too little disk (en)" small_disk '[0-9]+ MB free under .*500 MB are needed' C.UTF-8
  check "too little disk (zh)" small_disk '只剩 [0-9]+ MB，需要 500 MB' zh_CN.UTF-8

  check "a file that is not there" refuses 'there is no file nothing-here' C.UTF-8 --prebuilt nothing-here
  check "a program of another machine" refuses 'does not run on this machine' C.UTF-8 --prebuilt docker-compose.yaml
  check "a port that does not exist" refuses 'port 70000 does not exist' C.UTF-8 --port 70000
  check "an option nobody knows (zh)" refuses '未知选项 --prot' zh_CN.UTF-8 --prot 80
  check "--help (en)" has '^Usage: ' "$(deploy C.UTF-8 --help)"
  check "--help (zh)" has '^用法：' "$(deploy zh_CN.UTF-8 --help)"
  check "nothing was started" same '' "$(docker ps -aq)"
}

small_disk() { # small_disk PATTERN LOCALE
  local data said
  data=$(docker info --format '{{.DockerRootDir}}')
  # shellcheck disable=SC2016 # expanded by the inner shell
  if said=$(cd "$tree" && at engine unshare --mount sh -c 'mount -t tmpfs -o size=100m small "$1"; shift; exec "$@"' sh "$data" \
    env LC_ALL="$2" COMPOSE_PROJECT_NAME=gander deploy/deploy.sh --prebuilt "$HUB_BIN" 2>&1); then
    echo "expected a refusal, but it worked: $said"
    return 1
  fi
  has "$1" "$said"
}

# --- the first start --------------------------------------------------------------------------

first_start() {
  step "deploy.sh --prebuilt (en)"
  local began=$SECONDS said
  must "brings the stack up" deploys C.UTF-8 --prebuilt "$HUB_BIN"
  said=$(cat "$LAB/deploy.out")
  say "took $((SECONDS - began)) s"
  check "names the address here" has 'http://localhost:8080' "$said"
  check "names the address in the network" has 'http://10\.77\.0\.1:8080' "$said"
  check "speaks English" lacks '启动|地址|访问' "$said"
  check "the hub is healthy" healthy hub
  check "nginx is healthy" until_true 30 healthy nginx
  setup_token=$(sed -n 's/.*setup[^ ]*token=\([A-Za-z0-9_-]*\).*/\1/p' <<<"$said" | head -n1)
  must "prints the set-up link" test -n "$setup_token"
}

deploys() { # deploys LOCALE OPTION...: and keeps what it said
  if deploy "$@" >"$LAB/deploy.out"; then return 0; fi
  cat "$LAB/deploy.out"
  return 1
}

people() {
  step "From another machine, through nginx"
  check "the dashboard is served" expect a 200 GET /
  check "as HTML with its policy" has_header content-security-policy
  check "one security header each, not two" no_header_twice
  check "health is open" expect a 200 GET /api/health
  check "and ok" same ok "$(answer a GET /api/health | jq -r .status)"
  check "stats are not" expect a 401 GET /api/stats
  check "set-up is wanted" same true "$(answer a GET /api/setup | jq .required)"
  local account
  account=$(jq -nc --arg t "$setup_token" --arg p "$password" '{token:$t, username:"admin", password:$p}')
  check "a wrong set-up token is refused" expect b 4.. POST /api/setup "$(jq -c '.token="nonsense"' <<<"$account")"
  must "the link makes the first admin" expect a 2.. POST /api/setup "$account"
  check "the link works once" expect b 4.. POST /api/setup "$account"
  rm -f "$LAB/jar-a"
  must "the admin logs in" log_in a
  check "as admin" same admin "$(answer a GET /api/session | jq -r .user.username)"
  check "stats answer" has '"total"' "$(answer a GET /api/stats)"
  check "the API's description is there" expect a 200 GET /api/openapi.json
  check "an error is the hub's JSON" has '"code"' "$(answer a GET /api/servers/999999)"
  check "the hub's own port is not open to the network" fails at a curl -s -m 2 http://10.77.0.1:8000/api/health
}

log_in() { # log_in CLIENT [PASSWORD]
  expect "$1" 2.. POST /api/login "$(jq -nc --arg p "${2:-$password}" '{username:"admin", password:$p}')"
}

websocket() {
  step "WebSocket through nginx"
  check "the first message is the fleet" live a initial
  check "ping is answered" live a pong
  check "without a log-in it is refused" live b refused
  check "another site's page is refused" live a refused http://evil.example
  check "our own page is not" live a initial "$base"
  check "values arrive by themselves" live a delta
}

# --- client addresses -------------------------------------------------------------------------

# Wrong passwords for accounts of no one, until the hub has had enough of this address.
guess_until_limited() { # guess_until_limited CLIENT CURL-OPTION...
  local client=$1 try status
  shift
  for try in $(seq 60); do
    status=$(status_of "$client" POST /api/login "{\"username\":\"guess$try\",\"password\":\"wrong password\"}" "$@")
    case $status in
      401) ;;
      429)
        # nginx has a limit against floods as well: the hub's own is meant, which answers JSON.
        if jq -e .error.code "$LAB/body-$client" >/dev/null 2>&1; then return 0; fi
        sleep 0.5
        ;;
      *) echo "expected 401 or 429, got $status: $(cat "$LAB/body-$client")"; return 1 ;;
    esac
  done
  echo "60 wrong passwords and no limit"
  return 1
}

addresses() {
  step "The hub knows its clients apart"
  check "guessing from one address is stopped" guess_until_limited b
  check "a forged X-Forwarded-For does not help" guess_goes_on_refused
  check "another address is not concerned" expect a 401 POST /api/login '{"username":"nobody","password":"wrong password"}'
  check "and may log in" log_in a
}
guess_goes_on_refused() {
  local status
  status=$(status_of b POST /api/login '{"username":"guess","password":"wrong password"}' \
    -H 'X-Forwarded-For: 192.0.2.77' -H 'X-Real-IP: 192.0.2.77' -H 'Forwarded: for=192.0.2.77')
  same 429 "$status"
}

# --- an agent ---------------------------------------------------------------------------------

# On another machine, by hand: the installer would install it on this one.
agent() {
  step "An agent on another machine, over port 8001"
  local place=$LAB/agent line process id
  mkdir -p "$place"
  mkdir -m 700 "$place/state"
  must "a token" expect a 2.. POST /api/agent-tokens '{"name":"lab"}'
  line=$(jq -r .command "$LAB/body-a")
  check "its line names the page and the agents' port" has \
    "http://10\.77\.0\.1:8080/install\.sh.* --hub 10\.77\.0\.1:8001 --ca [0-9a-f]{64} --token " "$line"
  check "the installer comes through nginx" at node curl -fsS -o "$place/install.sh" "$base/install.sh"
  check "with the sum that is in the line" has "$(sha256sum <"$place/install.sh" | cut -d' ' -f1)" "$line"
  must "the agent comes through nginx" at node curl -fsS -o "$place/gander-agent" "$base/agent/$(uname -m)"
  check "as it was built" cmp "$AGENT_BIN" "$place/gander-agent"
  check "with the sum that is in the installer" has "$(sha256sum <"$place/gander-agent" | cut -d' ' -f1)" "$(cat "$place/install.sh")"
  chmod 755 "$place/gander-agent"
  # shellcheck disable=SC2046 # three options and their values
  must "it enrols" at node "$place/gander-agent" enroll --state "$place/state" \
    $(sed -n 's/.*\(--hub [^ ]* --ca [^ ]* --token [^ ;]*\).*/\1/p' <<<"$line")
  at node setpriv --pdeathsig KILL "$place/gander-agent" run --state "$place/state" >"$place/log" 2>&1 </dev/null &
  process=$!
  check "its values arrive" until_true 60 agent_reports
  check "the hub sees from where" same 10.77.0.21 "$(answer a GET /api/agents | jq -r '.[0].stream.address')"
  id=$(answer a GET /api/agents | jq '.[0].server_id')
  kill "$process"
  wait "$process" 2>/dev/null || true
  check "its server can be deleted" expect a 2.. DELETE "/api/servers/$id"
}
agent_reports() {
  [ "$(answer a GET /api/agents | jq '[.[].stream.last_batch_at | select(. != null)] | length')" -gt 0 ] ||
    { cat "$LAB/agent/log"; return 1; }
}

# --- hardening --------------------------------------------------------------------------------

status_line() { inside "$1" sh -c "sed -n 's/^$2:[[:space:]]*//p' /proc/1/status"; }

hardening() {
  step "What the containers may not do"
  local service
  for service in hub nginx; do
    check "$service is not root" lacks '(^|[[:space:]])0([[:space:]]|$)' "$(status_line "$service" Uid)"
    check "$service has no capabilities, nor could get any" same \
      '0000000000000000 0000000000000000 0000000000000000' \
      "$(status_line "$service" CapPrm) $(status_line "$service" CapEff) $(status_line "$service" CapBnd)"
    check "$service cannot gain privileges" same 1 "$(status_line "$service" NoNewPrivs)"
    check "$service has a system call filter" same 2 "$(status_line "$service" Seccomp)"
    check "$service cannot write its own program's place" fails inside "$service" touch /usr/local/bin/x
    check "not as root either" read_only "$service"
    check "$service's /tmp is there, without programs" noexec_tmp "$service"
    check "$service has a limit of processes" has '^[1-9]' "$(docker inspect --format '{{.HostConfig.PidsLimit}}' "$(container "$service")")"
    check "$service's log is bounded" has 'max-size' "$(docker inspect --format '{{.HostConfig.LogConfig.Config}}' "$(container "$service")")"
  done
  check "the database is in the volume" inside hub test -s /data/gander.db
  check "the master key is for the hub only" same 600 "$(inside hub sh -c 'stat -c %a /data/master.key')"
}
read_only() {
  local said
  if said=$(docker exec --user 0 "$(container "$1")" touch /etc/x 2>&1); then
    echo "root wrote to /etc"
    return 1
  fi
  has 'Read-only file system' "$said"
}
noexec_tmp() {
  inside "$1" sh -c 'printf "#!/bin/sh\n" >/tmp/try && chmod 755 /tmp/try'
  fails inside "$1" /tmp/try
  inside "$1" rm /tmp/try
}

# --- a server to watch ------------------------------------------------------------------------

enrolment() {
  step "A real sshd in the network"
  node_up
  must "sshd answers" until_true 20 node_answers
  local wanted id
  # With the wrong password first: the sentence must be one a person can act on.
  wanted=$(jq -nc --arg p "not the password" '{ip:"10.77.0.21", ssh_user:"watched", ssh_password:$p}')
  check "the test takes a wrong password" expect a 2.. POST /api/servers/test "$wanted"
  check "and says that it is wrong" same 'false password_refused' "$(jq -r '"\(.ok) \(.error.code)"' "$LAB/body-a")"
  wanted=$(jq -nc --arg p "$NODE_PASSWORD" '{ip:"10.77.0.21", ssh_user:"watched", ssh_password:$p}')
  check "the test connects" expect a 2.. POST /api/servers/test "$wanted"
  check "and says so" same true "$(jq .ok "$LAB/body-a")"
  check "with the key the node really has" has "$(ssh-keygen -lf "$LAB/node/host_key.pub" | awk '{print $2}' | sed 's/[+]/\\+/g')" "$(cat "$LAB/body-a")"
  must "the server is taken" expect a 2.. POST /api/servers "$(jq -c '.name="node"' <<<"$wanted")"
  id=$(jq .id "$LAB/body-a")
  node_id=$id
  check "its password does not come back" lacks "$NODE_PASSWORD" "$(answer a GET "/api/servers/$id")"
  check "it goes online" until_true 60 server_is "$id" '.status == "online"'
  check "values arrive" until_true 60 server_is "$id" '.latest.cpu_usage != null and .latest.memory_usage != null and .latest.disk_usage != null'
  check "the kernel is the node's" same "$(uname -r)" "$(answer a GET "/api/servers/$id" | jq -r .latest.kernel)"
  check "so is its memory" same "$(awk '/^MemTotal/ {printf "%.0f", $2 * 1024}' /proc/meminfo)" "$(answer a GET "/api/servers/$id" | jq -r .latest.memory_total_bytes)"
  check "rows of it are kept" until_true 60 rows_at_least "$id" 3
  check "the secret is not in the database" secret_is_sealed
}
server_is() { answer a GET "/api/servers/$1" | jq -e "$2"; }
rows() { answer a GET "/api/metrics?server_id=$1&hours=24&limit=10000" | jq -r '.[] | "\(.server_id) \(.timestamp) \(.cpu_usage)"' | sort; }
rows_at_least() {
  local count
  count=$(rows "$1" | wc -l)
  [ "$count" -ge "$2" ] || { echo "$count rows, $2 wanted; the server is $(answer a GET "/api/servers/$1")"; return 1; }
}
secret_is_sealed() {
  local found
  found=$(inside hub sh -c "cat /data/gander.db* | grep -c -a -F '$NODE_PASSWORD'" || true)
  same 0 "$found"
}

# Every row of `before` is still there.
nothing_lost() { # nothing_lost FILE
  local missing
  missing=$(comm -23 "$1" <(rows "$node_id"))
  [ -z "$missing" ] || { printf 'lost:\n%s\n' "$missing"; return 1; }
}

# --- coming back ------------------------------------------------------------------------------

again() {
  step "deploy.sh again (zh)"
  local hub nginx said
  hub=$(container hub) nginx=$(container nginx)
  must "works" deploys zh_CN.UTF-8 --prebuilt "$HUB_BIN"
  said=$(cat "$LAB/deploy.out")
  check "speaks Chinese" has '网络访问：http://10\.77\.0\.1:8080' "$said"
  check "and nothing but" lacks 'Waiting until|Checking|in the network' "$said"
  check "offers no set-up link any more" lacks 'token=' "$said"
  check "changed nothing: the same containers" same "$hub $nginx" "$(container hub) $(container nginx)"
  check "the log-in holds" expect a 200 GET /api/stats
  check "--status shows both" has 'hub' "$(deploy C.UTF-8 --status)"
}

kill_nine() {
  step "kill -9 of the hub"
  rows "$node_id" >"$LAB/before"
  local id restarts process
  id=$(container hub)
  restarts=$(docker inspect --format '{{.RestartCount}}' "$id")
  process=$(docker inspect --format '{{.State.Pid}}' "$id")
  in_engine kill -KILL "$process"
  check "Docker starts it again" until_true 60 restarted "$id" "$restarts"
  check "it is healthy again" until_true 90 healthy hub
  check "through nginx too" until_true 30 expect a 200 GET /api/health
  check "nobody is logged out" expect a 200 GET /api/stats
  check "no row is lost" nothing_lost "$LAB/before"
  check "collection goes on" until_true 60 rows_at_least "$node_id" $(($(wc -l <"$LAB/before") + 2))
}
restarted() { [ "$(docker inspect --format '{{.RestartCount}}' "$1")" -gt "$2" ]; }

stopping() {
  step "Stopping"
  local began=$SECONDS id
  id=$(container hub)
  rows "$node_id" >"$LAB/before"
  # Docker kills after ten seconds here; an exit code of 0 means it did not have to.
  check "the hub is asked to stop" compose stop --timeout 10 hub
  check "it ended by itself" same 0 "$(docker inspect --format '{{.State.ExitCode}}' "$id")"
  say "took $((SECONDS - began)) s"
  check "it left no unfinished business" inside_volume 'test ! -s /data/gander.db-wal'
  check "meanwhile the API says so in JSON" expect a 503 GET /api/stats
  check "with a code" same hub_away "$(jq -r .error.code "$LAB/body-a")"
  check "and the page as a page" expect a 503 GET /
  check "in both languages" has '没有响应' "$(cat "$LAB/body-a")"
  check "it starts again" compose start hub
  check "healthy" until_true 60 healthy hub
  check "nginx finds it" until_true 30 expect a 200 GET /api/health
  check "no row is lost" nothing_lost "$LAB/before"
}
inside_volume() {
  docker run --rm --network none --volumes-from "$(container hub)" --entrypoint sh gander-hub:local -c "$1"
}

down_and_up() {
  step "down and up"
  rows "$node_id" >"$LAB/before"
  check "deploy.sh --down" deploys C.UTF-8 --down
  check "no container is left" same '' "$(docker ps -aq)"
  check "the volume is" has 'data' "$(docker volume ls -q)"
  must "up again, on another port" deploys C.UTF-8 --no-build --port 8090
  base=http://10.77.0.1:8090
  rm -f "$LAB/jar-a"
  check "the account is still there" log_in a
  check "the server is" expect a 200 GET "/api/servers/$node_id"
  check "no row is lost" nothing_lost "$LAB/before"
  check "its password still opens the node" until_true 60 rows_at_least "$node_id" $(($(wc -l <"$LAB/before") + 1))
}

https() {
  step "HTTPS, as deploy/tls/https.conf.example says"
  local tls="$tree/deploy/tls"
  cp "$tls/https.conf.example" "$tls/https.conf"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=gander.test \
    -addext 'subjectAltName=DNS:gander.test,IP:10.77.0.1' -keyout "$tls/privkey.pem" -out "$tls/fullchain.pem" 2>/dev/null
  chown 101:101 "$tls/privkey.pem"
  # shellcheck disable=SC2016 # a text of the compose file
  sed -i 's|^\( *\)- "${GANDER_PORT:-8080}:8080"|&\n\1- "443:8443"|' "$tree/docker-compose.yaml"
  echo 'GANDER_PUBLIC_URL=https://gander.test' >>"$tree/.env"
  echo 'GANDER_PORT=8090' >>"$tree/.env"
  must "nginx starts with it" compose up -d --force-recreate nginx
  check "healthy" until_true 60 healthy nginx
  base=https://gander.test
  curl_options=(--cacert "$tls/fullchain.pem" --resolve gander.test:443:10.77.0.1)
  rm -f "$LAB/jar-a"
  check "answers over TLS" until_true 30 expect a 200 GET /api/health
  check "the log-in's cookie is for HTTPS only" secure_cookie
  check "browsers are told to come back by HTTPS" has_header strict-transport-security
  check "the WebSocket too" live a initial "$base"
  curl_options=()
}
secure_cookie() {
  log_in a
  has '^set-cookie: __Host-gander=.*Secure' "$(tr -d '\r' <"$LAB/headers-a" | sed 's/^Set-Cookie/set-cookie/')"
}

# Debian 12's own compose is 1.29, and deploy.sh takes it where the plugin is missing.
compose_one() {
  step "With Debian 12's docker-compose 1.29"
  if ! command -v docker-compose >/dev/null 2>&1 || ! docker-compose version --short 2>/dev/null | grep -q '^1\.'; then
    say "NOT CHECKED: docker-compose here is not version 1"
    return 0
  fi
  if docker --config "$LAB/nowhere" compose version >/dev/null 2>&1; then
    say "NOT CHECKED: the compose plugin is installed for everybody here"
    return 0
  fi
  deploy_env=(COMPOSE_PROJECT_NAME=ganderone "DOCKER_CONFIG=$LAB/nowhere")
  local before=$base
  check "deploy.sh works with it" deploys C.UTF-8 --prebuilt "$HUB_BIN" --port 8091 --grpc-port 8092
  base=http://10.77.0.1:8091
  check "through nginx" until_true 30 expect b 200 GET /api/health
  check "prints the set-up link" has 'setup.*token=' "$(cat "$LAB/deploy.out")"
  check "--down" deploys C.UTF-8 --down
  deploy_env=(COMPOSE_PROJECT_NAME=gander)
  base=$before
}

fresh_tree
refusals
first_start
people
websocket
addresses
hardening
agent
enrolment
again
kill_nine
stopping
down_and_up
compose_one
https
