"""The platform repository: a tree is published as a commit on top of what is there, never by force."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from zave.errors import PreconditionError, StepFailedError, ToolFailedError
from zave.gitops.plaintext import plain_secrets
from zave.gitops.published import (
    EMPTY,
    KEPT,
    LISTS,
    Tip,
    Writing,
    list_of,
    object_id,
    read_kept,
    read_list,
    rendered,
    stream,
    summary,
    write_list,
    writing,
)
from zave.ports.flux import Source
from zave.render import write_private
from zave.tools.git import Answer, Git, make_bare, parse_tips
from zave.tools.git_server import GitCredentials

if TYPE_CHECKING:
    from zave.gitops.secrets import SecretStore

AUTHOR = "zave <zave@localhost>"

# how often somebody else may be faster than zave before it gives up
_ATTEMPTS = 3
_RECORD = "published.json"
_BARE = "repository.git"
_MOST_NAMED = 20


Secrets = Callable[[str], "SecretStore"]
"""An instance's encrypted secrets, which are published with its tree."""


class _Branch(Protocol):
    """A branch of a repository that can be read here and moved forward."""

    @property
    def url(self) -> str: ...

    @property
    def bare(self) -> Path: ...

    def now(self) -> str | None:
        """The commit that it names at this moment; None where there is no such branch."""

    def bring(self, commit: str) -> None:
        """Have `commit` and its history here."""

    def advance(self, text: bytes, *, parent: str | None) -> str | None:
        """Commit on top of `parent` and move the branch; None when somebody else was faster."""


@dataclass(frozen=True)
class LocalRepository:
    """A bare repository that zave keeps in `folder`: for a rehearsal, and for trying out.

    `git` is asked for only when there is something to write.
    """

    folder: Path
    branch: str
    git: Callable[[], Git]
    secrets: Secrets | None = None

    def publish(self, *, tree: Path, instance: str, names: Sequence[str], why: str) -> Source:
        """As `zave.ports.flux.Repository` says."""
        publication = _Publication(_Local(self), self.git, self.folder / _RECORD, self.branch, instance)
        files = _whole(tree, self.secrets, instance)
        return publication.publish(files, names=tuple(names), why=why)

    def beside(self, *, instance: str) -> str:
        """As `zave.ports.flux.Repository` says."""
        return "" if self.secrets is None else self.secrets(instance).digest()

    @property
    def path(self) -> Path:
        """The bare repository; it can be cloned, and pushed to."""
        return self.folder / _BARE


@dataclass(frozen=True)
class RemoteRepository:
    """A repository on a server. `folder` is where zave keeps what it fetched: it holds nothing of its own."""

    url: str
    folder: Path
    branch: str
    git: Callable[[], Git]
    credentials: GitCredentials
    secrets: Secrets | None = None

    def publish(self, *, tree: Path, instance: str, names: Sequence[str], why: str) -> Source:
        """As `zave.ports.flux.Repository` says."""
        publication = _Publication(_Remote(self), self.git, self.folder / _RECORD, self.branch, instance)
        files = _whole(tree, self.secrets, instance)
        return publication.publish(files, names=tuple(names), why=why)

    def beside(self, *, instance: str) -> str:
        """As `zave.ports.flux.Repository` says."""
        return "" if self.secrets is None else self.secrets(instance).digest()


