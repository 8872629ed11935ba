"""The simulated provider's answers to Terraform, one method a call of plugin protocol 6.

It knows no resource type: the catalogue says what exists, the world holds what was made.
"""

import json
import threading
from collections.abc import Mapping
from typing import Any

from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]

from zave.rehearsal import account, computed, leases, messages, planning, schema_codec, validation
from zave.rehearsal.schema import Catalogue, Kind
from zave.rehearsal.templates import Identifiers, text
from zave.rehearsal.values import UNKNOWN, decode, find, first
from zave.rehearsal.world import Draft, Thing, World, WorldError

Object = dict[str, Any]

# seconds of real time that running calls get after a stop: a simulated one ends in milliseconds
# unless a fault makes it hang
GRACE = 2.0


class RefusedError(Exception):
    """The provider itself refuses a change; becomes a diagnostic."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail


class Provider:
    """Serves one catalogue out of one world. Methods may run in many threads at once."""

    def __init__(self, catalogue: Catalogue, world: World) -> None:
        self._catalogue = catalogue
        self._world = world
        self._account: account.Account | None = None

    # schema and configuration

    def get_provider_schema(self, _request: pb.GetProviderSchema.Request) -> pb.GetProviderSchema.Response:
        """All schemas."""
        return schema_codec.provider_schema(self._catalogue)

    def validate_provider_config(
        self, request: pb.ValidateProviderConfig.Request
    ) -> pb.ValidateProviderConfig.Response:
        """Check the provider block."""
        found = validation.problems(self._catalogue.provider, decode(request.config.msgpack))
        return pb.ValidateProviderConfig.Response(
            diagnostics=messages.problems(self._catalogue.provider, found)
        )

    def configure_provider(self, request: pb.ConfigureProvider.Request) -> pb.ConfigureProvider.Response:
        """Take the provider block; of a simulated platform only the account matters."""
        if self._catalogue.account:
            try:
                self._account = account.account(decode(request.config.msgpack), self._world)
            except account.ConfigurationError as error:
                return pb.ConfigureProvider.Response(diagnostics=[messages.error(error)])
        return pb.ConfigureProvider.Response()

    def validate_resource_config(
        self, request: pb.ValidateResourceConfig.Request
    ) -> pb.ValidateResourceConfig.Response:
        """Check one resource block."""
        kind = self._catalogue.resources[request.type_name]
        found = validation.problems(kind, decode(request.config.msgpack))
        return pb.ValidateResourceConfig.Response(diagnostics=messages.problems(kind, found))

    def validate_data_resource_config(
        self, request: pb.ValidateDataResourceConfig.Request
    ) -> pb.ValidateDataResourceConfig.Response:
        """Check one data block."""
        kind = self._catalogue.data_sources[request.type_name]
        found = validation.problems(kind, decode(request.config.msgpack))
        return pb.ValidateDataResourceConfig.Response(diagnostics=messages.problems(kind, found))

    # state

    def upgrade_resource_state(
        self, request: pb.UpgradeResourceState.Request
    ) -> pb.UpgradeResourceState.Response:
        """The stored state in the shape of today's catalogue."""
        kind = self._catalogue.resources[request.type_name]
        state = planning.shaped(kind.fields, json.loads(request.raw_state.json))
        return pb.UpgradeResourceState.Response(
            upgraded_state=pb.DynamicValue(json=json.dumps(state).encode())
        )

    def read_resource(self, request: pb.ReadResource.Request) -> pb.ReadResource.Response:
        """What the world holds now; null when the thing is gone."""
        kind = self._catalogue.resources[request.type_name]
        state = decode(request.current_state.msgpack)
        try:
            key = self._key(kind, request.private, state)
            thing = self._world.read(key) if key is not None else None
        except WorldError as error:
            return pb.ReadResource.Response(
                new_state=request.current_state, private=request.private, diagnostics=[messages.error(error)]
            )
        if thing is None:
            return pb.ReadResource.Response(new_state=messages.message(None))
        new = (
            planning.imported(kind, thing.attributes)
            if b'"import"' in request.private
            else planning.refreshed(kind, state=state, actual=thing.attributes)
        )
        # the same bytes back for the same values: Terraform then sees no change of representation
        message = request.current_state if new == state else messages.message(new)
        return pb.ReadResource.Response(new_state=message, private=messages.private(thing.key))

    def import_resource_state(
        self, request: pb.ImportResourceState.Request
    ) -> pb.ImportResourceState.Response:
        """Take over by identifier; whether the thing exists is found out by the read that follows."""
        kind = self._catalogue.resources[request.type_name]
        imports = kind.behaviour.imports
        if imports is None:
            error = RefusedError(
                "Resource Import Not Implemented", f"{kind.name} cannot be imported; create it anew."
            )
            return pb.ImportResourceState.Response(diagnostics=[messages.error(error)])
        state = planning.shaped(kind.fields, {imports.attribute: request.id})
        return pb.ImportResourceState.Response(
            imported_resources=[
                pb.ImportResourceState.ImportedResource(
                    type_name=request.type_name,
                    state=messages.message(state),
                    private=json.dumps({"import": request.id}).encode(),
                )
            ]
        )

    # changes

    def plan_resource_change(self, request: pb.PlanResourceChange.Request) -> pb.PlanResourceChange.Response:
        """The planned state and what forces a replacement."""
        kind = self._catalogue.resources[request.type_name]
        prior = decode(request.prior_state.msgpack)
        proposed = decode(request.proposed_new_state.msgpack)
        legacy = kind.behaviour.legacy_type_system
        if proposed is None:
            return pb.PlanResourceChange.Response(
                planned_state=messages.message(None),
                planned_private=request.prior_private,
                legacy_type_system=legacy,
            )
        if self._account is not None:
            proposed = self._account.complete(kind, proposed)
        planned = planning.plan(kind, prior=prior, proposed=proposed)
        replaced = planning.replaced_by(kind, prior=prior, planned=planned) if prior is not None else []
        return pb.PlanResourceChange.Response(
            planned_state=messages.message(planned),
            planned_private=request.prior_private,
            requires_replace=[messages.path(planning.message_path(kind, path)) for path in replaced],
            legacy_type_system=legacy,
        )

    def apply_resource_change(
        self, request: pb.ApplyResourceChange.Request
    ) -> pb.ApplyResourceChange.Response:
        """Create, update or delete. After a failure the state says what still stands."""
        kind = self._catalogue.resources[request.type_name]
        planned = decode(request.planned_state.msgpack)
        prior = decode(request.prior_state.msgpack)
        legacy = kind.behaviour.legacy_type_system
        try:
            if planned is None:
                self._delete(kind, request.planned_private, prior)
                return pb.ApplyResourceChange.Response(
                    new_state=messages.message(None), legacy_type_system=legacy
                )
            if prior is None:
                return self._create(kind, planned)
            return self._update(kind, planned, request.planned_private, prior)
        except (WorldError, RefusedError) as error:
            return pb.ApplyResourceChange.Response(
                new_state=request.prior_state,
                private=request.planned_private,
                diagnostics=[messages.error(error)],
                legacy_type_system=legacy,
            )

    def read_data_source(self, request: pb.ReadDataSource.Request) -> pb.ReadDataSource.Response:
        """A data source's values."""
        kind = self._catalogue.data_sources[request.type_name]
        proposed = decode(request.config.msgpack)
        if self._account is not None:
            proposed = self._account.complete(kind, proposed)
        config = planning.plan(kind, prior=None, proposed=proposed)
        found: Object | None = None
        if kind.behaviour.lookup:
            type_, pairs = kind.behaviour.lookup
            things = (self._world.lookup(type_, theirs, config.get(ours)) for theirs, ours in pairs)
            thing = next((thing for thing in things if thing is not None), None)
            if thing is None:
                summary, detail = kind.behaviour.missing
                error = RefusedError(summary, text(detail, config) or detail)
                return pb.ReadDataSource.Response(diagnostics=[messages.error(error)])
            found = thing.attributes
        values = computed.fill(kind, config, self._world, about={**self._about(), "found": found})
        return pb.ReadDataSource.Response(state=messages.message(values))

    def stop_provider(self, _request: pb.StopProvider.Request) -> pb.StopProvider.Response:
        """Terraform was interrupted: what hangs is given up, what is nearly done may finish."""
        timer = threading.Timer(GRACE, self._world.cancel)
        timer.daemon = True
        timer.start()
        return pb.StopProvider.Response()

    # the world

    def _create(self, kind: Kind, planned: Object) -> pb.ApplyResourceChange.Response:
        self._check(kind, planned)
        about = self._about()
        behaviour = kind.behaviour
        if behaviour.overwrites:
            twin = self._world.twin(kind.name, _unique(kind, {**about, **planned}) or "")
            if twin is not None:
                return self._change(kind, planned, twin)
        values = computed.fill(kind, planned, self._world, about=about)
        named = {**about, **values}
        draft = Draft(
            provider=self._catalogue.name,
            type=kind.name,
            name=_name(kind, named),
            unique=_unique(kind, named),
            attributes=values,
            local=behaviour.local,
            exists=text(behaviour.exists, named, Identifiers(kind.name, self._world)) or "",
        )
        standing = self._keys(draft)
        diagnostics = []
        try:
            key = self._world.create(draft).key
        except WorldError as error:
            # it may stand for all that: then Terraform records it as tainted instead of losing it
            made = self._keys(draft) - standing
            if not made:
                raise
            key, diagnostics = made.pop(), [messages.error(error)]
        return pb.ApplyResourceChange.Response(
            new_state=messages.message(values),
            private=messages.private(key),
            diagnostics=diagnostics,
            legacy_type_system=behaviour.legacy_type_system,
        )

    def _keys(self, draft: Draft) -> set[str]:
        return {
            thing.key
            for thing in self._world.things(provider=draft.provider)
            if (thing.type, thing.name, thing.attributes) == (draft.type, draft.name, draft.attributes)
        }

    def _update(
        self, kind: Kind, planned: Object, private: bytes, prior: Object
    ) -> pb.ApplyResourceChange.Response:
        key = self._key(kind, private, prior)
        thing = self._world.read(key) if key is not None else None
        if key is None or thing is None:
            raise RefusedError(
                f"{kind.name} not found", "It was removed since Terraform planned this change."
            )
        return self._change(kind, planned, thing)

    def _change(self, kind: Kind, planned: Object, thing: Thing) -> pb.ApplyResourceChange.Response:
        unannounced = dict.fromkeys(kind.behaviour.unannounced, UNKNOWN)
        known = {name: value for name, value in thing.attributes.items() if name not in unannounced}
        wanted = {**planned, **unannounced}
        values = computed.fill(kind, wanted, self._world, existing=known, about=self._about())
        fixed = planning.not_in_place(kind, actual=thing.attributes, planned=values)
        if fixed:
            raise RefusedError(
                "Update Not Supported",
                f"The provider cannot change {', '.join(fixed)} of a {kind.name} that exists. "
                f"Replace it (terraform apply -replace=ADDRESS).",
            )
        # what the world knows and no schema does stays with the thing
        own = {name: value for name, value in thing.attributes.items() if name not in kind.fields}
        self._world.update(thing.key, {**own, **values})
        return pb.ApplyResourceChange.Response(
            new_state=messages.message(values),
            private=messages.private(thing.key),
            legacy_type_system=kind.behaviour.legacy_type_system,
        )

    def _delete(self, kind: Kind, private: bytes, prior: Object) -> None:
        for guard in kind.behaviour.guards:
            excused = guard.unless is not None and first(prior, guard.unless)
            if first(prior, guard.path) in guard.values and not excused:
                summary = text(guard.summary, {**self._about(), **prior}) or guard.summary
                raise RefusedError(summary, "")
        key = self._key(kind, private, prior)
        if key is not None:
            self._world.delete(key)

    def _key(self, kind: Kind, private: bytes, state: Object) -> str | None:
        """The world's key of the thing in `state`, or None when there is no such thing.

        `private` holds it, but Terraform drops that when it replaces a tainted object, and after an
        import there is none yet.
        """
        known = json.loads(private) if private else {}
        if "key" in known:
            return str(known["key"])
        imports = kind.behaviour.imports
        identity = imports.attribute if imports else "id"
        wanted = str(known.get("import", state.get(identity)))
        forms = (imports.by if imports and "import" in known else ()) or (f"{{{identity}}}",)
        for thing in self._world.things(provider=self._catalogue.name):
            if thing.type != kind.name:
                continue
            called = [text(form, thing.attributes) for form in forms]
            if wanted not in called:
                continue
            if "import" in known or _name(kind, thing.attributes) == _name(kind, state):
                return thing.key
        return None

    def _about(self) -> Object:
        """What rules may refer to besides a thing's own values."""
        facts = self._account.facts if self._account is not None else {}
        return {"provider": facts, "tables": self._catalogue.tables}

    def _check(self, kind: Kind, planned: Object) -> None:
        for check in kind.behaviour.checks:
            if check.reference is None:
                # whatever was configured is known by now: an unknown is the provider's to decide
                if all(first(planned, pattern) in (None, UNKNOWN) for pattern in check.require):
                    raise RefusedError(check.summary, check.detail)
                continue
            type_, attribute = check.reference
            for _, value in find(planned, check.require[0]):
                if value is None or value is UNKNOWN or value in check.accepted:
                    continue
                if self._world.lookup(type_, attribute, value) is None:
                    raise RefusedError(check.summary, check.detail.replace("{value}", str(value)))
        waiting = leases.without_address(planned, self._world)
        if waiting is not None:
            raise RefusedError(
                "Failed to Wait for IP Address",
                f"The interface with MAC address {waiting} never obtains a lease: its network has no DHCP "
                "host entry and no range for it.",
            )


