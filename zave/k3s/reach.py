"""Getting into a machine: its host keys from the console, then SSH, then the end of its first boot."""

from zave.errors import StepFailedError
from zave.k3s import guest
from zave.k3s.hostkeys import HostKey, announced_keys
from zave.k3s.lab import Lab
from zave.ports.machines import Machine


class FirstBootError(StepFailedError):
    """A machine's first boot failed, for good: cloud-init runs once. `machine` is its name."""

    machine = ""


# the machine tells its keys every 5 s until it was admitted
_LISTEN = 6.0
_EVERY = 3.0


def reach(lab: Lab, machine: Machine) -> guest.FirstBoot:
    """Wait until zave can work on the machine, whose host key is the one that its console tells.

    Returns how far its first boot is. Raises StepFailedError when it cannot in time, or when somebody
    else answers at its address.
    """
    deadline = lab.now() + lab.limits.boot
    if not lab.known.keys_of(machine.name):
        lab.tell(machine, "waiting for its host keys on the console")
        _pin(lab, machine, deadline=deadline)
    lab.tell(machine, "waiting for SSH")
    refused_since: float | None = None
    while True:
        answer = lab.ask(machine, guest.FIRST_BOOT)
        if answer.exit_code == 0:
            return guest.first_boot(answer.text)
        if answer.trouble is None:
            raise _cannot_sudo(lab, machine, answer.errors)
        if answer.trouble == "host-key":
            _follow_change(lab, machine, deadline=deadline)
            continue
        # the user is made early in the first boot, but sshd may be faster
        refused_since = (refused_since or lab.now()) if answer.trouble == "login" else None
        if refused_since is not None and lab.now() >= refused_since + lab.limits.login:
            raise _not_let_in(lab, machine, answer.errors)
        if lab.now() >= deadline:
            raise _no_answer(lab, machine, answer.errors)
        lab.pause(_EVERY)


def enter(lab: Lab, machine: Machine) -> None:
    """Reach the machine and wait for the end of cloud-init. Raises StepFailedError when that failed."""
    found = reach(lab, machine)
    deadline = lab.now() + lab.limits.first_boot
    if not found.finished:
        lab.tell(machine, "first boot: cloud-init is at work")
    while not found.finished:
        if lab.now() >= deadline:
            raise StepFailedError(
                f"{machine.name}: cloud-init did not end within {lab.limits.first_boot:.0f} s",
                details=lab.last_words(machine) or None,
                where=f"{machine.name} ({machine.address})",
                resolution="run the same command again: it goes on waiting; if it never ends, look at "
                "/var/log/cloud-init-output.log on the machine",
            )
        lab.pause(_EVERY)
        answer = lab.ask(machine, guest.FIRST_BOOT)
        # a connection may be lost while sshd is restarted by the scripts of the first boot
        found = guest.first_boot(answer.text) if answer.exit_code == 0 else found
    if found.problem is not None:
        failed = FirstBootError(
            f"{machine.name}: {found.problem}",
            details="\n".join(filter(None, (found.reasons, lab.last_words(machine)))) or None,
            where=f"{machine.name}: /run/cloud-init/result.json",
            resolution=f"`zave ssh {lab.instance} {machine.name}`, then /var/log/cloud-init-output.log, "
            "tells more. cloud-init runs once: delete this machine and its disk on the host, then zave up "
            f"{lab.instance} makes it anew",
        )
        failed.machine = machine.name
        raise failed


def _pin(lab: Lab, machine: Machine, *, deadline: float) -> tuple[HostKey, ...]:
    seconds = lab.limits.listen
    while True:
        keys = announced_keys(lab.console.console(machine.domain, seconds=seconds), machine.name)
        if keys:
            lab.known.pin(machine.name, keys)
            return keys
        if lab.now() >= deadline:
            raise StepFailedError(
                f"{machine.name} did not tell its SSH host keys on its console",
                where=f"serial console of {machine.domain}",
                details="zave talks to a machine only when its own console has told its host keys",
                resolution=f"look at it: zave console {lab.instance} {machine.name}. It tells them at each "
                f"boot: virsh reboot {machine.domain}, then run zave up again",
            )
        lab.pause(0.5)
        # its live output only, where the kept one cannot be read: long enough for the next time
        seconds = max(seconds, _LISTEN)


def _follow_change(lab: Lab, machine: Machine, *, deadline: float) -> None:
    """Another host key answers: pin what the console tells, if that is something new."""
    before = lab.known.keys_of(machine.name)
    lab.known.forget([machine.name])
    try:
        after = _pin(lab, machine, deadline=deadline)
    except BaseException:
        # what was trusted stays so: a machine is never unknown because somebody stood in for it
        lab.known.pin(machine.name, before)
        raise
    if set(after) & set(before):
        lab.known.pin(machine.name, before)
        raise StepFailedError(
            f"somebody else answers at the address of {machine.name}",
            details="its host key is not among those that the machine tells on its own console:\n"
            + "\n".join(f"{key.type} {key.fingerprint}" for key in before),
            where=f"{machine.name} ({machine.address})",
            resolution="nothing was sent there. Find who has that address in the network of the lab "
            "(virsh net-dhcp-leases), then run the same command again",
        )
    told = ", ".join(key.fingerprint for key in after)
    lab.tell(machine, f"notice: it was made anew and has other host keys, as its console tells: {told}")


def _cannot_sudo(lab: Lab, machine: Machine, said: str) -> StepFailedError:
    return StepFailedError(
        f"{machine.name}: {lab.ssh.user} may not act as root",
        details=said or None,
        where=f"{machine.name} ({machine.address})",
        resolution="the seed gives that right to the user zave; make the machine anew if it was taken away",
    )


def _not_let_in(lab: Lab, machine: Machine, said: str) -> StepFailedError:
    keys = ", ".join(str(key) for key in lab.ssh.keys)
    return StepFailedError(
        f"{machine.name} refuses the login of {lab.ssh.user}",
        details=said or None,
        where=f"{machine.name} ({machine.address})",
        resolution=f"the private half of one of {keys} must be beside it or in your agent (ssh-add -l); a "
        "key with a passphrase works through the agent only. Keys that were added to ssh.keys later are not "
        "on machines that exist already",
    )


def _no_answer(lab: Lab, machine: Machine, said: str) -> StepFailedError:
    through = f" through {lab.ssh.jump}" if lab.ssh.jump else ""
    return StepFailedError(
        f"{machine.name} did not answer SSH within {lab.limits.boot:.0f} s{through}",
        details=said or None,
        where=f"{machine.name} ({machine.address})",
        resolution=f"look at it: zave console {lab.instance} {machine.name}; then run the same command again",
    )
