"""Quotes by REST: read as documented, one call a second, and what is asked for meanwhile joins it."""

import asyncio
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.quotes import (
    APART_NS,
    QuoteReader,
    quote_of,
    quotes_of,
    read_quotes,
)
from holdfast.brokers.dhan.rest import Answer
from holdfast.domain.event import QuotesRead, ReadFailed
from holdfast.domain.instrument import Segment, instrument_id
from holdfast.domain.market import Tick
from holdfast.runtime.clock import ScaledClock
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND
from tests.support.feed_desk import NOON, Quoting, row

TRADED = OPEN + 90 * 60 * SECOND


def answer(payload: object, *, status: int = 200) -> Answer:
    """An answer of noon."""
    return Answer(status=status, payload=payload, body=b"", at_ns=NOON)


def success(**rows: object) -> Answer:
    """Quotes of derivatives by id, without the `n` in front."""
    data = {name.removeprefix("n"): value for name, value in rows.items()}
    return answer({"data": {"NSE_FNO": data}, "status": "success"})


def desk() -> tuple[QuoteReader, Quoting, ScaledClock]:
    """A reader in fast time, and the broker's side."""
    timing = ScaledClock(NOON, 20)
    rest = Quoting(timing)
    return QuoteReader(rest, timing, contracts=lambda: [NIFTY, CALL, PUT]), rest, timing


@pytest.mark.proves("T10")
def test_a_quote_is_a_tick_with_depth_and_trade_time() -> None:
    """Rupees with a fraction become paise on the step, India's wall becomes UTC (dhan.md 3.10)."""
    told = {
        "last_price": Decimal("101.37"),
        "last_trade_time": "20/11/2026 10:45:00",
        "volume": Decimal("4.5E7"),
        "oi": 1_250_000,
        "depth": {
            "buy": [
                {"quantity": 650, "orders": 3, "price": Decimal("101.35")},
                {"quantity": 0, "orders": 0, "price": 0},
            ],
            "sell": [{"quantity": 130, "orders": 1, "price": Decimal("101.45")}],
        },
    }
    assert quote_of(told, CALL, NOON) == Tick(
        at_ns=NOON,
        instrument=CALL.id,
        last_paise=10_135,
        venue_at_ns=TRADED,
        volume=45_000_000,
        oi=1_250_000,
        bids=((10_135, 650),),
        asks=((10_145, 130),),
    )


@pytest.mark.proves("I-68", "T10")
@pytest.mark.parametrize("told", ["", "NA", "01/01/1980 00:00:00", "19/11/2026 15:29:59"])
def test_a_trade_that_was_not_today_has_no_time(told: str) -> None:
    """The time of the reading is none of the price's."""
    tick = quote_of(row(9.0, told), CALL, NOON)
    assert tick is not None
    assert tick.venue_at_ns is None


@pytest.mark.proves("I-64")
def test_no_price_is_no_quote() -> None:
    """The recorded answer off hours has zeros in every field; zero prices nothing."""
    assert quote_of(row(0), CALL, NOON) is None


@pytest.mark.parametrize(
    "bad",
    [
        row(-1.0),
        row(float("nan")),
        row(9.0, "yesterday"),
        row(9.0, volume=-1),
        row(9.0, volume=1.5),
        row(9.0, depth=[5]),
        row(9.0, depth={"buy": {}}),
        row(9.0, depth={"buy": [5]}),
        row(9.0, depth={"buy": [{"quantity": 5, "price": 0}]}),
        row(9.0, depth={"sell": [{"quantity": 5}]}),
        row(9.0) | {"last_price": None},
        {},
    ],
)
def test_what_is_not_of_its_form_is_refused(bad: dict[str, Any]) -> None:
    """With the one error for that; nothing is guessed in its place."""
    with pytest.raises(Unreadable):
        quote_of(bad, CALL, NOON)


def test_one_unreadable_quote_spoils_no_other() -> None:
    """It is left out; where nothing else is left the reading has failed, which is not empty."""
    told = quotes_of(success(n40001=row(-1.0), n40002=row(8.0)), [CALL, PUT])
    assert isinstance(told, QuotesRead)
    assert [quote.instrument for quote in told.quotes] == [PUT.id]
    told = quotes_of(success(n40001=row(-1.0)), [CALL, PUT])
    assert isinstance(told, ReadFailed)
    assert told.what == "quotes"


@pytest.mark.parametrize("told", [{}, {"NSE_FNO": {}}, {"NSE_FNO": {"1": row(5.0)}}])
def test_ids_that_the_broker_omits_are_omitted(told: object) -> None:
    """It leaves out what it does not know (dhan.md 3.10)."""
    read = quotes_of(answer({"data": told, "status": "success"}), [CALL])
    assert read == QuotesRead(at_ns=NOON, quotes=())


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "<html>",
        {"data": {}},
        {"status": "success"},
        {"data": [], "status": "success"},
        {"data": {"805": "Too many"}, "status": "failed"},
    ],
)
def test_an_answer_of_another_form_has_failed(payload: object) -> None:
    """Whatever its status says."""
    assert isinstance(quotes_of(answer(payload), [CALL]), ReadFailed)


