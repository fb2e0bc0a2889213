"""Fifty positions of one lot, one in each of fifty calls, each with its stop seen at the broker."""

from typing import Final

from holdfast.core.settings import EntrySettings, ExitSettings, LimitSettings, SizingSettings
from holdfast.domain.command import PlaceOrder
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import Instrument, OptionType
from tests.support import desk as desks
from tests.support.desk import NIFTY, Desk

POSITIONS: Final = 50
STRIKES: Final = [23_000 + 50 * n for n in range(POSITIONS)]
CALLS: Final = [desks.option(50_000 + n, one, OptionType.CALL) for n, one in enumerate(STRIKES)]
ENTRY_RUPEES: Final = 1_000.0


def fifty_positions(kind: type[Desk] = Desk, *, stop_bps: int = 4_000) -> Desk:
    """A desk that holds one lot of each of the calls."""
    desk = kind(
        ready=False,
        entries=EntrySettings(
            start_s=0, cooldown_s=0, positions_open_max=POSITIONS, trades_per_day_max=POSITIONS
        ),
        sizing=SizingSettings(lots_max=1, capital_paise=50_000_000_00),
        exits=ExitSettings(stop_bps=stop_bps, target_bps=9_000, trail_arm_bps=500),
        limits=LimitSettings(loss_per_day_paise_max=10_000_000_00),
    )
    desk.load((NIFTY, *CALLS))
    for minute, (call, strike) in enumerate(zip(CALLS, STRIKES, strict=True), start=1):
        _hold(desk, call, strike, minute)
    assert desk.engine.open_positions == POSITIONS
    return desk


def _hold(desk: Desk, call: Instrument, strike: int, minute: int) -> None:
    desk.at(minute * 60 - 0.5).tick(NIFTY, float(strike))
    for each in CALLS:
        desk.tick(each, ENTRY_RUPEES)
    desk.parrot.say = Direction.UP
    desk.at(minute * 60 + 0.2).tick(NIFTY, float(strike))
    for purpose in ("entry", "stop"):
        order = desk.last(PlaceOrder)
        assert order.terms.instrument == call.id, purpose
        desk.acknowledge(order.order_id)
        if purpose == "entry":
            desk.fill(order, price=ENTRY_RUPEES)
            desk.funds(50_000_000)
        else:
            desk.row(order.order_id, terms=order.terms)
