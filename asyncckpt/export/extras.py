"""Checks that the packages of an extra are installed."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["check_extra"]


def check_extra(extra: str, *modules: str) -> None:
    """Check that modules can be imported.

    Args:
        extra: The extra that installs them.
        modules: The names of the modules.

    Raises:
        ImportError: A module is not installed; the message says how to install it.
    """
    for module in modules:
        if find_spec(module) is None:
            raise ImportError(
                f"this needs {module}, which is not installed: pip install 'asyncckpt[{extra}]'",
                name=module,
            )
