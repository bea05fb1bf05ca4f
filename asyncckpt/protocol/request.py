"""Checks and encodes the parts of a request's URL (RFC 3986)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

QueryValue: TypeAlias = str | int | float | Mapping[str, object] | Sequence[object] | None
"""The value of a query parameter; None omits the parameter. `encode_query` encodes it."""

# RFC 3986, section 3.3. The percent sign keeps characters that are already encoded.
PATH_CHARACTERS: Final = "/:@!$&'()*+,;=-._~%"


def parse_base_url(
    base_url: object, name: str = "base_url", example: str = "https://api.openai.com/v1"
) -> tuple[str, dict[str, str]]:
    """Check a base URL, and split off its query.

    Args:
        base_url: The URL.
        name: The name of the argument, for error messages.
        example: A valid URL, for error messages.

    Returns:
        The URL without query and trailing slash, and the query parameters.

    Raises:
        TypeError: The URL is not a string.
        ValueError: It is not an absolute http or https URL, or has a fragment or credentials.
    """
    if not isinstance(base_url, str):
        raise TypeError(f"{name} must be a string, not {type(base_url).__name__}")
    # The messages do not contain the URL, because it may contain a password.
    if not base_url or re.search(r"[\x00-\x20\x7f\\]", base_url):
        raise ValueError(f"{name} is empty, or contains a space, control character or backslash")
    try:
        parts = urlsplit(base_url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError(f"{name} has an invalid host or port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} must be an http(s) URL with a host: {example}")
    # Empty if there is only a password.
    if parts.username is not None:
        raise ValueError(
            f"{name} must not contain credentials; use api_key or default_headers instead"
        )
    if parts.fragment:
        raise ValueError(f"{name} must not have a #fragment")
    path = quote(parts.path.rstrip("/"), safe=PATH_CHARACTERS)
    bare = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    check_query(name, query)
    return bare, query


_PLAIN_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]+")


def path_segment(name: str, value: object) -> str:
    """Check an identifier, and encode it as a segment of the path.

    Separators are rejected, not encoded: servers and proxies that decode the path before routing
    would treat an encoded separator as a separator.

    Args:
        name: The name of the argument, for error messages.
        value: The identifier.

    Raises:
        TypeError: `value` is not a string.
        ValueError: `value` is empty, or has control characters or separators.
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

    Args:
        name: The name of the argument, for error messages.
        query: The parameters; None for no parameters.

    Returns:
        A copy of the parameters.

    Raises:
        TypeError: A name is not a string, or a value cannot be encoded.
        ValueError: The parameters contain ``after``, or text that is not valid Unicode.
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
            # UnicodeEncodeError would show the value, which may be a key.
            raise ValueError(f"{name} contains a lone surrogate, which cannot be encoded") from None
    return checked


def check_strings(name: str, mapping: Mapping[str, str] | None) -> dict[str, str]:
    """Check that names and values are strings, and return a copy; None becomes an empty dict.

    Raises:
        TypeError: `mapping` is not a mapping, or a name or value is not a string.
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
    """Check that an API key can be sent in a header. Error messages never contain the key.

    Args:
        api_key: The key.
        source: Where the key comes from, for error messages.

    Returns:
        The key.

    Raises:
        TypeError: The key is not a string.
        ValueError: The key is empty, or contains line breaks, control characters, characters
            outside of ASCII, or spaces at its start or end.
    """
    if not isinstance(api_key, str):
        kind = type(api_key).__name__
        # The object may still be the key, and error reports show local variables.
        del api_key
        raise TypeError(f"{source} must give a string, not {kind}")
    if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", api_key):
        del api_key
        raise ValueError(
            f"{source} is empty, or contains a line break, control or non-ASCII character, or a "
            "space at its start or end; a key read from a file often ends with a line break"
        )
    return api_key


def encode_query(query: Mapping[str, QueryValue]) -> str:
    """Encode query parameters as the official SDK does.

    Booleans become ``true`` and ``false``. Each item of a mapping becomes a parameter
    ``name[key]``, each element of a list a parameter ``name[]``. None is omitted.

    Returns:
        The query with its question mark; an empty string if there are no parameters.
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
    """Return the URL of the page after a cursor; None is the first page."""
    if cursor is None:
        return url
    return (
        f"{url}{'&' if '?' in url else '?'}after={quote(cursor, safe='', errors='surrogatepass')}"
    )
