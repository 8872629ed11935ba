"""Bringing machines into one cluster: tokens, artifacts, k3s started in the right order."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zave.errors import StepFailedError
from zave.k3s import configuration, guest, membership, upgrade
from zave.k3s.lab import Lab
from zave.k3s.reach import enter
from zave.k3s.release import BINARY, IMAGES
from zave.k3s.versions import check_step
from zave.ports.machines import Configuration, Machine, Release

_EVERY = 3.0
_NEEDED = 3
_IMAGES_FOLDER = "/var/lib/rancher/k3s/agent/images"


@dataclass(frozen=True)
class Wanted:
    """What machines are to run: a release, and k3s' own files on each (none: they are left as they are)."""

    release: Release
    configuration: Configuration

    def files(self, machine: Machine) -> Mapping[str, str]:
        """k3s' own files on one machine."""
        return self.configuration.get(machine.name, {})


@dataclass(frozen=True)
class _Found:
    """The machines as they are: `leader` is the server that the others join."""

    leader: Machine
    states: dict[str, guest.State]
    machines: Sequence[Machine]

    def fresh(self, role: str) -> list[Machine]:
        """Machines of a role without k3s, the leader left out."""
        return [m for m in self.machines if m.role == role and m != self.leader and not self.has(m)]

    def grown(self) -> list[Machine]:
        """Machines with k3s, the leader left out."""
        return [m for m in self.machines if m != self.leader and self.has(m)]

    def has(self, machine: Machine) -> bool:
        """Whether the machine has taken part in a cluster: k3s and a token."""
        state = self.states[machine.name]
        return state.release is not None and state.admitted


def join(lab: Lab, machines: Sequence[Machine], *, wanted: Wanted, snapshot: Path) -> None:
    """Bring `machines` into the cluster with what is `wanted`; see `zave.ports.machines.Machines.join`.

    `snapshot` is where the datastore is kept before anything is changed.
    """
    lab.together(machines, lambda machine: enter(lab, machine))
    found = _look(lab, machines)
    _check_releases(found, wanted.release)
    _lead(lab, found, wanted)
    tokens = guest.tokens(
        lab.order(found.leader, "reading the cluster's tokens", guest.READ_TOKENS), found.leader
    )
    # of the agents only: a server's token is its datastore's key
    agents = [machine for machine in found.grown() if machine.role == "worker"]
    lab.together(agents, lambda machine: _keep(lab, machine, tokens))
    upgrade.upgrade(
        lab,
        _present(lab, found, wanted),
        leader=found.leader,
        release=wanted.release,
        snapshot=snapshot,
        prepare=lambda machine: _prepare(lab, machine, wanted),
    )
    _forget_former(lab, found)
    servers = found.fresh("control-plane")
    if servers:
        _require_etcd(lab, found.leader)
    for machine in servers:
        # one by one: etcd takes one new member at a time
        _admit(lab, machine, found.leader, tokens=tokens, wanted=wanted)
    lab.together(
        found.fresh("worker"),
        lambda machine: _admit(lab, machine, found.leader, tokens=tokens, wanted=wanted),
    )
    # those that joined were waited for
    lab.together(found.grown(), lambda machine: await_running(lab, machine, wanted.release.version))
    # an agent's unit is active whether it was let in or not
    membership.await_nodes(lab, found.leader, machines)


def provide(lab: Lab, machine: Machine, release: Release) -> None:
    """Let the machine's next start be one of `release`: its pins, and the files that zave has."""
    if release.origin == "folder":
        wanted = [(BINARY, release.sha256, "/usr/local/bin/k3s")]
        if release.images_sha256 is not None:
            wanted.insert(0, (IMAGES, release.images_sha256, f"{_IMAGES_FOLDER}/{IMAGES}"))
        for name, digest, place in wanted:
            _copy(lab, machine, Path(str(release.location), name), digest=digest, place=place)
    told = guest.environment(release)
    lab.order(machine, f"pinning k3s {release.version}", guest.PUT_ENVIRONMENT, input=told)


