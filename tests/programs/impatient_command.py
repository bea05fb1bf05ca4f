"""Run the command with a status line that appears at once."""

import sys

from asyncckpt.cli import main, status

status.QUIET_SECONDS = 0.0
status.UPDATE_SECONDS = 0.001
sys.exit(main())
