"""Turns pages into async iterators; knows how to fetch a page, but nothing about HTTP."""
