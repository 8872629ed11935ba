"""Step `infra`: what Terraform makes, and what a crash may have left between its state and the world."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.engine.execute import CUT_OFF
from zave.engine.step import Probe, StepRun, digest
from zave.errors import TerraformStateError
from zave.events import Emit, Event, Notice, ResourceChanged, ResourceState
from zave.render import write_tfvars
from zave.state.records import ResourceRecord
from zave.steps.adoption import Adoption
from zave.steps.render import RootTemplate
from zave.steps.site import Site
from zave.tools.terraform import Plan, Terraform
from zave.tools.terraform_json import DoubtedApplyError, TerraformEvent
from zave.tools.terraform_state import StateGuard, StateSeal

if TYPE_CHECKING:
    from zave.aws.cluster_made import ClusterFirst

SEAL = "terraform.seal"
# stands from before Terraform writes until what it wrote was verified
_WRITING = "terraform.writing"
VARIABLES = "zave.auto.tfvars.json"
Variables = Callable[[Mapping[str, Mapping[str, Any]]], dict[str, Any]]


def guard_of(site: Site) -> StateGuard:
    """The guard over the instance's Terraform state, wherever the root's backend keeps it."""
    copies, cloud = site.folder.terraform_copies, site.tools.cloud
    if cloud is None or site.backend_override is not None:
        return StateGuard(root=site.state_folder, copies=copies)
    from zave.aws.state_guard import BucketGuard

    working = site.folder.terraform
    return BucketGuard(site.state_folder, copies, cloud=cloud, instance=site.instance, working=working)


def seal_of(site: Site) -> StateSeal | None:
    """What the record says of the last state that was verified after an apply or a destroy."""
    seal = site.store.fact(site.instance, SEAL)
    return None if seal is None else StateSeal(**seal)


def require_state(site: Site, *, cut_off: bool, emit: Emit) -> None:
    """Let nobody work on a Terraform state that does not follow the record.

    After a run that was `cut_off`, or whose Terraform died under it, damage that a crash explains is
    repaired, and told. Raises TerraformStateError for everything else.
    """
    recovery = guard_of(site).require(seal_of(site), interrupted=cut_off or _is_unsealed(site))
    if recovery is not None:
        emit(Notice("warning", recovery.describe(), step="infra"))


def copy_state(site: Site, root: Path, *, copies: Path) -> None:
    """Put Terraform's state into `root` as `require_state` would leave it, and change nothing elsewhere.

    `copies` is a folder for what it may be repaired from. Raises TerraformStateError as that would.
    """
    record = site.store.steps(site.instance).get("infra")
    interrupted = (record is not None and record.state in CUT_OFF) or _is_unsealed(site)
    guard_of(site).copied_to(root, copies).require(seal_of(site), interrupted=interrupted)


def _is_unsealed(site: Site) -> bool:
    return site.store.fact(site.instance, _WRITING) is not None


@dataclass(frozen=True)
class _Ahead:
    """A plan that is being made before its step's turn, and what it told meanwhile."""

    plan: Future[Plan]
    told: list[Event]


