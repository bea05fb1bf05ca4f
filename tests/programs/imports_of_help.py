"""Show the command's help, and write the modules that are loaded to standard error."""

import sys

from asyncckpt.cli import main

main(["--help"])
sys.stderr.write("\n".join(sys.modules) + "\n")
