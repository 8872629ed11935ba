"""What differs between the switch's standing parts and what Terraform made of them; and who makes it differ.

State and world are written by one provider, so what is as it was is equal to the letter. Not so on AWS:
`zave/aws/live/machinery.py` compares part by part.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from zave.aws.keys import ACCOUNT_STATE
from zave.aws.state import state_of
from zave.rehearsal.bucket import bucket_folder
from zave.rehearsal.fault_text import ALTERED
from zave.rehearsal.things import Thing, noun
from zave.rehearsal.world import World

_NOBODY = '{"Statement":[],"Version":"2012-10-17"}'


def let_somebody_alter(world: World, standing: Iterable[Thing]) -> None:
    """Do what faults want done behind Terraform's back, before the parts are looked at."""
    for thing in standing:
        attribute = ALTERED.get(thing.type)
        if attribute is None:
            continue
        if world.faults.take("alter", thing.type, thing.name, verbs=("alter",)).fault is not None:
            changed = {**thing.attributes, attribute: _other(thing.attributes.get(attribute))}
            with world.transaction() as ledger:
                ledger.change(thing, changed, verb="alter")


def altered(world: World, standing: Sequence[Thing], *, told: Collection[str]) -> Iterator[str]:
    """The parts that are not as Terraform's state in the bucket has them, each with its attributes.

    Those of types that are `told` are not named for being gone. Without a whole state nothing is compared.
    """
    path = bucket_folder(world) / ACCOUNT_STATE
    state = state_of(path.read_bytes() if path.is_file() else None)
    there = {(thing.type, thing.attributes.get("id")): thing for thing in standing}
    for held in state.held:
        thing = there.get((held.type, held.values.get("id")))
        if thing is None:
            if held.type in told:
                continue
            yield f"{noun(held.type)} {held.values.get('name') or held.values.get('id')}"
            continue
        differing = [name for name, value in held.values.items() if thing.attributes.get(name) != value]
        if differing:
            yield f"{noun(thing.type)} {thing.name} ({', '.join(sorted(differing))})"


def _other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, int | float):
        return value + 1
    number = str(value or "")
    return str(int(float(number)) + 1) if number.replace(".", "", 1).isdigit() else _NOBODY
