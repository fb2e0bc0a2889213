"""Runs every measurement: each module `bench/measure_*.py` has `rows()`, which yields its rows.

Arguments choose modules by a part of their name. A row below its floor of work, or over its bound,
is a failure.
"""

import importlib
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.yardstick import Row


def measurements(chosen: Sequence[str]) -> list[str]:
    """The modules to run, in order of name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("measure_*.py"))
    return [name for name in names if not chosen or any(part in name for part in chosen)]


def show(rows: Iterable[Row]) -> int:
    """Print rows as they come; returns how many failed."""
    failed = 0
    print(f"{'what':<52}{'done':>22}{'ns each':>12}{'bare steps':>12}  bound")
    for row in rows:
        bound = "" if row.ratio_max is None else f"<= {row.ratio_max:g}"
        done = f"{row.done:,} {row.unit}s"
        print(
            f"{row.what:<52}{done:>22}{row.each_ns:>12,.0f}{row.ratio:>12,.2f}  {bound}", flush=True
        )
        if row.fault:
            failed += 1
            print(f"  FAILED: {row.what}: {row.fault}")
    return failed


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments choose; exit status 1 when a row failed or nothing was chosen."""
    names = measurements(arguments)
    print(
        f"Python {platform.python_version()}, {platform.machine()}; medians of interleaved rounds"
    )
    failed = show(row for name in names for row in importlib.import_module(f"bench.{name}").rows())
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
