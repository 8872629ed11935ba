"""Settings that are not an environment's: how zave talks and how hard it works.

Precedence: flag, `ZAVE_*`, project file (`zave.toml` in the project folder), user file
(`$XDG_CONFIG_HOME/zave/config.toml`), default. Each value remembers where it came from.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zave.errors import UsageError

Color = Literal["auto", "always", "never"]
Output = Literal["text", "json"]
GitForge = Literal["git", "github", "github-user", "gitlab", "gitlab-user"]

# more than any settings file needs, little enough to read one that is not what it seems
MAX_FILE_BYTES = 64 * 1024


def _choice(*allowed: str) -> Callable[[Any], Any]:
    def parse(raw: Any) -> Any:
        if raw not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return raw

    return parse


def _flag(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
    try:
        return words[str(raw).lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _whole(low: int, high: int) -> Callable[[Any], Any]:
    def parse(raw: Any) -> Any:
        wanted = f"a whole number from {low} to {high}"
        if isinstance(raw, bool) or not re.fullmatch(r"[0-9]{1,9}", str(raw)):
            raise ValueError(wanted)
        if not low <= int(raw) <= high:
            raise ValueError(wanted)
        return int(raw)

    return parse


def _speed(raw: Any) -> float:
    wanted = "a number from 0 (as fast as it can) to 1000000"
    if isinstance(raw, bool) or not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", str(raw)):
        raise ValueError(wanted)
    if float(raw) > 1_000_000:
        raise ValueError(wanted)
    return float(raw)


def _folder(raw: Any) -> str:
    # relative to nothing: a setting may come from a file that is read in any folder
    if not isinstance(raw, str) or (raw and not raw.startswith("/")):
        raise ValueError("the absolute path of a folder")
    return raw


def _file(raw: Any) -> str:
    if not isinstance(raw, str) or (raw and not raw.startswith(("/", "~/"))):
        raise ValueError("the absolute path of a file (~ for your home)")
    return raw


def _login(raw: Any) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", raw):
        raise ValueError("the name of a user")
    return raw


def _duration(raw: Any) -> int:
    from zave.spec.units import parse_duration

    try:
        return parse_duration(str(raw))
    except UsageError as error:
        raise ValueError(f"a duration such as 90s, 30m or 2h ({error.brief})") from error


@dataclass(frozen=True)
class Setting:
    """One setting; `parse` turns a raw value into one, or raises ValueError with what it must be."""

    name: str
    default: Any
    summary: str
    parse: Callable[[Any], Any]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"ZAVE_{self.name.upper()}"


SETTINGS = (
    Setting("output", "text", "text for people or json for programs", _choice("text", "json")),
    Setting(
        "color", "auto", "colours: auto (on a terminal), always or never", _choice("auto", "always", "never")
    ),
    Setting("no_input", False, "never ask; a question that needs an answer ends with exit 2", _flag),
    # the slowest single step known is an EKS control plane with its nodes: users report up to 21
    # minutes for the former alone, a 61-resource stack took 14 (facts of 2026-11); this leaves room
    Setting("step_timeout", 7200, "longest time one step may take (a duration such as 90m)", _duration),
    # Terraform's own default of `-parallelism`
    Setting("parallelism", 10, "resources that Terraform works on at once", _whole(1, 64)),
    Setting("speed", 0.0, "a rehearsal's virtual seconds a real second; 0: as fast as it can", _speed),
    Setting("provider_mirror", "", "folder with Terraform providers in place of the registry", _folder),
    # credentials for the platform repository: files, since what is in here is shown by `zave config`
    Setting("git_token_file", "", "file with a token for an https repository (or ZAVE_GIT_TOKEN)", _file),
    Setting("git_user", "git", "user that goes with the token; some servers want one", _login),
    Setting("git_key", "", "file with a private key for an ssh repository", _file),
    Setting("git_known_hosts", "~/.ssh/known_hosts", "file with the host keys of Git servers", _file),
    Setting("git_ca_file", "", "certificate authorities of a Git server of your own", _file),
    Setting(
        "git_forge",
        "git",
        "how Flux is told of the repository: git (any server), github or gitlab (an organisation's), "
        "github-user or gitlab-user",
        _choice("git", "github", "github-user", "gitlab", "gitlab-user"),
    ),
    Setting("log_keep", 20, "runs of an instance whose logs and events are kept", _whole(1, 10_000)),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Settings:
    """The values in force. `step_timeout`: seconds. `origins` tells where each came from."""

    output: Output
    color: Color
    no_input: bool
    step_timeout: int
    parallelism: int
    speed: float
    provider_mirror: str
    git_token_file: str
    git_user: str
    git_key: str
    git_known_hosts: str
    git_ca_file: str
    git_forge: GitForge
    log_keep: int
    origins: Mapping[str, str]

    def with_flags(self, flags: Mapping[str, Any]) -> "Settings":
        """The same settings with a verb's own flags (None: not given) laid over them."""
        values = {name: getattr(self, name) for name in BY_NAME}
        origins = dict(self.origins)
        for name, raw in flags.items():
            if raw is not None:
                flag = f"--{name.replace('_', '-')}"
                values[name] = _parsed(BY_NAME[name], raw, where=flag)
                origins[name] = f"flag {flag}"
        return Settings(**values, origins=origins)