def _prepare(lab: Lab, machine: Machine, wanted: Wanted) -> None:
    """Let the machine's next start be one of what is wanted."""
    provide(lab, machine, wanted.release)
    configuration.bring(lab, machine, wanted.files(machine))


def await_running(lab: Lab, machine: Machine, version: str) -> None:
    """Wait until the machine's k3s is active and has this version."""
    deadline = lab.now() + lab.limits.start
    told = False
    while True:
        answer = lab.ask(machine, guest.STATE)
        state = guest.state(answer.text) if answer.exit_code == 0 else guest.State(None, "", False)
        if state.running and state.release == version:
            return
        if lab.now() >= deadline:
            has = f"has k3s {state.release}, unit {state.unit or 'unknown'}"
            raise _not_in_time(lab, machine, f"k3s {version} did not run: it {has}")
        if state.unit in ("inactive", "failed"):
            # the path unit starts it when the token comes; a unit that somebody stopped, nobody does
            lab.ask(machine, guest.START)
        if not told:
            lab.tell(machine, f"k3s {version} is starting")
            told = True
        lab.pause(_EVERY)


def await_api(lab: Lab, leader: Machine) -> None:
    """Wait until the API server on `leader` says that it is ready."""
    deadline = lab.now() + lab.limits.start
    while lab.ask(leader, guest.READY).exit_code != 0:
        if lab.now() >= deadline:
            raise _not_in_time(lab, leader, "the API server did not become ready")
        lab.pause(_EVERY)


def _look(lab: Lab, machines: Sequence[Machine]) -> _Found:
    def one(machine: Machine) -> tuple[str, guest.State]:
        return machine.name, guest.state(lab.order(machine, "looking at k3s", guest.STATE))

    states = dict(lab.together(machines, one))
    servers = [machine for machine in machines if machine.role == "control-plane"]
    if not servers:
        raise StepFailedError(
            f"{lab.instance} has no control plane machine",
            resolution=f"zave up {lab.instance} makes it again",
        )
    # a first server that was made anew must join the others, not begin a second cluster
    leading = [s for s in servers if states[s.name].release is not None and states[s.name].admitted]
    return _Found((leading or servers)[0], states, machines)


def _check_releases(found: _Found, release: Release) -> None:
    """Refuse what cannot be done before anything is changed."""
    for machine in found.machines:
        present = found.states[machine.name].release
        if found.has(machine) and present is not None and present != release.version:
            check_step(present, release.version, machine=machine.name)


def _present(lab: Lab, found: _Found, wanted: Wanted) -> upgrade.Present:
    """The machines of the cluster with their releases, and those whose configuration is another."""
    there = [machine for machine in found.machines if found.has(machine)]
    names = lab.together(there, lambda machine: configuration.differing(lab, machine, wanted.files(machine)))
    outdated = [machine for machine, files in zip(there, names, strict=True) if files]
    return upgrade.Present({m: found.states[m.name].release for m in there}, outdated)


def _lead(lab: Lab, found: _Found, wanted: Wanted) -> None:
    """Have the leader run: with what is wanted if it is new, else with what it has."""
    leader, release = found.leader, wanted.release
    if not found.has(leader):
        _prepare(lab, leader, wanted)
        lab.tell(leader, "giving the first server its tokens")
        # made here, and known to the machine alone from then on
        made = f"{secrets.token_hex(32)}\n{secrets.token_hex(32)}\nend\n"
        lab.order(leader, "giving it its tokens", guest.FIRST_TOKENS, input=made.encode())
        await_running(lab, leader, release.version)
    else:
        await_running(lab, leader, found.states[leader.name].release or release.version)
    await_api(lab, leader)


