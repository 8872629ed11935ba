"""Forms of places: Git repositories, libvirt hosts, files, download folders.

These values end up as arguments of git, ssh and libvirt, so each is matched whole against what is
allowed; nothing may be read as an option, carry a password, or run a command.
"""

import re

from zave.errors import UsageError
from zave.spec.network import parse_domain
from zave.spec.shown import shown

LOCAL = "local"

_PATH = r"[A-Za-z0-9_~][A-Za-z0-9._~+-]*(?:/[A-Za-z0-9._~+-]+)*/?"
_HTTPS = re.compile(
    rf"https://(?P<user>[^/@]*@)?(?P<host>[^/:@]+)(?::(?P<port>[0-9]{{1,5}}))?/(?P<path>{_PATH})"
)
_SSH = re.compile(rf"ssh://(?P<user>[^/@]*@)?(?P<host>[^/:@]+)(?::(?P<port>[0-9]{{1,5}}))?/(?P<path>{_PATH})")
_SCP = re.compile(rf"(?P<user>[^/@:]*@)(?P<host>[^/:@]+):(?P<port>)(?P<path>{_PATH})")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_LIBVIRT_LOCAL = re.compile(r"qemu:///(?:system|session)")
_LIBVIRT_REMOTE = re.compile(
    r"qemu\+(?:ssh|tls)://(?P<user>[^/@]*@)?(?P<host>[^/:@]+)(?::(?P<port>[0-9]{1,5}))?/(?:system|session)"
)
_LIBVIRT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BASE_IMAGE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")
# as terraform-modules/aws-ecr has it: ECR's own rule, without slashes
IMAGE_REPOSITORY = "^[a-z0-9]+([._-][a-z0-9]+)*$"
"""The form of the name of a repository for images."""
_REGISTRY = re.compile(r"(?P<host>[^/:@]+)(?::(?P<port>[0-9]{1,5}))?")
# http as well: a mirror in the home network often has no certificate, and images have digests
_MIRROR = re.compile(rf"https?://(?P<host>[^/:@]+)(?::(?P<port>[0-9]{{1,5}}))?(?:/(?P<path>{_PATH})?)?")
_EXPORT = re.compile(r"(?:/[A-Za-z0-9._+-]+)+")
_FILE = re.compile(r"(?:~/|/)[^\x00-\x1f\x7f]+")


def parse_repository(value: object) -> str:
    """A Git repository: `https://`, `ssh://`, `git@host:path`, or `local`. Raises UsageError."""
    form = "write https://host/path, ssh://git@host/path, git@host:path, or local"
    if value == LOCAL:
        return LOCAL
    if not isinstance(value, str):
        raise UsageError(f"{shown(value)} is not a Git repository", resolution=form)
    matched = _HTTPS.fullmatch(value) or _SSH.fullmatch(value) or _SCP.fullmatch(value)
    if matched is None or not _is_host(matched["host"]) or not _is_port(matched["port"]):
        brief = f"{shown(value)} is not a Git repository that zave can use"
        if value.startswith(("http://", "git://")):
            brief = f"{shown(value)} would be fetched unencrypted"
        raise UsageError(brief, resolution=form)
    user = (matched["user"] or "").removesuffix("@")
    if matched["user"] and (value.startswith("https://") or _USER.fullmatch(user) is None):
        raise UsageError(
            f"{shown(value)} carries credentials",
            resolution="remove them: zave gives git its credentials without writing them into a file",
        )
    _refuse_parents(matched["path"], value, form)
    return value


def _is_host(text: str) -> bool:
    if text == "localhost" or _ADDRESS.fullmatch(text):
        return True
    try:
        parse_domain(text.lower())
    except UsageError:
        # a machine on the local network may have a bare name
        return _BASE_IMAGE.fullmatch(text) is not None and "." not in text
    return True


def _is_port(text: str | None) -> bool:
    return not text or 0 < int(text) < 65536


def _refuse_parents(path: str, value: str, form: str) -> None:
    if ".." in path.split("/"):
        raise UsageError(f"{shown(value)} climbs out of its folder", resolution=form)


def parse_branch(value: object) -> str:
    """A branch that `git check-ref-format` accepts and no command takes for an option."""
    well_formed = (
        isinstance(value, str)
        and len(value) <= 200
        and _BRANCH.fullmatch(value)
        and ".." not in value
        and not any(part.endswith((".", ".lock")) for part in value.split("/"))
    )
    if not well_formed:
        raise UsageError(
            f"{shown(value)} is not a branch name", resolution="write one such as main or release/1.0"
        )
    return str(value)


def parse_libvirt_uri(value: object) -> str:
    """A libvirt host: `qemu:///system`, `qemu:///session`, `qemu+ssh://user@host/system`."""
    form = "write qemu:///system, qemu:///session or qemu+ssh://user@host/system"
    if not isinstance(value, str):
        raise UsageError(f"{shown(value)} is not a libvirt URI", resolution=form)
    if _LIBVIRT_LOCAL.fullmatch(value):
        return value
    if "?" in value:
        # command=, netcat= and the like run programs on this machine or the other
        raise UsageError(f"{shown(value)} has parameters after `?`, which can run commands", resolution=form)
    matched = _LIBVIRT_REMOTE.fullmatch(value)
    if matched is None or not _is_host(matched["host"]) or not _is_port(matched["port"]):
        raise UsageError(f"{shown(value)} is not a libvirt URI that zave can use", resolution=form)
    user = matched["user"]
    if user and _USER.fullmatch(user.removesuffix("@")) is None:
        raise UsageError(f"{shown(value)} carries more than a user name", resolution=form)
    return value


