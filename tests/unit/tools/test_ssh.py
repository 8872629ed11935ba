"""How ssh is called: only pinned keys, nothing of the user's configuration, nothing secret in arguments."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from zave.errors import InterruptedRunError
from zave.ports import Outcome, Request
from zave.tools.ssh import Host, Ssh, jump_of

HOST = Host("lab-worker-1", "10.17.3.21")


class Remote:
    """Stands in for the runner: writes what a machine would say, and keeps the requests."""

    def __init__(self, output: bytes = b"", errors: bytes = b"", **outcome: bool | int) -> None:
        self.output, self.errors = output, errors
        self.outcome = Outcome(**{"exit_code": 0, "seconds": 0.1, "start": 0, **outcome})  # type: ignore[arg-type]
        self.requests: list[Request] = []

    def run(self, request: Request, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        self.requests.append(request)
        assert request.errors is not None
        for file, said in ((request.log, self.output), (request.errors, self.errors)):
            with file.open("ab") as stream:
                stream.write(said)
        return self.outcome


def ssh_of(remote: Remote, folder: Path, **more: object) -> Ssh:
    fields = {"known_hosts": folder / "known hosts", "keys": (folder / "id.pub",), **more}
    return Ssh(runner=remote, folder=folder, log=folder / "ssh.log", **fields)  # type: ignore[arg-type]


def options(words: tuple[str, ...]) -> dict[str, str]:
    named = [words[i + 1] for i, word in enumerate(words[: words.index("--")]) if word == "-o"]
    return dict(option.split("=", 1) for option in named)


def test_only_pinned_keys_are_accepted_whoever_calls(tmp_path: Path) -> None:
    remote = Remote()
    ssh = ssh_of(remote, tmp_path)
    ssh.run(HOST, "true", limit=5)
    for words in (remote.requests[0].argv, ssh.shell(HOST, []), ssh.shell(HOST, ["ls"])):
        given = options(words)
        assert words[words.index("-F") + 1] == "/dev/null"
        assert given["StrictHostKeyChecking"] == "yes"
        assert given["UserKnownHostsFile"] == f'"{tmp_path}/known hosts"'
        assert given["GlobalKnownHostsFile"] == "/dev/null"
        # a server must not be able to add keys of its own
        assert given["UpdateHostKeys"] == "no"
        # pinned by name: an address may be leased to somebody else
        assert given["HostKeyAlias"] == "lab-worker-1"
    assert options(remote.requests[0].argv)["BatchMode"] == "yes"


def test_the_types_of_keys_are_limited_to_the_pinned_ones(tmp_path: Path) -> None:
    (tmp_path / "known hosts").write_text("lab-worker-1 ssh-rsa AAAA\nlab-worker-2 ssh-ed25519 AAAA\n")
    remote = Remote()
    ssh_of(remote, tmp_path).run(HOST, "true", limit=5)
    # of RSA keys only SHA-2 signatures
    assert options(remote.requests[0].argv)["HostKeyAlgorithms"] == "rsa-sha2-512,rsa-sha2-256"


def test_the_private_half_is_named_where_it_is_and_the_agent_asked_otherwise(tmp_path: Path) -> None:
    remote = Remote()
    ssh_of(remote, tmp_path).run(HOST, "true", limit=5)
    (tmp_path / "id").touch()
    ssh_of(remote, tmp_path).run(HOST, "true", limit=5)
    named = [request.argv[request.argv.index("-i") + 1] for request in remote.requests]
    assert named == [f"{tmp_path}/id.pub", f"{tmp_path}/id"]


def test_script_and_arguments_arrive_as_they_are(tmp_path: Path) -> None:
    remote = Remote()
    ssh_of(remote, tmp_path).run(HOST, "echo '$1'; exit 0", "a b", "$(reboot)", limit=5)
    words = remote.requests[0].argv
    assert words[words.index("--") + 1] == "zave@10.17.3.21"
    assert shlex.split(words[-1])[-4:] == ["echo '$1'; exit 0", "zave", "a b", "$(reboot)"]


def test_input_is_no_argument_and_output_never_a_file_here(tmp_path: Path) -> None:
    remote = Remote(output=b"K10secret")
    answer = ssh_of(remote, tmp_path).run(HOST, "cat", limit=5, input=b"another secret")
    assert answer.text == "K10secret"
    assert remote.requests[0].input == b"another secret"
    assert "another secret" not in " ".join(remote.requests[0].argv)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not remote.requests[0].log.exists()


def test_what_is_fetched_goes_into_the_named_file(tmp_path: Path) -> None:
    destination = tmp_path / "file"
    destination.write_bytes(b"header")
    ssh_of(Remote(output=b"data"), tmp_path).fetch(HOST, "cat", limit=5, destination=destination)
    assert destination.read_bytes() == b"headerdata"


def test_complaints_are_kept_without_what_a_terminal_would_act_on(tmp_path: Path) -> None:
    answer = ssh_of(Remote(errors=b"one\x1b]0;x\x07\r\ntwo\x1b[2J"), tmp_path).run(HOST, "x", limit=5)
    assert answer.errors == "one\ntwo"
    assert (tmp_path / "ssh.log").read_text() == "lab-worker-1: one\nlab-worker-1: two\n"


def test_of_a_flood_the_first_output_and_the_last_complaints_are_kept(tmp_path: Path) -> None:
    remote = Remote(output=b"first" + b"x" * 9_000_000, errors=b"x" * 100_000 + b"last")
    answer = ssh_of(remote, tmp_path).run(HOST, "x", limit=5)
    assert (answer.output[:5], answer.whole) == (b"first", False)
    assert answer.errors.endswith("last")
    assert len(answer.output) + len(answer.errors) < 9_000_000


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (b"Host key verification failed.\r\n", "host-key"),
        (b"Unable to negotiate with 10.0.0.1 port 22: no matching host key type found.\n", "host-key"),
        (b"zave@10.17.3.21: Permission denied (publickey).\r\n", "login"),
        (b"ssh: connect to host 10.17.3.21 port 22: Connection refused\r\n", "connection"),
        (b"", "connection"),
    ],
)
def test_why_there_was_no_connection_is_told_apart(tmp_path: Path, said: bytes, trouble: str) -> None:
    assert ssh_of(Remote(errors=said, exit_code=255), tmp_path).run(HOST, "x", limit=5).trouble == trouble
    # the same words of a command that ran are only its words
    assert ssh_of(Remote(errors=said, exit_code=1), tmp_path).run(HOST, "x", limit=5).trouble is None


def test_a_killed_ssh_is_a_lost_connection(tmp_path: Path) -> None:
    answer = ssh_of(Remote(exit_code=-2, timed_out=True), tmp_path).run(HOST, "x", limit=5)
    assert (answer.trouble, answer.timed_out) == ("connection", True)


def test_an_interruption_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        ssh_of(Remote(exit_code=-2, interrupted=True), tmp_path).run(HOST, "x", limit=5)


# behind another host


@pytest.mark.parametrize(
    ("uri", "jump"),
    [
        ("qemu:///system", None),
        ("qemu:///session", None),
        ("qemu+ssh://me@host.example.org/system", "me@host.example.org"),
        ("qemu+ssh://me@host:2222/system", "me@host:2222"),
        ("qemu+tls://host/system", None),
    ],
)
def test_machines_of_another_host_are_reached_through_it(uri: str, jump: str | None) -> None:
    assert jump_of(uri) == jump


def test_the_host_between_is_known_to_the_user_or_refused(tmp_path: Path) -> None:
    words = ssh_of(Remote(), tmp_path, jump="me@host.example.org:2222").shell(HOST, [])
    between = shlex.split(options(words)["ProxyCommand"])
    assert between[0] == "ssh"
    assert "StrictHostKeyChecking=yes" in between
    assert between[between.index("-p") + 1] == "2222"
    assert between[-4:] == ["-W", "[%h]:%p", "--", "me@host.example.org"]
