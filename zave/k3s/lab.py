"""The machines of one instance as a place to work in: connections, waiting, several at once."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import TypeVar

from zave.errors import InterruptedRunError, StepFailedError, ZaveError
from zave.k3s import guest
from zave.k3s.hostkeys import KnownHosts
from zave.ports import Clock
from zave.ports.machines import Console, Machine, Say
from zave.text import clean
from zave.tools.ssh import Answer, Host, Ssh

_AT_ONCE = 16
_LAST_WORDS = 4000
_REPEATS = 2
_EVERY = 3.0

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Seconds. `boot`: until a machine lets zave in; `login`: for its user to be made once it answers.

    `first_boot` is for cloud-init, which may bring a vendor's image up to date; `start` for k3s, which
    may have to be downloaded; `copy` for one file of the artifacts; `drain` for pods to leave a node;
    `command` for all that should take a moment; `listen` for the first look at a console.
    """

    boot: float = 900.0
    login: float = 30.0
    first_boot: float = 1800.0
    start: float = 900.0
    copy: float = 1800.0
    drain: float = 600.0
    command: float = 60.0
    listen: float = 1.0


@dataclass(frozen=True)
class Lab:
    """What the work on the machines shares; one for each call, as `stop` ends it for good."""

    instance: str
    ssh: Ssh
    known: KnownHosts
    console: Console
    clock: Clock
    limits: Limits
    port: int
    say: Say = lambda _text, _fraction: None
    stop: threading.Event = field(default_factory=threading.Event)
    _speaking: threading.Lock = field(default_factory=threading.Lock)

    def telling(self, say: Say) -> "Lab":
        """The same place for one piece of work, which tells `say` of its progress."""
        return replace(self, say=say, stop=threading.Event())

    def host(self, machine: Machine) -> Host:
        """Where ssh finds the machine, and under which name its keys are pinned."""
        return Host(machine.name, machine.address, self.port)

    def tell(self, machine: Machine | None, text: str) -> None:
        """Say what happens, with the machine's name; from any thread."""
        with self._speaking:
            self.say(f"{machine.name}: {text}" if machine else text, None)

    def now(self) -> float:
        """The clock's time, in seconds."""
        return self.clock.now().timestamp()

    def pause(self, seconds: float) -> None:
        """Wait, unless the work was stopped because another machine failed."""
        if self.stop.is_set():
            raise InterruptedRunError("stopped, because another machine failed")
        self.clock.sleep(seconds)

    def ask(
        self,
        machine: Machine,
        script: str,
        *arguments: str,
        limit: float | None = None,
        input: bytes | None = None,  # noqa: A002 - what it is called where it goes
    ) -> Answer:
        """Run a script on the machine, whatever it gives. For what may fail."""
        within = self.limits.command if limit is None else limit
        return self.ssh.run(self.host(machine), script, *arguments, limit=within, input=input)

    def order(
        self,
        machine: Machine,
        what: str,
        script: str,
        *arguments: str,
        limit: float | None = None,
        input: bytes | None = None,  # noqa: A002
    ) -> str:
        """Run a script that must work, again when the connection is lost: all of them may be repeated.

        Raises StepFailedError: `what` could not be done, and why.
        """
        answer = self.ask(machine, script, *arguments, limit=limit, input=input)
        for _ in range(_REPEATS):
            if answer.trouble != "connection" or answer.timed_out:
                break
            self.pause(_EVERY)
            answer = self.ask(machine, script, *arguments, limit=limit, input=input)
        if answer.exit_code != 0:
            raise self.failed(machine, what, answer)
        return answer.text

    def failed(self, machine: Machine, what: str, answer: Answer) -> StepFailedError:
        """The error for a command on the machine that ended as it should not."""
        why = "the connection was lost" if answer.trouble else f"exit code {answer.exit_code}"
        if answer.timed_out:
            why = "it did not end in time"
        return StepFailedError(
            f"{machine.name}: {what} failed: {why}",
            details=answer.errors[-_LAST_WORDS:] or None,
            where=f"{machine.name} ({machine.address})",
            resolution=f"run the same command again; `zave ssh {self.instance} {machine.name}` looks inside",
        )

    def last_words(self, machine: Machine) -> str:
        """What the machine's logs end with, for an error; nothing when it cannot be asked."""
        answer = self.ask(machine, guest.LAST_WORDS, limit=20)
        return clean(answer.text)[-_LAST_WORDS:].strip()

    def first_answer(
        self, machines: Sequence[Machine], script: str, read: Callable[[Answer], T], *, limit: float
    ) -> tuple[Machine, T] | None:
        """The machine that answers first, with what `read` makes of it; None when none does.

        All are asked side by side: one that is off would cost the time of those that are not. An answer
        that `read` raises ValueError for is none. Machines that zave was never in are left out.
        """
        # without a pinned key nobody is spoken to
        known = [machine for machine in machines if self.known.keys_of(machine.name)]
        answers: SimpleQueue[tuple[Machine, T] | None] = SimpleQueue()

        def one(machine: Machine) -> None:
            found = None
            try:
                answer = self.ask(machine, script, limit=limit)
                if answer.exit_code == 0 and answer.whole:
                    found = machine, read(answer)
            except (ZaveError, ValueError):
                pass
            finally:
                answers.put(found)

        for machine in known:
            # left behind when another was faster: a command must not wait for one that is off
            threading.Thread(target=one, args=(machine,), daemon=True).start()
        given = (answers.get() for _ in known)
        return next((each for each in given if each is not None), None)

    def together(self, machines: Sequence[Machine], action: Callable[[Machine], T]) -> list[T]:
        """Do something on all machines at once; the first failure stops the others and is raised."""

        def one(machine: Machine) -> T:
            try:
                return action(machine)
            except BaseException:
                self.stop.set()
                raise

        if not machines:
            return []
        with ThreadPoolExecutor(min(_AT_ONCE, len(machines))) as pool:
            futures = [pool.submit(one, machine) for machine in machines]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            # those that were only stopped say less than the one that failed
            raise min(errors, key=lambda error: (isinstance(error, InterruptedRunError), _rank(error)))
        return [future.result() for future in futures]


def _rank(error: BaseException) -> int:
    return 0 if isinstance(error, ZaveError) else -1
