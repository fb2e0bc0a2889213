"""What must hold in every world, each a small class with a name: `CHECKERS` is the list.

A checker looks after each step of an engine, before each request that leaves, after each change at
the exchange, and at the end. It raises `Broken` with what it saw. The exchange's own figures are
the truth; what the engine believes is looked at only where it promises something about itself.
"""

import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from typing_extensions import override

from holdfast.core.engine import Step
from holdfast.core.orders.ids import OrderReason, read_order_id
from holdfast.core.orders.order import Order
from holdfast.core.state import State
from holdfast.domain.command import AnyCommand
from holdfast.domain.event import AnyEvent
from holdfast.domain.order import OrderId

if TYPE_CHECKING:
    from holdfast.worlds.world import World


class Broken(AssertionError):
    """Something that was promised was not kept."""

    def __init__(self, checker: str, text: str) -> None:
        """`checker` is the name of the one that saw it."""
        super().__init__(f"{checker}: {text}")
        self.checker = checker
        self.text = text


class Seen(NamedTuple):
    """A step that an engine has done; nothing that it decided has left yet."""

    world: "World"
    event: AnyEvent
    done: Step
    state: State
    now_ns: int


class Checker:
    """Looks at one world. What it overrides is called, nothing else."""

    promise = ""
    """Where it is promised: the design's section 2, an invariant of the incidents, a trading rule."""

    wants_quiet = True
    """Whether there is something to see for it in a tick, or a deadline, that led to nothing."""

    @classmethod
    def name(cls) -> str:
        """As a story tells it."""
        words = re.findall(r"[A-Z][a-z]*", cls.__name__)
        return " ".join(words).lower()

    def broken(self, text: str) -> NoReturn:
        """It does not hold."""
        raise Broken(self.name(), text)

    def on_start(self, world: "World") -> None:
        """A process has been recovered and has been told nothing yet."""

    def after_step(self, seen: Seen) -> None:
        """An engine took an event."""

    def on_send(self, world: "World", command: AnyCommand, at_ns: int) -> None:
        """A request is about to leave."""

    def after_exchange(self, world: "World", at_ns: int) -> None:
        """Something changed at the exchange."""

    def at_end(self, world: "World") -> None:
        """The world has ended, after a while without any fault."""


class Watchers:
    """The checkers of one world, by what they look at: most look at one thing only."""

    def __init__(self, kinds: "tuple[type[Checker], ...]") -> None:
        """One of each kind."""
        self.all = [kind() for kind in kinds]
        self.on_start = self._of("on_start")
        self.after_step = self._of("after_step")
        self.quiet = [one for one in self.after_step if one.wants_quiet]
        self.on_send = self._of("on_send")
        self.after_exchange = self._of("after_exchange")
        self.at_end = self._of("at_end")

    def _of(self, name: str) -> list[Checker]:
        plain = getattr(Checker, name)
        return [one for one in self.all if getattr(type(one), name) is not plain]


def reason_of(world: "World", order_id: OrderId) -> OrderReason:
    """Why an order of ours exists, by its id."""
    reason = read_order_id(world.terms.settings.id_prefix, order_id)
    assert reason is not None, f"{order_id} is no id of ours"
    return reason


def shown(order: Order) -> str:
    """An order in a few words."""
    return f"{order.id} ({order.state.value}, {order.filled_quantity} of {order.terms.quantity})"


__all__ = ["Broken", "Checker", "Seen", "Watchers", "override", "reason_of", "shown"]
