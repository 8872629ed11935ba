"""One file a platform: from a spec to ordered steps. A new platform is one file and one line here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zave.errors import NotThereYetError

if TYPE_CHECKING:
    from zave.engine.step import Step
    from zave.spec import AwsSpec, LibvirtSpec
    from zave.steps.site import Site


def steps_for(spec: "LibvirtSpec | AwsSpec", *, site: "Site", ssh_keys: Sequence[str]) -> "list[Step]":
    """The ordered steps of the spec's platform."""
    from zave.platforms import libvirt_k3s

    return libvirt_k3s.steps(libvirt_only(spec), site=site, ssh_keys=ssh_keys)


def libvirt_only(spec: "LibvirtSpec | AwsSpec") -> "LibvirtSpec":
    """`spec` where its platform has steps. Raises NotThereYetError for the other."""
    if spec.platform == "libvirt-k3s":
        return spec
    raise NotThereYetError(
        f"platform {spec.platform} is not built yet",
        resolution="the home lab is there: zave up homelab --rehearse",
    )
