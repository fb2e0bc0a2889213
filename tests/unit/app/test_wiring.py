"""The composition root: what a person set reaches the part it is meant for, in every mode."""

import datetime as dt
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import structlog
from typing_extensions import override

from holdfast.app import chain, program, wiring
from holdfast.app.config import (
    CONFIG_FILE,
    Config,
    RuntimeSettings,
    SimSettings,
    config_sha256,
)
from holdfast.app.program import Host
from holdfast.brokers.played import PlayedAccount
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.audit import Drift
from holdfast.domain.command import PlaceOrder
from holdfast.domain.errors import BrokerUnavailable, DataRefused, StepGivenUp, UnknownDay
from holdfast.domain.event import (
    CARRIED,
    FundsRead,
    InstrumentsLoaded,
    JournalChanged,
    Link,
    LinkChanged,
    OperatorAsked,
    PositionCarried,
    ReadFailed,
    Restarted,
    ServiceChanged,
    ServiceState,
    StopAsked,
)
from holdfast.domain.instrument import Instrument, Kind, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderId, OrderTerms, OrderType, Purpose, Side
from holdfast.exchange.generator import GeneratedDay
from holdfast.facts.load import contract_terms, load_day_facts
from holdfast.ports import MarketSource, Profile
from holdfast.runtime.day import Day
from holdfast.runtime.monitor import Monitor
from holdfast.runtime.notifier import Notifier
from holdfast.runtime.signals import Signals
from holdfast.store import query
from holdfast.store.chain import require_intact
from holdfast.store.halt import HaltFile
from holdfast.store.query import records
from holdfast.store.records import Decided
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader
from holdfast.store.tape import TapeWriter, read_tape
from holdfast.store.writer import EventsTable
from tests.unit.store.imports import recordings

DAY = dt.date(2026, 11, 20)
OPEN = 1_795_146_300_000_000_000
CLOSE = OPEN + (6 * 60 + 25) * wiring.MINUTE_NS
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
    source = GeneratedDay(7, facts, [wiring.universe("NIFTY", DAY, 0)])
    header = TapeHeader(day="2026-11-20", source="test", instruments=tuple(source.instruments))
    writer = TapeWriter(folder, header)
    until = OPEN + MINUTES * wiring.MINUTE_NS
    ticks = list(takewhile(lambda tick: tick.at_ns < until, source.ticks()))
    writer.write(list(enumerate(ticks, start=1)))
    writer.close()
    return folder


class Spy:
    """Lets the root build its parts, and keeps how."""

    def __init__(self, patch: pytest.MonkeyPatch, *names: str, module: ModuleType = wiring) -> None:
        self.calls: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {}
        for name in names:
            patch.setattr(module, name, self._watched(name, getattr(module, name)))

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


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Handlers in place for one run, and put back after it."""
    made = Signals()
    made.install()
    yield made
    made.restore()


def told(run_dir: Path) -> list[Any]:
    """Every record of a run, in order."""
    return [record for _, _, record in records(run_dir / FILE_NAME)]


def test_settings_reach_exchange_latency_and_store(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cash, seed, speed and commit settings arrive; a tape answers no reads of quotes."""
    spy = Spy(
        monkeypatch,
        *("SimulatedExchange", "Latency", "SimulatedVenue"),
        *("PlayedFeed", "PlayedAccount", "PlayedLine"),
    )
    inner = Spy(monkeypatch, "StoreSettings", module=program)
    result = replayed(short_tape, tmp_path)
    assert result.exit_code == 0
    assert spy.only("SimulatedExchange")[1] == {"cash_paise": 321_000_00, "seed": 7, "carried": ()}
    assert spy.only("Latency")[1] == {"seed": 7}
    assert spy.only("SimulatedVenue")[1] == {"quotes_available": False}
    assert spy.only("PlayedFeed")[1] == {"speed": 0}
    assert len(spy.calls["PlayedLine"]) == 2, "one for orders, one for the words about them"
    (client_id, _broker, instruments), kwargs = spy.only("PlayedAccount")
    assert client_id == CONFIG.account.client_id
    assert [one.underlying for one in instruments if one.kind is Kind.INDEX] == ["NIFTY"]
    assert kwargs["valid_until_ns"] > CLOSE + 3_600 * 10**9, "it outlives any session"
    assert inner.only("StoreSettings")[1] == {
        "db_transaction_batch_size": 17, "db_commit_interval_s": 0.5, "threaded": False,
    }  # fmt: skip


