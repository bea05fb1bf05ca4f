"""Encodes the number of an object in its id, so that a list of any length needs no table."""

from __future__ import annotations

from asyncckpt.testing.digests import ALPHABET, name_from

_DIGITS = {character: value for value, character in enumerate(ALPHABET)}
_CODE_LENGTH = 6
_CODES = 62**_CODE_LENGTH
_LENGTH = 24


class Ids:
    """The ids of one list of objects, which are numbered from 0.

    Args:
        prefix: What every id begins with.
        digest: At least 10 bytes that differ from list to list.
    """

    def __init__(self, prefix: str, digest: bytes) -> None:
        self._prefix = prefix
        # It is coprime to 62, so that all ids have different codes.
        self._factor = 62 * int.from_bytes(digest[:4]) + 1 + 2 * (digest[4] % 15)
        self._offset = int.from_bytes(digest[5:10])
        self._inverse: int = pow(self._factor, -1, _CODES)

    def id_of(self, number: int, digest: bytes) -> str:
        """Return the id of an object.

        Args:
            number: The number of the object.
            digest: The bytes that the rest of the id is made of.
        """
        code = (number * self._factor + self._offset) % _CODES
        digits: list[str] = []
        for _ in range(_CODE_LENGTH):
            code, digit = divmod(code, 62)
            digits.append(ALPHABET[digit])
        return f"{self._prefix}{''.join(digits)}{name_from(digest, _LENGTH - _CODE_LENGTH)}"

    def number_of(self, object_id: str) -> int | None:
        """Return the number that an id stands for, if it is one of these; None if it cannot be."""
        code = 0
        for character in reversed(object_id.removeprefix(self._prefix)[:_CODE_LENGTH]):
            if character not in _DIGITS:
                return None
            code = code * 62 + _DIGITS[character]
        number: int = (code - self._offset) * self._inverse % _CODES
        return number
