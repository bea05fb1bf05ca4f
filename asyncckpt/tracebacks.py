"""Keeps the arguments of functions out of tracebacks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

__all__ = ["without_frames"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_SelfT = TypeVar("_SelfT")


def without_frames(
    method: Callable[Concatenate[_SelfT, _P], _T],
) -> Callable[Concatenate[_SelfT, _P], _T]:
    """Raise what a method raises without its frames.

    Error reports show the variables of frames, and an argument may be a key.
    """

    @functools.wraps(method)
    def wrapper(self: _SelfT, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            failure = error.with_traceback(None)
        failure.__context__ = None
        del args, kwargs
        try:
            raise failure
        finally:
            # The traceback refers to this frame; this breaks the cycle.
            del failure

    return wrapper
