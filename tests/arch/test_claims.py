"""Proof of requirements: what a run may write into its list of proved ids."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.claims import ID, Claims
from tools import CHECKOUT

TESTS = """
import pytest

@pytest.mark.proves("I-10", "I-9", "T2")
def test_passes(): pass

@pytest.mark.proves("B-01")
@pytest.mark.parametrize("row", [1, 2])
def test_fails_in_one_row(row): assert row == 1

@pytest.mark.proves("SUP-1")
@pytest.mark.skip(reason="no data")
def test_skipped(): pass

@pytest.mark.proves("SUP-2")
@pytest.mark.xfail(strict=True)
def test_expected_to_fail(): assert False

@pytest.fixture
def breaks_after():
    yield
    raise RuntimeError

@pytest.mark.proves("SUP-3")
def test_whose_cleaning_up_fails(breaks_after): pass
"""


def run(folder: Path, text: str, *options: str) -> tuple[int, Path]:
    """Run `text` as a test file of its own; returns pytest's exit code and the list's path."""
    (folder / "test_it.py").write_text(text)
    proved = folder / "out" / "proved.json"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(folder)),
        *("--disable-plugin-autoload", "-p", "tests.support.claims", "--proved", str(proved)),
        *(*options, str(folder)),
    ]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False)
    return done.returncode, proved


@pytest.mark.timeout(90)  # now and then the workers take twenty seconds to end
@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["one", "workers"])
def test_only_ids_whose_every_claim_held_are_proved(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """A failed row, a skip, an expected failure and a failing clean-up prove nothing."""
    code, proved = run(tmp_path, TESTS, *workers)
    assert code == 1
    assert json.loads(proved.read_text()) == ["I-9", "I-10", "T2"]


def test_a_run_that_could_not_start_leaves_no_list(tmp_path: Path) -> None:
    """An older list must not survive a run that proved nothing."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "proved.json").write_text('["I-1"]')
    code, proved = run(tmp_path, "import no_such_module_anywhere")
    assert code == 2
    assert not proved.exists()


def test_a_claim_must_look_like_an_id(tmp_path: Path) -> None:
    """A typing error in a claim ends the run instead of counting for nothing."""
    code, proved = run(tmp_path, TESTS.replace("I-9", "I9"))
    assert code == 4
    assert not proved.exists()


def test_what_is_called_impossible_says_why() -> None:
    """Each id that needs no test is an id, and has a sentence."""
    told = tomllib.loads((CHECKOUT / "tests" / "impossible.toml").read_text("utf-8"))
    assert list(told) == ["impossible"]
    assert [claim for claim in told["impossible"] if not ID.fullmatch(claim)] == []
    assert [claim for claim, why in told["impossible"].items() if len(why.split()) < 5] == []


def test_a_failure_outweighs_every_pass() -> None:
    """The order of reports does not matter: one failure anywhere, and the id is open."""
    claims = Claims()
    claims.add(["I-1"], phase="call", outcome="failed", is_expected_failure=False)
    claims.add(["I-1", "I-2"], phase="call", outcome="passed", is_expected_failure=False)
    assert claims.proved() == ["I-2"]