@pytest.mark.parametrize("payload", [None, "<html>", {"data": {"805": "Too many requests."}}])
def test_a_refusal_is_told_with_its_status(payload: object) -> None:
    """And in the broker's words, where it has any."""
    rest = Quoting(ScaledClock(NOON, 20))
    rest.status = 429

    async def call(*_args: Any, **_given: Any) -> Answer:
        return answer(payload, status=429)

    rest.call = call  # type: ignore[method-assign]
    told = asyncio.run(read_quotes(rest, [CALL]))
    assert isinstance(told, ReadFailed)
    assert told.reason.startswith("HTTP 429")
    assert ("Too many" in told.reason) == isinstance(payload, dict)


def test_ids_are_asked_for_by_segment_as_numbers() -> None:
    """One id may stand in two segments."""
    reader, rest, _ = desk()
    index = replace(NIFTY, id=instrument_id(Segment.IDX_I, 40_001), security_id=40_001)
    asyncio.run(read_quotes(rest, [CALL, index, PUT]))
    [(_, body)] = rest.asked
    assert body == {"NSE_FNO": [40_001, 40_002], "IDX_I": [40_001]}
    assert reader.calls == 0


def test_a_call_without_an_answer_has_failed() -> None:
    """Failed is not empty."""
    reader, rest, _ = desk()
    rest.is_down = True
    told = asyncio.run(reader.read([CALL.id]))
    assert isinstance(told, ReadFailed)
    assert told.reason == "time-out"


@pytest.mark.proves("DEG-3", "I-60")
def test_calls_leave_apart_and_requests_meanwhile_share_the_next_one() -> None:
    """Twenty at once are two calls; those that joined hear of no answer of their own."""

    async def story() -> None:
        reader, rest, timing = desk()
        rest.rows = {"NSE_FNO": {"40001": row(9.0), "40002": row(8.0)}}
        async with asyncio.TaskGroup() as group:
            first = group.create_task(reader.read([CALL.id]))
            await asyncio.sleep(0)
            rest_of = [group.create_task(reader.read([one])) for one in [PUT.id, CALL.id] * 10]
        told = [task.result() for task in rest_of]
        assert isinstance(first.result(), QuotesRead)
        answers = [one for one in told if one is not None]
        assert len(answers) == 1
        assert isinstance(answers[0], QuotesRead)
        assert [quote.instrument for quote in answers[0].quotes] == [PUT.id, CALL.id]
        (one_ns, one), (two_ns, two) = rest.asked
        assert (one, two) == ({"NSE_FNO": [40_001]}, {"NSE_FNO": [40_002, 40_001]})
        assert two_ns - one_ns >= APART_NS
        assert timing.now_ns() > two_ns

    asyncio.run(story())


@pytest.mark.proves("I-60")
def test_after_a_refusal_for_the_rate_it_waits_longer_each_time() -> None:
    """Two seconds, four, eight; an answer begins anew."""

    async def story() -> None:
        reader, rest, _ = desk()
        rest.status = 429
        for _ in range(4):
            await reader.read([CALL.id])
        rest.status = 200
        await reader.read([CALL.id])
        await reader.read([CALL.id])
        stamps = [at_ns for at_ns, _ in rest.asked]
        waits = [(after - before) / SECOND for before, after in pairwise(stamps)]
        for waited, least in zip(waits, [2, 4, 8, 16, 1.25], strict=True):
            assert least <= waited <= least * 1.5 + 1

    asyncio.run(story())


def test_what_is_cancelled_in_the_queue_blocks_nobody() -> None:
    """Its instruments are read with the next call."""

    async def story() -> None:
        reader, rest, _ = desk()
        await reader.read([CALL.id])
        waiting = asyncio.ensure_future(reader.read([PUT.id]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await reader.read([CALL.id])
        assert [body for _, body in rest.asked][1:] == [{"NSE_FNO": [40_002, 40_001]}]

    asyncio.run(story())


def test_strangers_are_not_asked_for() -> None:
    """An id that today's master does not hold would be a wrong one."""
    reader, rest, _ = desk()
    told = asyncio.run(reader.read([instrument_id(Segment.NSE_FNO, 1)]))
    assert isinstance(told, ReadFailed)
    assert rest.asked == []


def test_the_recorded_answers_are_read(shared_data: Path) -> None:
    """All zeros off hours, an unknown id, an unknown request, a refused token (dhan-samples)."""
    samples = shared_data.parent / "reference" / "dhan-samples"

    def sample(name: str) -> object:
        return msgspec.json.decode((samples / name).read_bytes())

    other = replace(CALL, id=instrument_id(Segment.NSE_FNO, 49_081), security_id=49_081)
    for name in ("quote_fno_zero", "ltp_unknown_id", "ltp_bad_request_shape"):
        read = quotes_of(answer(sample(f"marketfeed_{name}.json")), [other])
        assert read == QuotesRead(at_ns=NOON, quotes=())
    refused = quotes_of(answer(sample("marketfeed_ltp_error_401_808.json")), [other])
    assert isinstance(refused, ReadFailed)
