#!/usr/bin/env bash
# Brings gander up with Docker: checks the machine, builds, starts, waits until it answers, and says
# where to go. Safe to run again: it updates what changed and keeps the data. Speaks Chinese where
# the locale does.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in
  zh*) language=zh ;;
  *) language=en ;;
esac
# t ENGLISH CHINESE: the one of the two that suits.
t() { if [ $language = zh ]; then printf '%s' "$2"; else printf '%s' "$1"; fi; }
step() { printf '==> %s\n' "$(t "$1" "$2")"; }
note() { printf '    %s\n' "$(t "$1" "$2")"; }
# fail WHAT 什么 FIX 办法
fail() {
  printf '%s %s\n' "$(t 'ERROR:' '错误：')" "$(t "$1" "$2")" >&2
  printf '%s %s\n' "$(t 'Fix:' '解决办法：')" "$(t "$3" "$4")" >&2
  exit 1
}

usage() {
  if [ $language = zh ]; then
    cat <<'HELP'
用法：deploy/deploy.sh [选项]

  --port 端口        nginx 在本机监听的端口，会记入 .env（默认取 .env 的 GANDER_PORT，否则 8080）
  --grpc-port 端口   agent 与 gRPC 的端口，会记入 .env（默认取 GANDER_GRPC_PORT，否则 8001）
  --prebuilt 文件    使用已编译好的 gander-hub 程序，不在镜像里编译（适合小内存机器）
  --no-build         使用已有镜像，不重新构建
  --timeout 秒       等待服务就绪的最长时间（默认 120）
  --status           只显示运行状态
  --down             停止并移除容器（数据保留）
  -h, --help         显示本帮助

例子：
  deploy/deploy.sh
  deploy/deploy.sh --port 9000
  deploy/deploy.sh --prebuilt target/release/gander-hub
HELP
  else
    cat <<'HELP'
Usage: deploy/deploy.sh [OPTIONS]

  --port PORT        port nginx listens on here, kept in .env (default: GANDER_PORT of .env, else 8080)
  --grpc-port PORT   port for agents and gRPC, kept in .env (default: GANDER_GRPC_PORT, else 8001)
  --prebuilt FILE    take this gander-hub program instead of compiling one in the image
                     (for machines with little memory)
  --no-build         take the image that is there
  --timeout SECONDS  how long to wait until gander answers (default 120)
  --status           only show what is running
  --down             stop and remove the containers (the data stays)
  -h, --help         this text

Examples:
  deploy/deploy.sh
  deploy/deploy.sh --port 9000
  deploy/deploy.sh --prebuilt target/release/gander-hub
HELP
  fi
}

port='' grpc_port='' prebuilt='' build=yes timeout=120 action=up
value() { # value OPTION ARGUMENTS-LEFT
  [ "$2" -ge 2 ] || fail "$1 needs a value" "$1 需要一个值" "see deploy/deploy.sh --help" "见 deploy/deploy.sh --help"
}
while [ $# -gt 0 ]; do
  case $1 in
    --port) value "$1" $#; port=$2; shift ;;
    --grpc-port) value "$1" $#; grpc_port=$2; shift ;;
    --prebuilt) value "$1" $#; prebuilt=$2; shift ;;
    --timeout) value "$1" $#; timeout=$2; shift ;;
    --no-build) build= ;;
    --status) action=status ;;
    --down) action=down ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option $1" "未知选项 $1" "see deploy/deploy.sh --help" "见 deploy/deploy.sh --help" ;;
  esac
  shift
done
for number in "${port:-1}" "${grpc_port:-1}" "$timeout"; do
  [[ $number =~ ^[0-9]+$ ]] || fail "$number is not a number" "$number 不是数字" "give digits only" "只能使用数字"
done
for number in "${port:-1}" "${grpc_port:-1}"; do
  if [ "$number" -lt 1 ] || [ "$number" -gt 65535 ]; then
    fail "port $number does not exist" "端口 $number 不存在" "choose one from 1 to 65535" "请选择 1 到 65535 之间的端口"
  fi
done

# --- is everything there? ---------------------------------------------------------------------

step "Checking Docker" "检查 Docker"
command -v docker >/dev/null 2>&1 || fail \
  "docker is not installed" "没有安装 docker" \
  "on Debian or Ubuntu: sudo apt-get install docker.io docker-compose (others: https://docs.docker.com/engine/install/)" \
  "Debian/Ubuntu：sudo apt-get install docker.io docker-compose（其他系统见 https://docs.docker.com/engine/install/）"