def _require_etcd(lab: Lab, leader: Machine) -> None:
    """Let no server join one that keeps its data in SQLite.

    Restarted with `cluster-init` it has converted them to etcd (k3s documentation, "High Availability
    Embedded etcd", section "Existing single-node clusters", 2026-11).
    """
    answer = lab.ask(leader, guest.HAS_ETCD)
    if answer.exit_code == 1:
        raise StepFailedError(
            f"{leader.name} keeps its data in SQLite: no other server can join it",
            details=lab.last_words(leader) or None,
            where=f"{leader.name}: /etc/rancher/k3s/config.yaml",
            resolution="it must begin with `cluster-init: true` there, which converts them to etcd at k3s' "
            "next start: see why k3s does not have it (a file in config.yaml.d?), then run the same command "
            "again",
        )
    if answer.exit_code != 0:
        raise lab.failed(leader, "looking for etcd", answer)


def _keep(lab: Lab, machine: Machine, tokens: guest.Tokens) -> None:
    """See that a machine of the cluster has the cluster's token: the control plane may be another now."""
    if give(lab, machine, tokens) == "replaced":
        lab.tell(machine, "notice: it had the token of another cluster; it joins this one")


def _admit(lab: Lab, machine: Machine, leader: Machine, *, tokens: guest.Tokens, wanted: Wanted) -> None:
    """Let a machine join that has never run k3s."""
    version = wanted.release.version
    lab.tell(machine, f"joins the cluster with k3s {version}")
    _prepare(lab, machine, wanted)
    if machine.role == "control-plane":
        lab.order(machine, "telling it whom to join", guest.JOIN_SERVER, leader.address)
    give(lab, machine, tokens)
    await_running(lab, machine, version)


def give(lab: Lab, machine: Machine, tokens: guest.Tokens) -> str:
    """See that the machine has the token that lets it join; says whether it had another before."""
    given = _lines(machine, tokens)
    return lab.order(machine, "giving it the token", guest.PUT_TOKENS, input=given).strip()


def try_to_give(lab: Lab, machine: Machine, tokens: guest.Tokens) -> None:
    """The same for a machine that may be out of reach."""
    lab.ask(machine, guest.PUT_TOKENS, input=_lines(machine, tokens))


def _lines(machine: Machine, tokens: guest.Tokens) -> bytes:
    server = machine.role == "control-plane"
    lines = (tokens.server, tokens.plain_agent, "end") if server else (tokens.agent, "", "end")
    return "".join(f"{line}\n" for line in lines).encode()


def _forget_former(lab: Lab, found: _Found) -> None:
    """Let go of machines that went, or were made anew: their nodes, and what k3s knows the latter by."""
    fresh = {machine.name for role in ("control-plane", "worker") for machine in found.fresh(role)}
    nodes = upgrade.nodes_of(lab, found.leader)
    membership.forget_gone(lab, found.leader, found.machines, nodes)
    for node in nodes:
        if node.name in fresh:
            lab.tell(None, f"{node.name} was made anew: its former node is deleted")
            membership.delete_node(lab, found.leader, node.name)
    if found.has(found.leader):
        membership.forget_passwords(lab, found.leader, sorted(fresh))


def _copy(lab: Lab, machine: Machine, file: Path, *, digest: str, place: str) -> None:
    answer = lab.ask(machine, guest.HAS_ARTIFACT, file.name, digest, place)
    if answer.exit_code == 0:
        return
    if answer.exit_code != _NEEDED:
        raise lab.failed(machine, f"looking for {file.name}", answer)
    lab.tell(machine, f"copying {file.name}")
    host = lab.host(machine)
    answer = lab.ssh.run(host, guest.TAKE_ARTIFACT, file.name, digest, limit=lab.limits.copy, input=file)
    if answer.exit_code == 66:
        raise StepFailedError(
            f"{file.name} is not the file that was pinned",
            where=str(file),
            resolution=f"put the {file.name} of the pinned release there (k3s.lock has its digest)",
        )
    if answer.exit_code != 0:
        raise lab.failed(machine, f"copying {file.name}", answer)


def _not_in_time(lab: Lab, machine: Machine, what: str) -> StepFailedError:
    return StepFailedError(
        f"{machine.name}: {what} within {lab.limits.start:.0f} s",
        details=lab.last_words(machine) or None,
        where=f"{machine.name}: journalctl -u k3s",
        resolution="what its log says last is above; run the same command again to go on waiting",
    )
