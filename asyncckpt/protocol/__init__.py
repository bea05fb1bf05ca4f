"""HTTP and the API's rules as plain functions: no I/O, no `await`, no aiohttp."""