@dataclass(frozen=True)
class _Publication:
    """One instance's tree on its way into a branch. `record` is the file that notes what was published."""

    at: _Branch
    git: Callable[[], Git]
    record: Path
    branch: str
    instance: str

    def publish(self, files: Mapping[str, bytes], *, names: tuple[str, ...], why: str) -> Source:
        wanted = {**files, list_of(self.instance): self._list(files)}
        digest = _digest(wanted)
        noted = _read_record(self.record)
        for _ in range(_ATTEMPTS):
            now = self.at.now()
            if now is not None and noted.get(self.instance) == [self.at.url, self.branch, now, digest]:
                return self._source(now, names)
            if now is not None:
                self.at.bring(now)
            self._refuse_rewritten(noted, now)
            revision = self._write(wanted, now, why=why)
            if revision is not None:
                entry = [self.at.url, self.branch, revision, digest]
                document = json.dumps({**noted, self.instance: entry}, indent=1)
                write_private(self.record, document.encode())
                return self._source(revision, names)
        raise StepFailedError(
            f"the branch {self.branch} moved on each time that zave was to push",
            where=self.at.url,
            resolution="run the same command again when nobody else is pushing",
        )

    def _write(self, wanted: Mapping[str, bytes], now: str | None, *, why: str) -> str | None:
        """The commit with `wanted` in it; None when somebody else was faster."""
        tip = EMPTY if now is None else self._tip(now)
        plan = writing(self.instance, wanted, tip)
        if plan.conflicts:
            self._refuse(plan)
        found = plain_secrets({path: text for path, text in plan.changes.items() if text is not None})
        if found:
            raise PreconditionError(
                "the tree holds a secret in plain text: nothing was committed",
                details="\n".join(str(each) for each in found[:_MOST_NAMED]),
                where=self.at.url,
                resolution="take it out of the template, and encrypt it: `zave secrets set` does both",
            )
        if not plan.changes and now is not None:
            return now
        lines = [line for line in summary(plan.changes, tip.files) if not LISTS.search(line)]
        message = f"{self.instance}: {why}\n\n" + "".join(f"{line}\n" for line in lines)
        ref = f"refs/heads/{self.branch}"
        text = stream(ref, plan.changes, message=message, parent=now, author=AUTHOR)
        return self.at.advance(text, parent=now)

    def _tip(self, commit: str) -> Tip:
        git = self.git()
        files = git.files(self.at.bare, commit)
        lists = {path: identity for path, (_, identity) in files.items() if LISTS.fullmatch(path)}
        kept = files.get(KEPT, ("", ""))[1]
        contents = git.contents(self.at.bare, [*lists.values(), *([kept] if kept else [])])
        return Tip(
            files,
            {path.split("/")[1]: read_list(contents[identity]) for path, identity in lists.items()},
            read_kept(contents[kept]) if kept else (),
        )

    def _list(self, files: Mapping[str, bytes]) -> bytes:
        return write_list(self.instance, {path: object_id(content) for path, content in files.items()})

    def _source(self, revision: str, names: tuple[str, ...]) -> Source:
        return Source(self.at.url, self.branch, f"clusters/{self.instance}", revision, names)

    def _refuse_rewritten(self, noted: Mapping[str, list[str]], now: str | None) -> None:
        """A branch that does not go on from what zave published is somebody's decision, not zave's."""
        last = noted.get(self.instance)
        if last is None or last[:2] != [self.at.url, self.branch] or last[2] == now:
            return
        if now is not None and self.git().contains(self.at.bare, commit=now, ancestor=last[2]):
            return
        what = "is gone" if now is None else "has diverged"
        raise PreconditionError(
            f"the branch {self.branch} {what}: it does not contain what zave published last",
            where=self.at.url,
            details=f"zave published {last[2]}; the branch is now at {now or 'no commit'}",
            resolution="restore the branch; or, if it was rewritten on purpose, remove "
            f"{self.record}: zave then goes on from what is there",
        )

    def _refuse(self, plan: Writing) -> NoReturn:
        listed = [f"{each.path}: {each.found}" for each in plan.conflicts]
        more = len(listed) - _MOST_NAMED
        raise PreconditionError(
            f"{len(listed)} file{'s' if len(listed) > 1 else ''} in the repository would be overwritten "
            "that others have changed since zave wrote them",
            where=self.at.url,
            details="\n".join(listed[:_MOST_NAMED]) + (f"\nand {more} more" if more > 0 else ""),
            resolution="take the changes over into your templates (`zave init DIR`), or list the files in "
            f"{KEPT} at the top of the repository: zave then leaves them to you",
        )


@dataclass(frozen=True)
class _Local:
    repository: LocalRepository

    @property
    def bare(self) -> Path:
        return self.repository.path

    @property
    def url(self) -> str:
        return str(self.repository.path)

    @property
    def _ref(self) -> str:
        return f"refs/heads/{self.repository.branch}"

    def now(self) -> str | None:
        # without Git, which would be a process: a ref that was never packed is a file
        with suppress(OSError, ValueError):
            return _commit((self.bare / self._ref).read_text())
        if not (self.bare / "packed-refs").exists():
            return None
        return self.repository.git().tip(self.bare, self._ref)

    def bring(self, commit: str) -> None:
        """It is here."""

    def advance(self, text: bytes, *, parent: str | None) -> str | None:
        git = self.repository.git()
        make_bare(self.bare, branch=self.repository.branch)
        try:
            return git.commit(self.bare, text)
        except ToolFailedError:
            if self.now() != parent:
                return None
            raise


