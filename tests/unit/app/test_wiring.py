"""The composition root: what a person set reaches the part it is meant for, in every mode."""

import datetime as dt
import os
import signal
from collections.abc import Callable
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.app import wiring
from holdfast.app.config import (
    CONFIG_FILE,
    Config,
    RuntimeSettings,
    SimSettings,
    config_sha256,
)
from holdfast.domain.errors import DataRefused, UnknownDay
from holdfast.domain.event import FundsRead, InstrumentsLoaded, Restarted
from holdfast.domain.instrument import Kind
from holdfast.exchange.generator import GeneratedDay
from holdfast.facts.load import contract_terms, load_day_facts
from holdfast.runtime.day import Day, StopRequest
from holdfast.store.query import records
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader
from holdfast.store.tape import TapeWriter, read_tape
from tests.unit.store.imports import recordings

DAY = dt.date(2026, 11, 20)
OPEN = 1_795_146_300_000_000_000
MINUTES = 6

CONFIG = Config(
    sim=SimSettings(seed=7, cash_paise=321_000_00),
    runtime=RuntimeSettings(db_transaction_batch_size=17, db_commit_interval_s=0.5),
)


@pytest.fixture(scope="module")
def short_tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first minutes of a generated day, as a tape."""
    folder = tmp_path_factory.mktemp("tape") / "short"
    facts = load_day_facts(DAY)
    source = GeneratedDay(7, facts, [wiring._universe("NIFTY", DAY, 0)])  # noqa: SLF001
    header = TapeHeader(day="2026-11-20", source="test", instruments=tuple(source.instruments))
    writer = TapeWriter(folder, header)
    until = OPEN + MINUTES * wiring.MINUTE_NS
    ticks = list(takewhile(lambda tick: tick.at_ns < until, source.ticks()))
    writer.write(list(enumerate(ticks, start=1)))
    writer.close()
    return folder


class Spy:
    """Lets the root build its parts, and keeps how."""

    def __init__(self, patch: pytest.MonkeyPatch, *names: str) -> None:
        self.calls: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {}
        for name in names:
            patch.setattr(wiring, name, self._watched(name, getattr(wiring, name)))

    def _watched(self, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            self.calls.setdefault(name, []).append((args, kwargs))
            return make(*args, **kwargs)

        return made

    def only(self, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """How the one part of that name was built."""
        [call] = self.calls[name]
        return call


def unwatched(done: int, expected: int) -> None:
    """Nobody looks at the progress."""
    assert done >= 0
    assert expected >= 0


def replayed(tape: Path, run_dir: Path, config: Config = CONFIG) -> wiring.RunResult:
    """Play a tape without looking at the progress."""
    return wiring.run_replay(config, tape, run_dir, unwatched)


def test_settings_reach_exchange_latency_and_store(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cash, seed, speed and commit settings arrive; a tape answers no reads of quotes."""
    spy = Spy(
        monkeypatch, "SimulatedExchange", "Latency", "SimulatedVenue", "StoreSettings", "Pace"
    )
    result = replayed(short_tape, tmp_path)
    assert result.exit_code == 0
    assert spy.only("SimulatedExchange")[1] == {"cash_paise": 321_000_00, "seed": 7}
    assert spy.only("Latency")[1] == {"seed": 7}
    assert spy.only("SimulatedVenue")[1] == {"quotes_available": False}
    assert spy.only("StoreSettings")[1] == {
        "db_transaction_batch_size": 17, "db_commit_interval_s": 0.5, "threaded": False,
    }  # fmt: skip
    assert spy.only("Pace")[1] == {"speed": 0}


