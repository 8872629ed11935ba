"""Stands in for the program `flux`: commits and pushes with real Git as it does, and installs nothing.

Its options, environment and order are those of fluxcd/flux2, cmd/flux/bootstrap_git.go. A file `mode` beside
it makes it misbehave; what it was told is kept in `told.jsonl`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = "2.9.4"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(words: list[str]) -> int:
    mode = (HERE / "mode").read_text().strip() if (HERE / "mode").exists() else ""
    if words == ["--version"]:
        say("flux version " + {"old": "2.8.1", "odd": "of my own"}.get(mode, VERSION))
        return 0
    with (HERE / "told.jsonl").open("a") as told:
        told.write(
            json.dumps({"words": words, "variables": sorted(os.environ), "seen": command_lines()}) + "\n"
        )
    if mode == "hang":
        say("► confirming components are healthy")
        time.sleep(3600)
    if words[:2] not in (["bootstrap", "git"], ["bootstrap", "github"], ["bootstrap", "gitlab"]):
        return 2
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words[2:])
    if not Path(os.environ["KUBECONFIG"]).is_file():
        say("✗ no kubeconfig")
        return 1
    if mode == "fail":
        say(f"✗ install failed, password {os.environ.get('GIT_PASSWORD')} \x1b[31mdenied")
        return 1
    if words[1] == "git":
        _push(options)
    say("✔ all components are healthy")
    return 0


def _push(options: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name, "clone")
        say(f'► cloning branch "{options["branch"]}" from Git repository "{options["url"]}"')
        _git("clone", "-q", "-b", options["branch"], options["url"], work, options=options)
        place = work / options["path"] / "flux-system"
        place.mkdir(parents=True, exist_ok=True)
        place.joinpath("gotk-components.yaml").write_text(f"# Flux {VERSION}\n")
        place.joinpath("gotk-sync.yaml").write_text(f"# {options['url']} {options['secret-name']}\n")
        _git("-C", work, "add", "-A", options=options)
        changed = subprocess.run(["git", "-C", work, "diff", "--cached", "--quiet"], check=False).returncode
        if changed:
            who = ["-c", f"user.name={options['author-name']}", "-c", f"user.email={options['author-email']}"]
            _git("-C", work, *who, "commit", "-q", "-m", "Add Flux sync manifests", options=options)
            _git("-C", work, "push", "-q", "origin", options["branch"], options=options)
        say("✔ reconciled sync configuration")


def _git(*words: object, options: dict[str, str]) -> None:
    helper = '!f() { echo username=git; echo "password=$GIT_PASSWORD"; }; f'
    hosts = os.environ.get("SSH_KNOWN_HOSTS", "/dev/null")
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": f"ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes "
        f"-o UserKnownHostsFile={hosts}",
    }
    settings = ["-c", f"credential.helper={helper}", "-c", f"http.sslCAInfo={options.get('ca-file', '')}"]
    subprocess.run(["git", *settings, *map(str, words)], env=environment, check=True)


def command_lines() -> str:
    """Every command line that runs now. Here once more, as this file runs alone, as the program `flux`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue  # not a process, or no longer one
    return "\n".join(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
