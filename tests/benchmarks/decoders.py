"""Ways to decode a page of checkpoints, asyncckpt's among them, and the pages to decode."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any, Final

from .data import job_id, page_body

PAGE: Final = 100
"""Records on a page."""

Decode = Callable[[bytes], Any]
Make = Callable[[str, dict[str, Any]], Any]


@functools.cache
def page(number: int = 0) -> bytes:
    """Return the body of a page as the API sends it."""
    return page_body(job_id(1, 10 * PAGE), 0, PAGE)


def _with_fields(fields: str) -> bytes:
    """Return the page with further fields in each record; `#` becomes the record's number."""
    before, *records = page().split(b'"metrics": {')
    more = [fields.replace("#", f"{number}").encode() for number in range(len(records))]
    return before + b"".join(
        b'%s, "metrics": {%s' % pair for pair in zip(more, records, strict=True)
    )


def page_with_new_field(number: int) -> bytes:
    """Return a page with a field that asyncckpt does not know, always the same."""
    return _with_fields('"new_field": "x"')


def page_with_odd_names(number: int) -> bytes:
    """Return a page with names that no class can have as a field."""
    return _with_fields(r'"\"quoted\"": 1, "line\nbreak": 2, "": 3, "__class__": 4')


def page_with_many_names(number: int) -> bytes:
    """Return a page with ten names on each record that no page had before."""
    return _with_fields(", ".join(f'"new_{number}_#_{i}": {i}' for i in range(10)))


def page_with_long_names(number: int) -> bytes:
    """Return a page with a name of 1,000 characters on each record that no page had before."""
    return _with_fields(f'"new_{number}_#_{"x" * 1000}": 1')


def _asyncckpt() -> Decode:
    decoder = _list_decoder()
    return lambda body: decoder.to_records(decoder.parse(body).data)


def _asyncckpt_checks() -> Decode:
    decode: Decode = _list_decoder().parse
    return decode


def _list_decoder() -> Any:
    """Return the decoder of the client's pages, wherever the version to measure has it."""
    import asyncckpt

    # Loads the modules.
    asyncckpt.FineTuningJob, asyncckpt.FineTuningJobCheckpoint, asyncckpt.Pager  # noqa: B018
    asyncckpt.AsyncClient(api_key="key").fine_tuning  # noqa: B018
    modules = {name: vars(sys.modules[name]) for name in sys.modules if "asyncckpt." in name}
    found = {name: value for module in modules.values() for name, value in module.items()}
    return found["ListDecoder"](
        found["ListFineTuningJobCheckpointsResponse"], asyncckpt.FineTuningJobCheckpoint
    )


def _models(make: Make) -> Any:
    """Make the classes of a page: a typed decoder's least work."""
    metrics = make("Metrics", dict.fromkeys(_METRICS, float | None))
    strings = ("object", "id", "fine_tuned_model_checkpoint", "fine_tuning_job_id")
    integers = ("created_at", "step_number")
    checkpoint: Any = make(
        "Checkpoint",
        {**dict.fromkeys(strings, str), **dict.fromkeys(integers, int), "metrics": metrics},
    )
    names = ("object", "first_id", "last_id")
    return make("Page", {**dict.fromkeys(names, str), "data": list[checkpoint], "has_more": bool})


_METRICS: Final = (
    "step",
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
)


def _msgspec_structs() -> Decode:
    import msgspec

    page = _models(lambda name, fields: msgspec.defstruct(name, list(fields.items())))
    return msgspec.json.Decoder(page).decode


def typed_page_decoder() -> Decode:
    """Decode with msgspec into frozen attrs classes, which drops unknown fields."""
    import attrs
    import msgspec

    def make(name: str, fields: dict[str, Any]) -> type:
        given = {field: attrs.field(type=kind) for field, kind in fields.items()}
        return attrs.make_class(name, given, frozen=True, slots=True)

    return msgspec.json.Decoder(_models(make)).decode


def _pydantic() -> Decode:
    import pydantic

    def make(name: str, fields: dict[str, Any]) -> Any:
        required: dict[str, Any] = {field: (kind, ...) for field, kind in fields.items()}
        return pydantic.create_model(name, **required)

    decode: Decode = _models(make).model_validate_json
    return decode


def _orjson() -> Decode:
    import orjson

    return orjson.loads


def _official_sdk() -> Decode:
    from openai._models import construct_type
    from openai.pagination import AsyncCursorPage
    from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

    page: Any = AsyncCursorPage[FineTuningJobCheckpoint]
    return lambda body: construct_type(type_=page, value=json.loads(body))


DECODERS: Final[dict[str, tuple[Callable[[], Decode], Callable[[int], bytes]]]] = {
    "asyncckpt": (_asyncckpt, page),
    "asyncckpt, checked only": (_asyncckpt_checks, page),
    "asyncckpt, a new field": (_asyncckpt, page_with_new_field),
    "asyncckpt, names that no class can have": (_asyncckpt, page_with_odd_names),
    "asyncckpt, 1,000 new names a page": (_asyncckpt, page_with_many_names),
    "asyncckpt, 100 new names of 1,000 characters a page": (_asyncckpt, page_with_long_names),
    "orjson, no types": (_orjson, page),
    "msgspec structs": (_msgspec_structs, page),
    "msgspec into attrs": (typed_page_decoder, page),
    "pydantic": (_pydantic, page),
    "official SDK": (_official_sdk, page),
}
"""How to make each decoder, and the pages to give it."""
