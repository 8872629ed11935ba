#!/bin/sh
# zave and everything that it runs, out of this folder alone: neither Python's packages of this machine nor a
# registry of Terraform's are looked at.
set -eu

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd)

PATH="$here/bin:$PATH"
ZAVE_TERRAFORM="$here/bin/$(cat "$here/engine")"
ZAVE_PROVIDER_MIRROR="$here/providers"
export PATH ZAVE_TERRAFORM ZAVE_PROVIDER_MIRROR

exec sh "$here/interpreter" "$here/start.py" zave "$@"
