"""Staleness told once at each edge, and what is done for what is held meanwhile (T16)."""

import msgspec
import pytest

from holdfast.core.books.positions import Position
from holdfast.core.market import watch
from holdfast.core.risk import watching
from holdfast.core.settings import ExitSettings, FreshnessSettings
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import (
    Anomaly,
    Audit,
    EntriesBlocked,
    QuotesFresh,
    QuotesStale,
    StalePolicyActed,
)
from holdfast.domain.command import Notify, ReadQuotes, Severity
from holdfast.domain.decision import Exit, HaltLevel
from holdfast.domain.event import Link, LinkChanged
from holdfast.domain.instrument import Exchange
from tests.support.by_hand import NOW, a_position, held, packet, ready_state
from tests.support.desk import CALL, CLOSE, FACTS, NIFTY, OPEN, PUT, SECOND, SESSION, Desk, settings

NSE = Exchange.NSE
LIMIT = 2 * SECOND
"""How long a connection may be silent."""


def told(state: State) -> list[Audit]:
    """What was told since the last look."""
    audits: list[Audit] = list(state.out.audits)
    state.out.audits.clear()
    return audits


def feed_audits(state: State) -> list[Audit]:
    """The same, of the feed alone."""
    return [audit for audit in told(state) if isinstance(audit, QuotesStale | QuotesFresh)]


def asked(state: State) -> list[ReadQuotes]:
    """The quotes asked for since the last look."""
    reads = [command for command in state.out.commands if isinstance(command, ReadQuotes)]
    state.out.commands.clear()
    return reads


def speak(state: State, *, lag: int = 0) -> None:
    """A packet of the put arrives."""
    now = state.now_ns
    state.quotes[PUT.id].take(packet(PUT.id, at=now, venue=now - lag))


# -- whole connections


def test_a_connection_is_judged_when_its_silence_becomes_a_fault() -> None:
    """One instant after two seconds, which are allowed; under the exchange's own key."""
    state = ready_state()
    watch.arm(state, NSE)
    assert state.timers.deadline_ns == NOW + LIMIT + 1
    assert state.timers.pop_due(NOW + LIMIT + 1) == TimerKey(Rank.CONNECTION, 0, "NSE")


def test_an_overdue_judgement_comes_next() -> None:
    """Never in the past, where it would be run for ever."""
    state = ready_state()
    state.now_ns += 60 * SECOND
    watch.arm(state, NSE)
    assert state.timers.deadline_ns == state.now_ns + 1


def test_a_connection_without_a_packet_has_no_silence_to_measure() -> None:
    """Its first packet arms it."""
    state = ready_state()
    state.connections[NSE].last_at_ns = None
    watch.arm(state, NSE)
    assert state.timers.deadline_ns is None


def test_the_silence_allowed_is_a_setting() -> None:
    """Seven seconds here."""
    state = ready_state(settings(freshness=FreshnessSettings(connection_s=7)))
    watch.arm(state, NSE)
    assert state.timers.deadline_ns == NOW + 7 * SECOND + 1


def test_a_live_connection_is_armed_again_and_says_nothing() -> None:
    """Most judgements find it well."""
    state = ready_state()
    watch.judge(state, NSE)
    assert feed_audits(state) == []
    assert state.timers.deadline_ns == NOW + LIMIT + 1


@pytest.mark.proves("I-66")
def test_silence_is_told_once_with_what_is_held_and_once_when_it_ends() -> None:
    """Since its last packet; an entry that has not filled is not held (I-66)."""
    state = held(ready_state(), a_position(3), a_position(4, quantity=0), a_position(5))
    state.now_ns += LIMIT + 1
    for _ in range(3):
        watch.judge(state, NSE)
    assert feed_audits(state) == [
        QuotesStale(instrument=None, since_ns=NOW, reason="connection quiet", held=(3, 5))
    ]
    assert state.timers.deadline_ns is None, "a packet will wake it"
    assert state.blocked_term == "feed", "told in the same step"
    state.now_ns += 10 * SECOND
    speak(state)
    for _ in range(3):
        watch.judge(state, NSE)
    assert feed_audits(state) == [QuotesFresh(instrument=None, after_ns=12 * SECOND + 1)]
    assert state.timers.deadline_ns == state.now_ns + LIMIT + 1