@pytest.mark.proves("SET-2", "SET-3")
def test_runtime_settings_reach_the_services_and_the_stop(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pings of all three lines, the looks of the monitor, the caps of the stop."""
    spy = Spy(
        monkeypatch,
        *("Monitor", "FeedService", "Updates", "Routing", "Book"),
        module=chain,
    )
    stop = Spy(monkeypatch, "StopLimits", module=program)
    runtime = RuntimeSettings(
        monitor_loop_interval_s=0.05,
        shutdown_timeout_order_s=1.9,
        shutdown_timeout_price_s=0.9,
        shutdown_timeout_state_s=1.8,
        websocket_ping_interval_s=7.0,
        websocket_ping_timeout_s=4.0,
    )
    replayed(short_tape, tmp_path, msgspec.structs.replace(CONFIG, runtime=runtime))
    for name in ("FeedService", "Updates", "Routing"):
        pings = spy.only(name)[1]
        assert (pings["interval_s"], pings["timeout_s"]) == (7.0, 4.0), name
    assert spy.only("Monitor")[1]["interval_s"] == 0.05
    assert stop.only("StopLimits")[1] == {"order_s": 1.9, "price_s": 0.9, "state_s": 1.8}
    assert spy.only("Book")[0][1] == CONFIG.account.client_id


def test_each_part_is_given_the_others_it_works_with(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be seen in a quiet day: whom it tells, whose threads it ends, what it demands."""
    spy = Spy(
        monkeypatch,
        *("Day", "Parts", "DayEnd", "Left", "Starting", "WrittenHalt"),
        module=program,
    )
    services = Spy(monkeypatch, "Login", "InstrumentMaster", module=chain)
    replayed(short_tape, tmp_path)
    notify = spy.only("Day")[1]["notify"]
    assert isinstance(notify.__self__, Notifier)
    assert services.only("Login")[1] == {"close_ns": CLOSE}
    assert services.only("InstrumentMaster")[1] == {"underlyings": ("NIFTY",)}
    parts = spy.only("Parts")[1]
    assert parts["threads"] is spy.only("DayEnd")[0][2] is spy.only("Starting")[0][2]
    assert spy.only("WrittenHalt")[0][1] is parts["clock"]
    assert spy.calls["Left"][0][1]["date"] == "2026-11-20"


@pytest.mark.parametrize(("speed", "heard"), [(0, []), (5_000, [2.5])])
def test_a_loop_that_hangs_is_an_alarm_where_time_passes_by_itself(
    short_tape: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    speed: int,
    heard: list[float],
) -> None:
    """The monitor hears of it; at the highest speed the market stands still, and nobody is late."""
    spy = Spy(monkeypatch, "Watchdog", module=program)
    hung: list[float] = []
    monkeypatch.setattr(Monitor, "while_hung", lambda _monitor, age_s: hung.append(age_s))
    paced = msgspec.structs.replace(CONFIG, sim=msgspec.structs.replace(CONFIG.sim, speed=speed))
    replayed(short_tape, tmp_path, paced)
    hung.clear()  # the host may have been busy
    spy.only("Watchdog")[1]["while_hung"](2.5)
    assert hung == heard


def test_a_paced_run_uses_the_writers_threads_and_loses_no_tick(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a speed the journal writes behind, as it does when time is real."""
    spy = Spy(monkeypatch, "PlayedFeed")
    inner = Spy(monkeypatch, "StoreSettings", "ServedJournal", "Snapshots", module=program)
    services = Spy(monkeypatch, "Recorder", module=chain)
    fast = msgspec.structs.replace(CONFIG, sim=msgspec.structs.replace(CONFIG.sim, speed=5_000))
    result = replayed(short_tape, tmp_path, fast)
    assert result.exit_code == 0
    assert not result.stopped_early
    assert inner.only("StoreSettings")[1]["threaded"] is True
    assert services.only("Recorder")[1]["threaded"] is True
    assert inner.only("Snapshots")[1] == {"inline": False}
    assert inner.only("ServedJournal")[1]["clock"] is not None, "a commit that hangs is late"
    assert spy.only("PlayedFeed")[1] == {"speed": 5_000}
    rows = read_tape(short_tape).tick_rows
    print(f"paced {rows} ticks; floor 1,000")  # noqa: T201
    assert rows >= 1_000
    assert result.wall["ticks"] + result.wall["merged_ticks"] == rows


@pytest.mark.proves("SUP-4")
def test_a_day_is_lived_by_services_whose_words_are_in_its_journal(
    short_tape: Path, tmp_path: Path
) -> None:
    """Each becomes ready before the first tick and is stopped after the last; the chain holds."""
    result = replayed(short_tape, tmp_path)
    assert (result.exit_code, result.stopped_early) == (0, False)
    rows = told(tmp_path)
    words = [row for row in rows if isinstance(row, ServiceChanged)]
    core = {row.service for row in words if row.is_core}
    assert core == {
        *("store", "recorder", "login", "instruments", "book"),
        *("feed", "engine", "monitor", "updates", "router"),
    }
    for name in core:
        states = [row.state for row in words if row.service == name]
        assert ServiceState.READY in states, name
        assert ServiceState.RESTARTING not in states, name
    assert [row.is_durable for row in rows if isinstance(row, JournalChanged)] == [True]
    assert rows[-1].at_ns >= CLOSE, "it was seen out to the close and beyond"
    links = [row for row in rows if isinstance(row, LinkChanged)]
    assert {row.link for row in links if row.is_up} == set(Link)
    assert {row.link for row in links if not row.is_up} == set(Link), "their ends are last words"
    require_intact(tmp_path / FILE_NAME)


def test_the_same_day_twice_is_the_same_journal(short_tape: Path, tmp_path: Path) -> None:
    """Records equal one by one: the wall's time is in none when the day is not paced."""
    first, second = (tmp_path / name for name in ("first", "second"))
    for run_dir in (first, second):
        replayed(short_tape, run_dir)
    assert until_the_stop(first) == until_the_stop(second)
    assert len(until_the_stop(first)) > 100
    assert sorted(map(repr, ends(first))) == sorted(map(repr, ends(second)))


def until_the_stop(run_dir: Path) -> list[Any]:
    """Every record before the first service is stopped: their ends come as threads end."""
    return list(takewhile(lambda row: not _is_stopping(row), told(run_dir)))


def ends(run_dir: Path) -> list[ServiceChanged]:
    """Every word of the services."""
    return [row for row in told(run_dir) if isinstance(row, ServiceChanged)]


def _is_stopping(row: Any) -> bool:
    return isinstance(row, ServiceChanged) and row.state is ServiceState.STOPPING


@pytest.mark.proves("SUP-15", "RACE-12")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("speed", [0, 5_000])
def test_a_signal_in_mid_session_is_an_early_and_clean_end(
    number: signal.Signals, speed: int, short_tape: Path, tmp_path: Path, signals: Signals
) -> None:
    """The rest of the market is left, entries are taken back, and what was done verifies."""
    at = 600

    def stop(done: int, _expected: int) -> None:
        if done >= at and not signals.shutting_down:
            signal.raise_signal(number)

    config = msgspec.structs.replace(CONFIG, sim=msgspec.structs.replace(CONFIG.sim, speed=speed))
    with structlog.testing.capture_logs() as logs:
        host = Host(signals=signals)
        result = wiring.run_replay(config, short_tape, tmp_path, stop, host)
    assert (result.exit_code, result.stopped_early) == (0, True)
    assert at <= result.wall["ticks"] < read_tape(short_tape).tick_rows
    rows = told(tmp_path)
    assert len([row for row in rows if isinstance(row, StopAsked)]) == 1
    [record] = [line for line in logs if line["event"] == "Shutdown complete"]
    assert record["final_state_verified"]
    assert record["active_tasks"] == record["active_threads"] == ()
    checked = wiring.verify_run(tmp_path, unwatched)
    assert checked.first_difference is None


def stopping(signals: Signals, at: int) -> wiring.Progress:
    """A progress that asks for the end after so many ticks."""

    def stop(done: int, _expected: int) -> None:
        if done >= at and not signals.shutting_down:
            signal.raise_signal(signal.SIGTERM)

    return stop


def test_a_day_that_was_stopped_goes_on_where_it_was(
    short_tape: Path, tmp_path: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same folder: the engine and the broker as they were, the market from there on."""
    spy = Spy(monkeypatch, "PlayedBroker", "Origin")
    wiring.run_replay(CONFIG, short_tape, tmp_path, stopping(signals, 600), Host(signals=signals))
    left = told(tmp_path)
    with structlog.testing.capture_logs() as lines:
        result = replayed(short_tape, tmp_path)
    [before] = [line for line in lines if line["event"].startswith("the process before")]
    assert (before["event"], before["why"]) == ("the process before ended in order", "stopped")
    assert (result.exit_code, result.stopped_early) == (0, False)
    rows = told(tmp_path)
    assert rows[: len(left)] == left
    starts = [row.at_ns for row in rows if isinstance(row, Restarted)]
    assert len(starts) == 2
    assert starts[1] >= left[-1].at_ns
    assert [call[1]["until_ns"] is None for call in spy.calls["PlayedBroker"]] == [True, False]
    made = [call[1] for call in spy.calls["Origin"]]
    assert made[0] == made[1]
    assert (
        made[0]["config_sha256"] == next(r for r in rows if isinstance(r, Restarted)).config_sha256
    )
    ticks = [event for _, event in read_tape(tmp_path / "tape" / "2026-11-20").events()]
    played = [event for event in ticks if isinstance(event, Tick)]
    assert played == sorted(played, key=lambda tick: tick.at_ns), "nothing is shown twice"
    checked = wiring.verify_run(tmp_path, unwatched)
    assert checked.first_difference is None
    print(f"went on with {len(rows) - len(left)} records; floor 50")  # noqa: T201
    assert len(rows) - len(left) >= 50


def naming(*underlyings: str) -> Config:
    """The configuration with other names to trade."""
    account = msgspec.structs.replace(CONFIG.account, underlyings=underlyings)
    return msgspec.structs.replace(CONFIG, account=account)


def begun_with(config: Config, folder: Path, signals: Signals, ticks: int) -> None:
    """A generated day that was stopped after so many ticks."""
    wiring.run_sim(config, folder, stopping(signals, ticks), Host(signals=signals))
    signals.restore()


@pytest.mark.parametrize("now", [("BANKNIFTY",), ("NIFTY", "BANKNIFTY"), ("BANKNIFTY", "NIFTY")])
def test_a_day_that_has_begun_does_not_go_on_with_other_underlyings(
    now: tuple[str, ...], tmp_path: Path, signals: Signals
) -> None:
    """Refused before anything starts, with the names of both: what is held could not be sold."""
    begun_with(CONFIG, tmp_path, signals, 300)
    left = told(tmp_path)
    stored = (tmp_path / CONFIG_FILE).read_bytes()
    with pytest.raises(DataRefused, match="was begun with NIFTY, no order was sent") as refused:
        wiring.run_sim(naming(*now), tmp_path, unwatched)
    assert refused.value.where == "account.underlyings"
    assert ", ".join(now) in refused.value.what
    assert "--anew" in refused.value.remedy
    assert (told(tmp_path), (tmp_path / CONFIG_FILE).read_bytes()) == (left, stored)


def test_a_day_of_two_underlyings_does_not_go_on_with_one(tmp_path: Path, signals: Signals) -> None:
    """The other may be held."""
    begun_with(naming("NIFTY", "BANKNIFTY"), tmp_path, signals, 300)
    with pytest.raises(DataRefused, match="was begun with NIFTY, BANKNIFTY"):
        wiring.run_sim(CONFIG, tmp_path, unwatched)


def test_the_refusal_names_what_orders_were_sent_in(tmp_path: Path) -> None:
    """By the contract of each: that is what may be held."""
    market = GeneratedDay(7, load_day_facts(DAY), [wiring.universe("NIFTY", DAY, 0)])
    option = next(one for one in market.instruments if one.kind is Kind.OPTION)
    terms = OrderTerms(
        instrument=option.id, product=Product.INTRADAY, side=Side.BUY,
        order_type=OrderType.LIMIT, quantity=65, limit_paise=100_00,
    )  # fmt: skip
    entry = PlaceOrder(
        order_id=OrderId("S1"), purpose=Purpose.ENTRY, position=1, terms=terms, fills_seen=0
    )
    rows = [
        (2, 2, InstrumentsLoaded(at_ns=2, sha256="i", instruments=tuple(market.instruments))),
        (3, 3, Decided(at_ns=3, cause=2, commands=(entry,), audits=())),
    ]
    with pytest.MonkeyPatch.context() as patch:
        (tmp_path / FILE_NAME).touch()
        patch.setattr(wiring, "records", lambda _: (row for row in rows))
        with pytest.raises(DataRefused, match="orders were sent in NIFTY; BANKNIFTY has other"):
            wiring.run_sim(naming("BANKNIFTY"), tmp_path, unwatched)


def test_an_engine_for_a_master_without_what_is_named_is_refused_in_words() -> None:
    """Wherever a past is folded: no `StopIteration` within a generator."""
    facts = load_day_facts(DAY)
    market = GeneratedDay(7, facts, [wiring.universe("NIFTY", DAY, 0)])
    make = wiring._maker(naming("BANKNIFTY"))  # noqa: SLF001
    with pytest.raises(DataRefused, match="is a day of NIFTY; BANKNIFTY has other contracts"):
        make(facts, tuple(market.instruments))


def test_a_halt_that_was_written_down_is_a_halt_whatever_the_journal_says(
    short_tape: Path, tmp_path: Path
) -> None:
    """Found beside a day that has not begun: it begins halted, and ends with 10."""
    file = HaltFile(tmp_path)
    file.open(OPEN)
    file.write("a person asked", OPEN)
    file.close()
    result = replayed(short_tape, tmp_path)
    assert result.exit_code == 10
    [asked] = [row for row in told(tmp_path) if isinstance(row, OperatorAsked)]
    assert "a person asked" in asked.reason


class Torn(MarketSource):
    """A market that cannot be read further after so many ticks."""

    def __init__(self, tape: Any, ticks: int) -> None:
        self._tape = tape
        self._ticks = ticks
        self.header, self.tick_rows = tape.header, tape.tick_rows

    @property
    @override
    def instruments(self) -> Sequence[Instrument]:
        instruments: Sequence[Instrument] = self._tape.instruments
        return instruments

    @override
    def history(self) -> Iterator[Any]:
        return iter(self._tape.history())

    @override
    def ticks(self) -> Iterator[Tick]:
        yield from islice(self._tape.ticks(), self._ticks)
        raise DataRefused("tape", "ends in the middle", "copy it again")


@pytest.mark.parametrize("speed", [0, 5_000])
def test_a_market_that_cannot_be_read_further_ends_in_order_and_says_so_itself(
    speed: int, short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done until then is written and verified, and the error is the refusal itself."""
    monkeypatch.setattr(wiring, "read_tape", lambda path: Torn(read_tape(path), 1_200))
    config = msgspec.structs.replace(CONFIG, sim=msgspec.structs.replace(CONFIG.sim, speed=speed))
    with (
        structlog.testing.capture_logs() as logs,
        pytest.raises(DataRefused, match="ends in the middle") as refused,
    ):
        replayed(short_tape, tmp_path, config)
    assert refused.value.exit_code == 3
    [record] = [line for line in logs if line["event"] == "Shutdown complete"]
    assert (record["exit_code"], record["final_state_verified"]) == (3, True)
    require_intact(tmp_path / FILE_NAME)
    last = told(tmp_path)[-1]
    assert last.at_ns < OPEN + (MINUTES + 1) * wiring.MINUTE_NS, "the day was not seen out"
    monkeypatch.undo()
    assert wiring.verify_run(tmp_path, unwatched).first_difference is None


@pytest.mark.proves("SUP-7")
def test_the_account_of_somebody_else_is_refused_before_the_day_begins(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, by the error that names both; no order line was opened, nothing was traded."""

    async def stranger(_account: PlayedAccount) -> Profile:
        return Profile(client_id="2000000002")

    monkeypatch.setattr(PlayedAccount, "profile", stranger)
    with pytest.raises(DataRefused, match="that of 2000000002") as refused:
        replayed(short_tape, tmp_path)
    assert refused.value.exit_code == 3
    rows = told(tmp_path)
    assert {row.service for row in rows if isinstance(row, ServiceChanged)}, "why, is written down"
    assert not [row for row in rows if isinstance(row, Restarted)]
    assert {row.link for row in rows if isinstance(row, LinkChanged)} <= {Link.FEED}


@pytest.mark.proves("SUP-5", "SUP-7")
def test_a_broker_that_does_not_answer_at_the_start_has_a_code_of_its_own(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried three times, then 5: nothing was traded, and who failed is said."""
    asked: list[PlayedAccount] = []

    async def silent(account: PlayedAccount) -> Profile:
        asked.append(account)
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(PlayedAccount, "profile", silent)
    with pytest.raises(BrokerUnavailable, match="book could not be started") as refused:
        replayed(short_tape, tmp_path)
    assert refused.value.exit_code == 5
    assert len(asked) == 3


def test_a_fault_in_the_day_keeps_its_name_in_journal_and_status(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venue breaks at one packet: the engine's life ends, the journal says of what, it goes on."""
    broke: list[int] = []

    class Breaking(SimulatedVenue):
        @override
        def on_tick(self, tick: Tick) -> None:
            super().on_tick(tick)
            if tick.at_ns > OPEN + wiring.MINUTE_NS and not broke:
                broke.append(tick.at_ns)
                raise ZeroDivisionError("a price of nothing")

    monkeypatch.setattr(wiring, "SimulatedVenue", Breaking)
    with structlog.testing.capture_logs():
        result = replayed(short_tape, tmp_path)
    assert (result.exit_code, result.stopped_early) == (0, False)
    words = [row for row in told(tmp_path) if isinstance(row, ServiceChanged)]
    [crash] = [row for row in words if row.state is ServiceState.RESTARTING]
    assert (crash.service, crash.reason) == ("engine", "ZeroDivisionError: a price of nothing")


def test_the_day_begins_before_the_open_with_configuration_master_and_funds(
    short_tape: Path, tmp_path: Path
) -> None:
    """What `verify` needs stands first in the journal; the tape says what it holds."""
    replayed(short_tape, tmp_path)
    rows = told(tmp_path)
    [began] = [record for record in rows if isinstance(record, Restarted)]
    [master] = [record for record in rows if isinstance(record, InstrumentsLoaded)]
    funds = next(record for record in rows if isinstance(record, FundsRead))
    assert began.at_ns == OPEN - 10 * wiring.MINUTE_NS
    stored = wiring.stored_config(tmp_path / CONFIG_FILE)
    assert began.config_sha256 == config_sha256(stored)
    assert stored.account.underlyings == ("NIFTY",)
    assert funds.available_paise == 321_000_00
    assert [one.kind for one in master.instruments].count(Kind.OPTION) == 26
    tape = read_tape(tmp_path / "tape" / "2026-11-20")
    assert (tape.instruments, tape.header.source) == (master.instruments, "replay of a tape")


def test_the_seed_and_the_facts_make_the_generated_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: Signals
) -> None:
    """Lot, freeze and steps are the day's; the strategy hears the index."""
    spy = Spy(monkeypatch, "GeneratedDay", "Universe", "Engine", "SimulatedVenue")

    def stop(_done: int, _expected: int) -> None:
        if not signals.shutting_down:
            signal.raise_signal(signal.SIGTERM)

    result = wiring.run_sim(CONFIG, tmp_path, stop, Host(signals=signals))
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
    spy = Spy(monkeypatch, "ServedJournal", module=program)
    replayed(short_tape, tmp_path)
    spy.only("ServedJournal")[1]["on_changed"](*[False, "disk full"])
    assert heard == [(False, "disk full")]


def test_verify_finds_a_configuration_that_was_changed_behind_the_journals_back(
    short_tape: Path, tmp_path: Path
) -> None:
    """The run verifies; with another configuration beside it, it does not."""
    replayed(short_tape, tmp_path)
    checked = wiring.verify_run(tmp_path, unwatched)
    print(f"verified {checked.events} events, {checked.ticks} ticks; floor 1,000")  # noqa: T201
    assert checked.first_difference is None
    assert checked.ticks >= 1_000
    stored = wiring.stored_config(tmp_path / CONFIG_FILE)
    other = msgspec.structs.replace(stored, sim=SimSettings(seed=8))
    shutil.rmtree(tmp_path / wiring.CONFIGS)
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


@pytest.mark.proves("SUP-19")
def test_a_program_whose_engine_was_given_up_does_not_live_on_without_exits(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three crashes in a minute: it ends in order with 70, and the next start recovers."""

    async def broken(_day: Day, _beat: object) -> None:
        raise ZeroDivisionError("in the drive")

    monkeypatch.setattr(Day, "drive", broken)
    with pytest.raises(StepGivenUp, match="the engine was given up") as given_up:
        replayed(short_tape, tmp_path)
    assert given_up.value.exit_code == 70


def test_a_reader_of_the_database_does_not_make_a_stop_unclean(
    short_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody looks at the tables at the moment of the end: the log stays where it is, code 0."""
    readers: list[sqlite3.Connection] = []
    close = EventsTable.close

    def closing(table: EventsTable) -> None:
        reader = sqlite3.connect(tmp_path / FILE_NAME, check_same_thread=False)
        reader.execute("begin")
        reader.execute("select count(*) from events").fetchone()
        readers.append(reader)
        close(table)

    monkeypatch.setattr(EventsTable, "close", closing)
    result = replayed(short_tape, tmp_path)
    for reader in readers:
        reader.close()
    assert (result.exit_code, len(readers)) == (0, 1)


def of_day(day: str) -> Config:
    """A generated day that holds a position after 26,800 ticks."""
    return Config(sim=SimSettings(seed=2, day=day, cash_paise=500_000_00))


HOLDS_AFTER = 26_800


def played(config: Config, folder: Path, ticks: int) -> None:
    """A day until so many ticks, by a process that is then asked to end."""
    signals = Signals()
    signals.install()
    try:
        begun_with(config, folder, signals, ticks)
    finally:
        signals.restore()


@pytest.mark.proves("T24")
def test_what_a_day_left_open_is_held_stopped_and_sold_on_the_next(tmp_path: Path) -> None:
    """Two folders: the second day begins with the first one's position, here and at the broker."""
    first = tmp_path / "2026-11-19-seed2"
    played(of_day("2026-11-19"), first, HOLDS_AFTER)
    second = tmp_path / "2026-11-20-seed2"
    played(of_day("2026-11-20"), second, 200)
    rows = told(second)
    (carried,) = [row for row in rows if isinstance(row, PositionCarried)]
    assert carried.day == "2026-11-19"
    placed = [
        (row.at_ns, one)
        for row in rows
        if isinstance(row, Decided)
        for one in row.commands
        if isinstance(one, PlaceOrder)
    ]
    assert [one.purpose for _, one in placed] == [Purpose.STOP]
    assert OPEN <= placed[0][0] < OPEN + 1_000_000_000
    audits = [one for row in rows if isinstance(row, Decided) for one in row.audits]
    assert not any(isinstance(one, Drift) for one in audits)
    (held,) = query.positions(second / FILE_NAME)
    assert (held.position, held.carried_from, held.state) == (1, "2026-11-19", "closed")
    assert (held.quantity, held.entry_value_paise) == (carried.quantity, carried.cost_paise)
    posted = Counter[str]()
    for line in query.postings(second / FILE_NAME):
        posted[line.account] += line.amount_paise
    assert (posted["premium"], posted["carried"]) == (0, -carried.cost_paise)
    assert -posted["realised"] == held.gross_paise
    assert wiring.verify_run(second, unwatched).first_difference is None
    played(of_day("2026-11-20"), second, 600)  # once more, in mid-day
    again = told(second)[len(rows) :]
    assert not any(isinstance(row, PositionCarried) for row in again)
    audits = [one for row in again if isinstance(row, Decided) for one in row.audits]
    assert not any(isinstance(one, Drift) for one in audits)


@pytest.mark.proves("T24")
def test_a_day_before_that_is_damaged_is_told_and_not_carried(tmp_path: Path) -> None:
    """The day begins with nothing, and says so."""
    first = tmp_path / "2026-11-19-seed2"
    first.mkdir()
    (first / FILE_NAME).write_bytes(b"no database")
    second = tmp_path / "2026-11-20-seed2"
    played(of_day("2026-11-20"), second, 200)
    (failed,) = [row for row in told(second) if isinstance(row, ReadFailed)]
    assert failed.what == CARRIED


def test_a_replay_begins_flat(short_tape: Path, tmp_path: Path) -> None:
    """Whatever was replayed before: it is an experiment on one day."""
    first = tmp_path / "2026-11-19-seed7"
    first.mkdir()
    (first / FILE_NAME).write_bytes(b"no database")
    second = tmp_path / "2026-11-20-seed7"
    replayed(short_tape, second)
    assert not any(isinstance(row, ReadFailed | PositionCarried) for row in told(second))
