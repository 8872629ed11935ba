#!/usr/bin/env bash
# Two lives in one go, rehearsed. A home lab: create it, lose the provider half way, resume, look at it,
# destroy it, read the receipt. Then the demo in AWS: arm its end, create it, see what it costs, go away, and
# find it destroyed by its switch, with the receipt. `make demo` runs this; so does tests/e2e/test_demo.py.
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

# read_receipt INSTANCE DESTROYED_BY: the last receipt as a machine reads it. Prints how many things were
# deleted; insists on who destroyed them and on zero leaks.
read_receipt() {
  "$zave" history "$1" --rehearse --output json | "$(dirname "$zave")/python" -c '
import json, sys
receipts = [each["receipt"] for each in json.load(sys.stdin)["receipts"]]
if not receipts:
    sys.exit("demo: no receipt was recorded")
last = receipts[0]
if last["destroyed_by"] != sys.argv[1] or last["leaks"] or not last["deleted"]:
    sys.exit(f"demo: the receipt is not one of a clean end: {last}")
print(len(last["deleted"]))' "$2"
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

deleted=$(read_receipt homelab "zave down")
run 0 sweep homelab --rehearse
say "Receipt: $deleted things deleted, zero leaks."

say "Now AWS. First, once for an account: the bucket, and the switch that ends what has outlived its time."
run 0 account setup --rehearse --yes

say "A demo for 48 hours. Its end is armed and proven before anything costs."
run 0 demo aws --ttl 48h --rehearse --yes
run 0 cost aws-demo --rehearse

say "47 hours later it still stands."
run 0 rehearse advance 47h
run 0 status aws-demo --rehearse

say "Two hours more, with nobody at the keyboard."
run 0 rehearse advance 2h
run 0 status aws-demo --rehearse
run 0 history aws-demo --rehearse

gone=$(read_receipt aws-demo "zave reap (switch)")
# what stands by design is a long list
run 0 sweep aws-demo --rehearse >/dev/null
say "Second receipt: $gone things deleted by the switch, zero leaks. Rehearsed in $SECONDS s, for 0 USD."
