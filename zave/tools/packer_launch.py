"""Starts Packer without the wrapper that it puts around itself.

Packer runs itself a second time, to catch panics; the outer process ignores SIGINT and leaves the
inner one to a terminal's process group. zave interrupts the program that it started, so Packer would
learn of it only when it is killed, and an EC2 instance would stay. The wrapper also takes the file
descriptors 3 to 5, and with them the lock by which a later zave finds what a killed one left.

    python -I -m zave.tools.packer_launch PROGRAM ARGUMENT...
"""

import fcntl
import os
import sys
import uuid

# how the inner Packer knows that it is one (hashicorp/packer main.go; in the binary of 1.6.6). One that
# does not know it wraps itself as ever
_COOKIE = ("PACKER_WRAP_COOKIE", "49C22B1A-3A93-4C98-97FA-E07D18C787B5")
_STREAMS = 3
_OUT_OF_THE_WAY = 64


def main(arguments: list[str]) -> None:
    """Become Packer; the streams are where its wrapper would hand them over."""
    for stream in range(_STREAMS):
        handed = stream + _STREAMS
        # a lock lives on in a duplicate
        if _is_inherited(handed):
            os.set_inheritable(fcntl.fcntl(handed, fcntl.F_DUPFD, _OUT_OF_THE_WAY), True)
        os.dup2(stream, handed)
    os.environ[_COOKIE[0]] = _COOKIE[1]
    os.environ.setdefault("PACKER_RUN_UUID", str(uuid.uuid4()))
    os.execv(arguments[0], arguments)  # noqa: S606 - to become the program is the point


def _is_inherited(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
