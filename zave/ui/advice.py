"""What to do next, as it is told in a rehearsal: no hint leads out of it into a real account."""

import re

VERBS = frozenset(
    {
        "init",
        "doctor",
        "plan",
        "up",
        "demo",
        "status",
        "extend",
        "down",
        "reap",
        "adopt",
        "sweep",
        "drift",
        "parity",
        "cost",
        "savings",
        "prices",
        "account",
        "history",
        "logs",
        "secrets",
        "config",
        "kubeconfig",
        "push",
        "ssh",
        "console",
        "snapshot",
        "restore",
        "exec",
        "build-image",
        "schema",
        "rehearse",
    }
)
"""The verbs that an advice may name: those of `zave.cli.lazy`, which is above this."""

_COMMAND = re.compile(rf"\bzave (?=(?:{'|'.join(sorted(map(re.escape, VERBS)))})\b(?!-)(?! *--rehearse))")


def advice(text: str, *, rehearsal: bool) -> str:
    """`text` with its zave commands as they are to be typed; in a rehearsal they stay in it."""
    return _COMMAND.sub("zave --rehearse ", text) if rehearsal else text
