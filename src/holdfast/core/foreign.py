"""Orders in the account that are not ours: the owner's hand and the broker's own (T11, T14)."""

from holdfast.core.state import State
from holdfast.domain.event import ForeignUpdated


def take_foreign(state: State, event: ForeignUpdated) -> None:
    """Keep what the stream says of an order that is not ours."""
    state.foreign[event.row.broker_id] = event.row
