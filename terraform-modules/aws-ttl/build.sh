#!/bin/sh
# One fire of the switch, on a machine of CodeBuild's that has nothing of zave's. All that is run here was armed
# from the user's machine and comes out of the bucket: no registry is asked for anything. A fire tells
# ZAVE_BUCKET, ZAVE_INSTANCE, ZAVE_BUNDLE and ZAVE_PROGRAMS (keys in the bucket), their digests, and ZAVE_MODE.
set -eu
umask 077

stop() {
  echo >&2 "zave: $1; nothing was run, nothing was destroyed"
  exit 1
}

for name in BUCKET INSTANCE BUNDLE BUNDLE_SHA256 PROGRAMS PROGRAMS_SHA256 MODE; do
  eval "value=\${ZAVE_$name:-}"
  [ -n "$value" ] || stop "the schedule does not say ZAVE_$name: zave up arms it again"
done

# fetch NAME KEY DIGEST: an archive of the bucket becomes the folder NAME, if it is the very one that was armed
fetch() {
  aws s3 cp --only-show-errors "s3://$ZAVE_BUCKET/$2" "$1.tar.gz" || stop "$2 cannot be fetched"
  echo "$3  $1.tar.gz" | sha256sum --check --strict --status || stop "$2 is not what was armed"
  mkdir "$1"
  tar --extract --gzip --no-same-owner --file "$1.tar.gz" --directory "$1"
  rm "$1.tar.gz"
}

fetch bundle "$ZAVE_BUNDLE" "$ZAVE_BUNDLE_SHA256"
grep -qF "\"programs_sha256\": \"$ZAVE_PROGRAMS_SHA256\"" bundle/instance.json ||
  stop "the bundle of $ZAVE_INSTANCE was armed with other programs"
fetch programs "$ZAVE_PROGRAMS" "$ZAVE_PROGRAMS_SHA256"
(cd programs && sha256sum --check --strict --quiet manifest.sha256) || stop "the programs were not unpacked whole"

# nothing of the machine's own: neither records nor settings
ZAVE_STATE_DIR="$PWD/state"
export ZAVE_STATE_DIR

exec sh programs/zave reap --from-bundle bundle --mode "$ZAVE_MODE"
