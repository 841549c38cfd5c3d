#!/usr/bin/env bash
# Says what is wrong, and how to mend it, when a tool gander is built with is missing or too old.
#   deploy/check-tools.sh [cargo] [node]
set -euo pipefail

need_rust=1.95.0
need_node=20.19.0

older() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" != "$2" ]; }

for tool in "$@"; do
  case $tool in
    cargo)
      if ! command -v cargo >/dev/null 2>&1; then
        echo "cargo is missing. Install Rust $need_rust or newer (https://rustup.rs), open a new shell, run make again." >&2
        exit 1
      fi
      have=$(rustc --version | awk '{print $2}')
      if older "$have" "$need_rust"; then
        echo "Rust $have is too old: gander needs $need_rust or newer. Run: rustup update stable" >&2
        exit 1
      fi
      ;;
    node)
      if ! command -v npm >/dev/null 2>&1 || ! command -v node >/dev/null 2>&1; then
        echo "node and npm are missing. Install Node.js $need_node or newer (https://nodejs.org), run make again." >&2
        exit 1
      fi
      have=$(node --version | tr -d v)
      if older "$have" "$need_node"; then
        echo "Node.js $have is too old: the dashboard's build needs $need_node or newer (https://nodejs.org)." >&2
        exit 1
      fi
      ;;
    *) echo "check-tools.sh: unknown tool $tool" >&2; exit 2 ;;
  esac
done
