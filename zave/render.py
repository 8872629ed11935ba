"""Templates to files: Jinja2 with undefined variables as errors, and filters that quote values.

A tree is rendered into a folder that zave shares with Terraform, so only what an earlier render
wrote there (its manifest says so) is ever removed. The digest of a tree covers its inputs: template
files and values. Equal inputs give equal files, and no template has to be compiled to compare them.
"""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave import __version__
from zave.errors import UsageError
from zave.project import Project

if TYPE_CHECKING:
    from jinja2 import Environment

MANIFEST = ".zave-rendered.json"
"""Lists what a render wrote into a folder."""

_SUFFIX = ".j2"
_KEPT = re.compile(r"(^|/)\.terraform(/|$)|\.tfstate|\.lock\.hcl$")
# YAML 1.1 and 1.2: not printable, or a line break that one of them folds
_YAML_ESCAPED = re.compile('[\x00-\x1f"\\\\\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]')
_HCL_ESCAPED = re.compile('[\x00-\x1f"\\\\\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# YAML 1.2, 7.4: an implicit key is at most 1024 characters long
_LONGEST_KEY = 1000


@dataclass(frozen=True)
class RenderedTree:
    """What a render gave: relative path -> SHA-256 of each file, and the digest of the inputs."""

    files: Mapping[str, str]
    digest: str


@dataclass(frozen=True)
class Renderer:
    """Renders the assets of `project`."""

    project: Project

    def render_tree(self, source: str | Path, destination: Path, values: Mapping[str, Any]) -> RenderedTree:
        """Render the folder `source` into `destination`: `*.j2` rendered, the rest copied.

        A `source` that is a string is an asset's name, a Path is taken as it is. `values` must be
        JSON-able. Files are replaced one by one and atomically (0600, folders 0700), unchanged ones
        are not touched, files of an earlier render that are no longer made are removed. Raises
        UsageError with file and line when a template cannot be rendered.
        """
        root = self._located(source)
        sources = _sources(root)
        digest = _digest(sources, values)
        before = _read_manifest(destination)
        if before is not None and before.digest == digest and _intact(destination, before.files):
            return before
        contents = {
            name.removesuffix(_SUFFIX): self._render(root, name, values)
            if name.endswith(_SUFFIX)
            else sources[name]
            for name in sources
        }
        tree = RenderedTree({n: _sha256(contents[n]) for n in sorted(contents)}, digest)
        self._write(destination, contents, before)
        document = {"digest": digest, "files": tree.files}
        write_private(destination / MANIFEST, json.dumps(document, indent=1).encode())
        return tree

    def render_text(self, source: str | Path, values: Mapping[str, Any]) -> str:
        """Render the one asset file `source` and return the text. Errors as in `render_tree`."""
        file = self._located(source)
        return self._render(file.parent, file.name, values).decode()

    def digest_of(self, source: str | Path, values: Mapping[str, Any]) -> str:
        """The `digest` that `render_tree` would give, without rendering or writing anything."""
        return _digest(_sources(self._located(source)), values)

    def _located(self, source: str | Path) -> Path:
        return source if isinstance(source, Path) else self.project.path(source)

    def _write(self, destination: Path, contents: Mapping[str, bytes], before: RenderedTree | None) -> None:
        for name, content in contents.items():
            if _KEPT.search(name):
                raise UsageError(f"{name} belongs to Terraform and cannot be a template", where=name)
            write_private(destination / name, content, top=destination)
        for name in before.files if before else ():
            if name not in contents and not _KEPT.search(name):
                (destination / name).unlink(missing_ok=True)

    def _render(self, root: Path, name: str, values: Mapping[str, Any]) -> bytes:
        # here: Jinja2 costs 45 ms to import, and a run with nothing to do needs none of it
        from jinja2 import TemplateError, TemplateSyntaxError

        file = root / name
        environment = _environment(root)
        try:
            return environment.get_template(name).render(dict(values)).encode()
        except TemplateSyntaxError as error:
            where = f"{error.filename or file}:{error.lineno}"
            raise _unrenderable(name, where, error.message or "syntax error") from error
        except TemplateError as error:
            raise _unrenderable(name, _template_line(error, file), error.message or str(error)) from error
        except UsageError as error:
            raise _unrenderable(name, _template_line(error, file), error.brief) from error
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise _unrenderable(name, _template_line(error, file), str(error)) from error


def hcl(value: object) -> str:
    """`value` as a quoted HCL string in which nothing is interpolated. Raises UsageError for NUL."""
    text = _checked(value)
    if "${" in text or "%{" in text:
        # not `$${`: HCL reads `$$${` as an escape or as an interpolation, depending on what follows
        text = _escape(_HCL_ESCAPED, text).replace("$", "\\u0024").replace("%", "\\u0025")
    else:
        text = _escape(_HCL_ESCAPED, text)
    return f'"{text}"'


def yaml(value: object) -> str:
    """`value` as one line of JSON-style YAML that YAML 1.1 and 1.2 read alike.

    Strings, numbers, booleans, None, and lists and maps of them. Raises UsageError for anything
    else and for NUL.
    """
    if value is None or isinstance(value, bool | int | float):
        return _yaml_number(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(yaml(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_yaml_key(key)}: {yaml(item)}" for key, item in value.items()) + "}"
    return f'"{_escape(_YAML_ESCAPED, _checked(value))}"'


def write_tfvars(path: Path, variables: Mapping[str, Any]) -> None:
    """Write Terraform variables as JSON, where every string stays literal (0600, atomic)."""
    for name in variables:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise UsageError(f"{name!r} is not the name of a Terraform variable")
    text = json.dumps(variables, indent=2, sort_keys=True, allow_nan=False)
    write_private(path, f"{text}\n".encode())


def write_private(path: Path, content: bytes, *, top: Path | None = None) -> None:
    """Put `content` at `path` (0600; new folders, up to `top`, 0700), atomically, if it differs."""
    _private_folder(path.parent, top=top or path.parent)
    try:
        if not path.is_symlink() and path.read_bytes() == content and path.stat().st_mode & 0o777 == 0o600:
            return
    except FileNotFoundError:
        pass
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder, a file is to be written there") from error
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".zave-")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)  # noqa: PTH105 - the name is a plain string here
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _private_folder(folder: Path, *, top: Path) -> None:
    if folder.is_dir():
        return
    if folder != top:
        _private_folder(folder.parent, top=top)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@cache
