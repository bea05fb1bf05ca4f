"""Run the command with a waiting line that appears at once."""

import sys

from asyncckpt.cli import main, waiting

waiting.QUIET_SECONDS = 0.0
waiting.UPDATE_SECONDS = 0.001
sys.exit(main())
