"""Job ids on standard input."""

import io
import sys

import pytest

from asyncckpt.testing import Sandbox

from support.programs import Run, ids_of


def test_ids_in_another_encoding_are_rejected(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    utf_16 = io.BytesIO("ftjob-1\n".encode("utf-16"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(utf_16, encoding="utf-8"))
    ran = run("list", "-")
    assert ran.code == 2
    assert ran.err == (
        "asyncckpt: the ids on standard input are not valid utf-8; save the file in that encoding\n"
    )


def test_ids_can_come_from_standard_input(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = served.job_ids[:3]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{first}\n\n  {second} \n"))
    ran = run("list", "-", third)
    assert ran.ids == [id_ for job in (first, second, third) for id_ in ids_of(served, job)]


def test_a_byte_order_mark_is_not_part_of_an_id(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = served.job_ids[0]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\ufeff{job}\n"))
    assert run("list", "-").ids == ids_of(served, job)


@pytest.mark.parametrize("arguments", [["list", "-"], ["list", "-", "--sandbox"]])
@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_standard_input_is_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "asyncckpt: there is no job id on standard input\n"