def test_a_lag_is_told_since_the_newest_trade_and_still_judged() -> None:
    """A stream that lags may yet fall silent: each kind of fault is told by itself."""
    state = ready_state()
    state.now_ns += 30 * SECOND
    speak(state, lag=20 * SECOND)
    watch.judge(state, NSE)
    assert feed_audits(state) == [
        QuotesStale(instrument=None, since_ns=NOW + 10 * SECOND, reason="feed lags")
    ]
    lagging_at = state.now_ns
    assert state.timers.deadline_ns == lagging_at + LIMIT + 1
    state.now_ns = lagging_at + LIMIT + 1
    watch.judge(state, NSE)
    assert feed_audits(state) == [
        QuotesFresh(instrument=None, after_ns=state.now_ns - NOW - 10 * SECOND),
        QuotesStale(instrument=None, since_ns=lagging_at, reason="connection quiet"),
    ]


def test_a_feed_without_any_trade_is_stale_since_now() -> None:
    """Nobody knows since when."""
    state = ready_state()
    state.connections[NSE].trade_at_ns = None
    watch.judge(state, NSE)
    assert feed_audits(state) == [
        QuotesStale(instrument=None, since_ns=NOW, reason="no trade seen")
    ]


GAP = msgspec.structs.replace(
    SESSION,
    windows=((OPEN, OPEN + 600 * SECOND), (OPEN + 3_600 * SECOND, OPEN + 4_200 * SECOND)),
)
"""A special Saturday: ten minutes, a gap of fifty, ten minutes."""


@pytest.mark.parametrize(
    ("after_s", "more_ns", "must_speak"),
    [
        (-1, 0, False),
        (0, 0, False),
        (2, 0, False),
        (2, 1, True),
        (600, -1, True),
        (600, 0, False),
        (3_602, 0, False),
        (3_602, 1, True),
        (4_200, -1, True),
        (4_200, 0, False),
    ],
)
def test_silence_means_something_while_the_exchange_is_open(
    after_s: int, more_ns: int, *, must_speak: bool
) -> None:
    """And has been for as long as silence may last, in each window; never outside."""
    state = ready_state()
    state.facts = msgspec.structs.replace(FACTS, sessions=(GAP,))
    state.now_ns = OPEN + after_s * SECOND + more_ns
    state.connections[NSE].last_at_ns = OPEN - 3_600 * SECOND
    watch.judge(state, NSE)
    assert bool(feed_audits(state)) is must_speak


@pytest.mark.parametrize(
    ("after_s", "due_s"),
    [(-600, 2), (1, 2), (600, 3_602), (1_000, 3_602), (3_601, 3_602), (4_200, None)],
)
def test_a_judgement_before_the_opening_is_made_again_after_it(
    after_s: int, due_s: int | None
) -> None:
    """When the next window has been open for long enough, or at the first packet before."""
    state = ready_state()
    state.facts = msgspec.structs.replace(FACTS, sessions=(GAP,))
    state.connections[NSE].last_at_ns = OPEN - 3_600 * SECOND
    state.connections[NSE].is_armed = True
    state.now_ns = OPEN + after_s * SECOND
    watch.judge(state, NSE)
    due_ns = None if due_s is None else OPEN + due_s * SECOND + 1
    assert state.timers.deadline_ns == due_ns
    assert state.connections[NSE].is_armed is False


def test_an_exchange_without_a_session_is_not_waited_for() -> None:
    """On its holiday it owes no packet, and none is expected."""
    state = ready_state()
    state.facts = msgspec.structs.replace(FACTS, sessions=())
    state.now_ns += 60 * SECOND
    watch.judge(state, NSE)
    assert feed_audits(state) == []
    assert state.timers.deadline_ns is None


def test_a_connection_that_spoke_before_the_opening_is_watched_after_it() -> None:
    """Yesterday's trade in a packet of 09:05 is a lag that nobody minds; a mute opening is told."""
    desk = Desk()
    desk.now = OPEN - 600 * SECOND
    desk.tick(venue_age_s=60_000)
    desk.at(1.9)
    assert desk.told(QuotesStale) == []
    desk.at(2.1)
    assert [audit.reason for audit in desk.told(QuotesStale)] == ["connection quiet"]
    desk.tick()
    assert len(desk.told(QuotesFresh)) == 1


