"""Show 7 of supervision: the disk fills up in mid-session, with a position open."""

import signal
from pathlib import Path
from typing import Any

import pytest

from holdfast.domain.audit import Denied, EntryFilled, PositionClosed
from holdfast.domain.event import JournalChanged, StopAsked
from holdfast.store import query, schema
from holdfast.store.audit import audit
from holdfast.store.records import Decided
from tests.support.small_disk import in_memory
from tests.support.trading import Trading

pytestmark = pytest.mark.timeout(120)

FULL = 57_000
"""Events of the day until the disk is full: a position has been open for two minutes and a half."""

ROOM = 84_000
"""Until there is room again: it was closed meanwhile, and two signals came to nothing."""


@pytest.mark.proves("CBR-3", "CBR-4", "DEG-1")
@pytest.mark.parametrize("speed", [0, 2_000])
def test_a_full_disk_stops_entries_and_no_exit_and_loses_nothing(
    tmp_path: Path, speed: int
) -> None:
    """The journal says that it is not durable, and writes all of it in order when there is room."""
    with in_memory(tmp_path, mebibytes=320) as disk:
        full: dict[str, Any] = {"disk": str(disk), "from": FULL, "until": ROOM}
        moments = [["events", 200_000, signal.SIGTERM.value]]
        run = Trading(disk / "home", speed=speed, watches=True, full=full, moments=moments)
        try:
            assert run.wait() == 0, run.told()
        finally:
            run.kill()
        assert [m.name for m in run.marks() if m.name in {"full", "room"}] == ["full", "room"]
        journal = run.folder / schema.FILE_NAME
        rows = [(n, at_ns, record) for n, at_ns, record in query.records(journal)]
        changed = [(n, r.is_durable) for n, _, r in rows if isinstance(r, JournalChanged)]
        lost = next(n for n, is_durable in changed if not is_durable)
        found = next(n for n, is_durable in changed if is_durable and n > lost)
        decided = [(n, a) for n, _, r in rows if isinstance(r, Decided) for a in r.audits]
        meanwhile = [a for n, a in decided if lost < n < found]
        closed = [a.position for a in meanwhile if isinstance(a, PositionClosed)]
        assert closed == [4], "exits go on"
        assert not [a for a in meanwhile if isinstance(a, EntryFilled)], "entries stop"
        denied = [a for a in meanwhile if isinstance(a, Denied)]
        assert [a.denial.gate for a in denied] == ["ready"] * len(denied)
        assert len(denied) >= 2
        assert [a for n, a in decided if n > found and isinstance(a, EntryFilled)], (
            "and go on again"
        )
        assert any(isinstance(r, StopAsked) for _, _, r in rows)
        assert audit(journal).is_clean
        print(  # noqa: T201 a Show
            f"speed {speed}: not durable from {lost} to {found}, closed {closed},"
            f" {len(denied)} denied, {len(rows)} records in order"
        )
