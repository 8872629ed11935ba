"""The machines of one instance over SSH: what `zave.ports.machines.Machines` promises, for real."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from zave.clock import rfc3339
from zave.errors import PreconditionError, StepFailedError, ZaveError
from zave.k3s import datastore, guest, joining, leaving, membership, snapshot_file, upgrade
from zave.k3s.hostkeys import KnownHosts
from zave.k3s.lab import Lab, Limits
from zave.k3s.reach import reach
from zave.ports import Clock, Runner
from zave.ports.machines import Configuration, Console, Machine, MachineState, Release, Say
from zave.tools.ssh import Answer, Ssh, jump_of

T = TypeVar("T")

# seconds to connect, and for all of it: an emulated machine that works takes longer than a healthy one, and
# must not be taken for lost. Whoever has less time (`status`) asks beside other things and goes on
_LOOK_PATIENCE = 8
_LOOK_SECONDS = 15.0
# for kubectl on a machine without KVM
_READY_SECONDS = 20.0


@dataclass(frozen=True)
class Access:
    """How zave gets into an instance's machines.

    `keys` are the files of public keys that `ssh.keys` names; `uri` is the libvirt host, through which
    the machines are reached when it is another one. The seed makes `user`; sshd listens on `port`.
    """

    runner: Runner
    keys: Sequence[Path]
    uri: str = "qemu:///system"
    user: str = "zave"
    port: int = 22


class SshMachines:
    """Implements `zave.ports.machines.Machines` for one instance, whose folder is `folder`."""

    def __init__(
        self,
        *,
        instance: str,
        folder: Path,
        access: Access,
        console: Console,
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        known = KnownHosts(folder / "known_hosts")
        self._folder = folder
        self._lab = Lab(
            instance=instance,
            ssh=Ssh(
                runner=access.runner,
                folder=folder,
                known_hosts=known.file,
                log=folder / "ssh.log",
                keys=tuple(access.keys),
                user=access.user,
                jump=jump_of(access.uri),
            ),
            known=known,
            console=console,
            clock=clock,
            limits=limits or Limits(),
            port=access.port,
        )

    def join(
        self,
        machines: Sequence[Machine],
        *,
        release: Release,
        say: Say,
        configuration: Configuration | None = None,
    ) -> None:
        """Bring every machine into the cluster, running exactly `release` with exactly `configuration`."""
        name = f"before-{release.version}-{_stamp(self._lab)}.snapshot"
        snapshot = _unused(self._folder / "snapshots" / name)
        wanted = joining.Wanted(release, configuration or {})
        joining.join(self._lab.telling(say), machines, wanted=wanted, snapshot=snapshot)

    def leave(self, going: Sequence[Machine], staying: Sequence[Machine], *, say: Say) -> None:
        """Have the pods leave workers that are about to go; tells where they cannot."""
        leaving.leave(self._lab.telling(say), going, staying)

    def look(self, machines: Sequence[Machine]) -> Sequence[MachineState]:
        """Ask all of them at once; takes 15 s at most, whatever their state."""
        lab = self._lab.telling(_silent)
        hasty = replace(lab, ssh=replace(lab.ssh, patience=_LOOK_PATIENCE))
        return hasty.together(machines, lambda machine: _look(hasty, machine))

    def snapshot(self, machines: Sequence[Machine], destination: Path) -> None:
        """Copy the cluster's datastore into the new file `destination`, mode 0600."""
        lab = self._lab.telling(_silent)
        servers = _servers(lab, machines)
        asked = lab.first_answer(servers, guest.READY, lambda answer: answer.exit_code, limit=_READY_SECONDS)
        leader = asked[0] if asked is not None else servers[0]
        reach(lab, leader)
        datastore.save(lab, leader, destination)

    def is_of_former(self, machines: Sequence[Machine], source: Path) -> bool:
        """Whether a snapshot is of an earlier control plane of this instance, which it can bring back."""
        lab = self._lab.telling(_silent)
        # before anything is asked for that takes time
        snapshot_file.read_header(source)
        leader = _servers(lab, machines)[0]
        reach(lab, leader)
        return datastore.check(lab, leader, source)[1]

    def restore(
        self, machines: Sequence[Machine], source: Path, *, say: Say, take_over: bool = False
    ) -> None:
        """Put the datastore of a snapshot back.

        The present one is kept as a snapshot first, if it still can be: it may be what is broken. On the
        machines it is kept in any case, and told where.
        """
        lab = self._lab.telling(say)
        servers = _servers(lab, machines)
        snapshot_file.read_header(source)
        lab.together(servers, lambda machine: reach(lab, machine))
        header, another = datastore.check(lab, servers[0], source)
        if another and not take_over:
            raise PreconditionError(
                f"{source.name} is of an earlier control plane of {lab.instance}",
                where=str(source),
                resolution="agree to that it takes over from the one that runs now: zave restore asks",
            )
        stamp = _stamp(lab)
        self._keep_present(lab, servers[0], stamp)
        restore = datastore.Restore(source, header, stamp, takes_over=another)
        datastore.put_back(lab, servers, restore)
        names = ", ".join(server.name for server in servers)
        lab.tell(None, f"the former data stays in {datastore.former(stamp)} on {names}")
        _start_again(lab, servers, machines, header.release)
        _follow(lab, servers[0], machines)

    def shell(self, machine: Machine, command: Sequence[str]) -> Sequence[str]:
        """The argument list that opens a shell on the machine, or runs `command` there."""
        return self._lab.ssh.shell(self._lab.host(machine), command)

    def forget(self, machines: Sequence[Machine]) -> None:
        """Drop the pinned host keys of machines that are gone."""
        self._lab.known.forget([machine.name for machine in machines])

    # for the cluster of these machines

    def first_answer(
        self, machines: Sequence[Machine], script: str, read: Callable[[Answer], T], *, limit: float
    ) -> tuple[Machine, T] | None:
        """The machine that answers a script first, and what `read` makes of it; see `Lab.first_answer`."""
        return self._lab.first_answer(machines, script, read, limit=limit)

    def ask(self, machine: Machine, script: str, *, limit: float) -> Answer:
        """What a script gives that runs as root on the machine; it takes `limit` seconds at most."""
        return self._lab.ask(machine, script, limit=limit)

    def _keep_present(self, lab: Lab, leader: Machine, stamp: str) -> None:
        kept = _unused(self._folder / "snapshots" / f"before-restore-{stamp}.snapshot")
        lab.tell(leader, f"keeping the present data in {kept}")
        try:
            datastore.save(lab, leader, kept)
        except StepFailedError as error:
            # a broken datastore is what a restore is for
            said = (error.details or "").strip().splitlines()[-1:]
            lab.tell(None, f"warning: no snapshot of the present data: {': '.join([error.brief, *said])}")
            lab.tell(leader, f"going on without; the data itself is kept there, in {datastore.former(stamp)}")


