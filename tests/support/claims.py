"""Which requirement ids a test run has proved: a pytest plugin that writes them to `--proved FILE`.

An id counts when a test that claims it ran and passed, and no test that claims it failed. What was
skipped, or failed as expected, proves nothing. The file is written by full runs only; a run that
was interrupted leaves none.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

ID = re.compile(r"(?:[A-Z]{3}|RACE|I|B)-\d+|T\d+")
"""The ids of the requirement documents, and the trading rules T1 to T30."""

KEY = "proves"


class Claims:
    """The fold of test reports into proved ids. Reports of one test may come in any order."""

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._failed: set[str] = set()

    def add(
        self, ids: Iterable[str], *, phase: str, outcome: str, is_expected_failure: bool
    ) -> None:
        """Take one report: `phase` is setup, call or teardown; only a passed call proves."""
        if outcome == "failed":
            self._failed.update(ids)
        elif outcome == "passed" and phase == "call" and not is_expected_failure:
            self._passed.update(ids)

    def proved(self) -> list[str]:
        """The ids in order of name and number."""
        return sorted(self._passed - self._failed, key=_by_name_and_number)


def _by_name_and_number(claim: str) -> tuple[str, int]:
    name = claim.rstrip("0123456789")
    return name, int(claim[len(name) :])


class _Writer:
    """Collects reports where the run is controlled and writes the file when it ends."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._claims = Claims()
        target.unlink(missing_ok=True)

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        ids = [str(value) for key, value in report.user_properties if key == KEY]
        self._claims.add(
            ids,
            phase=report.when,
            outcome=report.outcome,
            is_expected_failure=hasattr(report, "wasxfail"),
        )

    @pytest.hookimpl
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._target.write_text(json.dumps(self._claims.proved(), indent=1) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--proved FILE`."""
    parser.addoption("--proved", type=Path, metavar="FILE", help="write the proved ids to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Write once: where the run is controlled, not in each of its workers."""
    target = config.getoption("--proved")
    if target is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(target))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attach each test's claims to its reports, which is how they come back from workers."""
    for item in items:
        for claim in (str(a) for marker in item.iter_markers(KEY) for a in marker.args):
            if not ID.fullmatch(claim):
                raise pytest.UsageError(f"{item.nodeid} claims {claim!r}, which is no id")
            item.user_properties.append((KEY, claim))