def test_a_feed_that_speaks_at_the_opening_is_watched_from_then_on() -> None:
    """Its first packet in the session is judged although the one before it was not told of."""
    desk = Desk()
    desk.now = OPEN - 600 * SECOND
    desk.tick(venue_age_s=60_000)
    desk.at(1).tick()
    desk.at(2.9).tick()
    desk.at(4.8)
    assert desk.told(QuotesStale) == []
    desk.at(4.91)
    assert [audit.since_ns for audit in desk.told(QuotesStale)] == [OPEN + round(2.9 * SECOND)]


# -- readiness, and promises that need a person


def test_readiness_is_told_when_its_first_failing_term_changes() -> None:
    """With the figures of the change; the same term again is no news, being ready is."""
    state = ready_state()
    watch.note_readiness(state)
    assert told(state) == []
    state.journal_durable = False
    watch.note_readiness(state)
    watch.note_readiness(state)
    assert told(state) == [EntriesBlocked(term="journal", values={"journal": "not durable"})]
    state.halt, state.halt_reason = HaltLevel.PAUSE, "why"
    watch.note_readiness(state)
    values: dict[str, int | float | str] = {"level": "pause", "reason": "why"}
    assert told(state) == [EntriesBlocked(term="halted", values=values)]
    state.halt, state.journal_durable = HaltLevel.NONE, True
    watch.note_readiness(state)
    assert told(state) == [EntriesBlocked(term=None, values={})]


def alarms(state: State) -> list[tuple[str, object]]:
    """What a person was called for since the last look, with the position."""
    calls = [audit for audit in told(state) if isinstance(audit, Anomaly)]
    notes = [c for c in state.out.commands if isinstance(c, Notify)]
    state.out.commands.clear()
    assert [note.severity for note in notes] == [Severity.ALARM] * len(calls)
    return [(call.what, call.values) for call in calls]


def test_a_person_is_called_once_for_each_stretch_without_protection() -> None:
    """At two seconds (T9); protected again and bare again is another stretch; each position's own."""
    bare, other = a_position(1), a_position(2)
    state = held(ready_state(), bare, other)
    bare.unprotected_since_ns = NOW - LIMIT + 1
    watch.note_readiness(state)
    assert alarms(state) == []
    bare.unprotected_since_ns = NOW - 3_000 * SECOND
    watch.note_readiness(state)
    watch.note_readiness(state)
    call = ("position unprotected", {"position": 1, "for_ms": 3_000_000})
    assert alarms(state) == [call]
    other.unprotected_since_ns = NOW - LIMIT
    watch.note_readiness(state)
    assert alarms(state) == [("position unprotected", {"position": 2, "for_ms": 2_000})]
    bare.unprotected_since_ns = None
    watch.note_readiness(state)
    bare.unprotected_since_ns = NOW - 3_000 * SECOND
    watch.note_readiness(state)
    assert alarms(state) == [call]


def test_an_unprotected_position_is_told_whatever_else_bars_entries() -> None:
    """No order path and no resting stop: the link is the failing term, and a person is called."""
    desk = Desk()
    desk.hold(stop_rests=False)
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.ORDERS, is_up=False))
    for tenth in range(610, 660):
        desk.at(tenth / 10).tick()
    calls = [audit.values for audit in desk.told(Anomaly)]
    assert [values["position"] for values in calls] == [1]
    assert desk.state.blocked_term == "links"


