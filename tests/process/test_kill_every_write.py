"""A day killed at every write it makes: what is on the disk is a whole beginning, and goes on."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from holdfast.domain.event import Restarted
from holdfast.domain.market import Tick
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.chain import require_intact
from holdfast.store.records import Decided, Stopped, TapeRange
from holdfast.store.schema import FILE_NAME
from tests.support.disk import Image, SimulatedDisk
from tests.support.journal import StoreJournal
from tests.support.store import contents, first_missing
from tests.unit.store.samples import DAY, HEADER, T0, a_day, play, tick

SMALL = StoreSettings(threaded=False, db_transaction_batch_size=1, tape_batch_rows=4)
WHOLE_FLOOR = 150
TORN_FLOOR = 130
PARTS = 2
"""Each looks at every second image, so that two cores share them."""


class Reached(NamedTuple):
    """How far the run had come: the last record on the disk, and the last number given."""

    durable: int
    given: int


class Day:
    """A short day on a simulated disk, and what it was made of."""

    def __init__(self, folder: Path) -> None:
        self.journal: StoreJournal | None = None
        self.disk = SimulatedDisk(folder, self._reached)
        with self.disk.watching():
            self.journal = StoreJournal(folder, HEADER, settings=SMALL)
            steps = a_day(trades=7, ticks=84)
            numbers = play(self.journal, steps)
            assert self.journal.close().is_complete
        events = [step for step in steps if not isinstance(step, tuple)]
        self.given = dict(zip(numbers, events, strict=True))
        self.records, self.market = contents(folder)

    def _reached(self) -> Reached:
        if self.journal is None:
            return Reached(0, 0)
        return Reached(self.journal.durable, self.journal.last_sequence)


@pytest.mark.proves("RACE-10", "TRK-4")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_image_is_a_beginning_that_goes_on(tmp_path: Path, part: int) -> None:
    """Each opens, checks, folds to its projections and is gone on with; none is torn to the eye."""
    day = Day(tmp_path / "day")
    counts = Counter[bool]()
    for number, image in enumerate(day.disk.images(tmp_path)):
        counts[image.is_torn] += 1
        if number % PARTS == part:
            check_image(day, image)
    print(f"{counts[False]} images after a write, {counts[True]} within one")  # noqa: T201 the work
    assert counts[False] >= WHOLE_FLOOR
    assert counts[True] >= TORN_FLOOR


def check_image(day: Day, image: Image) -> None:
    """What a kill at this moment leaves."""
    path = image.folder / FILE_NAME
    had_journal = (path.exists() and path.stat().st_size > 0) or image.number > 1
    if had_journal:
        require_intact(path)
        report = audit(path)
        assert report.findings == (), (image, report.findings)
    records, market = contents(image.folder)

    # A beginning of what was written, and at least what was said to be durable before.
    assert records == day.records[: len(records)]
    durable = records[-1][0] if records else 0
    least = (image.before or Reached(0, 0)).durable if image.is_torn else image.mark.durable
    assert durable >= least
    assert market == {number: day.market[number] for number in market}

    # Without a gap up to where the fold ends, and equal to what was given.
    events = {n: r for n, r in records if not isinstance(r, Decided | TapeRange | Stopped)} | market
    end = first_missing({number for number, _ in records} | market.keys())
    assert {n: e for n, e in events.items() if n < end} == {
        n: e for n, e in day.given.items() if n < end
    }

    # The next start takes it up: numbers go on, the audit knows a crash when it sees one.
    last = max([durable, *market])
    again = StoreJournal(image.folder, HEADER, settings=SMALL)
    begun = Restarted(at_ns=T0, day=DAY, code_version="2", config_sha256="c")
    assert again.append(begun) == last + 1
    assert again.append_market(tick(10_000)) == last + 2
    assert again.close().is_complete
    report = audit(path)
    assert report.findings == (), (image, report.findings)
    kept, tape = contents(image.folder)
    assert kept[: len(records)] == records
    assert (kept[len(records)][1], tape[last + 2]) == (begun, tick(10_000))
    assert len(tape) == len(market) + 1
    assert isinstance(tape[last + 2], Tick)
