"""A small supervised program for process tests: `python -m tests.support.supervised '{...}'`.

It does what `app/main` does: handlers first, then everything else. Signals come at given moments,
counted in calls of functions and not in milliseconds, so that a seed means the same everywhere.
What happened is written to `marks` in the folder of the run, each line with the time.
"""

import json
import os
import sys
import time
from types import FrameType
from typing import Any

from holdfast.runtime.process import finish
from holdfast.runtime.signals import Signals


class Moments:
    """Signals to this very process when so many calls were made; and marks with that number."""

    def __init__(self, folder: str, moments: list[list[int]]) -> None:
        """`moments` are pairs: calls since the start or the last moment, number of the signal."""
        self.calls = 0
        self._since = 0
        self._moments = moments
        self._marks = os.open(f"{folder}/marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def mark(self, what: str) -> None:
        """Write down what happens now: monotonic time, calls so far, seconds of CPU so far."""
        line = f"{what} {time.monotonic()} {self.calls} {time.process_time()}\n"
        os.write(self._marks, line.encode())

    def count(self, _frame: FrameType | None, _event: str, _argument: Any) -> None:
        """One more call or return of a function of the main thread (`sys.setprofile`)."""
        self.calls += 1
        if self._moments and self.calls - self._since >= self._moments[0][0]:
            self._since = self.calls
            self.signal(self._moments.pop(0)[1])

    def signal(self, number: int) -> None:
        """Send one now."""
        self.mark(f"signal{number}")
        os.kill(os.getpid(), number)


def main() -> None:
    """Handlers, then the rest."""
    signals = Signals()
    signals.install()
    plan = json.loads(sys.argv[1])
    moments = Moments(plan["folder"], plan.get("moments", []))
    moments.mark("installed")
    if plan.get("counting"):
        sys.setprofile(moments.count)
    from tests.support.program import run  # noqa: PLC0415 everything heavy comes after the handlers

    code = run(signals, plan, moments)
    moments.mark("ended")
    signals.ignore()
    if plan.get("day_s"):
        sys.exit(code)  # it has not ended: that is left to the interpreter's end
    finish(code)


if __name__ == "__main__":
    main()
