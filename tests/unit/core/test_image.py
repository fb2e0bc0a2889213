"""Images of the engine: nothing is lost, sharing stays, and no file can make anything execute."""

import msgspec
import pytest

from holdfast.core.image import ImageUnusable, decode, encode
from holdfast.core.state import State
from holdfast.domain.order import BrokerStatus, Side
from tests.support.desk import CALL, Desk, Parrot, settings


def full_desk() -> Desk:
    """A desk with history behind it: a held position, a moved stop, a difference, a wait."""
    desk = Desk()
    stop = desk.hold()
    desk.at(80).tick(last=112.0, bid=111.9, ask=112.1)
    desk.hold_by_hand(Side.BUY)
    desk.state.called.add((1, "position unprotected"))
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms)
    return desk


def test_what_is_made_again_is_the_same() -> None:
    """Taken apart a second time it gives the same bytes; what is shared is shared again."""
    desk = full_desk()
    taken = desk.engine.image()
    assert taken is not None
    again = Desk(ready=False)
    again.engine.restore(taken)
    assert again.engine.image() == taken
    state = again.state
    assert state.positions[1] is state.held[CALL.id][0]
    assert state.positions[1] is state.live[0]
    assert state.quotes[CALL.id].connection is state.connections[CALL.exchange]
    assert list(state.orders) == list(desk.state.orders), "dicts keep their order (4.8)"
    assert state.timers.deadline_ns == desk.state.timers.deadline_ns


def test_the_image_stands_by_itself() -> None:
    """What happens to the engine afterwards changes nothing in it, nor the other way round."""
    desk = full_desk()
    taken = desk.engine.image()
    assert taken is not None
    again = Desk(ready=False)
    again.engine.restore(taken)
    desk.at(200).breach(201)
    assert again.engine.image() == taken


def test_a_strategy_that_hears_ticks_makes_an_image_impossible() -> None:
    """What ticks have made of it cannot be said; once parked it hears none."""
    desk = Desk()
    desk.parrot.hears_ticks = True
    assert desk.engine.image() is None
    desk.parrot.fault = ValueError("broken")
    desk.at(59).spot()
    desk.at(61).spot()
    assert desk.engine.image() is not None


def test_strategies_are_fed_every_candle_again() -> None:
    """Their indicators cannot be saved (M4)."""
    desk = Desk()
    for minute in range(5):
        desk.at(minute * 60 + 1).spot()
    heard = desk.parrot.heard
    assert heard >= 3
    taken = desk.engine.image()
    assert taken is not None
    again = Desk(ready=False)
    again.engine.restore(taken)
    assert again.parrot.heard == heard


def test_a_strategy_that_fails_on_old_candles_makes_the_image_unusable() -> None:
    """It is another than that of the image: the day is folded instead."""
    desk = Desk()
    desk.at(1).spot()
    desk.at(62).spot()
    taken = desk.engine.image()
    assert taken is not None
    again = Desk(ready=False)
    again.parrot.fault = ValueError("new code")
    with pytest.raises(ImageUnusable, match="fails on candles"):
        again.engine.restore(taken)


@pytest.mark.parametrize(
    "tampered",
    [
        b"",
        b"no msgpack at all",
        msgspec.msgpack.encode(["x", 1]),
        msgspec.msgpack.encode(["o", "Popen", {"args": "true"}]),
        msgspec.msgpack.encode(["o", "Tick", {}]),
        msgspec.msgpack.encode(["s", "State", {}]),
        msgspec.msgpack.encode(["s", "Tick", {"at_ns": "late"}]),
        msgspec.msgpack.encode(["e", "Side", "HOLD"]),
        msgspec.msgpack.encode(["o", "Connection", {"__class__": 1}]),
        msgspec.msgpack.encode(["o", "Connection", {"no_such_slot": 1}]),
        msgspec.msgpack.encode(["r", 3]),
        msgspec.msgpack.encode({"a": 1}),
        msgspec.msgpack.encode(["l", None, None, []]),
        msgspec.msgpack.encode(5),
    ],
)
def test_what_is_no_image_is_refused(tampered: bytes) -> None:
    """Unknown classes, wrong places, wrong values: always the one error, never another."""
    with pytest.raises(ImageUnusable):
        decode(tampered)


def test_another_root_is_no_engine() -> None:
    """Whole and sound, and something else."""
    engine = Desk().engine
    with pytest.raises(ImageUnusable, match="no engine"):
        engine.restore(encode({"state": State(settings())}))


def test_what_nobody_has_named_cannot_be_taken() -> None:
    """A new class in the state must be named in the list: the engine's own tests find it."""
    with pytest.raises(AssertionError, match="Parrot is no part"):
        encode({"state": Parrot()})
