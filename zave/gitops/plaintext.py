"""Secrets in plain text, found before they are committed: a commit that was pushed is never taken back."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_ENCRYPTED = re.compile(r"ENC\[[A-Z0-9_]+,data:")
_YAML = (".yaml", ".yml", ".json")
# tokens that say by their form what they are (the vendors' documents on secret scanning)
_TOKENS: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        ("a private key", rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        ("an age key", rb"AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{20,}"),
        ("a GitHub token", rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
        ("a GitLab token", rb"\bgl(?:pat|dt|rt|ptt|cbt|oas|ffct|imt|soat)-[A-Za-z0-9_-]{20,}"),
        ("an AWS access key", rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
        ("a Slack token", rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        # base64 of {"a":"<account>... as `cloudflared tunnel token` gives it
        ("a Cloudflare tunnel token", rb"\beyJhIjoi[A-Za-z0-9+/=_-]{60,}"),
        ("a k3s token", rb"\bK10[0-9a-f]{64}::"),
    )
)
_NAMES_SECRET = re.compile(r"\bkind[\"']?\s*:\s*[\"']?Secret")
_HAS_VALUES = re.compile(r"\b(?:stringData|data)[\"']?\s*:")


@dataclass(frozen=True)
class Finding:
    """Something secret in the clear. Its value is in none of the fields."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        """As an error names it: `path:line: what`."""
        return f"{self.path}:{self.line}: {self.what}"


def plain_secrets(files: Mapping[str, bytes]) -> list[Finding]:
    """Every secret in plain text in `files` (path -> content), in order."""
    found: list[Finding] = []
    for path in sorted(files):
        content = files[path]
        found += _tokens(path, content)
        if path.endswith(_YAML) and b"Secret" in content:
            found += _objects(path, content.decode("utf-8", "replace"))
    return found


def _tokens(path: str, content: bytes) -> Iterator[Finding]:
    for what, pattern in _TOKENS:
        for match in pattern.finditer(content):
            yield Finding(path, content.count(b"\n", 0, match.start()) + 1, what)


def _objects(path: str, text: str) -> Iterator[Finding]:
    """Values of Secrets that are not encrypted."""
    if not _NAMES_SECRET.search(text) or not _HAS_VALUES.search(text):
        return
    # here: only a file that may hold a Secret is parsed
    import yaml

    try:
        documents = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        yield Finding(path, line, "a Secret in a file that is not YAML")
        return
    for document in documents:
        yield from _values(path, document)


def _values(path: str, node: object) -> Iterator[Finding]:
    """Looks through a document, and lists inside it, for Secrets."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return
    fields = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    kind = getattr(fields.get("kind"), "value", None)
    if kind in ("List", "SecretList") and isinstance(fields.get("items"), yaml.SequenceNode):
        for each in fields["items"].value:
            yield from _values(path, each)
    if kind != "Secret":
        return
    name = _name(fields.get("metadata"))
    for group in ("data", "stringData"):
        held = fields.get(group)
        if not isinstance(held, yaml.MappingNode):
            continue
        for key, value in held.value:
            text = value.value if isinstance(value, yaml.ScalarNode) else ""
            # an empty value gives nothing away
            if text and not _ENCRYPTED.match(text):
                yield Finding(path, value.start_mark.line + 1, f"Secret {name}: {key.value} is not encrypted")


def _name(metadata: object) -> str:
    import yaml

    if isinstance(metadata, yaml.MappingNode):
        for key, value in metadata.value:
            if key.value == "name" and isinstance(value, yaml.ScalarNode):
                return str(value.value)
    return "without a name"