def default_settings() -> Settings:
    """Every default, as if there were no flag, variable or file."""
    values = {setting.name: setting.default for setting in SETTINGS}
    return Settings(**values, origins=dict.fromkeys(values, "default"))


def load_settings(
    *, environ: Mapping[str, str], project: Path | None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force. Raises UsageError naming file and line of a value that cannot be."""
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    origins = dict.fromkeys(values, "default")
    files = [user_file(environ)]
    if project is not None:
        files.append(project / "zave.toml")
    for path in files:
        for name, (value, where) in _read_file(path).items():
            values[name], origins[name] = value, where
    for setting in SETTINGS:
        raw = environ.get(setting.variable)
        if raw is not None:
            values[setting.name] = _parsed(setting, raw, where=setting.variable)
            origins[setting.name] = setting.variable
    # https://no-color.org: present and not empty
    if origins["color"] == "default" and environ.get("NO_COLOR"):
        values["color"], origins["color"] = "never", "NO_COLOR"
    return Settings(**values, origins=origins).with_flags(flags or {})


def user_file(environ: Mapping[str, str]) -> Path:
    """Where the user's own settings are: `$XDG_CONFIG_HOME/zave/config.toml`."""
    base = environ.get("XDG_CONFIG_HOME", "")
    # the XDG specification: a relative path is to be ignored
    root = Path(base) if base.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".config"
    return root / "zave" / "config.toml"


def _parsed(setting: Setting, raw: Any, *, where: str) -> Any:
    try:
        return setting.parse(raw)
    except ValueError as error:
        raise UsageError(
            f"{setting.name} cannot be {str(raw)[:60]!r}", where=where, resolution=f"it must be {error}"
        ) from error


def _read_file(path: Path) -> dict[str, tuple[Any, str]]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"the settings file cannot be read: {error.strerror}", where=str(path)) from error
    if len(raw) > MAX_FILE_BYTES:
        raise UsageError(f"the settings file is larger than {MAX_FILE_BYTES} bytes", where=str(path))
    text, document = _parse_toml(raw, path)
    found: dict[str, tuple[Any, str]] = {}
    for name, value in document.items():
        where = f"{path}:{_line_of(text, name)}"
        setting = BY_NAME.get(name)
        if setting is None:
            raise UsageError(f"unknown setting `{name}`", where=where, resolution=_suggestion(name))
        found[name] = (_parsed(setting, value, where=where), where)
    return found


def _parse_toml(raw: bytes, path: Path) -> tuple[str, dict[str, Any]]:
    import tomllib

    try:
        text = raw.decode()
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError("the settings file is not UTF-8", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        raise UsageError("the settings file is not TOML", details=str(error), where=where) from error


def _line_of(text: str, name: str) -> int:
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(name)}[\"']?\s*[=.\]]")
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, start=1) if pattern.match(line)), 1)


def _suggestion(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, BY_NAME, n=1)
    return f"did you mean `{near[0]}`?" if near else f"the settings are: {', '.join(BY_NAME)}"
