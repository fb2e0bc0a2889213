"""A host in another zone or locale: the core decides the same there."""

import os
import re
import subprocess
import sys

import pytest

from tools import CHECKOUT

CORE = ("tests/unit/core", "tests/unit/domain", "tests/unit/facts", "tests/unit/app/test_config.py")
FLOOR = 400


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("zone", "locale"),
    [("America/New_York", "C.UTF-8"), ("Asia/Singapore", "C")],  # behind and ahead of Kolkata
)
def test_the_core_passes_in_any_zone_and_locale(zone: str, locale: str) -> None:
    """The core's own tests pass there, at least as many as the floor."""
    environment = {**os.environ, "TZ": zone, "LC_ALL": locale, "LANG": locale}
    environment.pop("PYTEST_XDIST_WORKER", None)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *CORE],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    counted = re.search(r"(\d+) passed", ended.stdout)
    passed = int(counted.group(1)) if counted else 0
    print(f"{zone} {locale}: {passed} passed, floor {FLOOR}")  # noqa: T201 the floor beside it
    assert ended.returncode == 0, ended.stdout[-3_000:]
    assert passed >= FLOOR
