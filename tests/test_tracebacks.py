"""The frames of a failed call, with its arguments, are not in the traceback."""

import gc
import traceback
import weakref

import pytest

from asyncckpt.tracebacks import without_frames

from support.secrets import KEY


class WrongCodeError(ValueError):
    pass


class Safe:
    @without_frames
    def unlock(self, code: str, *, times: int = 1) -> str:
        """Say the code."""
        if code == KEY:
            try:
                raise LookupError(code)
            except LookupError:
                raise WrongCodeError from None
        return code * times


class Stopped(BaseException):
    pass


def failed() -> WrongCodeError:
    with pytest.raises(WrongCodeError) as caught:
        Safe().unlock(KEY, times=2)
    return caught.value


def test_arguments_and_results_pass_through() -> None:
    assert Safe().unlock("ab", times=2) == "abab"
    assert Safe.unlock.__doc__ == "Say the code."


def test_no_frame_shows_the_arguments() -> None:
    error = failed()
    _, *frames = traceback.walk_tb(error.__traceback__)
    assert [frame.f_code.co_name for frame, _ in frames] == ["wrapper"]
    assert KEY not in repr([frame.f_locals for frame, _ in frames])


def test_the_error_does_not_lead_to_another_with_the_arguments() -> None:
    error = failed()
    assert (error.__cause__, error.__context__) == (None, None)


def test_what_is_no_error_passes_unchanged() -> None:
    class Stopping(Safe):
        @without_frames
        def stop(self) -> None:
            raise Stopped

    with pytest.raises(Stopped) as caught:
        Stopping().stop()
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-1] == "stop"


def test_the_error_is_freed_without_the_garbage_collector() -> None:
    errors: list[weakref.ref[WrongCodeError]] = []
    gc.disable()
    try:
        Safe().unlock(KEY)
    except WrongCodeError as error:
        errors.append(weakref.ref(error))
    finally:
        gc.enable()
    assert [error() for error in errors] == [None]
