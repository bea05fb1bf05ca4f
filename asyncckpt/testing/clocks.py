"""Provides the clock that live jobs run by."""

from __future__ import annotations

import time

from asyncckpt.options import check_number


class Clock:
    """A clock that runs at any speed, or stands still until it is advanced.

    Call it for the time::

        clock = Clock(speed=60)  # an hour of training in a minute
        clock = Clock(speed=0)  # only `advance` moves it
        clock.advance(3_600)

    Args:
        speed: Seconds of this clock in a second; default 1. 0 stops it.
        start: The Unix time in seconds at which it starts; default: now.

    Raises:
        TypeError: An argument is not a number.
        ValueError: `speed` is negative or not finite.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        self._time = time.time() if start is None else float(start)
        self._since = time.monotonic()
        self._speed = 0.0
        self.speed = speed

    def __call__(self) -> float:
        """Return the Unix time in seconds."""
        return self._time + self._speed * (time.monotonic() - self._since)

    def __repr__(self) -> str:
        return f"<Clock at {self():.1f}, speed {self._speed:g}>"

    @property
    def speed(self) -> float:
        """Seconds of this clock in a second."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        if value != 0:
            check_number("speed", value, "seconds of the clock in a second", above=0)
        self.advance(0)
        self._speed = float(value)

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Args:
            seconds: How far.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock runs forward: seconds is {seconds}")
        now = time.monotonic()
        self._time += self._speed * (now - self._since) + seconds
        self._since = now
