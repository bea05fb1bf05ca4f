"""Derives reproducible pseudo-random bytes, names and numbers from their arguments."""

from __future__ import annotations

import hashlib
import string

ALPHABET = string.ascii_letters + string.digits
_BASE62 = (ALPHABET * 5)[:256].encode()


def digest_of(*parts: object) -> bytes:
    """Return 64 bytes that depend only on the parts, and are the same in every process."""
    return hashlib.blake2b("/".join(map(str, parts)).encode()).digest()


def name_from(digest: bytes, length: int) -> str:
    """Return `length` letters and digits made from a digest."""
    return digest[:length].translate(_BASE62).decode()


def fraction_of(digest: bytes, position: int) -> float:
    """Return a number in [0, 1] made from two bytes of a digest."""
    return int.from_bytes(digest[position : position + 2]) / 65_535
