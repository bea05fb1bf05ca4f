"""Makes ``python -m asyncckpt.cli`` run the command."""

import sys

from asyncckpt.cli import main

sys.exit(main())
