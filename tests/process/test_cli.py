"""The command line as a process: what it writes, what it refuses, how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.app.config import config_sha256, init_text, load_config
from tests.support.command import START, environment, holdfast

pytestmark = pytest.mark.timeout(90)


def test_the_first_minute_of_a_newcomer(tmp_path: Path) -> None:
    """`init` writes the configuration where `paths` says, and `config check` finds it good."""
    places = json.loads(holdfast("paths", "--json", home=tmp_path).stdout)
    file = tmp_path / ".config" / "holdfast" / "holdfast.toml"
    assert places["config_file"] == str(file)
    assert not file.parent.exists()
    done = holdfast("init", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {file}\nnext: holdfast run\n"
    assert file.read_text() == init_text()
    checked = holdfast("config", "check", home=tmp_path)
    assert checked.returncode == 0
    assert f"{file}: good" in checked.stdout
    assert "armed: loss per day 10,000.00" in checked.stdout
    told = json.loads(holdfast("config", "check", "--json", home=tmp_path).stdout)
    assert told["sha256"] == config_sha256(load_config(file))
    assert told["settings"]["exits.stop_bps"] == 1_200


def test_init_never_touches_a_file_that_is_there(tmp_path: Path) -> None:
    """However often it is called, and whatever the file holds."""
    file = tmp_path / "holdfast.toml"
    file.write_text("# mine\n")
    done = holdfast("--home", str(tmp_path), "init", home=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "exists already" in done.stderr
    assert file.read_text() == "# mine\n"


def test_a_home_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A file where a folder should be: a message, code 3, nothing written."""
    (tmp_path / "file").write_text("")
    done = holdfast("--home", "file/below", "init", home=tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "check the path" in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]


# (name, text, line, words)
REFUSED = [
    ("malformed", "mode = \n", 1, "is not TOML"),
    ("unknown key", "[exits]\nstop_bsp = 1200\n", 2, "did you mean stop_bps?"),
    ("repeated key", "[exits]\nstop_bps = 1200\nstop_bps = 900\n", 3, "first on line 2"),
    ("unit", "[exits]\nstop_bps = 12\n", 2, "did you mean stop_bps = 1200 (12 %)?"),
    ("mode", 'mode = "demo"\n', 1, "is not known"),
]


@pytest.mark.parametrize("verb", [("config", "check"), ("run",), ("status",)], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "line", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_bad_configuration_refuses_every_verb(
    tmp_path: Path, verb: tuple[str, ...], text: str, line: int, words: str
) -> None:
    """Code 3, file and line and remedy on stderr, nothing on stdout, nothing written."""
    file = tmp_path / "holdfast.toml"
    file.write_text(text)
    done = holdfast("--home", ".", *verb, home=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{file}:{line}: " in done.stderr
    assert words in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["holdfast.toml"]


def test_a_configuration_that_was_named_must_exist(tmp_path: Path) -> None:
    """The defaults stand in for a file nobody wrote, never for one that was asked for."""
    done = holdfast("--config", "absent.toml", "status", home=tmp_path)
    assert done.returncode == 3
    assert "absent.toml: there is no such file" in done.stderr
    done = holdfast("status", home=tmp_path)
    assert done.returncode == 0
    assert "defaults" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-verb",),
        ("config", "no-such-verb"),
        ("run", "--seed", "x"),
        ("run", "--floor", "tics=3"),
        ("run", "--floor", "ticks=many"),
        ("explain",),
        ("tape", "import", "x.parquet", "--format", "other"),
        ("--no-such-option",),
    ],
    ids=" ".join,
)
def test_a_slip_of_the_hand_ends_with_two(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """And says what was not understood."""
    done = holdfast(*arguments, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: holdfast" in done.stderr


# (arguments, words)
WITHOUT_A_RUN = [
    (("report",), "holdfast run"),
    (("positions",), "holdfast run"),
    (("verify",), "holdfast run"),
    (("audit", "verify"), "holdfast run"),
    (("explain", "1"), "holdfast run"),
    (("report", "2020-01-01"), "there is no run 2020-01-01"),
    (("replay", "no-such-tape"), "no-such-tape"),
    (("run", "--day", "2031-01-01"), "2031-01-01"),
    (("run", "--day", "2026-11-21"), "2026-11-21"),
    (("run", "--seed", "-1"), "--seed: seed = -1 is out of range"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), WITHOUT_A_RUN, ids=[" ".join(row[0]) for row in WITHOUT_A_RUN]
)
def test_what_is_not_there_is_refused_with_the_next_step(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """A run, a tape, a day without a session: code 3, and no run is left behind."""
    done = holdfast(*arguments, home=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    data = tmp_path / ".local" / "share" / "holdfast"
    assert not list(data.rglob("journal.db"))


def test_it_refuses_to_run_without_its_assertions(tmp_path: Path) -> None:
    """`python -O` would let a broken invariant trade on."""
    done = subprocess.run(
        [sys.executable, "-O", *START[1:], "paths"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "-O" in done.stderr


BUG = "import holdfast.app.cli.setup as s\ns.load_config = lambda path: 1 / 0"


def test_a_bug_ends_with_seventy_and_leaves_its_trace_in_the_log(tmp_path: Path) -> None:
    """The user sees one line and where to look."""
    done = holdfast("--home", ".", "config", "check", home=tmp_path, code=BUG)
    log = tmp_path / "data" / "holdfast.log"
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr == (
        "holdfast: internal error: ZeroDivisionError: division by zero\n"
        f"  this is a bug of holdfast; its trace is in {log}\n"
    )
    entry = json.loads(log.read_text())
    assert entry["level"] == "critical"
    assert entry["trace"].endswith("ZeroDivisionError: division by zero\n")


def test_a_bug_with_no_place_for_a_log_shows_its_trace(tmp_path: Path) -> None:
    """Nothing may hide it."""
    (tmp_path / "data").write_text("a file where the folder should be")
    done = holdfast("--home", ".", "config", "check", home=tmp_path, code=BUG)
    assert done.returncode == 70
    assert "Traceback" in done.stderr


def test_an_interrupt_ends_with_one(tmp_path: Path) -> None:
    """Where nothing was begun that would need a clean end."""
    code = "import holdfast.app.cli.setup as s\ndef load_config(p): raise KeyboardInterrupt\n"
    done = holdfast("config", "check", home=tmp_path, code=f"{code}s.load_config = load_config")
    assert done.returncode == 1
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_failure(tmp_path: Path) -> None:
    """`holdfast ... | head -1` ends like `holdfast ...`, without a word about pipes."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"{sys.executable}" -m holdfast.app.main paths | true'],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_output_is_utf8_in_every_locale(tmp_path: Path) -> None:
    """A folder's name comes out as it was given."""
    home = tmp_path / "घर"
    home.mkdir()
    for locale in ("C", "C.UTF-8"):
        done = holdfast("paths", home=home, LC_ALL=locale, PYTHONUTF8="1")
        assert str(home / ".config") in done.stdout


def test_help_costs_no_library_that_only_trading_needs(tmp_path: Path) -> None:
    """The heavy ones are imported by the verbs that use them."""
    code = (
        "import sys\nfrom holdfast.app.cli.root import root\n"
        "root.main(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'pyarrow', 'talib', 'sqlalchemy', 'alembic', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else 0)\n"
    )
    done = holdfast(home=tmp_path, code=code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Verbs:" in done.stdout