if ! said=$(docker version --format '{{.Server.Version}}' 2>&1); then
  case $said in
    *"permission denied"*) fail \
      "this user may not talk to the Docker engine" "当前用户无权访问 Docker 引擎" \
      "run this with sudo, or: sudo usermod -aG docker $(id -un), then log in again" \
      "用 sudo 运行，或执行 sudo usermod -aG docker $(id -un) 后重新登录" ;;
    *) fail \
      "the Docker engine does not answer: ${said##*$'\n'}" "Docker 引擎没有响应：${said##*$'\n'}" \
      "start it: sudo systemctl start docker" "启动它：sudo systemctl start docker" ;;
  esac
fi
note "engine ${said##*$'\n'}" "引擎 ${said##*$'\n'}"

if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v docker-compose >/dev/null 2>&1; then
  compose=(docker-compose)
else
  fail "docker compose is not installed" "没有安装 docker compose" \
    "on Debian: sudo apt-get install docker-compose (others: https://docs.docker.com/compose/install/)" \
    "Debian：sudo apt-get install docker-compose（其他系统见 https://docs.docker.com/compose/install/）"
fi
version=$("${compose[@]}" version --short 2>/dev/null | tr -d v)
if [ "$(printf '%s\n1.28.0\n' "$version" | sort -V | head -n1)" != 1.28.0 ]; then
  fail "docker compose $version is too old" "docker compose $version 太旧" \
    "install 1.28 or newer" "请安装 1.28 或更新的版本"
fi
note "compose $version" "compose $version"

if [ $action = status ]; then exec "${compose[@]}" ps; fi
if [ $action = down ]; then
  step "Stopping gander (its data stays in the volume)" "停止 gander（数据保留在卷中）"
  exec "${compose[@]}" down
fi

# A port chosen here is written down in .env, so that the next run, and `docker compose up`, keep it.
remember() { # remember NAME VALUE
  touch .env
  if grep -q "^$1=" .env; then sed -i "s/^$1=.*/$1=$2/" .env; else printf '%s=%s\n' "$1" "$2" >>.env; fi
}
remembered() { sed -n "s/^$1=\([0-9]*\).*/\1/p" .env 2>/dev/null | tail -n1; }
chosen_port=$port chosen_grpc_port=$grpc_port
[ -n "$port" ] || port=$(remembered GANDER_PORT)
[ -n "$grpc_port" ] || grpc_port=$(remembered GANDER_GRPC_PORT)
port=${port:-${GANDER_PORT:-8080}}
grpc_port=${grpc_port:-${GANDER_GRPC_PORT:-8001}}
export GANDER_PORT=$port GANDER_GRPC_PORT=$grpc_port

# Not taken when the one who listens is our own nginx of an earlier run.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# (No pipe into grep -q: it ends at the first of two lines, and the writer's SIGPIPE would count.)
ours() { # ours SERVICE PORT
  grep -q ":$2\$" <<<"$("${compose[@]}" ps -q "$1" 2>/dev/null | xargs -r docker port 2>/dev/null)"
}
free() { # free SERVICE PORT OPTION ANOTHER
  if taken "$2" && ! ours "$1" "$2"; then
    fail "port $2 is taken by another program" "端口 $2 已被其他程序占用" \
      "choose another: deploy/deploy.sh $3 $4 (who has it: sudo ss -ltnp 'sport = :$2')" \
      "换一个端口：deploy/deploy.sh $3 $4（查看占用者：sudo ss -ltnp 'sport = :$2'）"
  fi
}
free nginx "$port" --port 8090
free hub "$grpc_port" --grpc-port 8091
[ -z "$chosen_port" ] || remember GANDER_PORT "$chosen_port"
[ -z "$chosen_grpc_port" ] || remember GANDER_GRPC_PORT "$chosen_grpc_port"
if [ "$grpc_port" != 8001 ] && ! grep -q '^GANDER_GRPC_ADDRESS=' .env 2>/dev/null && [ -z "${GANDER_GRPC_ADDRESS:-}" ]; then
  note "agents are told port 8001: put GANDER_GRPC_ADDRESS=THIS-HOST:$grpc_port into .env, then run this again" \
    "agent 得到的端口仍是 8001：请在 .env 中写入 GANDER_GRPC_ADDRESS=本机域名:$grpc_port 后重新运行"
fi

need_mb=500
if [ -n "$build" ] && [ -z "$prebuilt" ]; then need_mb=8000; fi
root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || echo /)
[ -d "$root" ] || root=/
free_mb=$(df -Pm "$root" | awk 'NR==2 {print $4}')
if [ "$free_mb" -lt "$need_mb" ]; then
  fail "only $free_mb MB free under $root, $need_mb MB are needed" "$root 只剩 $free_mb MB，需要 $need_mb MB" \
    "make room (docker system prune shows how), or use --prebuilt, which needs 500 MB" \
    "清理空间（例如 docker system prune），或使用只需 500 MB 的 --prebuilt"
