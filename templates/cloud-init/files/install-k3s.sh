#!/bin/sh
# Puts the k3s of /etc/zave/k3s.env at /usr/local/bin/k3s, checked against the digest there. Does
# nothing when it is there already, so that a restart needs no internet and changes no release.
#
# ZAVE_K3S_ORIGIN: vendor, url (ZAVE_K3S_URL), or folder: zave has put the files into $copied.
set -eu

version=${ZAVE_K3S_VERSION:?}
digest=${ZAVE_K3S_SHA256:?}
origin=${ZAVE_K3S_ORIGIN:?}
binary=/usr/local/bin/k3s
copied=/var/lib/zave/artifacts
archive=k3s-airgap-images-amd64.tar.zst
images=/var/lib/rancher/k3s/agent/images

fail() {
  echo "zave-install-k3s: $*" >&2
  exit 1
}

fits() { # fits FILE DIGEST
  [ -f "$1" ] && [ "$(sha256sum <"$1")" = "$2  -" ]
}

get() { # get NAME DIGEST MODE TARGET
  folder=$(dirname "$4")
  mkdir -p "$folder"
  draft=$folder/.zave-$1.new
  if fits "$copied/$1" "$2"; then
    mv -f "$copied/$1" "$draft"
  else
    case $origin in
      vendor)
        escaped=$(printf '%s\n' "$version" | sed 's/+/%2B/')
        url=https://github.com/k3s-io/k3s/releases/download/$escaped/$1 ;;
      url) url=${ZAVE_K3S_URL:?}/$1 ;;
      *) fail "$1 is not in $copied, or not the one that is wanted" ;;
    esac
    curl -fsSL --proto '=https' --retry 5 -o "$draft" "$url" || fail "$url could not be fetched"
  fi
  if ! fits "$draft" "$2"; then
    rm -f "$draft"
    fail "$1 of $version does not have the digest that zave pinned"
  fi
  chmod "$3" "$draft"
  # on one file system, so that nobody ever starts half of it
  mv -f "$draft" "$4"
}

[ "$(uname -m)" = x86_64 ] || fail "zave pins k3s for x86_64, and this is $(uname -m)"

# the images first: a k3s that starts without them would ask the internet
if [ -n "${ZAVE_K3S_IMAGES_SHA256:-}" ] && ! fits "$images/$archive" "$ZAVE_K3S_IMAGES_SHA256"; then
  get "$archive" "$ZAVE_K3S_IMAGES_SHA256" 0644 "$images/$archive"
fi
fits "$binary" "$digest" || get k3s "$digest" 0755 "$binary"
