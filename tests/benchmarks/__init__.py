"""asyncckpt measured beside the official SDK and hand-written code: `nox -s bench`."""
