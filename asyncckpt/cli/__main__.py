"""Runs the command for ``python -m asyncckpt.cli``."""

import sys

from asyncckpt.cli import main

sys.exit(main())
