"""What `up` would refuse in the account, or warn of, told by a plan before anybody has paid."""

from typing import Any

from zave.lifecycle.place import Place
from zave.text import clean


def preconditions_of(place: Place) -> list[dict[str, Any]]:
    """The findings as `zave/plan/v1` has them; a home lab has none.

    Raises PreconditionError without usable credentials, or when the region cannot be reached.
    """
    if place.spec.platform != "aws-eks":
        return []
    from zave.platforms.aws_eks import look_for

    site = place.site
    found = look_for(
        place.spec, instance=place.instance, project=site.project, tools=site.tools, store=site.store
    )
    return [
        {
            "check": finding.check,
            "level": finding.level,
            "what": clean(finding.what),
            "fix": finding.fix,
            "refused": finding.needed and finding.level == "missing",
        }
        for finding in found
    ]
