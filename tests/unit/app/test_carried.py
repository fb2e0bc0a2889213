"""What a new day finds of the one before: which run, what of it, and what it says when it cannot."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from holdfast.app.carried import FILE, Brought, Left, bring_in, brought_in
from holdfast.app.paths import JOURNAL, earlier_run
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import CARRIED, PositionCarried, ReadFailed
from holdfast.domain.instrument import Instrument
from holdfast.domain.order import Side
from tests.support.desk import CALL, DAY, NIFTY, PUT, Desk

BEFORE = "2026-11-19"


@pytest.fixture(scope="module")
def left() -> PositionCarried:
    """What a day has left."""
    desk = Desk(day=BEFORE)
    desk.at(60).hold_by_hand(Side.BUY)
    (one,) = desk.engine.left_over
    return one


def a_run(root: Path, name: str, *, worked_on: int = 1) -> Path:
    """A folder with a journal, last worked on at that second."""
    folder = root / name
    folder.mkdir()
    (folder / JOURNAL).write_bytes(b"journal")
    os.utime(folder / JOURNAL, (worked_on, worked_on))
    return folder


def leaving(*positions: PositionCarried, instruments: tuple[Instrument, ...] = (CALL,)) -> Left:
    return Left(positions=positions, instruments=instruments)


def answering(left: Left) -> Callable[[Path], Left]:
    """Folds no record, and knows what it would hold."""
    return lambda _folder: left


def begun(
    root: Path, left: Left, *, instruments: tuple[Instrument, ...] = (NIFTY, CALL)
) -> Brought:
    """Today's run, beside one of the day before."""
    a_run(root, f"{BEFORE}-seed1")
    return bring_in(root / f".{DAY}-seed1.new", DAY, instruments, answering(left))


@pytest.mark.proves("T24")
def test_the_newest_earlier_day_of_the_same_name_is_the_day_before(tmp_path: Path) -> None:
    """Not a later one, not the same day, not another seed; a killed one counts, the newest of two."""
    today = tmp_path / f".{DAY}-seed1.new"
    assert earlier_run(today, DAY) is None
    a_run(tmp_path, "2026-11-17-seed1", worked_on=9)
    a_run(tmp_path, "2026-11-19-seed2")
    a_run(tmp_path, "2026-11-23-seed1")
    a_run(tmp_path, f"{DAY}-seed1")
    a_run(tmp_path, "notes")
    (tmp_path / "2026-11-19-seed1").mkdir()
    assert earlier_run(today, DAY) == tmp_path / "2026-11-17-seed1"
    finished = a_run(tmp_path, "2026-11-18-seed1", worked_on=3)
    assert earlier_run(today, DAY) == finished
    killed = a_run(tmp_path, ".2026-11-18-seed1.new", worked_on=4)
    assert earlier_run(today, DAY) == killed
    assert earlier_run(tmp_path / "run", DAY) is None
    a_run(tmp_path, ".2026-11-18-seed1.old", worked_on=8)
    assert earlier_run(today, DAY) == killed


@pytest.mark.proves("T24")
def test_what_was_left_is_brought_in_and_kept(tmp_path: Path, left: PositionCarried) -> None:
    """As it was, for the engine and for a simulated broker; the next start finds it in the folder."""
    brought = begun(tmp_path, leaving(left))
    assert brought.positions == (left,)
    assert brought.events(7) == (msgspec.structs.replace(left, at_ns=7),)
    (held,) = brought.holdings
    assert (held.key.instrument, held.key.product) == (CALL.id, left.intent.product)
    assert (held.net, held.cost_paise) == (195, 1_950_000)
    assert brought_in(tmp_path / f".{DAY}-seed1.new") == brought


def test_a_lot_that_changed_over_night_is_the_same_contract(
    tmp_path: Path, left: PositionCarried
) -> None:
    """Size of lot and freeze are of the day; what an id means is not."""
    other = msgspec.structs.replace(CALL, lot_size=75, freeze_quantity=1_801)
    assert begun(tmp_path, leaving(left), instruments=(other,)).positions == (left,)


@pytest.mark.proves("T24")
@pytest.mark.parametrize(
    "today",
    [(NIFTY, PUT), (msgspec.structs.replace(CALL, strike_paise=1),)],
    ids=["not there", "another contract by that id"],
)
def test_what_todays_master_does_not_hold_is_told(
    tmp_path: Path, left: PositionCarried, today: tuple[Instrument, ...]
) -> None:
    """It could be neither priced nor sold: a person hears, and the broker's net is a difference."""
    brought = begun(tmp_path, leaving(left), instruments=today)
    assert brought.positions == ()
    (failed,) = brought.events(7)
    assert isinstance(failed, ReadFailed)
    assert failed.what == CARRIED
    assert "195 NIFTY 24NOV26 24500 CE INTRADAY" in failed.reason


@pytest.mark.proves("T24")
def test_an_expired_contract_was_settled_and_is_not_carried(
    tmp_path: Path, left: PositionCarried
) -> None:
    """The broker holds nothing of it any more."""
    expired = msgspec.structs.replace(CALL, expiry=BEFORE)
    brought = begun(tmp_path, leaving(left, instruments=(expired,)))
    assert (brought.positions, brought.faults) == ((), ())
    last_day = msgspec.structs.replace(CALL, expiry=DAY)
    again = tmp_path / "again"
    again.mkdir()
    found = begun(again, leaving(left, instruments=(last_day,)), instruments=(last_day,))
    assert found.positions == (left,)


@pytest.mark.proves("T24")
def test_a_record_that_cannot_be_read_is_told_and_nothing_is_carried(tmp_path: Path) -> None:
    """The day begins all the same: nobody may be kept from closing by what was yesterday."""

    def refused(folder: Path) -> Left:
        raise DataRefused(str(folder), "is damaged", "restore it")

    a_run(tmp_path, f"{BEFORE}-seed1")
    brought = bring_in(tmp_path / f"{DAY}-seed1", DAY, (CALL,), refused)
    assert (brought.positions, brought.holdings) == ((), ())
    (fault,) = brought.faults
    assert "is damaged" in fault


def test_without_a_day_before_nothing_is_kept(tmp_path: Path) -> None:
    """No file, no event; and a file that cannot be read is refused like the broker's memory."""
    folder = tmp_path / f"{DAY}-seed1"
    assert bring_in(folder, DAY, (CALL,), answering(Left())) == Brought()
    assert not folder.exists()
    folder.mkdir()
    assert brought_in(folder) == Brought()
    (folder / FILE).write_text("{")
    with pytest.raises(DataRefused, match="--anew"):
        brought_in(folder)
