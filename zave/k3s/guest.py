"""What zave runs inside machines: small shell scripts, and what their answers mean.

Secrets come on standard input and stay in the shell: `printf`, `read` and `[` are built in, so no
token is ever an argument. Files appear whole or not at all.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from zave.errors import StepFailedError
from zave.ports.machines import Machine, Release
from zave.text import clean

TOKEN = re.compile(r"K10[0-9a-f]{64}::[a-z]{1,32}:[!-~]{1,256}")
_PLAIN_TOKEN = re.compile(r"[!-~]{1,256}")
_MAX_REASONS = 10

# where a running cloud-init says how it went: the same files in 22.4 and in 25, unlike its command line
FIRST_BOOT = """
if [ -e /run/cloud-init/disabled ]; then echo disabled
elif [ -e /run/cloud-init/result.json ]; then
  # the script of the first boot ends with the marker; a machine of an earlier version has a token instead
  if [ -e /var/lib/zave/first-boot ] || [ -e /etc/rancher/k3s/token ]; then echo finished
  else echo unmarked; fi
  cat /run/cloud-init/result.json
else echo running; fi
"""

STATE = """
printf 'release %s\\n' "$(k3s --version 2>/dev/null | awk 'NR == 1 { print $3 }')"
printf 'unit %s\\n' "$(systemctl is-active k3s.service 2>/dev/null || :)"
if [ -e /etc/rancher/k3s/token ]; then echo 'token yes'; else echo 'token no'; fi
"""

LAST_WORDS = """
journalctl -u k3s.service -n 20 --no-pager -o cat 2>/dev/null || :
systemctl is-failed --quiet cloud-final.service && tail -n 20 /var/log/cloud-init-output.log || :
"""

# server token, agent token, the word `end`: a connection that was cut leaves nothing
FIRST_TOKENS = """
umask 077
{ read -r server && read -r agent && read -r end && [ "$end" = end ]; } || exit 65
mkdir -p /etc/rancher/k3s
put() {
  [ ! -s "$1" ] || return 0
  printf '%s\\n' "$2" >"$1.new"
  mv -f "$1.new" "$1"
}
# this one last: k3s starts as soon as it is there
put /etc/rancher/k3s/agent-token "$agent"
put /etc/rancher/k3s/token "$server"
"""

READ_TOKENS = """
cat /var/lib/rancher/k3s/server/token; echo
cat /var/lib/rancher/k3s/server/agent-token; echo
cat /etc/rancher/k3s/agent-token
"""

# token, agent token (a server's, else empty), the word `end`; says whether there was another before
PUT_TOKENS = """
umask 077
{ read -r token && read -r agent && read -r end && [ "$end" = end ]; } || exit 65
mkdir -p /etc/rancher/k3s
was=same
put() {
  if [ -s "$1" ]; then
    [ "$(cat "$1")" != "$2" ] || return 0
    was=replaced
  elif [ "$was" = same ]; then
    was=new
  fi
  printf '%s\\n' "$2" >"$1.new"
  mv -f "$1.new" "$1"
}
[ -z "$agent" ] || put /etc/rancher/k3s/agent-token "$agent"
put /etc/rancher/k3s/token "$token"
if [ "$was" = replaced ]; then systemctl --no-block try-restart k3s.service; fi
echo "$was"
"""

# a server that was made anew joins the others; its first-boot configuration would begin a new cluster
JOIN_SERVER = """
umask 077
folder=/etc/rancher/k3s/config.yaml.d
mkdir -p "$folder"
printf 'cluster-init: false\\nserver: "https://%s:6443"\\n' "$1" >"$folder/zave-join.yaml"
"""

# file names; says of each what its digest is without comments and empty lines, `-` where there is none.
# A registries.yaml of somebody's own stays when zave wants none: `foreign`
CONFIGURATION = """
mkdir -p /etc/rancher/k3s
cd /etc/rancher/k3s
for name; do
  if [ ! -e "$name" ]; then
    digest=-
  elif [ "$name" = registries.yaml ] && ! grep -q '^# where images of these registries' "$name"; then
    digest=foreign
  else
    digest=$(grep -Ev '^ *(#|$)' "$name" | sha256sum | cut -c 1-64)
  fi
  printf '%s %s\\n' "$name" "$digest"
done
"""

# $1 is a file's name, standard input what is to be in it; what was in it stays beside it
PUT_CONFIGURATION = """
umask 077
cd /etc/rancher/k3s
cat >"$1.new"
[ -s "$1.new" ] || exit 65
[ ! -e "$1" ] || cp -p "$1" "$1.former"
mv -f "$1.new" "$1"
"""

DROP_CONFIGURATION = """
cd /etc/rancher/k3s
[ ! -e "$1" ] || mv -f "$1" "$1.former"
"""

HAS_ETCD = "[ -d /var/lib/rancher/k3s/server/db/etcd ]"

PUT_ENVIRONMENT = """
cat >/etc/zave/k3s.env.new
[ -s /etc/zave/k3s.env.new ] || exit 65
chmod 0644 /etc/zave/k3s.env.new
mv -f /etc/zave/k3s.env.new /etc/zave/k3s.env
"""

INSTALL = """
set -a
. /etc/zave/k3s.env
set +a
zave-install-k3s
"""

START = "systemctl --no-block start k3s.service"
RESTART = "systemctl --no-block restart k3s.service"
READY = "k3s kubectl get --raw /readyz"
NODES = "k3s kubectl get nodes -o json"
DELETE_NODE = 'k3s kubectl delete node "$1" --ignore-not-found'
DELETE_SECRETS = 'k3s kubectl -n kube-system delete secret --ignore-not-found "$@"'
KUBECONFIG = "cat /etc/rancher/k3s/k3s.yaml"

# $1 name, $2 digest, $3 where it ends up: 3 when the machine needs it
HAS_ARTIFACT = """
for file in "$3" "/var/lib/zave/artifacts/$1"; do
  [ ! -f "$file" ] || [ "$(sha256sum <"$file")" != "$2  -" ] || exit 0
