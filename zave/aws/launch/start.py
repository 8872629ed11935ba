"""Starts what is packed beside this file: `start.py MODULE ARGUMENTS...`, as `python -m` would.

Python is run with -I and -S: it finds its own standard library, and else nothing but `packages`.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent / "packages"))
    runpy.run_module(sys.argv.pop(1), run_name="__main__")