def test_a_person_is_called_when_the_rules_look_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluator does nothing: within its next sweeps entries stop and the alarm is on."""
    desk = Desk()
    desk.hold()
    desk.at(70).tick()
    monkeypatch.setattr(watching, "evaluate", lambda *_: None)
    for second in range(71, 75):
        desk.at(second).spot()
    assert [audit.what for audit in desk.told(Anomaly)] == ["position not looked at"]
    assert desk.state.blocked_term == "evaluating"


# -- what is held


def stale(after_s: int, position: Position, changed: ExitSettings | None = None) -> State:
    """A state that holds one position, whose feed has been silent for some seconds."""
    exits = ExitSettings() if changed is None else changed
    state = held(ready_state(settings(exits=exits)), position)
    state.now_ns = NOW + after_s * SECOND
    return state


def acts(state: State) -> list[str]:
    """What the policy did since the last look."""
    return [audit.action for audit in told(state) if isinstance(audit, StalePolicyActed)]


def test_a_fresh_price_asks_for_nothing() -> None:
    """Nothing is told of what is well."""
    position = a_position()
    state = stale(1, position)
    watch.watch_held(state, position)
    assert told(state) == []
    assert position.stale_since_ns is None


@pytest.mark.parametrize(
    ("verified", "action"),
    [(True, "held by the resting stop"), (False, "held by nothing at the broker")],
)
def test_a_stale_price_is_told_once_with_what_holds_the_position(
    action: str, *, verified: bool
) -> None:
    """The instrument, since when, why, and whether a stop rests."""
    position = a_position(6)
    position.verified = verified
    state = stale(3, position)
    for _ in range(2):
        watch.watch_held(state, position)
    now = state.now_ns
    assert told(state) == [
        QuotesStale(instrument=CALL.id, since_ns=now, reason="connection quiet", held=(6,)),
        StalePolicyActed(position=6, action=action, values={"stop_paise": 8_800}),
    ]
    assert state.out.commands == []


def test_a_person_is_called_after_five_seconds_without_a_price() -> None:
    """Once, with the contract's name and the fault."""
    position = a_position()
    position.verified = True
    state = stale(3, position)
    watch.watch_held(state, position)
    told(state)
    state.now_ns += 5 * SECOND - 1
    watch.watch_held(state, position)
    assert (told(state), state.out.commands) == ([], [])
    state.now_ns += 1
    for _ in range(2):
        watch.watch_held(state, position)
    values: dict[str, int | float | str] = {"fault": "connection quiet"}
    assert told(state) == [StalePolicyActed(position=1, action="alarmed", values=values)]
    text = "price of NIFTY 24NOV26 24500 CE is stale (connection quiet), position held"
    assert state.out.commands == [Notify(severity=Severity.ALARM, text=text)]


@pytest.mark.parametrize(
    ("verified", "bound_s", "action"),
    [
        (True, 70, "no price from either source: stop left alone"),
        (False, 7, "no price from either source: held by nothing"),
    ],
)
def test_without_a_price_from_either_source_only_the_stop_is_left(
    bound_s: int, action: str, *, verified: bool
) -> None:
    """After the bound of its case, told once; not an instant before."""
    position = a_position()
    position.verified = verified
    bounds = ExitSettings(stale_with_stop_s=70, stale_without_stop_s=7)
    state = stale(3, position, bounds)
    watch.watch_held(state, position)
    state.now_ns += bound_s * SECOND - 1
    watch.watch_held(state, position)
    assert action not in acts(state)
    state.now_ns += 1
    for _ in range(2):
        watch.watch_held(state, position)
    acted = [audit for audit in told(state) if isinstance(audit, StalePolicyActed)]
    assert [(audit.action, audit.values) for audit in acted] == [(action, {"bound_s": bound_s})]


def test_a_read_or_a_decided_exit_is_not_helpless() -> None:
    """With a price to close on the rule acts; with an exit under way its ladder does."""
    for change in ("read", "exit"):
        position = a_position()
        state = stale(3, position)
        watch.watch_held(state, position)
        state.now_ns += 60 * SECOND
        if change == "read":
            state.quote(CALL.id).take_read(packet(at=state.now_ns))
        else:
            position.exit = Exit(rule="operator")
        watch.watch_held(state, position)
        assert [act for act in acts(state) if act.startswith("no price")] == [], change


def test_a_price_that_comes_back_ends_the_stretch() -> None:
    """Told with its length; the next stretch is told anew."""
    position = a_position()
    state = stale(3, position)
    watch.watch_held(state, position)
    told(state)
    state.now_ns += 4 * SECOND
    state.quote(CALL.id).take(packet(at=state.now_ns, venue=state.now_ns))
    for _ in range(2):
        watch.watch_held(state, position)
    assert told(state) == [QuotesFresh(instrument=CALL.id, after_ns=4 * SECOND)]
    state.now_ns += 10 * SECOND
    watch.watch_held(state, position)
    assert acts(state) == ["held by nothing at the broker"]
    assert position.stale_since_ns == state.now_ns


