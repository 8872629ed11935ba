"""Options and arguments that several lifecycle verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from zave.cli.completion import complete_environments, complete_instances, complete_nodes

Environment = Annotated[
    str,
    typer.Argument(
        metavar="ENV", help="An environment or a named instance of one.", autocompletion=complete_environments
    ),
]
Instance = Annotated[
    str | None,
    typer.Argument(
        metavar="[ENV]",
        help="The instance; may be left out when only one is up.",
        autocompletion=complete_instances,
    ),
]
Lab = Annotated[
    str, typer.Argument(metavar="ENV", help="The home lab's instance.", autocompletion=complete_instances)
]
Node = Annotated[
    str,
    typer.Argument(
        metavar="NODE",
        help="A machine: worker-1, or control-plane where it is the only one.",
        autocompletion=complete_nodes,
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the instance; the environment's unless given."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
IfAny = Annotated[
    bool, typer.Option("--if-any", help="Where nothing stands, say so and end with 0: for pipelines.")
]
StepTimeout = Annotated[
    str | None,
    typer.Option("--step-timeout", metavar="TIME", help="Longest real time one program may take: 90s, 30m."),
]
Fault = Annotated[
    list[str] | None,
    typer.Option(
        "--fault", metavar="FAULT", help="Rehearsal: bad luck, e.g. 'fail create libvirt_domain once'."
    ),
]
FaultFile = Annotated[
    Path | None, typer.Option("--faults", metavar="FILE", help="Rehearsal: a file with one fault a line.")
]
Speed = Annotated[
    float | None,
    typer.Option(
        "--speed", metavar="N", help="Rehearsal: N virtual seconds a real second; 0 is as fast as it can."
    ),
]
