"""Time that passes when a test says so, for what takes a clock and a `call_later`."""

from collections.abc import Callable

import attrs


@attrs.define(eq=False)
class Time:
    """A clock and its timers."""

    now: float = 0.0
    calls: list["Call"] = attrs.field(factory=list["Call"])

    def clock(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> "Call":
        self.calls.append(Call(self, self.now + delay, call))
        return self.calls[-1]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [call for call in self.calls if call.at <= end]:
            first = min(due, key=lambda call: call.at)
            self.now = first.at
            first.cancel()
            first.call()
        self.now = end


@attrs.define(eq=False)
class Call:
    time: Time
    at: float
    call: Callable[[], None]

    def cancel(self) -> None:
        if self in self.time.calls:
            self.time.calls.remove(self)
