"""One process that starts and stops the trading program again and again, and counts what is there.

`python -m tests.support.again FOLDER TIMES`: after each stop one line of JSON on stdout.
"""

import asyncio
import ctypes
import datetime as dt
import gc
import json
import linecache
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from holdfast.app import wiring
from holdfast.app.config import Config, with_setting
from holdfast.app.log import logging_to
from holdfast.app.program import Host
from holdfast.control.socket import socket_path
from holdfast.domain.event import CandleLoaded
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.exchange.generator import GeneratedDay
from holdfast.facts.load import load_day_facts

TICKS: Final = 1_500


class ShortDay:
    """The beginning of a generated day, made once."""

    def __init__(self, day: GeneratedDay) -> None:
        self.instruments: Sequence[Instrument] = tuple(day.instruments)
        self._history = tuple(day.history())
        self._ticks = tuple(islice(day.ticks(), TICKS))

    def history(self) -> Iterator[CandleLoaded]:
        """Candles from before."""
        return iter(self._history)

    def ticks(self) -> Iterator[Tick]:
        """The first ticks of the day."""
        return iter(self._ticks)


def main() -> None:
    """As often as asked."""
    root, times = Path(sys.argv[1]), int(sys.argv[2])
    config = with_setting(Config(), "sim.speed", 5_000, where="here")
    facts = load_day_facts(dt.date.fromisoformat(config.sim.day))
    universe = wiring.universe("NIFTY", dt.date.fromisoformat(config.sim.day), 0)
    source = ShortDay(GeneratedDay(config.sim.seed, facts, [universe]))
    host = Host(control=socket_path(root, "SIM0001"))
    for number in range(times):
        folder = root / str(number)
        folder.mkdir()
        with logging_to(folder):
            run = wiring.Run(folder=folder, progress=lambda _done: None, host=host)
            result = wiring.play(config, facts, source, run)
        counted = {"code": result.exit_code, "ticks": result.wall["ticks"], **_counted()}
        print(json.dumps(counted), flush=True)  # noqa: T201 read by the test


def _trim() -> None:
    """Give back what is merely kept: it is nobody's, and how much hangs on the load.

    The lines of our sources are kept once the watchdog has shown stacks, the allocator keeps pages.
    """
    linecache.clearcache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _counted() -> dict[str, int]:
    gc.collect()
    _trim()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "threads": threading.active_count(),
        "tasks": sum(isinstance(thing, asyncio.Task) for thing in gc.get_objects()),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "memory_kb": pages * os.sysconf("SC_PAGE_SIZE") // 1_024,
    }


if __name__ == "__main__":
    main()
