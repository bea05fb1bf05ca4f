"""Turns pages into async iterators. Nothing in this package depends on HTTP."""
