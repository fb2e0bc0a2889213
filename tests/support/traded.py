"""`holdfast run` as a child of the process tests, with signals at moments that a seed means.

`python -m tests.support.traded '{"argv": [...], "marks": "file", ...}'`. It is the real program from
its first line; what is added is a count of function calls, or of the engine's events, at which a
signal is sent to this very process, and marks in a file, each with the time.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from holdfast.runtime.signals import Signals

UPS = 3
"""Connections of the program: the last one that comes up is its way out for orders."""


class Moments:
    """When to signal: a list of [what is counted, number, signal], taken one after the other.

    `calls` counts calls and returns of functions of the main thread since the handlers were in
    place, or since the moment before; `stop` counts them since the stop began; `events` counts
    events of the engine; `partial` counts answers that an order is filled in part.
    """

    def __init__(self, path: str, moments: list[list[Any]]) -> None:
        self._marks = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._moments = moments
        self._ups = 0
        self._until_up = self.head == "calls"
        self.counted = {"calls": 0, "stop": 0, "events": 0, "partial": 0}

    @property
    def head(self) -> str:
        """What is counted now."""
        return self._moments[0][0] if self._moments else ""

    def mark(self, what: str) -> None:
        """Write down what happens now: monotonic time, CPU seconds, calls so far."""
        calls = self.counted["calls"] + self.counted["stop"]
        line = f"{what} {time.monotonic()} {time.process_time()} {calls}\n"
        os.write(self._marks, line.encode())

    def begin(self) -> None:
        """The handlers are in place."""
        self.mark("installed")
        if self.head == "calls":
            sys.setprofile(self.call)

    def stopping(self) -> None:
        """The stop begins."""
        self.mark("stop")
        if self.head == "stop":
            sys.setprofile(self.call)

    def call(self, frame: FrameType | None, event: str, _argument: Any) -> None:
        """One more call or return."""
        if frame is not None and event == "call" and frame.f_code.co_name == "_come_up":
            self.mark("up")
            self._ups += 1
        self.count(self.head)
        if self.head not in {"calls", "stop"} or (self._ups == UPS and self._until_up):
            sys.setprofile(None)  # what follows goes at its ordinary speed

    def count(self, what: str) -> None:
        """One more of something; a signal when it is time."""
        if what:
            self.counted[what] += 1
        if self._moments and self._moments[0][0] == what:
            _, number, signum = self._moments[0]
            if self.counted[what] >= number:
                self._moments.pop(0)
                self.counted["calls"] = 0
                self.mark(f"signal{signum}")
                if self.head == "calls":
                    sys.setprofile(self.call)
                os.kill(os.getpid(), signum)


def main() -> None:
    """The real entry point, watched."""
    plan = json.loads(sys.argv[1])
    moments = Moments(plan["marks"], plan.get("moments", []))
    install = Signals.install

    def installed(signals: Signals) -> None:
        install(signals)
        moments.begin()

    Signals.install = installed  # type: ignore[assignment, method-assign]
    if plan.get("poison"):
        _poison(plan["poison"])
    if plan.get("watches"):
        _watch(moments, plan.get("batches"), plan.get("full"))
    sys.argv = ["holdfast", *plan["argv"]]
    from holdfast.app.main import main as program  # noqa: PLC0415 it has its own order of imports

    try:
        program()
    finally:
        moments.mark("ended")


def _poison(poison: dict[str, Any]) -> None:
    """Let one tick be more than a rule, or than the step itself, can bear.

    `at_ns` and `instrument` name the tick. `where`: "rule" (the target's), "step" (with strategies
    and entries), "bare" (also without them).
    """
    from holdfast.core.engine import Engine  # noqa: PLC0415 as above
    from holdfast.core.risk import exits  # noqa: PLC0415 as above
    from holdfast.domain.market import Tick  # noqa: PLC0415 as above

    on_tick = Engine._on_tick  # noqa: SLF001 poisoned

    def poisoned(engine: Engine, tick: Tick) -> None:
        is_it = (tick.at_ns, tick.instrument) == (poison["at_ns"], poison["instrument"])
        is_bare = engine._is_bare  # noqa: SLF001 poisoned
        on_tick(engine, tick)
        if is_it and (poison["where"] == "bare" or not is_bare):
            raise ZeroDivisionError("poison")

    takes_profit = exits.TakeProfit.__call__
    eaten: list[int] = []

    def breaks(rule: Any, position: Any, market: Any) -> Any:
        if market.now_ns >= poison["at_ns"] and not eaten:
            eaten.append(market.now_ns)
            raise ZeroDivisionError("poison")
        return takes_profit(rule, position, market)

    if poison["where"] == "rule":
        exits.TakeProfit.__call__ = breaks  # type: ignore[method-assign]
    else:
        Engine._on_tick = poisoned  # type: ignore[assignment, method-assign]  # noqa: SLF001 as above


def _fill_or_empty(moments: Moments, full: dict[str, Any]) -> None:
    """Fill the disk at one event, and make room again at another."""
    from tests.support.small_disk import fill_up, make_room  # noqa: PLC0415 as above

    count = moments.counted["events"]
    if count == full["from"]:
        fill_up(Path(full["disk"]))
        moments.mark("full")
    elif count == full["until"]:
        make_room(Path(full["disk"]))
        moments.mark("room")


def _watch(moments: Moments, batches: int | None, full: dict[str, Any] | None) -> None:
    """Count what the engine is told; let the market end after so many `batches` of packets.

    `full` is a small disk that is full from one event until another.
    """
    from holdfast.brokers.played import PlayedFeed  # noqa: PLC0415 as above
    from holdfast.domain.event import AnyEvent, OrderUpdated  # noqa: PLC0415 as above
    from holdfast.runtime.driver import Driver  # noqa: PLC0415 as above
    from holdfast.runtime.shutdown import Shutdown  # noqa: PLC0415 as above

    deliver, packets, stop = Driver.deliver, PlayedFeed.packets, Shutdown._stop  # noqa: SLF001 watched

    def delivered(driver: Driver, event: AnyEvent) -> None:
        deliver(driver, event)
        moments.count("events")
        if full is not None:
            _fill_or_empty(moments, full)
        if isinstance(event, OrderUpdated):
            row = event.row
            if 0 < row.filled_quantity < row.terms.quantity:
                moments.count("partial")

    async def some(feed: PlayedFeed) -> Any:
        nonlocal batches
        if batches is not None:
            batches -= 1
        return () if batches == 0 else await packets(feed)

    async def stopped(shutdown: Shutdown) -> None:
        moments.stopping()
        await stop(shutdown)
        moments.mark("stopped")

    Driver.deliver = delivered  # type: ignore[assignment, method-assign]
    PlayedFeed.packets = some  # type: ignore[assignment, method-assign]
    Shutdown._stop = stopped  # type: ignore[assignment, method-assign]  # noqa: SLF001 watched


if __name__ == "__main__":
    main()
