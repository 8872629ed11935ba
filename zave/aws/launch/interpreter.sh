#!/bin/sh
# Runs the Python that the packages here were built for, with these arguments. CodeBuild's images keep several
# beside one another, most of them not on PATH.
set -eu

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd)
version=$(cat "$here/python-version")

works() {
  "$1" -I -S -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$version" 2>/dev/null
}

for python in \
  "$(command -v "python$version" || true)" \
  "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$version".*/bin/"python$version" \
  "/usr/local/bin/python$version" \
  "/usr/bin/python$version"; do
  if [ -x "$python" ] && works "$python"; then
    exec "$python" -I -S -B "$@"
  fi
done

echo >&2 "zave: this machine has no Python $version, for which its programs were packed; nothing was done"
exit 1
