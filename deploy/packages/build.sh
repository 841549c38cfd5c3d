#!/usr/bin/env bash
# Makes a .deb and an .rpm of the agent, with whichever of dpkg-deb and rpmbuild is here.
#   deploy/packages/build.sh PROGRAM OUTPUT-DIRECTORY
# PROGRAM is the static one (`make agent`), so the packages depend on nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1")
mkdir -p "$2"
output=$(realpath "$2")
version=$("$program" --version | awk '{print $2}')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || date +%s)}

# What both put in place.
root="$scratch/root"
install -D -m 755 "$program" "$root/usr/bin/gander-agent"
install -d "$root/lib/systemd/system"
"$program" service --program /usr/bin/gander-agent >"$root/lib/systemd/system/gander-agent.service"
chmod 644 "$root/lib/systemd/system/gander-agent.service"
install -D -m 644 "$here/../../LICENSE" "$root/usr/share/doc/gander-agent/copyright"

made=no
if command -v dpkg-deb >/dev/null 2>&1; then
  mkdir -p "$scratch/deb"
  cp -a "$root/." "$scratch/deb/"
  install -d "$scratch/deb/DEBIAN"
  cat >"$scratch/deb/DEBIAN/control" <<CONTROL
Package: gander-agent
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: gander
Section: admin
Priority: optional
Installed-Size: $(du -ks "$root" | cut -f1)
Recommends: systemd
Description: server monitor's agent
 Looks at this machine and streams what it sees to a gander hub; keeps it on
 disk while the hub is away. Listens on no port and runs no command.
CONTROL
  for script in postinst prerm postrm; do
    install -m 755 "$here/deb/$script" "$scratch/deb/DEBIAN/$script"
  done
  find "$scratch/deb" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$scratch/deb" "$output" >/dev/null
  made=yes
fi
if command -v rpmbuild >/dev/null 2>&1; then
  rpmbuild --quiet -bb "$here/gander-agent.spec" --buildroot "$scratch/buildroot" \
    --define "_topdir $scratch/rpm" --define "_rpmdir $output" --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
    --define "agent_version $version" --define "agent_root $root"
  made=yes
fi
[ $made = yes ] || { echo "Neither dpkg-deb nor rpmbuild is here: install dpkg or rpm." >&2; exit 1; }
ls -l "$output"
