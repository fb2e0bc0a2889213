"""Where things lie, and how one run takes another's place."""

import os
from pathlib import Path

import pytest

from holdfast.app.paths import JOURNAL, UNFINISHED, Runs, find_paths
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
    with runs.playing(mode, name) as folder:
        (folder.path / JOURNAL).write_text(text)
        folder.finish()


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
        assert (runs.find(name) / JOURNAL).read_text() == text
    make(runs, "replay", "2026-11-20-seed1", "d")
    assert (runs.find(None) / JOURNAL).read_text() == "d"
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
    make(runs, "sim", "day", "old")
    (runs.find("day") / "old").touch()
    with runs.playing("sim", "day") as folder:
        assert not folder.continues
        assert [entry.name for entry in folder.path.iterdir()] == [UNFINISHED]
        (folder.path / JOURNAL).write_text("new")
        assert (runs.find("day") / JOURNAL).read_text() == "old"
        assert runs.names() == ["sim/day"]
        folder.finish()
    assert [entry.name for entry in runs.find("day").iterdir()] == [JOURNAL]
    assert sorted(entry.name for entry in (tmp_path / "sim" / "runs").iterdir()) == ["day"]


def test_between_the_two_renames_the_old_run_is_still_found(tmp_path: Path) -> None:
    """A crash there loses nothing, and the next run puts things right."""
    runs = Runs(tmp_path)
    make(runs, "sim", "day", "old")
    folder = tmp_path / "sim" / "runs"
    (folder / "day").rename(folder / ".day.old")
    assert (runs.find(None) / JOURNAL).read_text() == "old"
    make(runs, "sim", "day", "new")
    assert (runs.find(None) / JOURNAL).read_text() == "new"
    assert sorted(entry.name for entry in folder.iterdir()) == ["day"]


@pytest.mark.parametrize("error", [DataRefused("tape", "is torn", "import it"), OSError("full")])
def test_a_refused_run_leaves_nothing_half_written(tmp_path: Path, error: Exception) -> None:
    """The old run stays, the latest stays, and nothing new lies beside them."""
    runs = Runs(tmp_path)
    make(runs, "sim", "day", "old")

    def refused(name: str) -> None:
        with runs.playing("sim", name) as folder:
            (folder.path / "half").touch()
            raise error

    for name in ("day", "other"):
        with pytest.raises(type(error)):
            refused(name)
    assert (runs.find(None) / JOURNAL).read_text() == "old"
    assert sorted(entry.name for entry in (tmp_path / "sim" / "runs").iterdir()) == ["day"]


def left_by(runs: Runs, text: str) -> Path:
    """What a process that died has left of the run `sim/day`."""
    with pytest.raises(ZeroDivisionError), runs.playing("sim", "day") as folder:  # noqa: PT012 a run is a block
        (folder.path / JOURNAL).write_text(text)
        raise ZeroDivisionError
    return folder.path


def test_what_a_process_left_of_a_day_is_continued_whoever_has_its_number_now(
    tmp_path: Path,
) -> None:
    """The lock says that nobody is at work: no number of a process is looked at."""
    runs = Runs(tmp_path)
    make(runs, "sim", "day", "finished long ago")
    left_by(runs, "left")
    with runs.playing("sim", "day") as folder:
        assert folder.continues
        assert (folder.path / JOURNAL).read_text() == "left"
        folder.finish()
    assert (runs.find("day") / JOURNAL).read_text() == "left"
    assert [entry.name for entry in (tmp_path / "sim" / "runs").iterdir()] == ["day"]


def test_a_kill_while_a_day_is_copied_loses_nothing_of_it(tmp_path: Path) -> None:
    """Half a copy is no run: the whole one is copied again."""
    runs = Runs(tmp_path)
    with runs.playing("sim", "day") as folder:
        (folder.path / JOURNAL).write_text("whole")
        (folder.path / "tape").write_text("whole")
    half = tmp_path / "sim" / "runs" / ".day.copy"
    half.mkdir()
    (half / JOURNAL).write_text("who")
    (half / UNFINISHED).touch()
    with runs.playing("sim", "day") as folder:
        assert folder.continues
        assert (folder.path / JOURNAL).read_text() == "whole"
        assert (folder.path / "tape").read_text() == "whole"


