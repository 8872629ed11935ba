"""`python -m zave`: what a machine without the installed script runs, such as the switch's destroyer."""

import sys

from zave.cli.app import main

sys.exit(main())
