#!/usr/bin/env bash
# The life of a home lab in one go, rehearsed: create it, lose the provider half way, resume, look at it,
# destroy it, read the receipt. `make demo` runs this; so does tests/e2e/test_demo.py.
#
# ZAVE            the program (default: .venv/bin/zave)
# ZAVE_STATE_DIR  where it keeps its records (default: .cache/demo, emptied first)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
zave=$(realpath --no-symlinks "${ZAVE:-.venv/bin/zave}")
if [[ -z ${ZAVE_STATE_DIR:-} ]]; then
  export ZAVE_STATE_DIR=$PWD/.cache/demo
  rm -rf "$ZAVE_STATE_DIR"
fi

say() { printf '\n== %s\n' "$*"; }

# run EXPECTED ARGUMENT...: shows the command, runs it, and insists on its exit status
run() {
  local expected=$1 status=0
  shift
  printf '$ zave %s\n' "$*"
  "$zave" "$@" || status=$?
  if [[ $status -ne $expected ]]; then
    printf 'demo: zave %s ended with exit status %s instead of %s\n' "$1" "$status" "$expected" >&2
    exit 1
  fi
}

# The receipt as a machine reads it. Prints how many things were deleted and how many leaked.
read_receipt() {
  "$zave" status homelab --rehearse --output json | "$(dirname "$zave")/python" -c '
import json, sys
receipt = json.load(sys.stdin)["environments"][0]["last_receipt"]
if receipt is None:
    sys.exit("demo: no receipt was recorded")
print(receipt["deleted"], receipt["leaks"])'
}

say "Create the home lab. A fault is set: the provider will crash once, half way."
run 1 up homelab --rehearse --yes --fault 'crash provider on create libvirt_domain once'

say "The same command again: it goes on where it stopped."
run 0 up homelab --rehearse --yes

say "What there is, and whether plan, world and record agree."
run 0 status homelab --rehearse
run 0 drift homelab --rehearse

say "Destroy it."
run 0 down homelab --rehearse --yes

receipt=$(read_receipt)
read -r deleted leaks <<<"$receipt"
run 0 sweep homelab --rehearse
if [[ $deleted -eq 0 || $leaks -ne 0 ]]; then
  printf 'demo: the receipt says %s deleted and %s leaks\n' "$deleted" "$leaks" >&2
  exit 1
fi
say "Receipt: $deleted things deleted, zero leaks. Rehearsed in $SECONDS s, for 0 USD."
