"""Where things lie, and how one run takes another's place."""

import os
from pathlib import Path

import pytest

from holdfast.app.paths import Runs, find_paths
from holdfast.domain.errors import DataRefused

# (name, home option, environment, configuration, data)
PLACES = [
    ("a home of its own", "/x", {"HOME": "/h"}, "/x/holdfast.toml", "/x/data"),
    (
        "the convention's defaults",
        None,
        {"HOME": "/h"},
        "/h/.config/holdfast/holdfast.toml",
        "/h/.local/share/holdfast",
    ),
    (
        "the convention's variables",
        None,
        {"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d"},
        "/c/holdfast/holdfast.toml",
        "/d/holdfast",
    ),
    (
        "relative ones are ignored",
        None,
        {"HOME": "/h", "XDG_CONFIG_HOME": "c", "XDG_DATA_HOME": ""},
        "/h/.config/holdfast/holdfast.toml",
        "/h/.local/share/holdfast",
    ),
]


@pytest.mark.parametrize(
    ("home", "env", "config", "data"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES]
)
def test_both_roots_follow_the_option_and_the_convention(
    home: str | None, env: dict[str, str], config: str, data: str
) -> None:
    """`--home` wins over everything; a variable that is no absolute path counts as absent."""
    paths = find_paths(Path(home) if home else None, env)
    assert (str(paths.config_file), str(paths.data_dir)) == (config, data)
    assert paths.strategies_dir == paths.config_dir / "strategies"
    assert paths.log_file.parent == paths.data_dir
    assert paths.tapes_dir("SIM0001") == paths.account_dir("SIM0001") / "tapes"


def test_without_any_home_the_option_is_asked_for() -> None:
    """A guess would put an account's data somewhere nobody looks."""
    with pytest.raises(DataRefused, match="--home DIR"):
        find_paths(None, {})
    assert find_paths(Path("x"), {}).config_dir == Path.cwd() / "x"


def make(runs: Runs, mode: str, name: str, text: str) -> None:
    """A run whose only file says `text`."""
    with runs.replacing(mode, name) as folder:
        (folder / "journal").write_text(text)


def test_a_run_is_found_by_name_by_day_by_path_and_as_the_latest(tmp_path: Path) -> None:
    """Modes have folders of their own; what could be two is asked about."""
    runs = Runs(tmp_path / "SIM0001")
    make(runs, "sim", "2026-11-20-seed1", "a")
    make(runs, "sim", "2026-11-20-seed2", "b")
    make(runs, "replay", "2025-12-15", "c")
    assert runs.names() == ["replay/2025-12-15", "sim/2026-11-20-seed1", "sim/2026-11-20-seed2"]
    wanted = {
        None: "c",
        "2025-12-15": "c",
        "2025": "c",
        "2026-11-20-seed1": "a",
        "sim/2026-11-20-seed2": "b",
        str(tmp_path / "SIM0001" / "sim" / "runs" / "2026-11-20-seed1"): "a",
    }
    for name, text in wanted.items():
        assert (runs.find(name) / "journal").read_text() == text
    make(runs, "replay", "2026-11-20-seed1", "d")
    assert (runs.find(None) / "journal").read_text() == "d"
    # (wanted, words of the refusal)
    for name, words in {
        "2026-11-20-seed1": "may be replay/2026-11-20-seed1 or sim/2026-11-20-seed1",
        "2026": "may be",
        "2024": "the runs are: replay/2025-12-15",
        "../../secrets": "there is no run",
    }.items():
        with pytest.raises(DataRefused, match=words):
            runs.find(name)


def test_without_a_run_the_first_one_is_proposed(tmp_path: Path) -> None:
    """A newcomer's first `report` says what to type."""
    runs = Runs(tmp_path / "nothing")
    assert runs.names() == []
    with pytest.raises(DataRefused, match="holdfast run"):
        runs.find(None)


def test_a_rerun_replaces_the_run_as_a_whole(tmp_path: Path) -> None:
    """Until it ends a reader sees the old run; then the new one, without the old one's files."""
    runs = Runs(tmp_path)
    with runs.replacing("sim", "day") as folder:
        (folder / "old").touch()
    with runs.replacing("sim", "day") as folder:
        assert [entry.name for entry in folder.iterdir()] == []
        (folder / "new").touch()
        assert [entry.name for entry in runs.find("day").iterdir()] == ["old"]
        assert runs.names() == ["sim/day"]
    assert [entry.name for entry in runs.find("day").iterdir()] == ["new"]
    assert sorted(entry.name for entry in (tmp_path / "sim" / "runs").iterdir()) == ["day"]


def test_between_the_two_renames_the_old_run_is_still_found(tmp_path: Path) -> None:
    """A crash there loses nothing, and the next run puts things right."""
    runs = Runs(tmp_path)
    make(runs, "sim", "day", "old")
    folder = tmp_path / "sim" / "runs"
    (folder / "day").rename(folder / ".day.old")
    assert (runs.find(None) / "journal").read_text() == "old"
    make(runs, "sim", "day", "new")
    assert (runs.find(None) / "journal").read_text() == "new"
    assert sorted(entry.name for entry in folder.iterdir()) == ["day"]


@pytest.mark.parametrize("error", [DataRefused("tape", "is torn", "import it"), OSError("full")])
def test_a_refused_run_leaves_nothing_half_written(tmp_path: Path, error: Exception) -> None:
    """The old run stays, the latest stays, and nothing new lies beside them."""
    runs = Runs(tmp_path)
    make(runs, "sim", "day", "old")

    def refused(name: str) -> None:
        with runs.replacing("sim", name) as folder:
            (folder / "half").touch()
            raise error

    for name in ("day", "other"):
        with pytest.raises(type(error)):
            refused(name)
    assert (runs.find(None) / "journal").read_text() == "old"
    assert sorted(entry.name for entry in (tmp_path / "sim" / "runs").iterdir()) == ["day"]


def test_what_a_crash_left_stays_as_evidence_until_the_run_is_made_again(tmp_path: Path) -> None:
    """Of processes that are gone only: another one may be at work beside us."""
    runs = Runs(tmp_path)

    def crashed() -> None:
        with runs.replacing("sim", "day") as folder:
            (folder / "journal").write_text("evidence")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crashed()
    folder = tmp_path / "sim" / "runs"
    mine = folder / f".day.{os.getpid()}.new"
    assert (mine / "journal").read_text() == "evidence"
    gone = folder / ".day.999999999.new"
    mine.rename(gone)
    alive = folder / f".day.{os.getppid()}.new"
    alive.mkdir()
    make(runs, "sim", "day", "whole")
    assert sorted(entry.name for entry in folder.iterdir()) == [alive.name, "day"]