def _environment(root: Path) -> "Environment":
    """The templates below `root`, compiled once; a file that changes is compiled again."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # autoescape would be HTML's; each value here is quoted for its target by a filter
    environment = Environment(
        loader=FileSystemLoader(root),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["hcl"] = hcl
    environment.filters["yaml"] = yaml
    return environment


def _sources(root: Path) -> dict[str, bytes]:
    """Relative path -> content of every file under `root`, sorted, without what tools left there."""
    found: dict[str, bytes] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            file = Path(folder, name)
            if not name.startswith(".") and ".tfstate" not in name and file.is_file():
                found[file.relative_to(root).as_posix()] = file.read_bytes()
    return {name: found[name] for name in sorted(found)}


def _digest(sources: Mapping[str, bytes], values: Mapping[str, Any]) -> str:
    # the version: another release may quote or lay out differently
    inputs = [__version__, {n: _sha256(c) for n, c in sources.items()}, dict(values)]
    text = json.dumps(inputs, sort_keys=True)
    return _sha256(text.encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_manifest(destination: Path) -> RenderedTree | None:
    """What the last render wrote; None when there was none or its manifest cannot be trusted."""
    try:
        document = json.loads((destination / MANIFEST).read_bytes())
        files = {str(k): str(v) for k, v in document["files"].items()}
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
            return None
        return RenderedTree(files, str(document["digest"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _intact(destination: Path, files: Mapping[str, str]) -> bool:
    try:
        return all(_sha256((destination / name).read_bytes()) == digest for name, digest in files.items())
    except OSError:
        return False


def _checked(value: object) -> str:
    """`value` as text that can be written; UsageError for other types, NUL and lone surrogates."""
    if not isinstance(value, str):
        # only here: texts are quoted outside of templates as well, and Jinja2 takes 17 ms to import
        from jinja2 import Undefined

        if isinstance(value, Undefined):
            # raises UndefinedError, which names the variable
            return str(value)
        raise UsageError(f"a value of type {type(value).__name__} cannot be written into a file")
    if "\0" in value:
        raise UsageError("a value contains a NUL character")
    if re.search("[\ud800-\udfff]", value):
        raise UsageError("a value is not valid Unicode")
    return value


def _escape(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda m: _SHORT.get(m[0]) or f"\\u{ord(m[0]):04x}", text)


def _yaml_number(value: bool | float | None) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{value} cannot be written as YAML")
    # JSON's null, true, false and digits are YAML's, but YAML 1.1 wants a point before an exponent
    text = json.dumps(value)
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def _yaml_key(key: object) -> str:
    text = _checked(key)
    if len(text) > _LONGEST_KEY:
        raise UsageError(f"a key of {len(text)} characters cannot be written as YAML")
    return yaml(text)


def _template_line(error: BaseException, file: Path) -> str:
    """`file:line` of the innermost template in the traceback."""
    where, traceback = str(file), error.__traceback__
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name.endswith(_SUFFIX) or name == str(file):
            where = f"{name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return where


def _unrenderable(name: str, where: str, message: str) -> UsageError:
    return UsageError(
        f"the template {name} cannot be rendered: {message}",
        where=where,
        resolution="correct the template, or remove it from the project folder to use zave's own",
    )