@dataclass(frozen=True)
class Infra:
    """Plans, records, applies; destroys.

    `variables` makes Terraform's input from earlier outputs. `inputs` is what that follows from, asked
    only when the step is planned. `meanwhile` is what else can be made while Terraform is at work, and
    must be right before anything is created; `planned` is shown each plan before it is applied. `ready`
    raises where the platform cannot be worked on: to Terraform its things would then look deleted.
    `one_at_a_time` says of a plan that its changes must not be made side by side.
    `cluster_first` is for a platform where a cluster makes things outside of itself.
    """

    site: Site
    root: RootTemplate
    variables: Variables
    inputs: Callable[[], Mapping[str, Any]]
    meanwhile: Callable[[], object] | None = None
    ready: Callable[[], object] | None = None
    planned: Callable[[Plan, StepRun], None] | None = None
    one_at_a_time: Callable[[Plan], bool] | None = None
    cluster_first: "ClusterFirst | None" = None
    name: str = "infra"
    needs: tuple[str, ...] = ("render", "image")
    _ahead: list[_Ahead] = field(default_factory=list, init=False, repr=False)

    def fingerprint(self) -> str:
        """Covers the spec's values, the rendered root and the engine's version."""
        version = self.site.tools.terraform.version
        return digest([dict(self.inputs()), self.root.digest(self.site.project), version])

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """Everything that the record says Terraform made is in the live inventory, and runs."""
        inventory = self.site.tools.inventory
        present = {(item.type, item.name): item for item in inventory.items()}
        for record in self.site.store.resources(self.site.instance):
            if record.state != "present" or record.type not in inventory.types:
                continue
            item = present.get((record.type, record.name))
            if item is None:
                return Probe(False, f"{record.type} {record.name} is gone")
            if item.state != "present":
                return Probe(False, f"{record.type} {record.name} is {item.state}")
        return Probe(True)

    def do(self, run: StepRun) -> dict[str, Any]:
        """Apply the root, adopting what an earlier, cut-off run made and Terraform's state lacks."""
        self._require_ready()
        told: list[Mapping[str, Any]] = []
        terraform = self._terraform(run, told)
        plan = Adoption(self.site, terraform, run).of(self._first_plan(run, terraform))
        if self.planned is not None and plan.has_changes:
            self.planned(plan, run)
        if plan.has_changes:
            # recorded before apply: whatever happens next, the record knows these names
            self.site.store.intend_resources(self.site.instance, self._intended(plan), run.run_id)
            run.check()
            told.clear()  # a plan tells which outputs there are, but not their values
            try:
                self._apply(terraform, plan, run)
            except DoubtedApplyError as error:
                self._require_nothing_left(terraform, run, error)
                told.clear()
        else:
            told.clear()
            self._take_stock()
        terraform.write_imports([])
        # an apply has told its outputs; asking again would start Terraform once more
        return dict(told[-1]) if told else terraform.outputs()

    @contextmanager
    def planning_ahead(self, run: StepRun) -> Iterator[None]:
        """Plan beside the body, which waits for a cloud: a plan creates nothing and costs nothing.

        `run` is that of the step whose body it is. What comes of the plan, a failure as well, is this
        step's. Where an earlier run was cut off nothing is done before its turn.
        """
        record = self.site.store.steps(self.site.instance).get(self.name)
        if record is not None and record.state in CUT_OFF:
            yield
            return
        told: list[Event] = []
        log = self.site.folder.run_log(run.run_id, self.name)
        own = dataclasses.replace(run, step=self.name, log=log, emit=told.append, cut_off=False)
        with ThreadPoolExecutor(1, thread_name_prefix="plan") as beside:
            self._ahead.append(_Ahead(beside.submit(self._plan, own, self._terraform(own, [])), told))
            yield

    def _first_plan(self, run: StepRun, terraform: Terraform) -> Plan:
        if not self._ahead:
            return self._plan(run, terraform)
        ahead = self._ahead.pop()
        for event in ahead.told:
            run.emit(event)
        return ahead.plan.result()

    def _plan(self, run: StepRun, terraform: Terraform) -> Plan:
        require_state(self.site, cut_off=run.cut_off, emit=run.emit)
        terraform.write_imports([])
        run.say("terraform init")
        with ThreadPoolExecutor(1, thread_name_prefix="beside") as beside:
            installed = beside.submit(terraform.init)
            # init needs no values: first-boot files are rendered while Terraform is at work
            write_tfvars(self.site.folder.terraform / VARIABLES, self.variables(run.outputs))
            installed.result()
            made = beside.submit(self.meanwhile) if self.meanwhile is not None else None
            run.say("terraform plan")
            plan = terraform.plan()
            if made is not None:
                made.result()
        return plan

    def undo(self, run: StepRun) -> None:
        """Destroy what Terraform's state holds. Leftovers are the sweep's business."""
        require_state(self.site, cut_off=run.cut_off, emit=run.emit)
        if not (self.site.folder.terraform / VARIABLES).exists():
            return  # Terraform never ran: nothing of this step's can exist
        self.root.write(self.site.project, self.site.folder.terraform)
        terraform = self._terraform(run, [])
        terraform.write_imports([])
        if not guard_of(self.site).resources():
            return
        self._require_ready()
        run.say("terraform init")
        terraform.init()
        if self.cluster_first is not None and self.cluster_first.needed():
            run.say("the cluster goes first, as things that it made still stand")
            self._destroy(terraform, run, targets=self.cluster_first.targets)
            self.cluster_first.clear(say=run.say, beat=run.check)
        self._destroy(terraform, run)

    def _destroy(self, terraform: Terraform, run: StepRun, *, targets: Sequence[str] = ()) -> None:
        plan = terraform.plan(destroy=True, targets=targets)
        run.check()
        if plan.has_changes:
            self._apply(terraform, plan, run)
        else:
            self._take_stock()

    def _require_ready(self) -> None:
        if self.ready is not None:
            self.ready()

    def _terraform(self, run: StepRun, told: list[Mapping[str, Any]]) -> Terraform:
        def heard(event: TerraformEvent) -> None:
            if event.outputs is not None:
                told.append(event.outputs)
            show(event, step=self.name, emit=run.emit)

        return self.site.tools.terraform(root=self.site.folder.terraform, log=run.log, on_event=heard)

    def _intended(self, plan: Plan) -> list[ResourceRecord]:
        afters = {
            change["address"]: change["change"]["after"] or {}
            for change in plan.document.get("resource_changes", ())
        }
        return [
            ResourceRecord(
                address=r.address,
                type=r.type,
                name=self.site.tools.identify(r.type, afters.get(r.address, {})) or r.object_name,
            )
            for r in plan.resources
            if r.action in ("create", "replace", "import")
        ]

    def _apply(self, terraform: Terraform, plan: Plan, run: StepRun) -> None:
        run.say(f"terraform apply: {plan.describe()}")
        self.site.store.put_fact(self.site.instance, _WRITING, run.run_id)
        alone = self.one_at_a_time is not None and self.one_at_a_time(plan)
        try:
            terraform.apply(plan, parallelism=1 if alone else None)
        finally:
            self._take_stock()

    def _require_nothing_left(self, terraform: Terraform, run: StepRun, doubt: DoubtedApplyError) -> None:
        """Let another plan decide whether what Terraform doubted was done. Raises `doubt` when it was not.

        dmacvicar/libvirt 0.9.7 plans that a machine keeps its number, which an update in place changes:
        the update is done, and Terraform still exits with 1 (tried, 2026-11-23).
        """
        run.say("terraform plan: was everything done?")
        if terraform.plan().has_changes:
            raise doubt
        text = "everything was done; the provider had announced another result for some of it"
        run.emit(Notice("info", text, step=self.name))

    def _take_stock(self) -> None:
        """Seal the state and note what exists, also after a failed apply."""
        guard = guard_of(self.site)
        try:
            seal = guard.seal()
        except TerraformStateError:
            return  # unreadable now: the next command finds out and recovers from the copies
        self.site.store.put_fact(self.site.instance, SEAL, dataclasses.asdict(seal))
        self.site.store.delete_fact(self.site.instance, _WRITING)
        held = {resource.address: resource for resource in guard.resources()}
        marks: list[ResourceRecord] = []
        for record in self.site.store.resources(self.site.instance):
            resource = held.get(record.address)
            if resource is not None:
                # some names are made of what only the apply told, such as an ARN
                name = self.site.tools.identify(record.type, resource.values) or record.name
                marks.append(dataclasses.replace(record, state="present", id=resource.id, name=name))
            elif record.state == "present":
                marks.append(dataclasses.replace(record, state="gone"))
        self.site.store.mark_resources(self.site.instance, marks)


def show(event: TerraformEvent, *, step: str, emit: Emit) -> None:
    """Pass on what Terraform does to a resource, and its warnings."""
    state = _STATES.get(event.kind)
    # data sources are read by the dozen, and nothing happens to them
    if state is not None and event.action not in (None, "read"):
        emit(
            ResourceChanged(
                step,
                address=event.address or "",
                type=event.resource_type or "",
                action=event.action,
                state=state,
                seconds=event.seconds or 0.0,
                id=event.id_value,
            )
        )
    elif event.severity == "warning" and event.summary not in _NOISE:
        emit(Notice("warning", event.summary or event.text, step=step))


# a provider from a local mirror is locked for this machine's platform only, which is all zave needs; a part
# that is destroyed first is always followed by the rest
_NOISE = frozenset(
    {
        "Incomplete lock file information for providers",
        "Resource targeting is in effect",
        "Applied changes may be incomplete",
    }
)
_STATES: Mapping[str, ResourceState] = {
    "apply_start": "started",
    "apply_progress": "progress",
    "apply_complete": "done",
    "apply_errored": "failed",
}
