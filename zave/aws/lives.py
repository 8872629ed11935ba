"""Which of IAM's things are another life's of the same name.

IAM is one for all regions of an account, and a demo lives in one of them: a folder `/zave/<instance>/`
may be that of a demo of the same name in a region where nobody looked.
"""

from collections.abc import Iterable

from zave.ports import Item

CREATION = "tag:zave:creation"
_OF_ALL_REGIONS = "aws_iam_"

Identity = tuple[str, str]


def of_all_regions(item: Item) -> bool:
    """Whether every region of the account shows it."""
    return item.type.startswith(_OF_ALL_REGIONS)


def lives_elsewhere(items: Iterable[Item], instance: str, *, creation: str | None) -> frozenset[Identity]:
    """Type and id of the instance's things in IAM that carry the mark of a life that is not known here.

    Known are `creation`, the life that is asked about, and each life of which anything else stands here:
    what an earlier one left in this region is still the instance's.
    """
    own = [item for item in items if item.owner == instance]
    here = {item.attributes.get(CREATION) for item in own if not of_all_regions(item)} | {creation, None}
    strange = [item for item in own if of_all_regions(item) and item.attributes.get(CREATION) not in here]
    # policies of a role carry no marks: they go with it
    roles = {item.name for item in strange if item.type == "aws_iam_role"}
    parts = [item for item in own if of_all_regions(item) and item.attributes.get("role") in roles]
    return frozenset((item.type, item.id) for item in (*strange, *parts))
