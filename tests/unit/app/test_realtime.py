"""A day in real time through the whole program: time passes by itself, answers come from tasks."""

import asyncio
import datetime as dt
import gc
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast.app import wiring
from holdfast.app.config import ClockSettings, Config, Mode, StrategySettings
from holdfast.app.paths import find_paths
from holdfast.app.program import Host
from holdfast.app.realtime import household, outlook
from holdfast.domain.command import PlaceOrder
from holdfast.domain.dated import DayFacts
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    AccountChecked,
    ClockChanged,
    Restarted,
    TokenChanged,
)
from holdfast.domain.order import Purpose
from holdfast.exchange.generator import GeneratedDay
from holdfast.facts.ist import ist_ns
from holdfast.facts.load import load_day_facts
from holdfast.research.verify import Checked
from holdfast.runtime.beside import Beside
from holdfast.runtime.clock import ScaledClock
from holdfast.runtime.signals import Signals
from holdfast.runtime.starting import simulated_access
from holdfast.store.query import records
from holdfast.store.records import Decided
from holdfast.store.schema import FILE_NAME
from holdfast.strategies.supertrend import SupertrendSettings
from tests.support.chain import until as came
from tests.support.realtime import Outside

DATE = dt.date(2026, 11, 20)
SPEED = 20
CONFIG = msgspec.structs.replace(
    Config(),
    mode=Mode.LIVE,
    entries=msgspec.structs.replace(Config().entries, start_s=9 * 3_600 + 16 * 60),
    exits=msgspec.structs.replace(Config().exits, stop_bps=400, target_bps=400),
    strategy=StrategySettings(
        supertrend=SupertrendSettings(
            interval_s=60,
            supertrend_period=5,
            adx_period=5,
            adx_min=10,
            confirm=False,
            warmup_candles=60,
        )
    ),
)


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Handlers in place, and put back."""
    made = Signals()
    made.install()
    yield made
    made.restore()


class Stage:
    """A broker and a folder, in which programs begin and end."""

    def __init__(self, folder: Path) -> None:
        self.facts: DayFacts = load_day_facts(DATE)
        self.source = GeneratedDay(1, self.facts, [wiring.universe("NIFTY", DATE, 0)])
        self.clock = ScaledClock(ist_ns(DATE, 9 * 3_600 + 17 * 60 + 30), SPEED)
        self.outside = Outside(self.source, self.facts, self.clock, 1)
        self.folder = folder
        wiring.begin(CONFIG, self.facts, self.source, folder)
        self.flat_ns = self.clock.now_ns()

    def run(self, until: Callable[[], bool]) -> tuple[wiring.RunResult, float]:
        """One program, asked to stop once `until` holds; its result and how long the stop took."""
        signals = Signals()
        signals.install()
        asked: list[float] = []

        async def ends() -> None:
            await came(until, every_s=0.01)
            asked.append(time.monotonic())
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(1_000)

        host = Host(signals=signals, beside=[Beside("ends", ends)])
        run = wiring.Run(folder=self.folder, progress=lambda _done: None, host=host)
        stage = wiring.Stage(clock=self.clock, market=self.outside.market, access=simulated_access)
        try:
            result = wiring.trade(CONFIG, self.facts, self.source, run, stage=stage)
        finally:
            signals.restore()
        return result, time.monotonic() - asked[0]

    def is_flat_and_told(self) -> bool:
        """Whether the account holds nothing, and has not for ten seconds of its time."""
        now_ns = self.clock.now_ns()
        if held(self):
            self.flat_ns = now_ns
        return now_ns - self.flat_ns > 10 * 1_000_000_000

    def told(self) -> list[object]:
        """Every record, in order."""
        return [record for _, _, record in records(self.folder / FILE_NAME)]


def held(stage: Stage) -> int:
    """Contracts that the account holds at the exchange."""
    return sum(map(abs, stage.outside.exchange.positions().values()))


@pytest.mark.timeout(90)
def test_a_day_in_real_time_is_traded_stopped_and_gone_on_with(tmp_path: Path) -> None:
    """Entries, stops and exits by the wall; a stop with a position, a start that goes on with it."""
    stage = Stage(tmp_path)
    late_ns = stage.clock.now_ns() + 600_000_000_000
    result, seconds = stage.run(lambda: held(stage) > 0 or stage.clock.now_ns() > late_ns)
    assert seconds < 5
    assert (result.exit_code, result.stopped_early) == (0, True)
    assert result.wall["open_positions"] == 1
    assert held(stage) > 0
    result, seconds = stage.run(lambda: stage.is_flat_and_told() or stage.clock.now_ns() > late_ns)
    assert seconds < 5
    assert (result.exit_code, result.wall["open_positions"]) == (0, 0)
    assert held(stage) == 0
    told = stage.told()
    placed = [
        command
        for record in told
        if isinstance(record, Decided)
        for command in record.commands
        if isinstance(command, PlaceOrder)
    ]
    assert len({command.order_id for command in placed}) == len(placed) >= 2
    assert {command.purpose for command in placed} >= {Purpose.ENTRY, Purpose.STOP}
    assert sum(isinstance(record, Restarted) for record in told) == 2
    assert {type(record) for record in told} >= {TokenChanged, AccountChecked, ClockChanged}
    checked: Checked = wiring.verify_run(tmp_path, lambda _done, _of: None)
    assert checked.first_difference is None


@pytest.mark.timeout(60)
def test_no_collector_walks_over_what_a_start_has_made(tmp_path: Path) -> None:
    """It would hold up an exit for a tenth of a second. After the day all is as it was."""
    assert gc.get_freeze_count() == 0
    result, _ = Stage(tmp_path).run(lambda: gc.get_freeze_count() > 10_000)
    assert result.exit_code == 0
    assert gc.get_freeze_count() == 0


# -- which day it is


def at(moment: str, *, mode: Mode = Mode.PAPER, speed: int = 1) -> Config:
    """A configuration whose clock shows a moment."""
    return msgspec.structs.replace(
        CONFIG, mode=mode, clock=ClockSettings(start=moment, speed=speed)
    )


@pytest.mark.parametrize(
    ("moment", "waits_s"),
    [("2026-11-20 09:10:00", 300), ("2026-11-20 09:15:01", 0), ("2026-11-20 15:39:00", 0)],
)
def test_a_day_that_is_not_over_can_be_traded(moment: str, waits_s: int) -> None:
    """Before the open it says how long that still is."""
    seen = outlook(at(moment))
    assert seen.facts.day == "2026-11-20"
    assert waits_s - 5 <= seen.waits_s <= waits_s


@pytest.mark.parametrize("moment", ["2026-11-20 15:40:00", "2026-11-21 10:00:00"])
def test_a_day_that_is_over_or_has_none_names_the_next(moment: str) -> None:
    """A Friday evening and a Saturday: Monday."""
    with pytest.raises(DataRefused, match="it opens at 2026-11-23 09:15"):
        outlook(at(moment))


def test_the_users_own_calendar_lies_over_the_shipped_one(tmp_path: Path) -> None:
    """Beside the configuration, and only where there is one."""
    paths = find_paths(tmp_path, {})
    assert household(paths, CONFIG, {}).calendar is None
    own = tmp_path / "calendar.toml"
    own.write_text(
        """[[special]]
date = 2026-11-21
name = "a Saturday"
windows = [[10:00:00, 10:30:00]]
underlying_ends = 10:30:00
square_off = 10:20:00
source = "a circular that came later"
""",
        "utf-8",
    )
    home = household(paths, CONFIG, {"DHAN_PIN": "1"})
    assert (home.calendar, home.env) == (own, {"DHAN_PIN": "1"})
    assert home.folder == paths.account_dir("SIM0001")
    seen = outlook(at("2026-11-21 10:10:00"), home.calendar)
    assert seen.session.name == "a Saturday"


def test_a_clock_that_is_told_since_when_agrees_with_others() -> None:
    """A program that is killed and started again goes on in the same day, at the same pace."""
    wall_ms = time.time_ns() // 1_000_000 - 10_000
    config = at("2026-11-20 10:00:00", speed=15)
    config = msgspec.structs.replace(
        config, clock=msgspec.structs.replace(config.clock, since_ms=wall_ms)
    )
    passed_s = (outlook(config).clock.now_ns() - ist_ns(DATE, 36_000)) / 1_000_000_000
    assert 150 <= passed_s <= 250
