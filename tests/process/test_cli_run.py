"""A short day through the command line: run, look, prove, replay, stop; real files throughout."""

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.domain.audit import (
    EntryFilled,
    ExitDecided,
    IntentFormed,
    PositionClosed,
    PositionOpened,
    ProtectionVerified,
    SignalSeen,
)
from holdfast.runtime.lock import InstanceLock
from holdfast.store import query
from holdfast.store.records import Decided
from holdfast.store.schema import FILE_NAME
from tests.support.command import START, environment, holdfast
from tests.support.emergency import truth_of

pytestmark = pytest.mark.timeout(150)

# A special Saturday of two short windows: the shortest day on which the defaults enter anything.
DAY = "2024-03-02"
RUN = f"sim/{DAY}-seed1"

STEPS = (PositionOpened, EntryFilled, ProtectionVerified, ExitDecided, PositionClosed)
"""What happens to a position that is not closed before its stop was seen, in this order."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which that day was run once; its stdout and stderr lie beside."""
    folder = tmp_path_factory.mktemp("home")
    done = holdfast(
        "run", "--day", DAY, "--floor", "ticks=50000", "--floor", "trades=1", home=folder
    )
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def told(home: Path, *arguments: str) -> dict[str, object]:
    """The JSON that a verb prints."""
    done = holdfast(*arguments, "--json", home=home)
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def run_folder(home: Path) -> Path:
    """Where the run lies."""
    return home / ".local" / "share" / "holdfast" / "SIM0001" / "sim" / "runs" / f"{DAY}-seed1"


def test_the_report_is_on_stdout_and_the_cost_on_stderr(home: Path) -> None:
    """Simulated time only on stdout, with the floor beside the result; no bar without a terminal."""
    stdout, stderr = (home / "stdout").read_text(), (home / "stderr").read_text()
    assert stdout.startswith(f"Report of {DAY}")
    assert "\nFloor\n  ticks " in stdout
    assert "at least 50,000" in stdout
    assert "cost: " in stderr
    assert "armed: loss per day 10,000.00" in stderr
    for wall in ("seconds", "cost", "2026-", "\x1b"):
        assert wall not in stdout, wall


def test_one_seed_gives_the_same_bytes_in_any_process_and_another_seed_others(
    home: Path, tmp_path: Path
) -> None:
    """Hash seed, time zone and locale of the process do not enter."""
    arguments = ("run", "--day", DAY, "--floor", "ticks=50000", "--floor", "trades=1")
    again = holdfast(
        *arguments, home=tmp_path, PYTHONHASHSEED="2", TZ="America/New_York", LC_ALL="C"
    )
    assert again.stdout == (home / "stdout").read_text()
    other = holdfast("run", "--day", DAY, "--seed", "2", home=tmp_path)
    assert other.returncode == 0
    assert other.stdout != again.stdout


HANGS = """
import holdfast.runtime.watchdog as watchdog
from holdfast.runtime.clock import steady_s
watchdog.Watchdog.__init__.__kwdefaults__["steady"] = lambda: steady_s() * 10_000
"""
"""The watchdog's clock runs so fast that each batch of ticks looks like an event loop that hangs."""


def test_a_host_that_is_busy_changes_no_byte_at_the_highest_speed(
    home: Path, tmp_path: Path
) -> None:
    """While the event loop hangs the market stands still too: no position is unwatched by that."""
    arguments = ("run", "--day", DAY, "--floor", "ticks=50000", "--floor", "trades=1")
    busy = holdfast(*arguments, home=tmp_path, code=HANGS)
    log = (run_folder(tmp_path) / "log.jsonl").read_text()
    assert '"the event loop hangs"' in log
    assert busy.stdout == (home / "stdout").read_text()
    assert "last ran" not in busy.stderr


