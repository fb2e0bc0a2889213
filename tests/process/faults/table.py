"""Every scenario, in the order in which it is played."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from tests.process.faults.scenario import Act, End, Moment, Scenario, fault, once

BUY: Final = {"transactionType": "BUY"}
STOP: Final = {"orderType": "STOP_LOSS"}
SALE: Final = {"transactionType": "SELL", "orderType": "LIMIT"}
ORDERS: Final = ("place", "modify", "cancel")
BOOK: Final = ("orders", "trades", "positions")
REPLACE: Final = "replace"

ENTRIES: Final = (
    Scenario(
        name="entry: the answer is lost after acceptance",
        ids=("I-45", "PLC-8", "TST-6"),
        moment=Moment.ENTRY,
        faults=(once("answer_lost", "place", only=BUY),),
        ends=End.OPEN,
        is_for_test=True,
    ),
    Scenario(
        name="entry: the request is lost",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("request_lost", "place", only=BUY),),
    ),
    Scenario(
        name="entry: answered after the time-out",
        ids=("I-45", "GWL-1"),
        moment=Moment.ENTRY,
        faults=(once("answer_slow", "place", only=BUY),),
        ends=End.OPEN,
    ),
    Scenario(
        name="entry: taken late",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("request_slow", "place", only=BUY),),
    ),
    Scenario(
        name="entry: answered with 500",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("server_error", "place", only=BUY),),
    ),
    Scenario(
        name="entry: answered with a page of HTML",
        ids=("I-25",),
        moment=Moment.ENTRY,
        faults=(once("bad_gateway", "place", only=BUY),),
    ),
    Scenario(
        name="entry: answered with half a JSON",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("half_json", "place", only=BUY),),
        ends=End.OPEN,
    ),
    Scenario(
        name="entry: answered with an empty body",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("empty_body", "place", only=BUY),),
        ends=End.OPEN,
    ),
    Scenario(
        name="entry: the answer drips for twelve seconds",
        ids=("I-45", "GWL-1"),
        moment=Moment.ENTRY,
        faults=(once("slow_drip", "place", only=BUY),),
        ends=End.OPEN,
    ),
    Scenario(
        name="entry: the update comes before the answer",
        ids=("I-40",),
        moment=Moment.ENTRY,
        faults=(once("update_first", "place", only=BUY, delay_s=1.0),),
        ends=End.OPEN,
        is_for_test=True,
    ),
    Scenario(
        name="entry: refused for the rate",
        ids=("I-44",),
        moment=Moment.ENTRY,
        faults=(once("rate_storm", "place", only=BUY),),
    ),
    Scenario(
        name="entry: accepted, then refused for funds",
        ids=("I-52",),
        moment=Moment.ENTRY,
        faults=(fault("refused_funds"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="entry: refused, the market is closed",
        ids=("I-41",),
        moment=Moment.ENTRY,
        faults=(once("refused_closed", "place", only=BUY),),
    ),
    Scenario(
        name="entry: refused with words that nobody knows",
        ids=("I-25",),
        moment=Moment.ENTRY,
        faults=(fault("refused_other"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="entry: filled lot by lot",
        ids=("I-56",),
        moment=Moment.ENTRY,
        faults=(fault("fills_sliced", quantity=65),),
    ),
    Scenario(
        name="entry: never filled, its cancel's answer is lost",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(fault("fills_withheld"), once("answer_lost", "cancel", only=BUY)),
        ends=End.FLAT,
        is_for_test=True,
    ),
    Scenario(
        name="entry: filled while its cancel is on its way",
        ids=("I-56",),
        moment=Moment.ENTRY,
        faults=(fault("fills_withheld"), fault("filled_during_cancel", quantity=65)),
    ),
    Scenario(
        name="entry: every word about it is lost",
        ids=("B-18", "DEG-4", "PRM-4", "OUH-3"),
        moment=Moment.ENTRY,
        faults=(fault("update_lost"),),
        ends=End.OPEN,
        is_for_test=True,
    ),
    Scenario(
        name="entry: its words come twice and late",
        ids=("I-28",),
        moment=Moment.ENTRY,
        faults=(fault("update_duplicated"), fault("update_late", delay_s=1.5)),
        ends=End.OPEN,
    ),
    Scenario(
        name="entry: its words overtake each other",
        ids=("I-28",),
        moment=Moment.ENTRY,
        faults=(fault("update_reordered", share=0.5),),
        ends=End.OPEN,
    ),
    Scenario(
        name="entry: the order cannot be found by its id",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(fault("order_not_found"), once("answer_lost", "place", only=BUY)),
    ),
)

STOPS: Final = (
    Scenario(
        name="stop: the answer is lost after acceptance",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("answer_lost", "place", only=STOP),),
        ends=End.OPEN,
    ),
    Scenario(
        name="stop: the request is lost",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("request_lost", "place", only=STOP),),
    ),
    Scenario(
        name="stop: answered with 500",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("server_error", "place", only=STOP),),
    ),
    Scenario(
        name="stop: answered with half a JSON",
        ids=("I-45",),
        moment=Moment.ENTRY,
        faults=(once("half_json", "place", only=STOP),),
    ),
    Scenario(
        name="stop: refused, the price is beyond the trigger",
        ids=("I-25",),
        moment=Moment.ENTRY,
        faults=(fault("refused_beyond_trigger"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="stop: refused for its distance",
        ids=("I-25",),
        moment=Moment.ENTRY,
        faults=(fault("refused_trigger_distance"),),
        for_s=8.0,
    ),
    Scenario(
        name="stop: refused for the rate",
        ids=("I-44",),
        moment=Moment.ENTRY,
        faults=(once("rate_storm", "place", only=STOP),),
    ),
    Scenario(
        name="stop: refused, the address is not registered",
        ids=("I-25",),
        moment=Moment.ENTRY,
        faults=(fault("ip_refused", "place", only=STOP),),
        disarmed=("account",),
        heals_s=400.0,
    ),
    Scenario(
        name="stop: refused at its trigger",
        ids=("I-39",),
        moment=Moment.TRIGGER,
        faults=(fault("stop_refused_at_trigger"),),
        for_s=30.0,
        ends=End.FLAT,
        is_for_test=True,
    ),
    Scenario(
        name="stop: triggered, and its words are lost",
        ids=("B-18",),
        moment=Moment.TRIGGER,
        faults=(fault("update_lost"),),
        for_s=30.0,
        ends=End.FLAT,
    ),
    Scenario(
        name="stop: the exchange drops it",
        ids=("I-39",),
        moment=Moment.HELD,
        faults=(fault("stop_dropped", for_s=1.0),),
        is_fresh=True,
    ),
    Scenario(
        name="stop: the owner cancels it",
        ids=("B-19",),
        moment=Moment.HELD,
        faults=(fault("owner_cancels_stop"),),
        is_fresh=True,
    ),
    Scenario(
        name="stop: trailing, the answer is lost",
        ids=("I-45",),
        moment=Moment.TRAIL,
        faults=(fault("answer_lost", "modify", times=2),),
        for_s=60.0,
        ends=End.FLAT,
    ),
    Scenario(
        name="stop: trailing, answered and ignored",
        ids=("I-25",),
        moment=Moment.TRAIL,
        faults=(fault("modify_ignored"),),
        for_s=60.0,
        ends=End.FLAT,
    ),
)

EXITS: Final = (
    Scenario(
        name="exit: the modification's answer is lost",
        ids=("I-45", "I-36"),
        moment=Moment.EXIT,
        faults=(once("answer_lost", "modify"),),
        ends=End.FLAT,
        is_for_test=True,
    ),
    Scenario(
        name="exit: the modification is lost",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(once("request_lost", "modify"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: the modification is answered and ignored",
        ids=("I-25", "I-36"),
        moment=Moment.EXIT,
        faults=(fault("modify_ignored"),),
        ends=End.FLAT,
        is_for_test=True,
        is_last=True,
    ),
    Scenario(
        name="exit: the modification is refused later",
        ids=("I-39",),
        moment=Moment.EXIT,
        faults=(fault("modify_refused_later"),),
        ends=End.FLAT,
        is_last=True,
    ),
    Scenario(
        name="exit: the stop triggers before the modification",
        ids=("I-39",),
        moment=Moment.EXIT,
        faults=(fault("modify_overtaken"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: a stop may not become a limit order",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(fault("stop_to_limit_refused"),),
        ends=End.FLAT,
        is_last=True,
    ),
    Scenario(
        name="exit: not modifiable, says the broker",
        ids=("I-41",),
        moment=Moment.EXIT,
        faults=(once("refused_not_modifiable", "modify"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: the market is closed, says the broker",
        ids=("I-41", "I-36"),
        moment=Moment.EXIT,
        faults=(once("refused_closed", "modify"),),
        for_s=30.0,
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: answered with 500",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(once("server_error", "modify"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: answered with a page of HTML",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(fault("bad_gateway", "modify", times=2),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: answered with half a JSON",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(once("half_json", "modify"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: the answer drips",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(once("slow_drip", "modify"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: the address is not registered",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(fault("ip_refused", "modify", "place", "cancel"),),
        for_s=15.0,
        ends=End.FLAT,
        disarmed=("account",),
        heals_s=400.0,
    ),
    Scenario(
        name="exit: a storm of 429",
        ids=("I-44", "I-60"),
        moment=Moment.EXIT,
        faults=(fault("rate_storm", *ORDERS),),
        for_s=5.0,
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: filled lot by lot",
        ids=("I-56", "I-48"),
        moment=Moment.EXIT,
        faults=(fault("fills_sliced", quantity=65),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: accepted, and not filled for a while",
        ids=("I-38",),
        moment=Moment.EXIT,
        faults=(fault("fills_withheld"),),
        for_s=15.0,
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: positions cannot be read",
        ids=("I-51",),
        moment=Moment.EXIT,
        faults=(fault("server_error", "positions"),),
        ends=End.FLAT,
        heals_s=200.0,
    ),
    Scenario(
        name="exit: the order updates are mute",
        ids=("B-18", "I-70"),
        moment=Moment.EXIT,
        faults=(fault("updates_mute"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="exit: the order updates are reset",
        ids=("OUH-1", "B-16"),
        moment=Moment.EXIT,
        faults=(fault("updates_drop"),),
        for_s=15.0,
        ends=End.FLAT,
        disarmed=("links", "services"),
    ),
    Scenario(
        name="exit: the owner sells half between our read and our exit",
        ids=("I-104",),
        moment=Moment.EXIT,
        act=Act.SELL_PART,
        ends=End.FLAT,
        is_for_test=True,
    ),
    Scenario(
        name="exit: the owner sells everything in the same moment",
        ids=("I-42",),
        moment=Moment.EXIT,
        act=Act.SELL_ALL,
        ends=End.FLAT,
    ),
    Scenario(
        name="exit by replacing: the cancel's answer is lost",
        ids=("I-45",),
        moment=Moment.EXIT,
        faults=(once("answer_lost", "cancel"),),
        ends=End.FLAT,
        exit_by=REPLACE,
    ),
    Scenario(
        name="exit by replacing: the sale's answer is lost",
        ids=("I-45", "PLC-8"),
        moment=Moment.EXIT,
        faults=(once("answer_lost", "place", only=SALE),),
        ends=End.FLAT,
        exit_by=REPLACE,
    ),
    Scenario(
        name="exit by replacing: the sale is lost",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(once("request_lost", "place", only=SALE),),
        ends=End.FLAT,
        exit_by=REPLACE,
    ),
    Scenario(
        name="exit by replacing: the sale is answered with 500",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(once("server_error", "place", only=SALE),),
        ends=End.FLAT,
        exit_by=REPLACE,
    ),
    Scenario(
        name="exit by replacing: the update comes before the answer",
        ids=("I-40",),
        moment=Moment.EXIT,
        faults=(once("update_first", "place", only=SALE, delay_s=1.0),),
        ends=End.FLAT,
        exit_by=REPLACE,
    ),
    Scenario(
        name="exit by replacing: the cancel is answered with HTML",
        ids=("I-36",),
        moment=Moment.EXIT,
        faults=(once("bad_gateway", "cancel"),),
        ends=End.FLAT,
        exit_by=REPLACE,
    ),
    Scenario(
        name="exit by replacing: filled while the stop is cancelled",
        ids=("I-39",),
        moment=Moment.EXIT,
        faults=(fault("filled_during_cancel", quantity=65),),
        ends=End.FLAT,
        exit_by=REPLACE,
    ),
)

FEEDS: Final = (
    Scenario(
        name="feed: open and mute for 30 s",
        ids=("MFH-6", "I-66", "DEG-1"),
        moment=Moment.HELD,
        faults=(fault("feed_mute"),),
        for_s=30.0,
        disarmed=("feed", "links", "services"),
        is_for_test=True,
    ),
    Scenario(
        name="feed: lags by 40 s with fresh times of receipt",
        ids=("I-66", "DEG-1"),
        moment=Moment.HELD,
        faults=(fault("feed_lag", delay_s=40.0),),
        for_s=60.0,
        disarmed=("feed", "links", "services"),
    ),
    Scenario(
        name="feed: evicted with 805",
        ids=("MFH-7",),
        moment=Moment.HELD,
        faults=(fault("feed_evict"),),
        for_s=10.0,
        disarmed=("feed", "links", "services"),
        heals_s=600.0,
    ),
    Scenario(
        name="feed: reset, and no handshake for 10 s",
        ids=("MFH-7", "I-15"),
        moment=Moment.HELD,
        faults=(fault("feed_drop"),),
        for_s=10.0,
        disarmed=("feed", "links", "services"),
        heals_s=300.0,
    ),
    Scenario(
        name="feed: garbage, cut frames, doubles",
        ids=("I-64",),
        moment=Moment.HELD,
        faults=(
            fault("feed_garbage", share=0.2),
            fault("feed_truncated", share=0.2),
            fault("feed_duplicated", share=0.2),
        ),
        heals_s=300.0,
    ),
    Scenario(
        name="feed: last prices of zero, of no number, three times too high",
        ids=("I-64",),
        moment=Moment.HELD,
        faults=(
            fault("feed_zero", share=0.1),
            fault("feed_nan", share=0.1),
            fault("feed_spike", share=0.05),
        ),
        ends=End.EITHER,
    ),
    Scenario(
        name="feed: packets overtake each other",
        ids=("I-66",),
        moment=Moment.HELD,
        faults=(fault("feed_reordered", share=0.3),),
    ),
    Scenario(
        name="feed: old stamps",
        ids=("I-68",),
        moment=Moment.HELD,
        faults=(fault("feed_old_stamp"),),
        for_s=30.0,
        disarmed=("feed", "links", "services"),
    ),
)

BOOKS: Final = (
    Scenario(
        name="book: positions fail for 60 s",
        ids=("I-55", "I-103"),
        moment=Moment.HELD,
        faults=(fault("server_error", "positions"),),
        for_s=60.0,
        ends=End.OPEN,
    ),
    Scenario(
        name="book: positions are empty for 60 s",
        ids=("I-67", "I-55"),
        moment=Moment.HELD,
        faults=(fault("book_empty", "positions"),),
        for_s=60.0,
        is_for_test=True,
    ),
    Scenario(
        name="book: stale for 60 s",
        ids=("I-67",),
        moment=Moment.HELD,
        faults=(fault("book_stale", *BOOK, delay_s=120.0),),
        for_s=60.0,
    ),
    Scenario(
        name="book: positions one fill behind for 60 s",
        ids=("I-67",),
        moment=Moment.HELD,
        faults=(fault("book_fill_behind"),),
        for_s=60.0,
    ),
    Scenario(
        name="book: torn for 60 s",
        ids=("I-67",),
        moment=Moment.HELD,
        faults=(fault("book_torn", delay_s=60.0),),
        for_s=60.0,
    ),
    Scenario(
        name="book: the held position is missing",
        ids=("I-67",),
        moment=Moment.HELD,
        faults=(fault("position_missing"),),
        for_s=35.0,
    ),
    Scenario(
        name="book: answered with HTML",
        ids=("I-55",),
        moment=Moment.HELD,
        faults=(fault("bad_gateway", *BOOK),),
        for_s=35.0,
        ends=End.OPEN,
    ),
    Scenario(
        name="book: cut in half",
        ids=("I-55",),
        moment=Moment.HELD,
        faults=(fault("half_json", *BOOK),),
        for_s=35.0,
        ends=End.OPEN,
    ),
    Scenario(
        name="funds: none are there, it says",
        ids=("I-55",),
        moment=Moment.ENTRY,
        faults=(fault("funds_zero"),),
    ),
)

SESSIONS: Final = (
    Scenario(
        name="token: killed by a second login",
        ids=("I-93", "T20"),
        moment=Moment.HELD,
        act=Act.LOGIN,
        for_s=10.0,
        disarmed=("token", "links", "services", "feed", "book"),
        heals_s=400.0,
        is_for_test=True,
        ends=End.OPEN,
    ),
    Scenario(
        name="token: killed twice by somebody else",
        ids=("T20",),
        moment=Moment.HELD,
        act=Act.LOGIN_TWICE,
        for_s=260.0,
        ends=End.OPEN,
        disarmed=("token", "links", "services", "feed", "book"),
        heals_s=0.0,
        is_last=True,
    ),
    Scenario(
        name="token: nobody takes it for 20 s",
        ids=("I-93",),
        moment=Moment.HELD,
        faults=(fault("token_dead"),),
        disarmed=("token", "links", "services", "feed", "book"),
        heals_s=300.0,
        ends=End.OPEN,
        is_last=True,
    ),
    Scenario(
        name="rate: 429 to everything for 20 s",
        ids=("I-60", "DEG-2"),
        moment=Moment.HELD,
        faults=(fault("rate_storm"),),
        heals_s=300.0,
    ),
    Scenario(
        name="line: connections are cut",
        ids=("MFH-7",),
        moment=Moment.EXIT,
        faults=(fault("connections_cut", for_s=1.0),),
        ends=End.FLAT,
    ),
    Scenario(
        name="line: no connection is taken for 30 s",
        ids=("DEG-2",),
        moment=Moment.HELD,
        faults=(fault("connect_refused"),),
        for_s=30.0,
        disarmed=("links", "services", "stream", "account"),
        heals_s=300.0,
    ),
    Scenario(
        name="line: every answer takes 3 s",
        ids=("GWL-1",),
        moment=Moment.EXIT,
        faults=(fault("answer_slow", delay_s=3.0),),
        ends=End.FLAT,
        heals_s=300.0,
    ),
    Scenario(
        name="clock: the broker's is 5 s ahead",
        ids=("T30",),
        moment=Moment.HELD,
        faults=(fault("date_skewed", delay_s=5.0),),
        for_s=40.0,
        disarmed=("clock",),
    ),
    Scenario(
        name="broker: squares off",
        ids=("T11",),
        moment=Moment.HELD,
        act=Act.SQUARE_OFF,
        ends=End.FLAT,
        is_for_test=True,
    ),
    Scenario(
        name="broker: a margin sale",
        ids=("T11",),
        moment=Moment.HELD,
        faults=(fault("broker_squares_off"),),
        ends=End.FLAT,
    ),
    Scenario(
        name="broker: killed and back",
        ids=("DEG-3",),
        moment=Moment.HELD,
        act=Act.KILL_BROKER,
        disarmed=("links", "services", "feed", "stream", "token"),
        heals_s=400.0,
    ),
    Scenario(
        name="owner: offers what we hold, and thinks better of it",
        ids=("B-19",),
        moment=Moment.HELD,
        faults=(fault("owner_offers"),),
    ),
)

TABLE: Final = (*ENTRIES, *STOPS, *EXITS, *FEEDS, *BOOKS, *SESSIONS)


def lanes(rows: Sequence[Scenario], most: int) -> list[list[Scenario]]:
    """Rows for lives of their own, `most` at most in one: what ends a life is the last of its own."""
    parts: list[list[Scenario]] = []
    for exit_by in ("modify", REPLACE):
        mine = [row for row in rows if row.exit_by == exit_by and not row.is_last]
        count = -(-len(mine) // most)
        ends = [len(mine) * number // count for number in range(count + 1)] if count else []
        parts += [mine[begin:end] for begin, end in pairwise(ends)]
    last = [row for row in rows if row.is_last]
    while len(parts) < len(last):
        parts.append([])
    # A change of a stop that nobody saw bars changes for the day (T2): exits end a life without one.
    parts_calm_first = sorted(parts, key=lambda part: any(r.moment is Moment.TRAIL for r in part))
    exits = [row for row in last if row.moment is Moment.EXIT]
    others = [row for row in last if row.moment is not Moment.EXIT]
    for part, row in zip(parts_calm_first, exits, strict=False):
        part.append(row)
    for part, row in zip(reversed(parts_calm_first), others, strict=False):
        part.append(row)
    return parts
