"""Ways to make records of a page's bytes, asyncckpt's among them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .data import job_id, page_body
from .peers import PAGE, list_decoder, records_of

Decode = Callable[[], object]

_BODY = page_body(job_id(1, 10 * PAGE), 0, PAGE)


def _asyncckpt(body: bytes = _BODY) -> Decode:
    return functools.partial(records_of, list_decoder(), body)


def _asyncckpt_checks() -> Decode:
    return functools.partial(list_decoder().parse, _BODY)


def _asyncckpt_unknown_fields() -> Decode:
    decode = _asyncckpt(
        _BODY.replace(b'"metrics": {', b'"new_field": "x", "metrics": {"perplexity": 1.5, ')
    )
    # The first page teaches it the fields.
    decode()
    return decode


def _orjson() -> Decode:
    import orjson

    return lambda: orjson.loads(_BODY)


def _msgspec() -> Decode:
    import msgspec

    decoder = msgspec.json.Decoder()
    return lambda: decoder.decode(_BODY)


def _fields(*, metrics: Any) -> dict[str, list[tuple[str, Any]]]:
    names = ("train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy")
    more = ("full_valid_loss", "full_valid_mean_token_accuracy")
    strings = ("object", "id", "fine_tuned_model_checkpoint", "fine_tuning_job_id")
    return {
        "metrics": [(name, float | None) for name in ("step", *names, *more)],
        "checkpoint": [
            *((name, str) for name in strings),
            ("created_at", int),
            ("step_number", int),
            ("metrics", metrics),
        ],
        "page": [("has_more", bool), ("first_id", str), ("last_id", str), ("object", str)],
    }


def _msgspec_structs() -> Decode:
    import msgspec

    metrics = msgspec.defstruct("Metrics", _fields(metrics=None)["metrics"])
    fields = _fields(metrics=metrics)
    checkpoint: Any = msgspec.defstruct("Checkpoint", fields["checkpoint"])
    page: Any = msgspec.defstruct("Page", [("data", list[checkpoint]), *fields["page"]])
    decoder = msgspec.json.Decoder(page)
    return lambda: decoder.decode(_BODY)


def _msgspec_attrs() -> Decode:
    import attrs
    import msgspec

    def made(name: str, fields: list[tuple[str, Any]]) -> type:
        given = {field: attrs.field(type=kind) for field, kind in fields}
        return attrs.make_class(name, given, frozen=True, slots=True)

    metrics = made("Metrics", _fields(metrics=None)["metrics"])
    fields = _fields(metrics=metrics)
    checkpoint: Any = made("Checkpoint", fields["checkpoint"])
    page: Any = made("Page", [("data", list[checkpoint]), *fields["page"]])
    decoder = msgspec.json.Decoder(page)
    return lambda: decoder.decode(_BODY)


def _pydantic() -> Decode:
    import pydantic

    def made(name: str, fields: list[tuple[str, Any]]) -> Any:
        given: dict[str, Any] = {field: (kind, ...) for field, kind in fields}
        return pydantic.create_model(name, **given)

    metrics = made("Metrics", _fields(metrics=None)["metrics"])
    fields = _fields(metrics=metrics)
    checkpoint: Any = made("Checkpoint", fields["checkpoint"])
    page = made("Page", [("data", list[checkpoint]), *fields["page"]])
    return lambda: page.model_validate_json(_BODY)


def _official_sdk() -> Decode:
    import json

    from openai._models import construct_type
    from openai.pagination import AsyncCursorPage
    from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

    page: Any = AsyncCursorPage[FineTuningJobCheckpoint]
    return lambda: construct_type(type_=page, value=json.loads(_BODY))


def decoders() -> dict[str, Callable[[], Decode]]:
    """The ways, by name; each has to be made in the process that measures it."""
    return {
        "asyncckpt": _asyncckpt,
        "asyncckpt, unknown fields": _asyncckpt_unknown_fields,
        "asyncckpt, checked only": _asyncckpt_checks,
        "orjson, no types": _orjson,
        "msgspec, no types": _msgspec,
        "msgspec structs": _msgspec_structs,
        "msgspec into attrs": _msgspec_attrs,
        "pydantic": _pydantic,
        "official SDK": _official_sdk,
    }
