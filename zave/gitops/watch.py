"""Who is told what Flux does, and how waiting for it is stopped."""

from collections.abc import Callable
from dataclasses import dataclass

from zave.events import Emit, Level, Notice, ResourceAction, ResourceChanged, ResourceState
from zave.ports.flux import Holder, Reconciliation, Say


@dataclass(frozen=True)
class Watch:
    """Takes progress and events of `step`. `check` is called often, and may raise to stop the wait."""

    say: Say
    emit: Emit
    check: Callable[[], None] = lambda: None
    step: str = "gitops"

    def notice(self, level: Level, text: str, *, resolution: str | None = None) -> None:
        """Tell something that must stay readable."""
        self.emit(Notice(level, text, resolution, step=self.step))

    def changed(
        self,
        what: Holder | Reconciliation,
        action: ResourceAction,
        state: ResourceState,
        *,
        message: str | None = None,
    ) -> None:
        """Tell how one object gets on."""
        address = named(what)
        self.emit(
            ResourceChanged(self.step, address, type=what.kind, action=action, state=state, message=message)
        )


def named(what: Holder | Reconciliation) -> str:
    """As people name it: `Service istio-ingress/gateway`, `NodePool default`, `Kustomization apps`."""
    if not what.namespace or what.kind == "Kustomization":
        return f"{what.kind} {what.name}"
    return f"{what.kind} {what.namespace}/{what.name}"
