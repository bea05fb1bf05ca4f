"""asyncckpt measured beside the official SDK and a loop written by hand: `nox -s bench`."""
