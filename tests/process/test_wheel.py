"""The wheel alone: built from the checkout, installed in an empty environment, it trades a day."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import CHECKOUT

TICKS_MIN, TRADES_MIN = 250_000, 3


def command(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What a command printed on stdout. Fails the test with everything it said when it failed."""
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=cwd, env=env or dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{words}: {ended.stdout[-2_000:]}{ended.stderr[-3_000:]}"
    return ended.stdout


@pytest.mark.timeout(300)
def test_the_wheel_runs_the_default_day_without_its_checkout(tmp_path: Path) -> None:
    """No source, no configuration, another folder: the day is traded and reported."""
    command(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=CHECKOUT)
    [wheel] = tmp_path.glob("*.whl")
    uv = (sys.executable, "-m", "uv")
    command(*uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "v", cwd=tmp_path)
    python = tmp_path / "v" / "bin" / "python"
    install = (*uv, "pip", "install", "--quiet", "--python", python)
    command(*install, "--require-hashes", "-r", CHECKOUT / "locks" / "run.txt", cwd=tmp_path)
    command(*install, "--no-deps", wheel, cwd=tmp_path)
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    report = command(
        tmp_path / "v" / "bin" / "holdfast", "--home", tmp_path / "home", "run",
        cwd=tmp_path, env=environment,
    )  # fmt: skip
    ticks = int(re.search(r"([\d,]+) ticks", report)[1].replace(",", ""))  # type: ignore[index]
    trades = int(re.search(r"(\d+) round trips", report)[1])  # type: ignore[index]
    print(f"{ticks} ticks, floor {TICKS_MIN}; {trades} trades, floor {TRADES_MIN}")  # noqa: T201
    assert ticks >= TICKS_MIN
    assert trades >= TRADES_MIN
