"""The instrument master."""

import asyncio
import csv
import io
from collections import Counter

from msgspec.structs import replace

from holdfast.domain.instrument import Exchange, Segment, instrument_id
from holdfast.simbroker.dhan.instruments import Master, display_name, trading_symbol
from holdfast.simbroker.dhan.route import Answer, Call
from holdfast.simbroker.dhan.wire_faults import Endpoint
from tests.support.desk import DAY
from tests.unit.simbroker.dhan.market_day import CALL, FOLLOWED, INDEX, PUT

DETAILED_HEADER = (
    "EXCH_ID,SEGMENT,SECURITY_ID,ISIN,INSTRUMENT,UNDERLYING_SECURITY_ID,UNDERLYING_SYMBOL,"
    "SYMBOL_NAME,DISPLAY_NAME,INSTRUMENT_TYPE,SERIES,LOT_SIZE,SM_EXPIRY_DATE,STRIKE_PRICE,"
    "OPTION_TYPE,TICK_SIZE,EXPIRY_FLAG,BRACKET_FLAG,COVER_FLAG,ASM_GSM_FLAG,ASM_GSM_CATEGORY,"
    "BUY_SELL_INDICATOR,BUY_CO_MIN_MARGIN_PER,BUY_CO_SL_RANGE_MAX_PERC,BUY_CO_SL_RANGE_MIN_PERC,"
    "BUY_BO_MIN_MARGIN_PER,BUY_BO_PROFIT_RANGE_MAX_PERC,BUY_BO_PROFIT_RANGE_MIN_PERC,MTF_LEVERAGE,"
    "SM_UPPER_LIMIT,SM_LOWER_LIMIT,SM_FREEZE_QTY,"
)
COMPACT_HEADER = (
    "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,"
    "SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,"
    "SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,"
    "SM_SYMBOL_NAME"
)
MASTER = Master(FOLLOWED, day=DAY)


def ask(path: str, **named: str) -> Answer:
    """What a route of the files answers."""
    routes = [*MASTER.files(), *MASTER.routes("http://files")]
    route = next(one for one in routes if one.path == path)
    call = Call(at_ns=0, endpoint=Endpoint.INSTRUMENTS, key="1", client_id="", named=named)

    async def answered() -> Answer:
        return await route.answer(call)

    return asyncio.run(answered())


def rows(answer: Answer) -> list[dict[str, str]]:
    """The file's rows by column."""
    assert answer.media == "text/csv"
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_the_detailed_file_has_the_measured_columns() -> None:
    """Header and an option's row as the broker writes them."""
    text = ask("/api-data/api-scrip-master-detailed.csv").text or ""
    lines = text.splitlines()
    assert lines[0] == DETAILED_HEADER
    (found,) = (line for line in lines if line.startswith("NSE,D,40005,"))
    assert found == (
        "NSE,D,40005,NA,OPTIDX,26000,NIFTY,NIFTY-Nov2026-24500-CE,NIFTY 24 NOV 24500 CALL,OP,NA,"
        "65.0,2026-11-24,24500.00000,CE,5.0000,M,N,N,N,NA,A,0,0,0,0,0,0,0,4900.0000,0.0500,1756,"
    )
    assert "NSE,I,13,NA,INDEX,13,NIFTY,NIFTY,Nifty 50,INDEX,X,1.0,0001-01-01,,XX,0.0500,N" in text


def test_the_compact_file_has_the_measured_columns() -> None:
    """Steps are paise, expiries have an hour."""
    lines = (ask("/api-data/api-scrip-master.csv").text or "").splitlines()
    assert lines[0] == COMPACT_HEADER
    assert (
        "NSE,D,40005,OPTIDX,0,NIFTY-Nov2026-24500-CE,65.0,NIFTY 24 NOV 24500 CALL,"
        "2026-11-24 14:30:00,24500.00000,CE,5.0000,M,OP,NA," in lines
    )


def test_what_is_traded_has_to_be_looked_for() -> None:
    """Thousands of others, later expiries, and numbers that mean something else elsewhere."""
    told = rows(ask("/api-data/api-scrip-master-detailed.csv"))
    assert len(told) > 2_500
    assert len({(one["EXCH_ID"], one["SEGMENT"], one["SECURITY_ID"]) for one in told}) == len(told)
    thirteen = {one["SYMBOL_NAME"] for one in told if one["SECURITY_ID"] == "13"}
    assert thirteen == {"NIFTY", "ABB"}
    expiries = Counter(one["SM_EXPIRY_DATE"] for one in told if one["UNDERLYING_SYMBOL"] == "NIFTY")
    assert sorted(expiries)[:3] == ["0001-01-01", "2026-11-24", "2026-12-01"]


def test_a_segment_is_somewhere_else() -> None:
    """The REST host names the way to a file of that segment alone."""
    answer = ask("/v2/instrument/{segment}", segment="NSE_FNO")
    assert answer.status == 302
    assert answer.headers["Location"] == "http://files/api-data/instrument/NSE_FNO.csv"
    told = rows(ask("/api-data/instrument/{segment}.csv", segment="NSE_FNO"))
    assert {(one["EXCH_ID"], one["SEGMENT"]) for one in told} == {("NSE", "D")}
    assert ask("/v2/instrument/{segment}", segment="FOO").status == 400


def test_the_others_can_be_left_out() -> None:
    """For whoever wants what is traded and nothing else."""
    master = Master(FOLLOWED, day=DAY, others=False)
    call = Call(at_ns=0, endpoint=Endpoint.INSTRUMENTS, key="1", client_id="")
    assert len(rows(asyncio.run(master.detailed(call)))) == len(FOLLOWED)


def test_names() -> None:
    """Of an index, an option with half a rupee, and a contract of the other exchange."""
    assert (trading_symbol(INDEX), display_name(INDEX)) == ("NIFTY", "Nifty 50")
    odd = replace(PUT, strike_paise=82_50, underlying="HDFCBANK")
    assert trading_symbol(odd) == "HDFCBANK-Nov2026-82.5-PE"
    bse = replace(
        CALL,
        id=instrument_id(Segment.BSE_FNO, 1),
        segment=Segment.BSE_FNO,
        security_id=1,
        exchange=Exchange.BSE,
        underlying="SENSEX",
    )
    assert display_name(bse) == "SENSEX 24 NOV 24500 CALL"
    master = Master([bse], day=DAY, others=False)
    call = Call(at_ns=0, endpoint=Endpoint.INSTRUMENTS, key="1", client_id="")
    (row,) = rows(asyncio.run(master.compact(call)))
    assert row["SEM_EXPIRY_DATE"] == "2026-11-24 15:30:00"
