"""What every test gets: claims of requirements, recorded data, seeded properties, no network."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.configuration import set_hypothesis_home_dir

from holdfast.runtime.loopback import VARIABLE, StrangerRefused, look
from tests.support.command import GUARD
from tools import CHECKOUT

pytest_plugins = ["tests.support.claims"]

set_hypothesis_home_dir(CHECKOUT / "build" / "cache" / "hypothesis")
settings.register_profile(
    "fixed",
    derandomize=True,  # the same examples in every run: a failure is the change's, not the day's
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile(
    "explore", settings.get_profile("fixed"), derandomize=False, max_examples=2_000
)
settings.register_profile(
    "unshrunk",  # for mutants: that a test fails is all that is asked
    settings.get_profile("fixed"),
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


LONGEST_FIRST = (
    "tests/wire/",
    "tests/worlds/",
    "tests/process/faults/",
    "tests/process/test_kill",
    "tests/docs/",
    "tests/process/",
    "tests/explorer/",
    "tests/contract/",
    "tests/stories/",
)
"""Where tests take minutes: begun last, one of them would keep a core busy and all others idle."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin what takes long; within a group the order stays as it was shuffled."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(name: str) -> int:
    found = (n for n, begin in enumerate(LONGEST_FIRST) if name.startswith(begin))
    return next(found, len(LONGEST_FIRST))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded market data: `data` in the folder that HOLDFAST_SHARED names, else in ../shared."""
    folder = Path(os.environ.get("HOLDFAST_SHARED", CHECKOUT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no recorded data: {folder} does not exist (HOLDFAST_SHARED may name it)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Fail a test that speaks to any other machine; a refusal by `OSError` could be swallowed.

    The programs that it starts refuse by themselves, as the variable tells them; so does every
    other Python, which finds the guard first.
    """
    path = os.environ.get("PYTHONPATH", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "1")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(GUARD), path))))
        sys.addaudithook(_look)
        yield


def _look(event: str, given: tuple[object, ...]) -> None:
    """See what any library of this process is about to do; a hook is never taken out again."""
    try:
        look(event, given)
    except StrangerRefused as refused:
        pytest.fail(f"a test tried to reach another machine: {refused}")
