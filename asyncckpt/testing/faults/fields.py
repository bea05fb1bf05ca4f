"""Provides faults in the fields of a JSON body."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import attrs
import msgspec

from asyncckpt.testing.responses import FaultContext, ServerResponse


def altered(
    response: ServerResponse, change: Callable[[dict[str, object]], None]
) -> ServerResponse:
    """Return the response with a changed copy of its JSON object; keep a body of bytes."""
    if isinstance(response.body, bytes):
        return response
    copy = msgspec.json.decode(msgspec.json.encode(response.body), type=dict[str, object])
    change(copy)
    return attrs.evolve(response, body=copy)


def _holders(node: object, steps: list[str]) -> list[dict[str, object] | list[object]]:
    """Return the objects and arrays at a path; a step `*` matches all fields or elements."""
    if not steps:
        return (
            [cast("dict[str, object] | list[object]", node)]
            if isinstance(node, dict | list)
            else []
        )
    step, rest = steps[0], steps[1:]
    found: list[dict[str, object] | list[object]] = []
    for child in _children(node, step):
        found.extend(_holders(child, rest))
    return found


def _children(node: object, step: str) -> list[object]:
    if isinstance(node, list):
        items = cast("list[object]", node)
        return items if step == "*" else items[int(step) :][:1]
    if isinstance(node, dict):
        fields = cast("dict[str, object]", node)
        if step == "*":
            return list(fields.values())
        return [fields[step]] if step in fields else []
    return []


def _keys(holder: dict[str, object] | list[object], step: str) -> list[str] | list[int]:
    if isinstance(holder, list):
        positions = list(range(len(holder)))
        # From the end, so that deleting an element does not shift the remaining positions.
        return positions[::-1] if step == "*" else positions[int(step) :][:1]
    return list(holder) if step == "*" else [step]


@attrs.frozen
class SetField:
    """A field with another value, such as a value of the wrong type; can also add a field.

    Args:
        path: The field, such as `"has_more"`, `"data.0.id"` or `"data.*.metrics.valid_loss"`.
        value: Any JSON value.
    """

    path: str
    value: object

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Set the field."""
        *steps, last = self.path.split(".")

        def change(body: dict[str, object]) -> None:
            for holder in _holders(body, steps):
                for key in _keys(holder, last):
                    cast("dict[str | int, object]", holder)[key] = self.value

        return altered(response, change)


@attrs.frozen
class DropField:
    """A missing field.

    Args:
        path: The field, such as `"last_id"` or `"data.*.created_at"`.
    """

    path: str

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Remove the field."""
        *steps, last = self.path.split(".")

        def change(body: dict[str, object]) -> None:
            for holder in _holders(body, steps):
                for key in _keys(holder, last):
                    if isinstance(holder, list) or key in holder:
                        del cast("dict[str | int, object]", holder)[key]

        return altered(response, change)


@attrs.frozen
class DuplicateField:
    """A field that occurs twice in the object; the second value is the original one.

    Args:
        name: The field's name.
        value: The value of the first occurrence.
    """

    name: str
    value: object = None

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Add the field a second time."""
        extra = msgspec.json.encode({self.name: self.value})[:-1]
        return attrs.evolve(response, body=extra + b"," + response.content()[1:])


@attrs.frozen
class ReverseFields:
    """A body in which all objects have their fields in reverse order."""

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Reverse the fields."""

        def change(body: dict[str, object]) -> None:
            fields = cast("dict[str, object]", _reversed(body))
            body.clear()
            body.update(fields)

        return altered(response, change)


def _reversed(node: object) -> object:
    if isinstance(node, list):
        return [_reversed(item) for item in cast("list[object]", node)]
    if isinstance(node, dict):
        fields = cast("dict[str, object]", node)
        return {name: _reversed(fields[name]) for name in reversed(fields)}
    return node
