"""Step `gitops`: hand the cluster to Flux with the instance's tree, and wait until it agrees."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zave.engine.step import Probe, StepRun
from zave.errors import PreconditionError, UnreachableError
from zave.gitops.publication import Publication
from zave.gitops.teardown import Outside, Teardown
from zave.gitops.waiting import Waiting, revisions
from zave.gitops.watch import Watch
from zave.ports import Clock
from zave.ports.flux import Flux

_NO_WAY_IN = "there is no way into this cluster's Flux"


@dataclass(frozen=True)
class GitOps:
    """Bootstraps Flux; from then on Git decides. Takes the cluster back before anything is destroyed.

    `flux` is None where there is no way into the cluster: then nothing can be handed over or taken back.
    `outside` tells what the platform still shows of what the cluster made. `limit` is in seconds of the
    world's time.
    """

    flux: Flux | None
    publication: Publication
    outside: Outside
    clock: Clock
    limit: float
    name: str = "gitops"
    needs: tuple[str, ...] = ("kubeconfig",)

    def fingerprint(self) -> str:
        """Covers the whole rendered tree, and the secrets that go with it."""
        return self.publication.digest()

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """Every Kustomization is there and ready, and so is every HelmRelease."""
        if self.flux is None:
            return Probe(False, _NO_WAY_IN)
        try:
            states = self.flux.reconciliations(instance=self._instance)
        except UnreachableError as error:
            return Probe(False, error.brief)
        there = {each.name for each in states if each.kind == "Kustomization"}
        for name in self.publication.tree.names:
            if name not in there:
                return Probe(False, f"Kustomization {name} is not there")
        for each in states:
            if not each.ready:
                return Probe(False, f"{each.kind} {each.name}: {each.message}")
        return Probe(True)

    def do(self, run: StepRun) -> dict[str, Any]:
        """Publish, bootstrap, and wait for every Kustomization and HelmRelease."""
        if self.flux is None:
            raise PreconditionError(_NO_WAY_IN, where="gitops.profile")
        source = self.publication.make()
        before = revisions(self.flux, instance=self._instance)
        run.say(f"handing the cluster to Flux: {source.path} of {source.url}, branch {source.branch}")
        self.flux.bootstrap(instance=self._instance, source=source, say=run.say)
        Waiting(
            flux=self.flux,
            instance=self._instance,
            source=source,
            before=before,
            clock=self.clock,
            watch=self._watch(run),
            limit=self.limit,
        ).until_ready()
        return {
            "kustomizations": list(source.names),
            "digest": self.publication.tree.digest,
            "url": source.url,
            "branch": source.branch,
            "revision": source.revision,
        }

    def undo(self, run: StepRun) -> None:
        """Take Flux and what it owns outside the cluster away, before Terraform destroys."""
        if self.flux is None:
            self._watch(run).notice(
                "warning", f"{_NO_WAY_IN}: what the cluster made is deleted without its help"
            )
            return
        Teardown(
            flux=self.flux,
            instance=self._instance,
            outside=self.outside,
            clock=self.clock,
            watch=self._watch(run),
            force=run.force,
        ).run()

    @property
    def _instance(self) -> str:
        return self.publication.tree.instance

    def _watch(self, run: StepRun) -> Watch:
        return Watch(say=run.say, emit=run.emit, check=run.check, step=self.name)
