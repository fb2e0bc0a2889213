"""The installed program as a user starts it: a process of its own, in a home of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from holdfast.runtime.loopback import VARIABLE
from tools import CHECKOUT

GUARD: Final = CHECKOUT / "tests" / "guard"
"""In `PYTHONPATH` it keeps whatever Python is started from every other machine."""

CODE: Final = os.pathsep.join(map(str, (GUARD, CHECKOUT / "src", CHECKOUT)))
"""The `PYTHONPATH` of a program of the tests' own: the guard, the code, and the tests."""

START: Final = (sys.executable, "-m", "holdfast.app.main")


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a fresh user has: an empty home, this checkout's code, and `more`; no other machine."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return {
        **kept,
        VARIABLE: "1",
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(map(str, (GUARD, CHECKOUT / "src"))),
        **more,
    }


def holdfast(
    *arguments: str, home: Path, code: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end. `code` is run in its process before it starts."""
    start = (
        START
        if not code
        else (sys.executable, "-c", f"{code}\nfrom holdfast.app.main import main\nmain()")
    )
    return subprocess.run(
        [*start, *arguments],
        cwd=home,
        env=environment(home, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
