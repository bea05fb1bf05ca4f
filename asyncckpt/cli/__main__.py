"""So that ``python -m asyncckpt.cli`` is the command too."""

import sys

from asyncckpt.cli import main

sys.exit(main())
