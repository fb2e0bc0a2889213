"""Half an hour of trading over the wire: two processes, real sockets, and books that must agree.

`HOLDFAST_WIRE_DAY=1` trades a whole day in the same way (`make wire-day`).
"""

import os
from pathlib import Path
from typing import Any

import pytest

from holdfast.store.tape import FOLDER as TAPES
from holdfast.store.tape import read_tape
from tests.support.wired import (
    DAY,
    Books,
    Pace,
    Program,
    holding,
    is_flat,
    pace,
    program,
    serving,
    strange,
    wait_for,
)

SPEED = 15
SEED = 43
CASH = 5_00_000
NAMES = ("NIFTY", "SENSEX")
"""One of each exchange."""

HOURS = """
[[special]]
date = 2026-11-20
name = "half an hour"
windows = [[10:00:00, 10:30:00]]
underlying_ends = 10:30:00
square_off = 10:25:00
source = "hours that a test needs"
"""

SETTINGS = """
[entries]
positions_open_max = 5
cooldown_s = 0
[exits]
target_bps = 0
trail_arm_bps = 400
trail_giveback_bps = 300
stop_bps = 1000
[strategy.supertrend]
supertrend_period = 3
multiplier_e2 = 150
adx_period = 3
adx_min = 5
confirm = false
"""
"""A strategy that speaks at every turn: four times before the close-out on this day."""

MINUTES = 32
"""From the open until the program has ended."""


def hours(folder: Path) -> Path:
    """The facts of a day with half an hour of trading, as the calendar of a user."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "calendar.toml"
    file.write_text(HOURS, "utf-8")
    return file


def arguments(folder: Path, at: Pace) -> list[str]:
    """What the server is asked for."""
    words = ["--start-ist", at.before("10:00"), "--speed", str(at.speed), "--seed", str(SEED)]
    names = [word for name in NAMES for word in ("--underlying", name)]
    return [*words, *names, "--cash", str(CASH), "--facts", str(hours(folder / "server"))]


def told(made: dict[str, Any], books: Books, **more: object) -> None:
    """Print what was done."""
    work = made["report"]["work"]
    figures = {name: work[name] for name in ("ticks", "events", "orders_placed", "trades")}
    fills = sum(one["quantity"] > 0 for one in books.fills)
    print({**figures, "fills": fills, **more})  # noqa: T201 a Show


def check_end(made: dict[str, Any], run: Program, *, trades: int, ticks: int) -> None:
    """The run is over, flat, and read back what it wrote."""
    assert (made["exit_code"], made["report"]["still_open"]) == (0, [])
    words = run.last_words()
    assert words["final_state_verified"] is True
    assert (words["open_positions"], words["final_state"]["live_orders"]) == (0, [])
    assert words["final_state"]["is_over"] is True
    work = made["report"]["work"]
    assert work["trades"] >= trades, work
    assert work["ticks"] >= ticks, work


@pytest.mark.timeout(700)
def test_live_is_stopped_and_goes_on_and_its_books_are_the_brokers(tmp_path: Path) -> None:
    """Both yeses to a broker on this machine; Ctrl+C with a position open; then on to the close-out.

    The stop at the broker outlives the program. Every order, every fill and the result are the
    broker's own to the paisa, and nothing was sent twice.
    """
    at = pace(tmp_path, SPEED)
    ends_s = at.wall_s(MINUTES)
    with serving(tmp_path / "server", *arguments(tmp_path, at)) as broker:
        hours(tmp_path / "home")
        with program(tmp_path / "home", broker, "live", SETTINGS, names=NAMES) as run:
            run.start()
            wait_for(lambda: holding(broker.truth()), "no stop", within_s=ends_s, going=run.process)
            assert run.stop() == 0
            between = broker.truth()
            kept = [one["order_id"] for one in holding(between)]
            run.start()
            made = run.wait(ends_s)
            truth, books = broker.truth(), Books(run.folder)
    check_end(made, run, trades=2, ticks=15_000)
    differences = list(books.differences(truth, CASH * 100))
    told(made, books, pace=at, stops_kept=len(kept), starts=made["report"]["run"]["starts"])
    assert not differences
    assert is_flat(truth)
    assert made["report"]["run"]["starts"] == 2
    assert made["report"]["totals"]["gross_paise"] == truth["cash_paise"] - CASH * 100
    assert len(truth["tokens"]) == 1, "nobody needed another token"


@pytest.mark.timeout(700)
def test_paper_trades_on_the_brokers_feed_and_sends_nothing(tmp_path: Path) -> None:
    """The market is the broker's, each tick as the exchange told it; the orders stay at home."""
    at = pace(tmp_path, SPEED)
    ends_s = at.wall_s(MINUTES)
    with serving(tmp_path / "server", *arguments(tmp_path, at)) as broker:
        hours(tmp_path / "home")
        with program(tmp_path / "home", broker, "paper", SETTINGS, names=NAMES) as run:
            run.start()
            made = run.wait(ends_s)
            truth, books, shown = broker.truth(), Books(run.folder), broker.learn()
    check_end(made, run, trades=2, ticks=15_000)
    taped = (tick for tick in read_tape(run.folder / TAPES / DAY).ticks() if tick.count == 1)
    compared, made_up = strange(taped, shown)
    told(made, books, pace=at, compared=compared, asked=truth["counts"])
    assert not made_up, f"{len(made_up)}: {made_up[:2]}"
    assert compared >= 15_000
    assert not {"place", "modify", "cancel", "exit_all"} & {*truth["counts"]}
    assert (truth["orders"], truth["trades"]) == ([], [])


@pytest.mark.skipif("HOLDFAST_WIRE_DAY" not in os.environ, reason="takes twenty minutes")
@pytest.mark.timeout(2_400)
def test_a_whole_day_live(tmp_path: Path) -> None:
    """The same for a day of 375 minutes at the highest speed, with the defaults of the program."""
    words = ["--start-ist", "09:10", "--speed", "20", "--seed", "1", "--cash", str(CASH)]
    with (
        serving(tmp_path / "server", *words) as broker,
        program(tmp_path / "home", broker, "live") as run,
    ):
        run.start()
        made = run.wait(2_300)
        truth, books = broker.truth(), Books(run.folder)
    check_end(made, run, trades=3, ticks=250_000)
    told(made, books)
    assert not list(books.differences(truth, CASH * 100))
    assert is_flat(truth)
    assert made["report"]["totals"]["gross_paise"] == truth["cash_paise"] - CASH * 100
