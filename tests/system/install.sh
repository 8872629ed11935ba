#!/usr/bin/env bash
# Installs the Debian packages of a list where that may be done without asking. Says what it could not do and
# succeeds all the same: a test that misses its tool names it.
set -euo pipefail

list=${1:?the list of packages}
mapfile -t wanted < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$list")

missing() {
  local package
  for package in "${wanted[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == "ii "* ]] || echo "$package"
  done
}

if ! command -v dpkg-query apt-get >/dev/null; then
  echo "not a Debian system: tests that need packer, QEMU or libvirtd may be skipped"
  exit 0
fi
mapfile -t absent < <(missing)
if [[ ${#absent[@]} -eq 0 ]]; then exit 0; fi

if [[ $EUID -eq 0 ]]; then
  as_root=()
elif sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  echo "not installed, and only root may: ${absent[*]}"
  exit 0
fi
echo "installing ${#absent[@]} Debian packages for the tests: ${absent[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -q &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${absent[@]}"; } </dev/null >"$log" 2>&1; then
  echo "apt-get could not install them:"
  tail -n 5 "$log"
fi
