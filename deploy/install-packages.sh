#!/usr/bin/env bash
# Installs from Debian what the groups of deploy/apt-packages.txt name and this machine lacks.
#   deploy/install-packages.sh GROUP...
# Runs no apt at all when everything is there. Works as root or with sudo.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export PATH="$PATH:/usr/sbin:/sbin"

present() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

missing=()
while read -r group package proof; do
  case $group in '' | '#'*) continue ;; esac
  for wanted in "$@"; do
    if [ "$group" = "$wanted" ] && ! present "$proof"; then missing+=("$package"); fi
  done
done <"$here/apt-packages.txt"

[ ${#missing[@]} -gt 0 ] || exit 0

command="apt-get install -y --no-install-recommends ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null 2>&1; then
    as_root=(sudo)
  else
    echo "Missing: ${missing[*]}" >&2
    echo "This user cannot install packages and there is no sudo. As root, run:" >&2
    echo "    $command" >&2
    exit 1
  fi
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "Missing: ${missing[*]} (Debian's names). There is no apt-get here: install what they provide" >&2
  echo "with this system's package manager, then run the same make target again." >&2
  exit 1
fi

echo "Installing from Debian: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Services of these packages are started by the tests themselves, never by the package.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  made_policy=yes
fi
remove_policy() { [ -z "$made_policy" ] || "${as_root[@]}" rm -f "$policy"; }
trap remove_policy EXIT

install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 -o APT::Color=0 "${missing[@]}" </dev/null
}
log=$(mktemp)
if ! install >"$log" 2>&1; then
  # The package list may be old, or never fetched.
  "${as_root[@]}" apt-get update -qq </dev/null >>"$log" 2>&1 || true
  if ! install >>"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "Could not install the packages. When apt works again, run as root:" >&2
    echo "    apt-get update && $command" >&2
    exit 1
  fi
fi
rm -f "$log"
