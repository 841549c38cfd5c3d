#!/usr/bin/env bash
# Prints what systemd-analyze has against the units in systemd/, and nothing when they are sound.
#   tests/verify-units.sh SCRATCH_DIRECTORY
# The units are checked inside a root of their own, with a stand-in for the installed program.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$1
mkdir -p "$root/etc/systemd/system" "$root/usr/lib"
# systemd's own units (network-online.target and so on) come from the machine.
cp -a /lib/systemd "$root/usr/lib/systemd" 2>/dev/null || cp -a /usr/lib/systemd "$root/usr/lib/systemd"
ln -s usr/lib "$root/lib"
for unit in systemd/*.service; do
  cp "$unit" "$root/etc/systemd/system/"
  sed -n 's/^Exec[A-Za-z]*=[-@:+!]*\([^ ]*\).*/\1/p' "$unit" | while read -r program; do
    mkdir -p "$root$(dirname "$program")"
    printf '#!/bin/sh\n' >"$root$program"
    chmod 755 "$root$program"
  done
  systemd-analyze verify --man=no --root="$root" "$(basename "$unit")"
done
