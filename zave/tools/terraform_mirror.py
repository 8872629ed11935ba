"""A folder that stands for the registry of providers, for machines that cannot reach it.

Terraform's layout of a `filesystem_mirror`: `HOST/NAMESPACE/TYPE/VERSION/OS_ARCH/` with an unpacked
provider, or `HOST/NAMESPACE/TYPE/terraform-provider-TYPE_VERSION_OS_ARCH.zip`
(https://developer.hashicorp.com/terraform/cli/config/config-file#explicit-installation-method-configuration,
read 2026-11-23).
"""

from pathlib import Path

from zave.errors import PreconditionError
from zave.render import hcl, write_private


def providers_in(mirror: Path) -> tuple[str, ...]:
    """The providers that `mirror` holds, such as `registry.terraform.io/dmacvicar/libvirt`, sorted.

    Raises PreconditionError when it holds none, or is no folder.
    """
    found = {
        path.relative_to(mirror).as_posix()
        for path in mirror.glob("*/*/*")
        if path.is_dir() and any(path.iterdir())
    }
    if not found:
        raise PreconditionError(
            f"{mirror} holds no providers",
            where="ZAVE_PROVIDER_MIRROR",
            resolution="`terraform providers mirror FOLDER` on a machine with internet fills one",
        )
    return tuple(sorted(found))


def cli_configuration(mirror: Path, destination: Path) -> Path:
    """Write to `destination` a CLI configuration: what is in the mirror comes from there alone.

    Raises PreconditionError for a mirror without providers.
    """
    names = ", ".join(hcl(name) for name in providers_in(mirror))
    text = f"""\
disable_checkpoint = true

provider_installation {{
  filesystem_mirror {{
    path    = {hcl(str(mirror))}
    include = [{names}]
  }}
  direct {{
    exclude = [{names}]
  }}
}}
"""
    write_private(destination, text.encode())
    return destination