fi
note "ports $port and $grpc_port are free, $free_mb MB of disk are" "端口 $port 和 $grpc_port 可用，磁盘剩余 $free_mb MB"

# --- build and start --------------------------------------------------------------------------

if [ -n "$prebuilt" ]; then
  [ -f "$prebuilt" ] || fail "there is no file $prebuilt" "文件 $prebuilt 不存在" \
    "build it with: make build (it is then target/release/gander-hub)" "用 make build 编译（生成 target/release/gander-hub）"
  "$prebuilt" --version >/dev/null 2>&1 || fail \
    "$prebuilt does not run on this machine" "$prebuilt 无法在本机运行" \
    "take a gander-hub built for $(uname -m) Linux" "请使用为 $(uname -m) Linux 编译的 gander-hub"
  mkdir -p deploy/prebuilt
  install -m 0755 "$prebuilt" deploy/prebuilt/gander-hub
  # The agent for the hub to hand out, where it lies beside it.
  rm -f deploy/prebuilt/gander-agent
  if [ -f "$(dirname "$prebuilt")/gander-agent" ]; then
    install -m 0755 "$(dirname "$prebuilt")/gander-agent" deploy/prebuilt/gander-agent
  fi
  export GANDER_BUILD_TARGET=prebuilt
fi
if [ -n "$build" ]; then
  if [ -n "$prebuilt" ]; then
    step "Building the image" "构建镜像"
  else
    step "Building the image; the first time takes 10 to 20 minutes" "构建镜像；第一次需要 10 到 20 分钟"
  fi
  "${compose[@]}" build hub || fail \
    "the image could not be built (see above)" "镜像构建失败（见上文）" \
    "with less than 4 GB of memory, build elsewhere and use --prebuilt; without a way to the registry, load the base images by hand" \
    "内存不足 4 GB 时请在别处编译并使用 --prebuilt；无法访问镜像仓库时请手动导入基础镜像"
fi

step "Starting" "启动"
"${compose[@]}" up -d --no-build || fail \
  "the containers could not be started (see above)" "容器启动失败（见上文）" \
  "the hub's log: ${compose[*]} logs hub" "查看日志：${compose[*]} logs hub"

step "Waiting until gander answers (up to $timeout s)" "等待 gander 就绪（最多 $timeout 秒）"
# Through nginx, with bash alone: neither curl nor wget has to be on this machine.
answers() {
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf 'GET /api/health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  local status
  IFS= read -r -t 5 status <&3 || return 1
  case $status in *" 200 "*) return 0 ;; *) return 1 ;; esac
}
deadline=$((SECONDS + timeout))
until (answers) 2>/dev/null; do
  if [ $SECONDS -ge $deadline ]; then
    "${compose[@]}" ps >&2 || true
    "${compose[@]}" logs --tail=20 hub >&2 || true
    fail "gander did not answer within $timeout s" "gander 在 $timeout 秒内没有就绪" \
      "the last lines of the hub's log are above; with a slow disk try --timeout 300" \
      "上面是日志的最后几行；磁盘较慢时可用 --timeout 300"
  fi
  sleep 1
done

# --- where to go ------------------------------------------------------------------------------

step "gander is up" "gander 已启动"
note "on this machine:  http://localhost:$port" "本机访问：http://localhost:$port"
for address in $(hostname -I 2>/dev/null || true); do
  case $address in
    172.1[7-9].* | *:*) ;; # Docker's own bridges, and IPv6 addresses that change
    *) note "in the network:   http://$address:$port" "网络访问：http://$address:$port" ;;
  esac
done

# The last link printed is the valid one; it disappears from here once the first account exists.
needed() {
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf 'GET /api/setup HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  grep -q '"required": *true' <&3
}
if (needed) 2>/dev/null; then
  link=$("${compose[@]}" logs --no-color hub 2>/dev/null | grep -o 'setup[?#/][^" ]*' | tail -n1 || true)
  if [ -n "$link" ]; then
    note "create the first account (the link works once): http://localhost:$port/$link" \
      "创建第一个账户（链接只能使用一次）：http://localhost:$port/$link"
  else
    note "create the first account with the set-up link in the log: ${compose[*]} logs hub" \
      "用日志中的初始化链接创建第一个账户：${compose[*]} logs hub"
  fi
else
  note "log in with your account" "请用已有账户登录"
fi
note "logs: ${compose[*]} logs -f    stop: deploy/deploy.sh --down" "日志：${compose[*]} logs -f    停止：deploy/deploy.sh --down"