def test_a_paced_run_uses_the_writers_threads(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a speed the journal writes behind, as it does when time is real."""
    spy = Spy(monkeypatch, "StoreSettings", "Pace")
    fast = msgspec.structs.replace(CONFIG, sim=msgspec.structs.replace(CONFIG.sim, speed=5_000))
    assert replayed(short_tape, tmp_path, fast).exit_code == 0
    assert spy.only("StoreSettings")[1]["threaded"] is True
    assert spy.only("Pace")[1] == {"speed": 5_000}


def test_the_day_begins_before_the_open_with_configuration_master_and_funds(
    short_tape: Path, tmp_path: Path
) -> None:
    """What `verify` needs stands first in the journal; the tape says what it holds."""
    replayed(short_tape, tmp_path)
    told = [record for _, _, record in islice(records(tmp_path / FILE_NAME), 60)]
    [began] = [record for record in told if isinstance(record, Restarted)]
    [master] = [record for record in told if isinstance(record, InstrumentsLoaded)]
    [funds] = [record for record in told if isinstance(record, FundsRead)]
    assert began.at_ns == OPEN - 10 * wiring.MINUTE_NS
    stored = wiring._stored_config(tmp_path)  # noqa: SLF001
    assert began.config_sha256 == config_sha256(stored)
    assert stored.account.underlyings == ("NIFTY",)
    assert funds.available_paise == 321_000_00
    assert [one.kind for one in master.instruments].count(Kind.OPTION) == 26
    tape = read_tape(tmp_path / "tape" / "2026-11-20")
    assert (tape.instruments, tape.header.source) == (master.instruments, "replay of a tape")


def test_the_seed_and_the_facts_make_the_generated_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lot, freeze and steps are the day's; the strategy hears the index."""
    spy = Spy(monkeypatch, "GeneratedDay", "Universe", "Engine", "SimulatedVenue")

    monkeypatch.setattr(StopRequest, "is_set", True)
    result = wiring.run_sim(CONFIG, tmp_path, unwatched)
    assert result.stopped_early
    seed, facts, universes = spy.only("GeneratedDay")[0]
    assert (seed, facts.day, len(universes)) == (7, "2026-11-20", 1)
    terms = contract_terms("NIFTY", DAY)
    universe = spy.only("Universe")[1]
    assert universe["lot_size"] == terms.lot_size == 65
    assert universe["freeze_quantity"] == terms.freeze_quantity
    assert universe["expiry"] == "2026-11-23", "the 24th is a holiday"
    _, strategies = spy.only("Engine")[0]
    assert [strategy.name for strategy in strategies] == ["supertrend:NIFTY"]
    assert strategies[0].underlying == universes[0].index.id
    assert spy.only("SimulatedVenue")[1] == {"quotes_available": True}


def test_what_the_journal_says_of_itself_reaches_the_day(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer's callback ends in the engine's inbox as an event."""
    heard: list[tuple[bool, str]] = []

    def hear(day: Day, is_durable: bool, reason: str) -> None:  # noqa: FBT001 a callback
        assert isinstance(day, Day)
        heard.append((is_durable, reason))

    monkeypatch.setattr(Day, "journal_changed", hear)
    spy = Spy(monkeypatch, "StoreJournal")
    replayed(short_tape, tmp_path)
    spy.only("StoreJournal")[1]["on_changed"](*[False, "disk full"])
    assert heard == [(False, "disk full")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_clean_end_and_the_handlers_are_put_back(
    number: signal.Signals,
) -> None:
    """INT and TERM set the request; afterwards everything is as before."""
    before = signal.getsignal(number)
    stop = StopRequest()
    seen = [stop.is_set]
    with wiring._stopping_on_signals(stop):  # noqa: SLF001
        os.kill(os.getpid(), number)
        seen.append(stop.is_set)
    assert seen == [False, True]
    assert signal.getsignal(number) is before


def test_verify_finds_a_configuration_that_was_changed_behind_the_journals_back(
    short_tape: Path, tmp_path: Path
) -> None:
    """The run verifies; with another configuration beside it, it does not."""
    replayed(short_tape, tmp_path)
    checked = wiring.verify_run(tmp_path, unwatched)
    print(f"verified {checked.events} events, {checked.ticks} ticks; floor 1,000")  # noqa: T201
    assert checked.first_difference is None
    assert checked.ticks >= 1_000
    stored = wiring._stored_config(tmp_path)  # noqa: SLF001
    other = msgspec.structs.replace(stored, sim=SimSettings(seed=8))
    wiring._store_config(other, tmp_path)  # noqa: SLF001
    difference = wiring.verify_run(tmp_path, unwatched).first_difference
    assert difference is not None
    assert "configuration" in difference


def test_what_cannot_be_played_is_refused(tmp_path: Path, short_tape: Path) -> None:
    """A holiday, a day without facts, an index without a generated market, a lost configuration."""
    for day, error in (("2026-11-21", DataRefused), ("2031-01-01", UnknownDay)):
        config = msgspec.structs.replace(CONFIG, sim=SimSettings(day=day))
        with pytest.raises(error):
            wiring.run_sim(config, tmp_path, unwatched)
    account = msgspec.structs.replace(CONFIG.account, underlyings=("BANKEX",))
    with pytest.raises(DataRefused, match="BANKEX"):
        wiring.run_sim(msgspec.structs.replace(CONFIG, account=account), tmp_path, unwatched)
    with pytest.raises(DataRefused, match="is missing"):
        wiring.verify_run(tmp_path, unwatched)
    (tmp_path / CONFIG_FILE).write_text("{")
    with pytest.raises(DataRefused, match="config"):
        wiring.verify_run(tmp_path, unwatched)
    assert short_tape.is_dir()


def test_an_import_takes_the_contract_facts_of_the_recordings_own_day(tmp_path: Path) -> None:
    """Lot, step and freeze quantity of December 2025, not of today; an empty file is refused."""
    tape = tmp_path / "tape"
    report = wiring.import_tape(recordings.written(tmp_path, recordings.a_minute()), tape)
    assert report.day == recordings.DAY
    terms = contract_terms("BANKNIFTY", dt.date(2025, 12, 15))
    [call] = [one for one in read_tape(tape).instruments if one.symbol == recordings.CALL]
    assert (call.lot_size, call.expiry) == (35, "2025-12-30")
    assert (call.price_step_paise, call.freeze_quantity) == (5, terms.freeze_quantity)
    with pytest.raises(DataRefused, match="holds no row"):
        wiring.import_tape(recordings.written(tmp_path, []), tmp_path / "other")
