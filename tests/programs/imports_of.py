"""Import a module, and print the modules that are loaded afterwards."""

import importlib
import sys

importlib.import_module(sys.argv[1])
sys.stdout.write("\n".join(sys.modules) + "\n")