def _stamp(lab: Lab) -> str:
    return rfc3339(lab.clock.now()).replace(":", "").replace("-", "").partition(".")[0]


def _unused(path: Path) -> Path:
    """`path`, or the first of `NAME-2`, `NAME-3`... that is not there: two may be made in one second."""
    others = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], others) if not each.exists())


def _silent(_text: str, _fraction: float | None) -> None:
    """Tell nobody."""


def _look(lab: Lab, machine: Machine) -> MachineState:
    if not lab.known.keys_of(machine.name):
        return MachineState(machine.name, problem="zave was never in it: its host key is not known")
    try:
        answer = lab.ask(machine, guest.STATE, limit=_LOOK_SECONDS)
    except ZaveError as error:
        return MachineState(machine.name, problem=error.brief)
    if answer.exit_code != 0:
        return MachineState(machine.name, problem=_problem(answer.trouble, answer.errors))
    found = guest.state(answer.text)
    return MachineState(machine.name, release=found.release, running=found.running)


def _servers(lab: Lab, machines: Sequence[Machine]) -> list[Machine]:
    servers = [machine for machine in machines if machine.role == "control-plane"]
    if not servers:
        raise StepFailedError(
            f"{lab.instance} has no control plane machine",
            resolution=f"zave up {lab.instance} makes it again",
        )
    return servers


def _start_again(lab: Lab, servers: Sequence[Machine], machines: Sequence[Machine], release: str) -> None:
    """Have the servers run, the one that leads first: the others and the agents get tokens of its cluster."""

    def runs(server: Machine) -> None:
        found = guest.state(lab.order(server, "looking at k3s", guest.STATE))
        joining.await_running(lab, server, found.release or release)

    leader, others = servers[0], servers[1:]
    runs(leader)
    joining.await_api(lab, leader)
    tokens = guest.tokens(lab.order(leader, "reading the cluster's tokens", guest.READ_TOKENS), leader)
    for server in others:
        joining.give(lab, server, tokens)
        runs(server)
    for machine in machines:
        if machine.role == "worker":
            # one that cannot be reached is missed when its node is waited for
            joining.try_to_give(lab, machine, tokens)


def _follow(lab: Lab, leader: Machine, machines: Sequence[Machine]) -> None:
    """Have every machine take part in the cluster as the restored data has it.

    What came after the snapshot is unknown to the data: nodes that went, passwords of machines that were
    made anew. A kubelet that goes on watches from a revision that is still to come, and is told nothing
    (kubernetes/kubernetes issue 131115, 2025-03): the agents are started again.
    """
    nodes = upgrade.nodes_of(lab, leader)
    membership.forget_gone(lab, leader, machines, nodes)
    membership.forget_passwords(lab, leader, [machine.name for machine in machines])
    workers = [machine for machine in machines if machine.role == "worker"]

    def restart(machine: Machine) -> None:
        lab.tell(machine, "restarting k3s: its kubelet knows what came after the snapshot")
        answer = lab.ask(machine, guest.RESTART)
        if answer.exit_code != 0:
            # the nodes are waited for: then it is an error
            why = _problem(answer.trouble, answer.errors)
            lab.tell(machine, f"warning: k3s there was not restarted: {why}")

    lab.together(workers, restart)
    names = {machine.name for machine in workers}
    heartbeats = {node.name: node.heartbeat for node in nodes if node.name in names}
    membership.await_nodes(lab, leader, machines, since=heartbeats)


def _problem(trouble: str | None, said: str) -> str:
    last = said.splitlines()[-1][:200] if said else ""
    if trouble == "host-key":
        return "another host key answers at its address: it was made anew, or is somebody else"
    if trouble == "login":
        return f"it refuses the login: {last}"
    return last or "it does not answer"
