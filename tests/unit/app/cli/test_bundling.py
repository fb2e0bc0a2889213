"""`holdfast bundle`: one file of a run, said in words or in JSON."""

import os
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from holdfast.app.cli.root import root
from holdfast.research.bundle import open_bundle
from holdfast.store.buffers import StoreSettings
from holdfast.store.query import records
from holdfast.store.schema import FILE_NAME
from tests.support.journal import StoreJournal
from tests.unit.store.samples import HEADER, a_day, play


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one run in it, and a working folder beside it."""
    run = tmp_path / "home" / "data" / "SIM0001" / "sim" / "runs" / "2025-12-15-seed1"
    journal = StoreJournal(run, HEADER, settings=StoreSettings(threaded=False))
    play(journal, a_day(trades=1, ticks=30))
    journal.close()
    (tmp_path / "home" / "data" / "SIM0001" / "latest").write_text("sim/2025-12-15-seed1\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


@pytest.mark.parametrize("asked", [[], ["2025-12-15"], ["sim/2025-12-15-seed1"]])
def test_a_run_becomes_a_file_here(home: Path, asked: list[str]) -> None:
    """The newest one, or the one that is named by its day; the file bears its name."""
    told = CliRunner().invoke(root, ["--home", str(home), "bundle", *asked])
    assert told.exit_code == 0, told.output
    assert os.listdir() == ["sim-2025-12-15-seed1.bundle"]  # noqa: PTH208 names are asked for
    assert "in sim-2025-12-15-seed1.bundle" in told.output
    assert FILE_NAME in told.output
    open_bundle(Path("sim-2025-12-15-seed1.bundle"), Path("there"))
    assert len(list(records(Path("there") / FILE_NAME))) >= 10


def test_what_it_made_is_told_as_json(home: Path) -> None:
    """Every part with its size and hash."""
    told = CliRunner().invoke(root, ["--home", str(home), "bundle", "--to", "x/y.bundle", "--json"])
    assert told.exit_code == 0, told.output
    found = msgspec.json.decode(told.stdout)
    assert (found["target"], found["run"]) == ("x/y.bundle", "sim/2025-12-15-seed1")
    assert found["bytes"] == sum(part["size"] for part in found["parts"])
    assert FILE_NAME in [part["name"] for part in found["parts"]]
    assert Path("x/y.bundle").is_file()
