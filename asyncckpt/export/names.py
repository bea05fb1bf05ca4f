"""Makes file names from ids, which come from the server and may be anything."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container
from typing import Final

__all__ = ["file_name"]

# A dash keeps the name apart from the devices of Windows, such as CON.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]+-[A-Za-z0-9_-]{1,100}")
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]")
_KEPT_OF_AN_ID: Final = 50
_KEPT_OF_A_DIGEST: Final = 16


def file_name(file_id: str, suffix: str, taken: Container[str]) -> str:
    """Return the name of the file in which a result file is saved.

    Args:
        file_id: The id of the result file.
        suffix: The suffix, with its dot.
        taken: The names of other result files, in lower case.

    Returns:
        The id and the suffix. If the id has other characters than letters, digits, ``-`` and ``_``,
        is long, or differs from another one only in upper and lower case: what is left of it, and a
        digest of the id.
    """
    if _PLAIN.fullmatch(file_id) and f"{file_id}{suffix}".lower() not in taken:
        return f"{file_id}{suffix}"
    digest = hashlib.sha256(file_id.encode("utf-8", "surrogatepass")).hexdigest()
    rest = _NOT_PLAIN.sub("_", file_id[:_KEPT_OF_AN_ID])
    return f"{rest}-{digest[:_KEPT_OF_A_DIGEST]}{suffix}"
