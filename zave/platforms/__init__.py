"""One file a platform: from a spec to ordered steps. A new platform is one file and one line here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zave.platforms.blueprint import Blueprint
    from zave.spec import AwsSpec, LibvirtSpec
    from zave.steps.site import Site


def blueprint_of(spec: "LibvirtSpec | AwsSpec", *, site: "Site", ssh_keys: Sequence[str]) -> "Blueprint":
    """What the spec's platform makes of it."""
    if spec.platform == "libvirt-k3s":
        from zave.platforms import libvirt_k3s

        return libvirt_k3s.blueprint(spec, site=site, ssh_keys=ssh_keys)
    from zave.platforms import aws_eks

    return aws_eks.blueprint(spec, site=site)
