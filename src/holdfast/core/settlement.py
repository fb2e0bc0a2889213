"""The only end of a position besides fills: its contract was settled in cash (T24)."""

from holdfast.core.state import State
from holdfast.domain.decision import Values
from holdfast.domain.event import Settled


def take_settlement(state: State, event: Settled) -> None:
    """End what is held of a contract at its published settlement."""
    values: Values = {"instrument": event.instrument, "paise": event.settlement_paise}
    state.alarm("a contract was settled", values)
