"""`environment.yaml`: what a person asks for, checked before anything runs.

`load.load_spec` reads a file into a `LibvirtSpec` or an `AwsSpec`. `names` and `units` are light
enough for the command line's start; pydantic is imported by the model modules only.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # for annotations only: importing the models costs some 80 ms
    from zave.spec.aws import AwsSpec as AwsSpec
    from zave.spec.libvirt import LibvirtSpec as LibvirtSpec
