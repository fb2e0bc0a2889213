"""Today's list of contracts: fetched once a day, kept with its hash, never yesterday's."""

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from holdfast.brokers.dhan.instruments import FOLDER, WHOLE, Instruments, Kept
from holdfast.brokers.dhan.master import Master, Wanted
from holdfast.brokers.dhan.settings import REAL
from holdfast.domain.errors import BrokerUnavailable, DataRefused
from holdfast.facts.ist import DAY_NS, ist_date
from tests.support.dhan_account import NOW_NS, HandClock
from tests.support.dhan_wire import Cut, Heard, Said, WireServer, said
from tests.unit.brokers.dhan.test_master import ABB, CALL, HEADER, INDEX, PUT, ROWS

Value = TypeVar("Value")
Loaded = tuple[Master, Kept]

LIST = "\n".join([HEADER, *ROWS, ""]).encode()
SEGMENTS = {
    "/v2/instrument/IDX_I": f"{HEADER}\n{INDEX}\n".encode(),
    "/v2/instrument/NSE_FNO": f"{HEADER}\n{CALL}\n{PUT}\n".encode(),
}


def run(
    folder: Path,
    answers: Callable[[Heard], Said],
    act: Callable[[Instruments, HandClock], Awaitable[Value]],
) -> tuple[Value, list[str]]:
    """What `act` came to, and the paths that were asked for."""

    async def main() -> tuple[Value, list[str]]:
        clock = HandClock()
        async with WireServer(answers) as server:
            urls = msgspec.structs.replace(REAL, rest=f"{server.base}/v2", instruments=server.base)
            value = await act(Instruments(folder, urls, clock), clock)
            return value, [heard.path for heard in server.heard]

    return asyncio.run(main())


async def load(lists: Instruments, clock: HandClock) -> Loaded:
    """Today's list."""
    wanted = Wanted(day=ist_date(clock.at_ns), freeze={"NIFTY": 1_800})
    return await lists.load(wanted)


def whole(heard: Heard) -> Said:
    """The whole list and nothing else."""
    return said(200, body=LIST) if heard.path == WHOLE else said(404)


def test_it_is_fetched_once_a_day(tmp_path: Path) -> None:
    """And read from the disk at each restart, with its hash."""
    (master, kept), paths = run(tmp_path, whole, load)
    assert len(master.instruments) == 3
    assert kept.sha256 == hashlib.sha256(LIST).hexdigest()
    assert (kept.size, kept.day, kept.fetched_ns) == (len(LIST), "2026-11-20", NOW_NS)
    assert paths == [WHOLE]
    again, paths = run(tmp_path, whole, load)
    assert again == (master, kept)
    assert paths == []


def test_yesterdays_is_no_list_of_today(tmp_path: Path) -> None:
    """It is fetched again, and the old one goes."""

    async def act(lists: Instruments, clock: HandClock) -> Kept:
        await load(lists, clock)
        clock.at_ns += DAY_NS
        return (await load(lists, clock))[1]

    kept, paths = run(tmp_path, whole, act)
    assert kept.day == "2026-11-21"
    assert len(paths) == 2
    names = sorted(file.name for file in (tmp_path / FOLDER).iterdir())
    assert names == ["2026-11-21.csv", "2026-11-21.json"]


def test_without_todays_nothing_is_traded(tmp_path: Path) -> None:
    """Yesterday's lies there and is not used; the refusal says what was tried."""
    run(tmp_path, whole, load)

    async def tomorrow(lists: Instruments, clock: HandClock) -> Loaded:
        clock.at_ns += DAY_NS
        return await load(lists, clock)

    with pytest.raises(BrokerUnavailable, match="HTTP 503") as refused:
        run(tmp_path, lambda _: said(503), tomorrow)
    assert "holdfast instruments" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("2026-11-20.csv", b"65.0", b"75.0"), ("2026-11-20.json", b'"size"', b'"siz"')],
)
def test_a_file_that_changed_on_the_disk_is_fetched_anew(
    tmp_path: Path, name: str, old: bytes, new: bytes
) -> None:
    """Its hash no longer fits, though it could be read; or nobody knows its hash."""
    run(tmp_path, whole, load)
    file = tmp_path / FOLDER / name
    file.write_bytes(file.read_bytes().replace(old, new))
    (master, _), paths = run(tmp_path, whole, load)
    assert paths == [WHOLE]
    assert {one.lot_size for one in master.instruments} == {0, 65}


def test_it_may_come_packed(tmp_path: Path) -> None:
    """It is asked for so, and kept unpacked."""
    packed = said(200, body=gzip.compress(LIST), headers={"Content-Encoding": "gzip"})
    asked: list[str] = []

    def answers(heard: Heard) -> Said:
        asked.append(heard.headers["accept-encoding"])
        return packed

    (_, kept), _ = run(tmp_path, answers, load)
    assert kept.sha256 == hashlib.sha256(LIST).hexdigest()
    assert asked == ["gzip"]