def _name(kind: Kind, values: Mapping[str, Any]) -> str:
    pattern = kind.behaviour.name
    if "{" in pattern:
        return text(pattern, values) or kind.name
    return str(first(values, pattern) or kind.name)


def _unique(kind: Kind, values: Mapping[str, Any]) -> str | None:
    found = (text(template, values) for template in kind.behaviour.unique)
    return next((each for each in found if each is not None), None)


def calls(provider: Provider) -> Mapping[str, tuple[Any, Any]]:
    """The protocol's calls by name: what answers each, and the class of its messages."""
    return {
        "GetProviderSchema": (provider.get_provider_schema, pb.GetProviderSchema),
        "ValidateProviderConfig": (provider.validate_provider_config, pb.ValidateProviderConfig),
        "ConfigureProvider": (provider.configure_provider, pb.ConfigureProvider),
        "ValidateResourceConfig": (provider.validate_resource_config, pb.ValidateResourceConfig),
        "ValidateDataResourceConfig": (provider.validate_data_resource_config, pb.ValidateDataResourceConfig),
        "UpgradeResourceState": (provider.upgrade_resource_state, pb.UpgradeResourceState),
        "ReadResource": (provider.read_resource, pb.ReadResource),
        "ImportResourceState": (provider.import_resource_state, pb.ImportResourceState),
        "PlanResourceChange": (provider.plan_resource_change, pb.PlanResourceChange),
        "ApplyResourceChange": (provider.apply_resource_change, pb.ApplyResourceChange),
        "ReadDataSource": (provider.read_data_source, pb.ReadDataSource),
        "StopProvider": (provider.stop_provider, pb.StopProvider),
    }