@dataclass(frozen=True)
class _Remote:
    repository: RemoteRepository

    @property
    def bare(self) -> Path:
        return self.repository.folder / _BARE

    @property
    def url(self) -> str:
        return self.repository.url

    def now(self) -> str | None:
        here, git = self.repository, self.repository.git()
        # before the first word with a server: an older one would take the user's hooks and helpers
        git.version()
        answer = git.tips(here.url, credentials=here.credentials)
        if answer.trouble is not None:
            refuse(answer, url=here.url, doing="read")
        tips = parse_tips(answer.output)
        if tips and here.branch not in tips:
            raise PreconditionError(
                f"the repository has no branch {here.branch}",
                where=here.url,
                details="it has " + ", ".join(sorted(tips)[:_MOST_NAMED]),
                resolution="make the branch, or name another one in gitops.branch",
            )
        return tips.get(here.branch)

    def bring(self, commit: str) -> None:
        here, git = self.repository, self.repository.git()
        make_bare(self.bare, branch=here.branch)
        refspec = f"+refs/heads/{here.branch}:refs/remotes/origin/{here.branch}"
        answer = git.fetch(self.bare, here.url, refspec=refspec, credentials=here.credentials)
        if answer.trouble is not None:
            refuse(answer, url=here.url, doing="read")

    def advance(self, text: bytes, *, parent: str | None) -> str | None:
        here, git = self.repository, self.repository.git()
        make_bare(self.bare, branch=here.branch)
        # the branch here is nobody's but zave's: what was never pushed in an earlier run may go
        commit = git.commit(self.bare, text, replace=True)
        refspec = f"{commit}:refs/heads/{here.branch}"
        answer = git.push(self.bare, here.url, refspec=refspec, credentials=here.credentials)
        if answer.trouble == "rejected":
            return None
        if answer.trouble is not None:
            refuse(answer, url=here.url, doing="pushed to")
        return commit


def refuse(answer: Answer, *, url: str, doing: str) -> NoReturn:
    """Why the server at `url` could not be `doing` ("read", "pushed to"), and what to do next."""
    trouble = "timed-out" if answer.timed_out else answer.trouble or "connection"
    brief, resolution, precondition = _REFUSALS[trouble]
    kind = PreconditionError if precondition else StepFailedError
    raise kind(
        f"the repository could not be {doing}: {brief}",
        where=url,
        details=answer.errors or None,
        resolution=resolution,
    )


_CREDENTIALS = (
    "https wants a token in the file that ZAVE_GIT_TOKEN_FILE names, ssh a key in the file that "
    "ZAVE_GIT_KEY names; either must be allowed to write. docs/bootstrap.md says how to make one"
)
# what to say: what happened, what to do, and whether it is there before anything is tried
_REFUSALS: Mapping[str, tuple[str, str, bool]] = {
    "login": ("the server refuses the credentials", _CREDENTIALS, True),
    "not-found": (
        "it is not there, or these credentials may not see it",
        f"correct gitops.repository, or make the repository; {_CREDENTIALS}",
        True,
    ),
    "host-key": (
        "the server's host key is not known, or has changed",
        "`ssh-keyscan HOST` shows the key that answers: compare its fingerprint with what the server's owner "
        "publishes, then add it to ~/.ssh/known_hosts (or the file that ZAVE_GIT_KNOWN_HOSTS names)",
        True,
    ),
    "certificate": (
        "its certificate is not one that this machine believes",
        "for a certificate authority of your own, name its file in ZAVE_GIT_CA_FILE",
        True,
    ),
    "redirect": (
        "the server sends zave elsewhere",
        "write the new address into gitops.repository: credentials are not taken to another one",
        True,
    ),
    "protected": (
        "the server does not let zave change this branch",
        "allow it for these credentials, or name another branch in gitops.branch",
        True,
    ),
    "rejected": ("the branch has moved on", "run the same command again", False),
    "connection": (
        "the server does not answer",
        "see whether it can be reached from here, then run the same command again",
        False,
    ),
    "timed-out": (
        "the server did not answer in time",
        "see whether it can be reached from here, then run the same command again",
        False,
    ),
}


def _whole(tree: Path, secrets: Secrets | None, instance: str) -> dict[str, bytes]:
    files = rendered(tree)
    return files if secrets is None else secrets(instance).added_to(files, instance)


def _commit(text: str) -> str:
    """A ref's content. Raises ValueError for anything but a commit."""
    commit = text.strip()
    if len(commit) != 40 or set(commit) - set("0123456789abcdef"):
        raise ValueError("not a commit")
    return commit


def _digest(files: Mapping[str, bytes]) -> str:
    ids = "".join(f"{path}\0{object_id(content)}\n" for path, content in sorted(files.items()))
    return hashlib.sha256(ids.encode()).hexdigest()


def _read_record(record: Path) -> dict[str, list[str]]:
    """Instance -> [url, branch, commit, digest]; what cannot be read saves no time and holds nothing up."""
    try:
        document = json.loads(record.read_bytes())
        return {
            str(instance): [str(part) for part in entry]
            for instance, entry in document.items()
            if isinstance(entry, list) and len(entry) == 4
        }
    except (OSError, ValueError, AttributeError):
        return {}
