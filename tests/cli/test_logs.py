"""The log of the package on standard error."""

import logging
import re

import pytest

from asyncckpt.cli.logs import logged
from asyncckpt.cli.status import StatusLine
from asyncckpt.testing import Sandbox, faults

from support.programs import Run

LOG = logging.getLogger("asyncckpt")


class Notes(StatusLine):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def note(self, message: str) -> None:
        self.messages.append(message)

    def clear(self) -> None:
        self.messages.append("(cleared)")


def test_a_warning_is_always_written(capsys: pytest.CaptureFixture[str]) -> None:
    with logged(Notes(), verbose=False):
        LOG.warning("slower than %d", 5)
        LOG.info("paused")
    written = capsys.readouterr().err
    assert re.fullmatch(r"asyncckpt: \d\d:\d\d:\d\d WARNING slower than 5\n", written)


def test_verbose_writes_info_but_not_debug(capsys: pytest.CaptureFixture[str]) -> None:
    with logged(Notes(), verbose=True):
        LOG.info("paused")
        LOG.debug("sent")
    written = capsys.readouterr().err
    assert re.fullmatch(r"asyncckpt: \d\d:\d\d:\d\d INFO paused\n", written)


def test_the_status_line_gets_each_message_and_makes_room_for_lines() -> None:
    notes = Notes()
    with logged(notes, verbose=False):
        LOG.info("paused for %.1f s", 2)
        LOG.warning("falling back")
    assert notes.messages == ["paused for 2.0 s", "falling back", "(cleared)"]


def test_control_characters_in_a_message_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with logged(Notes(), verbose=True):
        LOG.info("a\x1b[2J\nb")
    assert capsys.readouterr().err.endswith("INFO a\\x1b[2J\\nb\n")


def test_a_message_that_cannot_be_formatted_does_not_stop_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The handlers of pytest let such a message fail the test.
    monkeypatch.setattr(LOG, "propagate", False)
    notes = Notes()
    with logged(notes, verbose=False):
        LOG.warning("slower than %d", "five")
    assert notes.messages == []
    assert "--- Logging error ---" in capsys.readouterr().err


def test_the_logger_is_left_as_it_was() -> None:
    before = LOG.level, list(LOG.handlers)
    with logged(Notes(), verbose=True):
        assert LOG.isEnabledFor(logging.INFO)
    assert (LOG.level, LOG.handlers) == before


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_the_option_makes_the_log_visible(
    served: Sandbox, run: Run, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.inject(faults.Status(500))
    job = served.job_ids[0]
    original = StatusLine.__enter__

    def enter(line: StatusLine) -> StatusLine:
        LOG.info("from the package")
        return original(line)

    monkeypatch.setattr(StatusLine, "__enter__", enter)
    assert "INFO from the package\n" in run("list", job, option).err
    assert run("list", job).err == ""