done
exit 3
"""

TAKE_ARTIFACT = """
mkdir -p /var/lib/zave/artifacts
cd /var/lib/zave/artifacts
cat >".$1.new"
[ "$(sha256sum <".$1.new")" = "$2  -" ] || { rm -f ".$1.new"; exit 66; }
mv -f ".$1.new" "$1"
"""


@dataclass(frozen=True)
class FirstBoot:
    """How far cloud-init is; `problem` says why its end is no good end."""

    finished: bool
    problem: str | None = None
    reasons: str = ""


@dataclass(frozen=True)
class State:
    """A machine's k3s: its release (None: there is none yet), whether its unit is active, has a token."""

    release: str | None
    unit: str
    admitted: bool

    @property
    def running(self) -> bool:
        """Whether the unit is active."""
        return self.unit == "active"


@dataclass(frozen=True)
class Tokens:
    """The tokens of a running server, in secure form, and the agents' plain one."""

    server: str
    agent: str
    plain_agent: str


@dataclass(frozen=True)
class NodeView:
    """A node as the API server has it. `upgrading` is zave's own mark of a change that has begun.

    `heartbeat` is when its kubelet last told how it is: another moment once it was started again.
    """

    name: str
    role: Literal["control-plane", "worker"]
    address: str
    ready: bool
    release: str
    unschedulable: bool
    upgrading: str | None
    heartbeat: str = ""


UPGRADING = "zave/upgrading"
"""The annotation on a node from before it is drained until it is back or gone: whose its cordon is."""


def first_boot(text: str) -> FirstBoot:
    """What `FIRST_BOOT` answered."""
    word, _, document = text.partition("\n")
    if word == "running":
        return FirstBoot(False)
    if word not in ("finished", "unmarked"):
        return FirstBoot(True, "cloud-init is switched off in this image")
    try:
        result = json.loads(document)["v1"]
        datasource, errors = str(result["datasource"]), [str(each) for each in result["errors"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return FirstBoot(True, "cloud-init's result cannot be read", document[:500])
    if errors:
        return FirstBoot(True, "cloud-init ended with errors", "\n".join(errors[:_MAX_REASONS]))
    if not datasource.startswith("DataSourceNoCloud"):
        return FirstBoot(True, f"cloud-init took {clean(datasource)[:80]}, not the seed of zave (NoCloud)")
    # unmarked: cloud-init was restarted under the script of the first boot, which goes on without it
    return FirstBoot(word == "finished")


def state(text: str) -> State:
    """What `STATE` answered."""
    found = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    release = clean(found.get("release", "")).strip()[:64]
    return State(release or None, found.get("unit", "").strip(), found.get("token") == "yes")


def tokens(text: str, machine: Machine) -> Tokens:
    """What `READ_TOKENS` answered. Raises StepFailedError, which shows none of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 3 and all(map(TOKEN.fullmatch, lines[:2])) and _PLAIN_TOKEN.fullmatch(lines[2]):
        # a server that joined others was given the agents' token in plain form already
        return Tokens(lines[0], lines[1], lines[2].rpartition(":")[2])
    raise StepFailedError(
        f"{machine.name} has no tokens in the form that k3s gives them",
        where=f"{machine.name}: /var/lib/rancher/k3s/server",
        resolution="see whether k3s really runs there (journalctl -u k3s), then run the same command again",
    )


def nodes(text: str) -> list[NodeView]:
    """What `NODES` answered. Raises ValueError when it is no list of nodes."""
    try:
        return [_node(item) for item in json.loads(text)["items"]]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a list of nodes") from error


def environment(release: Release) -> bytes:
    """The file /etc/zave/k3s.env, as `templates/cloud-init/files/k3s.env.j2` has it."""
    url = release.location if release.origin == "url" else ""
    values = {
        "VERSION": release.version,
        "SHA256": release.sha256,
        "ORIGIN": release.origin,
        "URL": url or "",
        "IMAGES_SHA256": release.images_sha256 or "",
    }
    return "".join(f'ZAVE_K3S_{name}="{value}"\n' for name, value in values.items()).encode()


def _node(item: dict[str, Any]) -> NodeView:
    metadata, status = item["metadata"], item["status"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    server = any(label in labels for label in ("node-role.kubernetes.io/control-plane",))
    addresses = {a["type"]: a["address"] for a in status.get("addresses") or []}
    readiness: dict[str, Any] = next((c for c in status.get("conditions") or [] if c["type"] == "Ready"), {})
    return NodeView(
        name=clean(str(metadata["name"])),
        role="control-plane" if server else "worker",
        address=clean(str(addresses.get("InternalIP", ""))),
        ready=readiness.get("status") == "True",
        release=clean(str((status.get("nodeInfo") or {}).get("kubeletVersion", ""))),
        unschedulable=bool((item.get("spec") or {}).get("unschedulable")),
        upgrading=annotations.get(UPGRADING),
        heartbeat=str(readiness.get("lastHeartbeatTime", "")),
    )
