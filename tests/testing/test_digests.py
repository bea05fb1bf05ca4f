"""Reproducible bytes, names and numbers."""

from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.testing.digests import ALPHABET, digest_of, fraction_of, name_from

from support.strategies import thorough


def test_a_digest_is_the_same_in_every_process() -> None:
    # A changed digest changes the data of all tests that use the sandbox.
    assert digest_of(0, "job", 1).hex()[:16] == "1d5b538d9fc90c4f"


@thorough
@given(st.lists(st.integers() | st.text(), min_size=1, max_size=4), st.integers(1, 64))
def test_names_have_the_length_and_only_letters_and_digits(
    parts: list[object], length: int
) -> None:
    name = name_from(digest_of(*parts), length)
    assert len(name) == length
    assert set(name) <= set(ALPHABET)


def test_other_parts_give_another_digest() -> None:
    assert len({digest_of("x", number) for number in range(1_000)}) == 1_000
    assert digest_of("x", 1) != digest_of(1, "x")


def test_a_fraction_is_from_zero_to_one() -> None:
    assert fraction_of(b"\x00\x00", 0) == 0.0
    assert fraction_of(b"\xff\xff", 0) == 1.0
    assert fraction_of(b"..\x80\x00", 2) == 32_768 / 65_535