def test_a_kill_between_the_days_end_and_its_swap_begins_nothing_anew(tmp_path: Path) -> None:
    """The day that was over is found where it was made, and is looked at once more."""
    runs = Runs(tmp_path)
    with pytest.raises(ZeroDivisionError), runs.playing("sim", "day") as folder:  # noqa: PT012 a run is a block
        (folder.path / JOURNAL).write_text("all of it")
        folder.finish()
        raise ZeroDivisionError
    with runs.playing("sim", "day") as folder:
        assert folder.continues
        assert (folder.path / JOURNAL).read_text() == "all of it"


def test_a_day_may_be_begun_anew_whatever_there_is_of_it(tmp_path: Path) -> None:
    """What was left is thrown away then, and only then."""
    runs = Runs(tmp_path)
    left_by(runs, "left")
    with runs.playing("sim", "day", anew=True) as folder:
        assert not folder.continues
        assert not (folder.path / JOURNAL).exists()


def test_a_day_that_was_stopped_early_is_continued_in_a_copy(tmp_path: Path) -> None:
    """Readers see what was stopped until what became of it takes its place, also after a crash."""
    runs = Runs(tmp_path)
    with runs.playing("sim", "day") as folder:
        (folder.path / JOURNAL).write_text("stopped")
    with pytest.raises(DataRefused), runs.playing("sim", "day") as folder:  # noqa: PT012 a run is a block
        assert folder.continues
        (folder.path / JOURNAL).write_text("and then refused")
        raise DataRefused("tape", "is torn", "import it")
    assert (runs.find("day") / JOURNAL).read_text() == "stopped"
    with runs.playing("sim", "day") as folder:
        assert (folder.path / JOURNAL).read_text() == "and then refused"
        folder.finish()
    with runs.playing("sim", "day") as folder:
        assert not folder.continues, "a finished day is made again"


def test_what_was_stopped_before_it_began_is_no_run(tmp_path: Path) -> None:
    """The run before it stays as it was."""
    runs = Runs(tmp_path)
    make(runs, "sim", "day", "old")
    with runs.playing("sim", "day"):
        pass
    assert (runs.find(None) / JOURNAL).read_text() == "old"
    assert [entry.name for entry in (tmp_path / "sim" / "runs").iterdir()] == ["day"]


def left(runs_root: Path, name: str, *, files: dict[str, int]) -> Path:
    """A folder that a process left, each of its files last changed at a second."""
    folder = runs_root / "sim" / "runs" / name
    folder.mkdir(parents=True)
    for file, second in files.items():
        (folder / file).write_text("x")
        os.utime(folder / file, (second, second))
    return folder


def test_the_run_that_is_not_over_is_the_one_last_worked_on(tmp_path: Path) -> None:
    """By its journal or by what the broker remembers; finished and empty ones are none."""
    runs = Runs(tmp_path)
    assert runs.unfinished() is None
    left(tmp_path, "over", files={JOURNAL: 900})
    left(tmp_path, "empty", files={UNFINISHED: 900})
    assert runs.unfinished() is None
    stopped = left(tmp_path, "stopped", files={UNFINISHED: 1, JOURNAL: 100})
    assert runs.unfinished() == stopped
    killed = left(tmp_path, ".killed.new", files={UNFINISHED: 1, JOURNAL: 50, "broker.jsonl": 200})
    assert runs.unfinished() == killed
    (killed / JOURNAL).unlink()
    assert runs.unfinished() == killed, "the broker knows of it"


def test_what_a_killed_process_left_gets_its_name_and_is_the_newest(tmp_path: Path) -> None:
    """It is still not over, so that the next run goes on with it."""
    runs = Runs(tmp_path)
    killed = left(tmp_path, ".day.new", files={UNFINISHED: 1, JOURNAL: 50})
    old = left(tmp_path, "day", files={UNFINISHED: 1, JOURNAL: 40, "old": 1})
    settled = runs.settle(killed)
    assert settled == old
    assert not (settled / "old").exists()
    assert runs.find(None) == settled
    assert runs.unfinished() == settled
    assert runs.settle(settled) == settled, "again changes nothing"


def test_without_a_journal_it_keeps_the_place_where_it_was_left(tmp_path: Path) -> None:
    """A run without a journal takes the place of none."""
    killed = left(tmp_path, ".day.new", files={UNFINISHED: 1, "broker.jsonl": 50})
    assert Runs(tmp_path).settle(killed) == killed
