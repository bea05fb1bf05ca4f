"""Text that is safe to show, and a standard error that is broken."""

import io
import json
import sys
from pathlib import Path

import pytest

from asyncckpt.cli.terminal import print_error, print_to_stderr, printable, printable_json
from asyncckpt.testing import Sandbox, faults

from support.programs import COMMAND, Run, environment, ids_of, run_program

C0 = [chr(code) for code in range(0x20)]
C1 = [chr(code) for code in range(0x7F, 0xA0)]
BIDI = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
INVISIBLE = list("\u200b\u2028\u2029\ufeff\U000e0041")
HOSTILE = [*C0, *C1, *BIDI, *INVISIBLE]


@pytest.mark.parametrize("character", HOSTILE, ids=lambda character: f"U+{ord(character):04X}")
def test_hostile_characters_are_escaped(character: str) -> None:
    assert printable(f"a{character}b").isprintable()
    assert printable(f"a{character}b") != "ab"
    shown = printable_json(json.dumps(f"a{character}b", ensure_ascii=False))
    assert shown.isprintable()
    assert json.loads(shown) == f"a{character}b"


def test_other_text_stays_as_it_is() -> None:
    text = "ft:gpt-4o:café 漢字 🚀"
    assert printable(text) == text
    assert printable_json(json.dumps(text, ensure_ascii=False)) == f'"{text}"'


@pytest.mark.parametrize("format_", ["table", "csv", "jsonl", "json"])
def test_no_format_lets_a_control_character_through(
    served: Sandbox, run: Run, format_: str
) -> None:
    hostile = "".join(HOSTILE)
    served.inject(
        faults.SetField("data.*.fine_tuned_model_checkpoint", hostile),
        faults.SetField("data.*.unknown", hostile),
    )
    ran = run("list", served.job_ids[0], "--format", format_, "--max-records", "3")
    assert ran.code == 0
    assert all(line.isprintable() for line in ran.out.split("\n"))
    if format_ == "jsonl":
        checkpoint = json.loads(ran.out.splitlines()[0])
        assert checkpoint["fine_tuned_model_checkpoint"] == checkpoint["unknown"] == hostile


def test_errors_of_a_server_are_escaped(served: Sandbox, run: Run) -> None:
    hostile = "".join(HOSTILE)
    body = {"error": {"message": f"no{hostile}", "type": "x", "param": None, "code": None}}
    served.inject(faults.Status(403, body=body))
    ran = run("list", served.job_ids[0])
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert ran.err.rstrip("\n").isprintable()


def test_an_error_without_text_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ValueError())
    assert capsys.readouterr().err == "asyncckpt: ValueError\n"


@pytest.mark.parametrize("state", ["missing", "closed"])
def test_a_missing_or_closed_stderr_is_ignored(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = io.StringIO()
    broken.close()
    monkeypatch.setattr(sys, "stderr", None if state == "missing" else broken)
    print_to_stderr("anything\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "2> >(exec true)"])
@pytest.mark.parametrize("option", [[], ["-v"]])
def test_a_broken_stderr_does_not_stop_the_listing(
    served: Sandbox, stderr: str, option: list[str]
) -> None:
    first, second = served.job_ids[:2]
    served.inject(faults.Status(500), job=second)
    shell = ["bash", "-c", f'exec "$@" {stderr}', "bash"]
    command = [*shell, *COMMAND, "list", first, "ftjob-unknown", second, *option]
    ran = run_program(command, env=environment())
    assert ran.code == 1
    assert ran.ids == [*ids_of(served, first), *ids_of(served, second)]
