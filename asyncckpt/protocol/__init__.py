"""Implements HTTP and the rules of the API as plain functions, without I/O, `await` or aiohttp."""
