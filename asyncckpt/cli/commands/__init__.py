"""Defines one command in each module: its arguments, and the examples in its help."""