def test_what_the_verbs_show_is_one_story(home: Path) -> None:
    """Report, positions, orders, signals and explanations speak of the same trades."""
    report = told(home, "report")
    assert report["run"] == RUN
    trades = report["report"]["trades"]  # type: ignore[index]
    assert trades
    positions = told(home, "positions")["positions"]
    closed_nets = [p["net_paise"] for p in positions if p["state"] == "closed"]  # type: ignore[attr-defined]
    in_order = sorted(trades, key=lambda trade: int(trade["position"]))
    assert closed_nets == [trade["net_paise"] for trade in in_order]
    orders = told(home, "orders")["orders"]
    assert {o["state"] for o in orders} <= {"filled", "cancelled", "rejected"}  # type: ignore[attr-defined]
    signals = told(home, "signals")["signals"]
    assert len(signals) == report["report"]["work"]["signals"]  # type: ignore[arg-type,index]
    for trade in trades:
        number = str(trade["position"])
        explanation = told(home, "explain", number)["explanation"]
        closed = explanation["moments"][-1]["audit"]  # type: ignore[index]
        assert closed["net_paise"] == trade["net_paise"]
        assert sum(closed["charges"].values()) == trade["gross_paise"] - trade["net_paise"]
        text = holdfast("explain", number, home=home).stdout
        for part in ("Signal s", "Gates", "size: ", "Order SIM0001", "Result, closed by"):
            assert part in text
    status = told(home, "status")
    assert (status["run"], status["running"], status["positions_open"]) == (RUN, None, 0)


@pytest.mark.proves("RSK-8")
def test_each_trade_goes_from_a_signal_to_an_exit_that_a_rule_decided(home: Path) -> None:
    """
    Signal, intent, order, fill, stop read back, decision, end, in this order, by the real parts;
    and what the journal says is held at the end is what the exchange holds.
    """
    folder = run_folder(home)
    decided = [one for _, _, one in query.records(folder / FILE_NAME) if isinstance(one, Decided)]
    audits = [audit for one in decided for audit in one.audits]
    signals = [one.signal.id for one in audits if isinstance(one, SignalSeen)]
    formed = {one.intent.position: one.intent for one in audits if isinstance(one, IntentFormed)}
    ends = [one for one in audits if isinstance(one, PositionClosed)]
    assert ends
    for end in ends:
        intent = formed[end.position]
        assert intent.signal.id in signals
        story = [type(one) for one in audits if getattr(one, "position", None) == end.position]
        steps = [story.index(kind) for kind in STEPS]
        assert steps == sorted(steps), story
        [decision] = [
            one for one in audits if isinstance(one, ExitDecided) and one.position == end.position
        ]
        assert decision.exit.rule == end.rule
        assert 0 < end.quantity <= intent.quantity
    truth = truth_of(folder)
    assert (truth.held, truth.working) == ({}, [])


def test_every_looking_verb_has_a_text_for_people(home: Path) -> None:
    """The newest run is meant unless another is named, by name, by day or by folder."""
    for arguments in (("positions",), ("orders",), ("signals",), ("status",), ("report",)):
        done = holdfast(*arguments, home=home)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") > 1
    plain = holdfast("report", home=home).stdout
    for name in (RUN, DAY, f"{DAY}-seed1", str(run_folder(home))):
        assert holdfast("report", name, home=home).stdout == plain
    assert (home / "stdout").read_text().startswith(plain)