def parse_libvirt_name(value: object) -> str:
    """The name of a libvirt pool or network. Raises UsageError."""
    if not isinstance(value, str) or _LIBVIRT_NAME.fullmatch(value) is None:
        raise UsageError(
            f"{shown(value)} is not a name for libvirt",
            resolution="use letters, digits, dots, hyphens and underscores; start with a letter or a digit",
        )
    return value


def parse_image_name(value: object) -> str:
    """The name of an image or of a base, such as `ubuntu-24.04`. Raises UsageError."""
    if not isinstance(value, str) or _BASE_IMAGE.fullmatch(value) is None or ".." in value:
        raise UsageError(
            f"{shown(value)} is not the name of an image",
            resolution="use lower-case letters, digits, dots and hyphens, such as ubuntu-24.04",
        )
    return value


def parse_public_key_file(value: object) -> str:
    """The path of a public SSH key, `~/...pub` or `/...pub`; the file is not read here."""
    form = "name the public half, such as ~/.ssh/id_ed25519.pub"
    if not isinstance(value, str) or _FILE.fullmatch(value) is None or len(value) > 1024:
        brief = f"{shown(value)} is not the path of a public key"
        if isinstance(value, str) and value.startswith(("ssh-", "ecdsa-", "sk-")):
            brief = "a key stands where the path of its file is wanted"
        raise UsageError(brief, resolution=form)
    if not value.endswith(".pub"):
        raise UsageError(f"{shown(value)} may be a private key: it does not end in .pub", resolution=form)
    _refuse_parents(value, value, form)
    return value


def parse_folder(value: object) -> str:
    """The path of a folder on this machine, `~/...` or `/...`. Raises UsageError."""
    form = "write a path such as ~/zave-artifacts or /srv/zave"
    if not isinstance(value, str) or _FILE.fullmatch(value) is None or len(value) > 1024:
        raise UsageError(f"{shown(value)} is not the path of a folder", resolution=form)
    _refuse_parents(value, value, form)
    return value


def parse_https_url(value: object) -> str:
    """The URL of a folder of files: https, no credentials, no query. Raises UsageError."""
    form = "write a URL such as https://files.example.org/zave"
    matched = _HTTPS.fullmatch(value) if isinstance(value, str) else None
    if matched is None or not _is_host(matched["host"]) or not _is_port(matched["port"]):
        raise UsageError(f"{shown(value)} is not an https URL that zave can use", resolution=form)
    if matched["user"]:
        raise UsageError(f"{shown(value)} carries credentials", resolution=form)
    _refuse_parents(matched["path"], str(value), form)
    return str(value)


def parse_host(value: object) -> str:
    """The name or IPv4 address of a machine. Raises UsageError."""
    if not isinstance(value, str) or not _is_host(value):
        raise UsageError(
            f"{shown(value)} is not the name of a machine",
            resolution="write a name such as nas.example.org, or an address such as 192.168.1.5",
        )
    return value


def parse_export(value: object) -> str:
    """A folder that an NFS server exports. Raises UsageError."""
    form = "write a path such as /export/zave"
    if not isinstance(value, str) or _EXPORT.fullmatch(value) is None or len(value) > 1024:
        raise UsageError(f"{shown(value)} is not a folder that NFS exports", resolution=form)
    _refuse_parents(value, value, form)
    return value


def parse_registry(value: object) -> str:
    """The registry that image names begin with, such as `docker.io`; `*` for all others."""
    matched = _REGISTRY.fullmatch(value) if isinstance(value, str) else None
    if value == "*":
        return "*"
    if matched is None or not _is_host(matched["host"]) or not _is_port(matched["port"]):
        raise UsageError(
            f"{shown(value)} is not a registry",
            resolution="write its host, such as docker.io or registry.example.org:5000, or *",
        )
    return str(value)


def parse_image_repository(value: object) -> str:
    """The name of a repository for images, without its instance. Raises UsageError."""
    if not isinstance(value, str) or re.fullmatch(IMAGE_REPOSITORY, value) is None or len(value) > 128:
        raise UsageError(
            f"{shown(value)} is not the name of a repository",
            resolution="write lower-case letters and digits, with single . _ or - between them, such as apps",
        )
    return value


def parse_mirror(value: object) -> str:
    """The URL of a mirror of a registry, without credentials. Raises UsageError."""
    form = "write a URL such as https://mirror.example.org or http://192.168.1.5:5000"
    matched = _MIRROR.fullmatch(value) if isinstance(value, str) else None
    if matched is None or not _is_host(matched["host"]) or not _is_port(matched["port"]):
        raise UsageError(f"{shown(value)} is not the URL of a mirror", resolution=form)
    _refuse_parents(matched["path"] or "", str(value), form)
    return str(value)