def test_a_closed_market_owes_no_price() -> None:
    """After the close nothing becomes stale; what was stale before is kept to its end."""
    position = a_position()
    state = held(ready_state(now=CLOSE - 10 * SECOND), position)
    state.now_ns = CLOSE
    watch.watch_held(state, position)
    assert told(state) == []
    state.now_ns = CLOSE - 1
    watch.watch_held(state, position)
    state.now_ns = CLOSE + 30 * SECOND
    watch.watch_held(state, position)
    assert "no price from either source: held by nothing" in acts(state)


# -- asking outside the feed


@pytest.mark.parametrize(("age_ns", "is_asked"), [(4 * SECOND - 1, False), (4 * SECOND, True)])
def test_a_held_instrument_is_asked_for_before_it_is_stale(age_ns: int, *, is_asked: bool) -> None:
    """At four seconds, so that the answer is there at five (T10); no act of the policy is told."""
    state = held(ready_state(), a_position())
    state.now_ns += age_ns
    speak(state)
    watch.ask_quiet(state)
    assert asked(state) == ([ReadQuotes(instruments=(CALL.id,))] if is_asked else [])
    assert told(state) == []


def test_a_read_counts_as_news() -> None:
    """One that was answered is not asked for at once again."""
    state = held(ready_state(), a_position())
    state.now_ns += 10 * SECOND
    state.quote(CALL.id).take_read(packet(at=state.now_ns - 3 * SECOND))
    watch.ask_quiet(state)
    assert asked(state) == []
    state.now_ns += SECOND
    watch.ask_quiet(state)
    assert len(asked(state)) == 1


def test_one_call_a_second_asks_for_all_in_order() -> None:
    """Each instrument once, sorted; never more than one call in a second."""
    state = held(ready_state(), a_position(1, instrument=PUT), a_position(2), a_position(3))
    state.now_ns += 60 * SECOND
    for _ in range(2):
        watch.ask_quiet(state)
    assert asked(state) == [ReadQuotes(instruments=(CALL.id, PUT.id))]
    state.now_ns += SECOND - 1
    watch.ask_quiet(state)
    assert asked(state) == []
    state.now_ns += 1
    watch.ask_quiet(state)
    assert len(asked(state)) == 1


def test_a_call_that_asked_for_nothing_uses_no_second() -> None:
    """The first quiet instrument is asked for at once."""
    state = held(ready_state(), a_position())
    watch.ask_quiet(state)
    state.now_ns += 4 * SECOND
    state.quotes_asked_ns = state.now_ns - SECOND
    watch.ask_quiet(state)
    assert len(asked(state)) == 1


def test_a_stale_one_is_asked_for_each_second_and_told_once() -> None:
    """Its own packets may be young, when the whole feed lags; only stale ones are acts."""
    position, other = a_position(1), a_position(2, instrument=PUT)
    state = held(ready_state(), position, other)
    position.stale_since_ns = NOW
    for _ in range(2):
        state.now_ns += SECOND
        watch.ask_quiet(state)
    assert asked(state) == [ReadQuotes(instruments=(CALL.id,))] * 2
    assert told(state) == [
        StalePolicyActed(position=1, action="asked for a quote outside the feed", values={})
    ]


def test_what_never_spoke_is_asked_for() -> None:
    """Held since before the start, not heard of since."""
    state = held(ready_state(), a_position())
    state.quote(CALL.id).at_ns = None
    watch.ask_quiet(state)
    assert asked(state) == [ReadQuotes(instruments=(CALL.id,))]


def test_nothing_is_asked_for_that_is_not_held_or_cannot_trade() -> None:
    """An entry on its way is watched by its life; a closed market has nothing new to say."""
    state = held(ready_state(), a_position(quantity=0))
    state.now_ns += 60 * SECOND
    watch.ask_quiet(state)
    assert asked(state) == []
    state = held(ready_state(now=CLOSE - 60 * SECOND), a_position())
    state.now_ns = CLOSE
    watch.ask_quiet(state)
    assert asked(state) == []


def test_the_index_is_not_asked_for() -> None:
    """Rules over the underlying are silent when it is stale; what is held is what counts (T16)."""
    desk = Desk()
    desk.hold()
    for second in range(62, 90):
        desk.at(second).tick()
    assert [read for read in desk.all(ReadQuotes) if NIFTY.id in read.instruments] == []
