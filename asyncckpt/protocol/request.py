"""Builds a request: checks what goes into a URL, and encodes it (RFC 3986)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

QueryValue: TypeAlias = str | int | float | Mapping[str, object] | Sequence[object] | None
"""The value of a query parameter; None leaves it out. See `encode_query` for how it is encoded."""

# RFC 3986, section 3.3; with the percent sign, for what is encoded already stays so.
PATH_CHARACTERS: Final = "/:@!$&'()*+,;=-._~%"


def parse_base_url(base_url: object) -> tuple[str, dict[str, str]]:
    """Check a base URL, and part it from its query.

    Returns:
        The URL without a trailing slash, and the query parameters that every request is to carry.

    Raises:
        TypeError: It is no string.
        ValueError: It is no absolute http or https URL, or carries a fragment or credentials.
    """
    if not isinstance(base_url, str):
        raise TypeError(f"base_url must be a string, not {type(base_url).__name__}")
    # The URL itself is kept out of the messages: it may hold a password.
    if not base_url or re.search(r"[\x00-\x20\x7f\\]", base_url):
        raise ValueError("base_url is empty, or has a space, control character or backslash in it")
    try:
        parts = urlsplit(base_url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError("base_url is not a URL: its host or port cannot be") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("base_url must look like https://api.openai.com/v1: http(s) and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("base_url must not carry credentials; use api_key or default_headers")
    if parts.fragment:
        raise ValueError("base_url must not have a #fragment")
    path = quote(parts.path.rstrip("/"), safe=PATH_CHARACTERS)
    bare = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    check_query("base_url", query)
    return bare, query


_PLAIN_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]+")


def path_segment(name: str, value: object) -> str:
    """Check an identifier that goes into the path, and encode it.

    Args:
        name: What to call it in an error.
        value: The identifier.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty, or would make a different path. Servers and proxies that decode a
            path before they route it take encoded separators for separators, so those are not
            sent at all.
    """
    if not isinstance(value, str):
        hint = "; pass its .id" if isinstance(getattr(value, "id", None), str) else ""
        raise TypeError(f"{name} must be a string, not {type(value).__name__}{hint}")
    if _PLAIN_IDENTIFIER.fullmatch(value):
        return value
    if not value.strip() or value in (".", ".."):
        raise ValueError(f"{name} must be an identifier such as 'ftjob-abc123', not {value!r}")
    if not value.isprintable() or any(character in "/\\?#%" for character in value):
        raise ValueError(
            f"{name} must not contain control characters or any of / \\ ? # %: {value!r}"
        )
    return quote(value, safe="")


def check_query(name: str, query: Mapping[str, QueryValue] | None) -> dict[str, QueryValue]:
    """Check query parameters.

    Raises:
        TypeError: A name is not a string, or a value cannot be encoded.
        ValueError: It sets the cursor, which is for the pages to set.
    """
    given: object = query if query is not None else {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a mapping, not {type(given).__name__}")
    checked = dict(cast("Mapping[str, QueryValue]", given))
    if "after" in checked:
        raise ValueError(f"{name} must not have 'after'; pass it as the argument after=...")
    for parameter, value in checked.items():
        try:
            for part in _parameters(parameter, value):
                "".join(part).encode()
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        except UnicodeEncodeError:
            # The value may be a key, and this error would show it.
            raise ValueError(f"{name} has a lone surrogate in it, which cannot be sent") from None
    return checked


def check_strings(name: str, mapping: Mapping[str, str] | None) -> dict[str, str]:
    """Check that a mapping has strings for names and values; None is an empty one.

    Raises:
        TypeError: It is no mapping, or a name or a value is no string.
    """
    given: object = mapping if mapping is not None else {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a mapping of strings, not {type(given).__name__}")
    checked: dict[str, str] = {}
    for key, value in cast("Mapping[object, object]", given).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"{name}: names and values must be strings; see {key!r}")
        checked[key] = value
    return checked


def check_api_key(api_key: object, source: str) -> str:
    """Check that a key can be sent; the key never shows in an error.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty, or has something in it that no key has.
    """
    if not isinstance(api_key, str):
        kind = type(api_key).__name__
        # It may be the key all the same, and error reports show the variables of frames.
        del api_key
        raise TypeError(f"{source} must give a string, not {kind}")
    if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", api_key):
        del api_key
        raise ValueError(
            f"{source} is empty, or has a line break or non-ASCII character in it, or a space at "
            "an end: is there a line break at its end?"
        )
    return api_key


def encode_query(query: Mapping[str, QueryValue]) -> str:
    """Encode query parameters as the official SDK does.

    Booleans become ``true`` and ``false``. A mapping becomes one parameter for each of its items,
    ``name[key]``, and a list one for each of its elements, ``name[]``. None is left out.

    Returns:
        What is appended to a path: the query with its question mark, or nothing.
    """
    parameters = [part for name, value in query.items() for part in _parameters(name, value)]
    return f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""


def _parameters(name: object, value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(name, str):
        raise TypeError(f"names must be strings, not {type(name).__name__}")
    if isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, str | int | float):
        yield name, str(value)
    elif isinstance(value, Mapping):
        for key, part in cast("Mapping[object, object]", value).items():
            if not isinstance(key, str):
                raise TypeError(f"names must be strings, not {type(key).__name__}")
            yield from _parameters(f"{name}[{key}]", part)
    elif isinstance(value, list | tuple):
        for part in cast("Sequence[object]", value):
            yield from _parameters(f"{name}[]", part)
    elif value is not None:
        raise TypeError(f"{name!r} cannot be sent as {type(value).__name__}")


def with_after(url: str, cursor: str | None) -> str:
    """The URL of the page after a cursor; None is the first page."""
    if cursor is None:
        return url
    return (
        f"{url}{'&' if '?' in url else '?'}after={quote(cursor, safe='', errors='surrogatepass')}"
    )
