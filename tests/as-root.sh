#!/usr/bin/env bash
# Runs a command as root: the real peers of the tests need accounts, mounts and network namespaces.
set -euo pipefail
if [ "$(id -u)" -eq 0 ]; then exec "$@"; fi
if command -v sudo >/dev/null 2>&1; then exec sudo --preserve-env env "PATH=$PATH" "$@"; fi
echo "This needs root (real sshd accounts, mounts): run it as root, or install sudo." >&2
exit 1
