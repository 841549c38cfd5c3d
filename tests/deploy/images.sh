# shellcheck shell=bash
# The images the laboratory needs, made from Debian packages: there may be no registry in reach.
# Root file systems are cached as archives in $LAB_CACHE and never become part of the source tree.

suite=bookworm
# Raise it when the way an archive is made changes.
recipe=1

# The Debian mirror this machine itself uses.
mirror() {
  local url
  # shellcheck disable=SC2016 # apt's own placeholders
  url=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 'Origin: Debian' 2>/dev/null | head -n1)
  echo "${url:-http://deb.debian.org/debian}"
}

# What apt here needs to reach that mirror (a proxy, for one) holds in a root of ours too.
_apt_in() { # _apt_in ROOT PACKAGE...
  local root=$1
  shift
  apt-config dump Acquire::http Acquire::https Acquire::Check-Valid-Until Acquire::Check-Date >"$root/etc/apt/apt.conf.d/99machine"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  chroot "$root" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 "$@" </dev/null
  rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/99machine"
}

# Packs a root without what no container needs, and puts the archive in place at once or not at all.
_pack() { # _pack ROOT NAME
  rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/usr/share/doc/* "$1"/usr/share/man/*
  : >"$1/etc/resolv.conf"
  tar -C "$1" --one-file-system -cf "$LAB_CACHE/$2.new" .
  mv "$LAB_CACHE/$2.new" "$LAB_CACHE/$2-$recipe.tar"
}

_make() { # _make NAME COMMAND...: the archive, unless it is there
  local name=$1 log="$LAB/make-$1.log"
  shift
  [ ! -s "$LAB_CACHE/$name-$recipe.tar" ] || return 0
  say "making $name from Debian packages (once; 1 to 2 minutes)"
  if ! ("$@") >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "Could not make the image $name: what failed is above. It came from $(mirror);" >&2
    echo "try: debootstrap --variant=minbase $suite /tmp/try $(mirror)" >&2
    return 1
  fi
}

_base_root() {
  set -e
  debootstrap --variant=minbase "$suite" "$LAB/root-base" "$(mirror)"
  _pack "$LAB/root-base" base
  rm -rf "$LAB/root-base"
}

_derived_root() { # _derived_root NAME PACKAGE...
  set -e
  local name=$1 root="$LAB/root-$1"
  shift
  mkdir "$root"
  tar -C "$root" -xf "$LAB_CACHE/base-$recipe.tar"
  _apt_in "$root" "$@"
  "_finish_$name" "$root"
  _pack "$root" "$name"
  rm -rf "$root"
}

_finish_nginx() {
  # As the official image has it: uid 101 is nginx, the log files are the container's output.
  sed -i 's/^nginx:.*//' "$1/etc/passwd"
  grep -q ':x:101:' "$1/etc/passwd" || echo 'nginx:x:101:101:nginx:/nonexistent:/bin/false' >>"$1/etc/passwd"
  grep -q ':x:101:' "$1/etc/group" || echo 'nginx:x:101:' >>"$1/etc/group"
  ln -sf /dev/stdout "$1/var/log/nginx/access.log"
  ln -sf /dev/stderr "$1/var/log/nginx/error.log"
}

_finish_systemd() {
  local unit
  # What a container has no use for, and what fails in one.
  for unit in systemd-sysctl.service systemd-modules-load.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-logind.service systemd-resolved.service systemd-networkd.service getty.target console-getty.service ssh.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
  done
  : >"$1/etc/machine-id"
}

# Little starts in a container; what does must not wait for devices that are not there.
_finish_openrc() {
  echo 'rc_sys="docker"' >>"$1/etc/rc.conf"
}

_import() { # _import NAME TAG OPTION...
  local name=$1 tag=$2
  shift 2
  docker import "$@" "$LAB_CACHE/$name-$recipe.tar" "$tag" >/dev/null
}

images_made() {
  step "Images"
  local began=$SECONDS
  _make base _base_root
  _make nginx _derived_root nginx nginx-light curl
  _make systemd _derived_root systemd systemd systemd-sysv dbus procps curl ca-certificates
  _make openrc _derived_root openrc openrc procps curl
  local base nginx
  _import base debian:bookworm-slim --change 'CMD ["bash"]' &
  base=$!
  _import nginx gander-lab-nginx:local --change 'CMD ["nginx","-g","daemon off;"]' &
  nginx=$!
  _import systemd gander-lab-systemd:local --change 'CMD ["/sbin/init"]'
  # Its first process takes leave of whatever ends, as an init does: a supervisor waits for that.
  _import openrc gander-lab-openrc:local --change 'CMD ["sh", "-c", "while :; do sleep 3600 & wait $!; done"]'
  wait "$base"
  wait "$nginx"
  say "$(docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | paste -sd, | sed 's/,/, /g')"
  took images "$began"
}

# Compose v2 as a plugin of the client: the one of Debian 13, which runs on 12 too (12 itself has 1.29).
compose_plugin() {
  local plugin="$LAB_CACHE/docker-compose-v2" installed
  for installed in /usr/libexec/docker/cli-plugins/docker-compose /usr/lib/docker/cli-plugins/docker-compose; do
    if [ -x "$installed" ]; then
      ln -s "$installed" "$LAB/docker/cli-plugins/docker-compose"
      return 0
    fi
  done
  if [ ! -x "$plugin" ]; then
    local apt="$LAB/apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/deb"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) trixie main" >"$apt/sources.list"
    local options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
      -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root
      -o Acquire::Languages=none)
    if ! { apt-get "${options[@]}" update && (cd "$apt/deb" && apt-get "${options[@]}" download docker-compose); } >"$LAB/apt.log" 2>&1; then
      tail -n 10 "$LAB/apt.log" >&2
      echo "Compose v2 could not be had from Debian 13 (trixie). With it installed this step is skipped:" >&2
      echo "    apt-get install docker-compose-plugin   (Docker's packages), or docker-compose of Debian 13" >&2
      return 1
    fi
    dpkg -x "$apt"/deb/docker-compose_*.deb "$apt/root"
    install -m 0755 "$apt/root/usr/libexec/docker/cli-plugins/docker-compose" "$plugin.new" 2>/dev/null ||
      install -m 0755 "$(find "$apt/root" -name docker-compose -type f | head -n1)" "$plugin.new"
    mv "$plugin.new" "$plugin"
    rm -rf "$apt"
  fi
  ln -s "$plugin" "$LAB/docker/cli-plugins/docker-compose"
}