def test_a_run_is_verified_and_its_files_are_as_they_were_written(home: Path) -> None:
    """Every decision again, every row again; the counts are those of the report."""
    verified = told(home, "verify")
    report = told(home, "report")
    assert verified["first_difference"] is None
    work = report["report"]["work"]  # type: ignore[index]
    assert verified["ticks"] == work["ticks"]
    assert verified["events"] == work["events"]
    assert verified["decisions"] == work["decisions"]
    audited = told(home, "audit", "verify")
    assert (audited["findings"], audited["run"]) == ([], RUN)
    assert isinstance(audited["records"], int)
    assert audited["records"] > 1_000


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the run that may be damaged."""
    folder = tmp_path / "copied"
    shutil.copytree(run_folder(home), folder)
    yield folder
    shutil.rmtree(folder)


def test_damage_is_reported_and_ends_with_twenty_one(home: Path, copied: Path) -> None:
    """A changed row of the journal is found by the audit, a changed decision by `verify`."""
    with sqlite3.connect(copied / "journal.db") as journal:
        where = "kind = 'Decided' AND CAST(payload AS TEXT) LIKE '%IntentFormed%'"
        row = journal.execute(f"SELECT sequence, payload FROM events WHERE {where}").fetchone()  # noqa: S608
        assert row is not None
        changed = row[1].replace(b'"lots":', b'"lots":1')
        journal.execute("UPDATE events SET payload = ? WHERE sequence = ?", (changed, row[0]))
    journal.close()
    done = holdfast("audit", "verify", str(copied), home=home)
    assert done.returncode == 21
    assert f"row {row[0]}" in done.stdout
    done = holdfast("verify", str(copied), home=home)
    assert done.returncode == 21
    assert "DIFFERENT: " in done.stdout


def test_a_database_that_cannot_be_read_is_refused(home: Path, copied: Path) -> None:
    """Code 3 with the file's name, and no trace of the program."""
    (copied / "journal.db").write_bytes(b"no database")
    for verb in ("report", "positions", "verify"):
        done = holdfast(verb, str(copied), home=home)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        assert "journal.db" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_runs_own_tape_replays_to_a_run_of_its_own(home: Path, tmp_path: Path) -> None:
    """In a folder of its own mode, verified like any other."""
    tape = run_folder(home) / "tape" / DAY
    done = holdfast("replay", str(tape), "--floor", "ticks=50000", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert told(tmp_path, "status")["run"] == f"replay/{DAY}"
    assert told(tmp_path, "verify")["first_difference"] is None


def test_a_result_below_its_floor_ends_with_twenty_one(tmp_path: Path) -> None:
    """The result is there, and so is what it lacks; in JSON too."""
    done = holdfast("run", "--day", DAY, "--floor", "trades=99", "--json", home=tmp_path)
    assert done.returncode == 21
    assert "below the floor: trades " in done.stderr
    answer = json.loads(done.stdout)
    assert (answer["run"], answer["exit_code"], answer["floor"]) == (RUN, 0, {"trades": 99})
    assert answer["missed"] == [f"trades {answer['report']['work']['trades']} of at least 99"]


def test_a_second_instance_is_refused_with_the_holder_named(tmp_path: Path) -> None:
    """Code 4, nothing written; who holds the lock is told, by `status` too."""
    locks = tmp_path / ".local" / "state" / "holdfast" / "locks"
    with InstanceLock.acquire(locks, "SIM0001", at_ns=1, purpose="sim/other"):
        done = holdfast("run", "--day", DAY, home=tmp_path)
        running = told(tmp_path, "status")["running"]
    assert (done.returncode, done.stdout) == (4, "")
    assert "sim/other" in done.stderr
    assert isinstance(running, dict)
    assert running["purpose"] == "sim/other"
    assert told(tmp_path, "status")["running"] is None
    assert not list(tmp_path.rglob("journal.db"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_run_that_is_stopped_ends_cleanly_with_what_it_has(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Its report is printed, and its record is whole up to there."""
    running = subprocess.Popen(
        [*START, "run"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    runs = tmp_path / ".local" / "share" / "holdfast" / "SIM0001" / "sim" / "runs"
    while not list(runs.glob(".*.new/tape/*/ticks-*")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(0.05)
            pytest.fail(f"it ended by itself: {running.communicate()}")
    running.send_signal(number)
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 0, stderr
    assert "stopped early, as asked" in stderr
    assert stdout.startswith("Report of ")
    assert told(tmp_path, "verify")["first_difference"] is None
    assert told(tmp_path, "audit", "verify")["findings"] == []


def test_a_recorded_file_becomes_a_tape_that_replays(shared_data: Path, tmp_path: Path) -> None:
    """184,690 rows; the synthetic underlying and the moved clock are stated."""
    recording = shared_data / "03_ticks" / "upstox_full_depth5_2025-12-15.parquet"
    report = told(tmp_path, "tape", "import", str(recording), "--format", "upstox-full")
    assert (report["rows_read"], report["day"]) == (184_690, "2025-12-15")
    assert isinstance(report["synthetic_ticks"], int)
    assert report["synthetic_ticks"] > 10_000
    assert report["receive_clock_offset_ns"] == 5_093_000_000
    again = holdfast("tape", "import", str(recording), "--format", "upstox-full", home=tmp_path)
    assert again.returncode == 3
    assert "exists already" in again.stderr
    replayed = holdfast("replay", recording.stem, "--floor", "trades=1", home=tmp_path)
    assert replayed.returncode == 0, replayed.stderr
    # The gaps of the recording end at 10:56:40, 10:59:55, 11:04:20 and 15:27:31 of its receive
    # clock, which the import moved by 5.093 s.
    for gap in ("to 10:56:45, 38.9", "to 11:00:00, 124.", "to 11:04:25, 91.", "to 15:27:36, 74."):
        assert gap in replayed.stdout
    assert told(tmp_path, "verify")["first_difference"] is None
