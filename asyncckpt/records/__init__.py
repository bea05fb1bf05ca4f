"""The API's objects as frozen attrs classes, and their conversion from and to JSON."""

from asyncckpt.records.base import Extra, extra_field

__all__ = ["Extra", "extra_field"]