@pytest.mark.parametrize(
    "broken",
    [
        Cut(said(200, body=LIST)[:-40]),
        Cut(said(200, body=gzip.compress(LIST)[:-20], headers={"Content-Encoding": "gzip"})),
        said(200, body=LIST[: len(LIST) // 2]),
        said(200, body=gzip.compress(LIST[:-1]), headers={"Content-Encoding": "gzip"}),
        said(200, body=LIST, headers={"Content-Encoding": "gzip"}),
        said(200, body=LIST, headers={"Content-Encoding": "br"}),
        said(200, body=b"<html>maintenance</html>\n"),
        said(200, body=b""),
        said(500),
        Cut(),
    ],
)
def test_the_lists_by_segment_are_taken_when_the_whole_one_does_not_come(
    tmp_path: Path, broken: Said
) -> None:
    """Cut off by the wire or by its host, a page, empty or refused; a segment that is not needed may be missing."""

    def answers(heard: Heard) -> Said:
        if heard.path == WHOLE:
            return broken
        body = SEGMENTS.get(heard.path)
        return said(404) if body is None else said(200, body=body)

    (master, kept), paths = run(tmp_path, answers, load)
    assert [one.id for one in master.instruments] == ["IDX_I:13", "NSE_FNO:40001", "NSE_FNO:40002"]
    assert kept.source == "/instrument"
    assert list(dict.fromkeys(paths)) == [WHOLE, *SEGMENTS, "/v2/instrument/BSE_FNO"]
    written = (tmp_path / FOLDER / "2026-11-20.csv").read_bytes()
    assert written == b"\n".join([HEADER.encode(), *(r.encode() for r in (INDEX, CALL, PUT)), b""])
    assert hashlib.sha256(written).hexdigest() == kept.sha256


def test_half_a_list_is_none(tmp_path: Path) -> None:
    """Answered with 200 and with a length that fits: the refusal says where each one was cut."""

    def halves(heard: Heard) -> Said:
        body = LIST if heard.path == WHOLE else SEGMENTS.get(heard.path, b"")
        return said(200, body=body[: len(body) // 2])

    with pytest.raises(BrokerUnavailable, match="cut off in the middle of a line"):
        run(tmp_path, halves, load)
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_list_of_less_than_half_of_the_last_days_is_not_believed(tmp_path: Path) -> None:
    """Cut between two lines nothing else would show it."""
    long = LIST + b"".join(f"{ABB}\n".encode() for _ in range(len(LIST) // len(ABB) + 2))
    run(tmp_path, lambda heard: said(200, body=long) if heard.path == WHOLE else said(404), load)

    async def tomorrow(lists: Instruments, clock: HandClock) -> Loaded:
        clock.at_ns += DAY_NS
        return await load(lists, clock)

    with pytest.raises(BrokerUnavailable, match="less than half of the last day's"):
        run(tmp_path, whole, tomorrow)


def test_segments_of_other_columns_are_not_mixed(tmp_path: Path) -> None:
    """Their rows would be read by the wrong names."""

    def answers(heard: Heard) -> Said:
        if heard.path == "/v2/instrument/NSE_FNO":
            return said(200, body=SEGMENTS[heard.path].replace(b"LOT_SIZE", b"LOTS", 1))
        body = SEGMENTS.get(heard.path)
        return said(404) if body is None else said(200, body=body)

    with pytest.raises(DataRefused, match="no option of NIFTY"):
        run(tmp_path, answers, load)


def test_redirects_are_followed_without_a_token(tmp_path: Path) -> None:
    """The lists by segment are elsewhere; what is public needs no secret."""
    tokens: list[str] = []

    def answers(heard: Heard) -> Said:
        tokens.append(heard.headers.get("access-token", ""))
        if heard.path == WHOLE:
            return said(302, headers={"Location": "/elsewhere.csv"})
        return said(200, body=LIST)

    (master, _), paths = run(tmp_path, answers, load)
    assert len(master.instruments) == 3
    assert paths == [WHOLE, "/elsewhere.csv"]
    assert set(tokens) == {""}


def test_a_list_that_cannot_be_read_is_refused_and_fetched_again_next_time(tmp_path: Path) -> None:
    """A column is missing today: the refusal names it; when the broker has mended it, it is taken."""
    broken = LIST.replace(b"LOT_SIZE", b"LOTS", 1)
    with pytest.raises(DataRefused, match="LOT_SIZE"):
        run(tmp_path, lambda _: said(200, body=broken), load)
    (master, _), paths = run(tmp_path, whole, load)
    assert len(master.instruments) == 3
    assert paths == [WHOLE]


def test_it_is_fetched_anew_when_asked(tmp_path: Path) -> None:
    """By a person."""
    run(tmp_path, whole, load)

    async def anew(lists: Instruments, clock: HandClock) -> Loaded:
        wanted = Wanted(day=ist_date(clock.at_ns), freeze={"NIFTY": 1_800})
        return await lists.load(wanted, anew=True)

    _, paths = run(tmp_path, whole, anew)
    assert paths == [WHOLE]
