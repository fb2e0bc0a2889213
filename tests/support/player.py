"""Plays a parsed story on the stage, and says at which line it stopped holding.

Where a person speaks for the broker, every order command that leaves must be told by the story, in
order. Where the broker is simulated, those that it tells must leave in that order; others may too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from holdfast.core.settings import EngineSettings
from holdfast.domain.audit import (
    Denied,
    Drift,
    EntryEnded,
    ExitDecided,
    PositionClosed,
    PositionOpened,
    Remedied,
)
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    FindOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    SetLossExit,
    Severity,
)
from holdfast.domain.decision import Direction
from holdfast.domain.event import (
    ForeignUpdated,
    GuardAnswered,
    Link,
    LinkChanged,
    Outcome,
    ReadFailed,
    Settled,
    StopAsked,
)
from holdfast.domain.instrument import Product
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow, OrderType, Purpose, Side
from tests.support.desk import SECOND, settings
from tests.support.notation import Line, Named, Said, Story, Wanted
from tests.support.stage import Stage

_ORDERS: Final = (PlaceOrder, ModifyOrder, CancelOrder, ExitAll, BrokerKillSwitch)
_VERBS: Final[Mapping[type, str]] = {
    PlaceOrder: "place",
    ModifyOrder: "modify",
    CancelOrder: "cancel",
    ExitAll: "exit_all",
    BrokerKillSwitch: "kill_switch",
}
_READS: Final = {"book": ReadBook, "funds": ReadFunds, "quotes": ReadQuotes}
_MINUTE: Final = 60 * SECOND


class Untrue(AssertionError):
    """A story does not hold: the line, what was seen instead, and the story so far."""


def story_settings(pairs: Mapping[str, str]) -> EngineSettings:
    """The desk's settings with a story's own: `exits.target_bps=0 exit_by_modify=false`."""
    base = settings()
    for name, text in pairs.items():
        part, _, key = name.rpartition(".")
        if part:
            base = msgspec.structs.replace(base, **{part: _changed(getattr(base, part), key, text)})
        else:
            base = _changed(base, key, text)
    return base


def _changed(values: Any, key: str, text: str) -> Any:
    field = next(one for one in msgspec.structs.fields(values) if one.name == key)
    value = msgspec.convert(text, field.type, strict=False)
    return msgspec.structs.replace(values, **{key: value})


def play(story: Story, behaviour: str) -> "Player":
    """Play a story to its end. Raises `Untrue` at the first line that does not hold."""
    player = Player(story, None if behaviour == "by hand" else behaviour)
    for line in story.lines:
        if not line.only or behaviour in line.only:
            player.take(line)
    player.end()
    return player


class Player:
    """One story under way: what was told so far, and which of the commands it has told."""

    def __init__(self, story: Story, behaviour: str | None) -> None:
        self.story = story
        self.told: list[str] = []
        self.stage = Stage(
            story_settings(story.settings),
            _script(story),
            begins_ns=story.begins_ns,
            behaviour=behaviour,
        )
        self._orders = 0
        self._block = 0
        self._audits = 0

    def take(self, line: Line) -> None:
        """Let one line happen, or be seen."""
        self.told.append(line.text)
        if not line.is_seen:
            self._nothing_untold(line)
            self._block, self._audits = len(self.stage.commands), len(self.stage.audits)
        if line.at_ns is not None:
            self._guarded(line, lambda: self.stage.go(line.at_ns or 0))
        verb, values, options = line.said
        table = _SEEN if line.is_seen else _HAPPENS
        self._guarded(line, lambda: table[verb](self, values, options))

    def end(self) -> None:
        """The last line must have told everything too."""
        self._nothing_untold(self.story.lines[-1])

    def _guarded(self, line: Line, act: Callable[[], object]) -> None:
        try:
            act()
        except AssertionError as error:
            raise self._untrue(line, str(error) or repr(error)) from error

    def _untrue(self, line: Line, what: str) -> Untrue:
        sent = "\n".join(f"      {_words(one)}" for one in self._sent()[self._orders :][:8])
        story = "\n".join(f"      {text}" for text in self.told[-30:])
        where = f"{self.story.path.name}:{line.number}"
        return Untrue(f"{where}: {what}\n  left, not told:\n{sent}\n  the story so far:\n{story}")

    # -- what left

    def _sent(self) -> list[AnyCommand]:
        return [one for one in self.stage.commands if isinstance(one, _ORDERS)]

    def skip(self, *, after: PlaceOrder | None = None) -> None:
        """What left up to here is the beginning, not the story; `after`: up to this order."""
        sent, commands = self._sent(), self.stage.commands
        self._orders = len(sent) if after is None else sent.index(after) + 1
        self._block = len(commands) if after is None else commands.index(after) + 1

    def _nothing_untold(self, line: Line) -> None:
        if not self.story.is_simulated and len(self._sent()) > self._orders:
            raise self._untrue(line, "an order command left that the story does not tell")

    def _next(self, kind: type, named: Named | None, wanted: Wanted | None) -> None:
        """The next order command is of this kind and as wanted; simulated: some later one is."""
        sent = self._sent()
        for number in range(self._orders, len(sent)):
            fault = self._fault(sent[number], kind, named, wanted)
            if fault is None:
                self._orders = number + 1
                return
            assert self.story.is_simulated, f"next left {_words(sent[number])}: {fault}"
        raise AssertionError(f"no such {_VERBS[kind]} left")

    def _fault(
        self, command: AnyCommand, kind: type, named: Named | None, wanted: Wanted | None
    ) -> str | None:
        if not isinstance(command, kind):
            return f"it is no {_VERBS[kind]}"
        if named is not None and getattr(command, "order_id", "") != self.stage.identity(named):
            return f"it is not about {self.stage.identity(named)}"
        if wanted is None or not isinstance(command, PlaceOrder | ModifyOrder):
            return None
        return _misfit(command, wanted)

    def recent(self, kind: type) -> list[Any]:
        """Commands of a kind since the last thing happened."""
        return [one for one in self.stage.commands[self._block :] if isinstance(one, kind)]

    def heard(self, kind: type) -> list[Any]:
        """Audits of a kind so far."""
        return [one for one in self.stage.audits if isinstance(one, kind)]


def _script(story: Story) -> dict[int, Direction]:
    """Which candle each signal speaks at: the one that closes with the signal's minute."""
    script = {}
    for line in story.lines:
        if line.said.verb == "signal":
            assert line.at_ns is not None, f"{story.path.name}:{line.number}: a signal has a time"
            start_ns = line.at_ns // _MINUTE * _MINUTE - _MINUTE
            script[start_ns] = Direction(line.said.values[0].lower())
        elif line.said.verb == "hold":
            assert line.at_ns is not None, f"{story.path.name}:{line.number}: a hold has a time"
            script[line.at_ns // _MINUTE * _MINUTE - _MINUTE] = Direction.UP
    return script


def _misfit(command: PlaceOrder | ModifyOrder, wanted: Wanted) -> str | None:
    terms = command.terms
    is_stop = terms.order_type is OrderType.STOP_LIMIT
    price = terms.trigger_paise if is_stop else terms.limit_paise
    kind = "STOP" if is_stop else "LIMIT"
    rows = (
        ("contract", wanted.contract is None or wanted.contract.id == terms.instrument),
        ("side", wanted.side in (None, terms.side)),
        ("quantity", wanted.quantity in (None, terms.quantity)),
        ("type", wanted.kind in (None, kind)),
        ("product", wanted.product in (None, terms.product)),
        ("price", _within(price, wanted.price)),
        ("limit behind the trigger", _within(terms.limit_paise, wanted.behind)),
    )
    wrong = [name for name, is_right in rows if not is_right]
    return f"another {', '.join(wrong)}" if wrong else None


def _within(price: int | None, bounds: tuple[int, int] | None) -> bool:
    return bounds is None or (price is not None and bounds[0] <= price <= bounds[1])


def _words(command: AnyCommand) -> str:
    """A command in the words of the notation."""
    verb = _VERBS.get(type(command), type(command).__name__)
    if not isinstance(command, PlaceOrder | ModifyOrder):
        return f"{verb} {getattr(command, 'order_id', '')}"
    terms = command.terms
    prices = f"LIMIT {terms.limit_paise / 100:.2f}"
    if terms.trigger_paise is not None:
        prices = f"STOP {terms.trigger_paise / 100:.2f}/{terms.limit_paise / 100:.2f}"
    return f"{verb} {command.order_id} {terms.side.value} {terms.quantity} {prices}"


# -- what happens

Values = tuple[Any, ...]
Options = Mapping[str, Any]
Act = Callable[[Player, Values, Options], object]


def _quote(player: Player, values: Values, options: Options) -> None:
    contract, paise = values
    bid, ask = (options[one] / 100 if one in options else None for one in ("bid", "ask"))
    stage = player.stage
    stage.price(contract, paise / 100, bid, ask)
    stage.tick(contract, paise / 100, bid, ask, traded="untraded" not in options)


def _rest(player: Player, values: Values, options: Options) -> None:
    """A quote read outside the feed."""
    del options
    contract, last, bid, ask = values
    player.stage.read(contract, last / 100, bid=bid / 100, ask=ask / 100)


def _speak(player: Player, values: Values, options: Options) -> None:
    """The market moves on past the minute, so that the candle closes and the strategy speaks."""
    del values, options
    player.stage.packets()


def _hold(player: Player, values: Values, options: Options) -> None:
    """A position of 195 calls at 100.05 by a signal, its stop at 88.00 seen at the broker."""
    _speak(player, values, options)
    stage = player.stage
    entry = stage.last(PlaceOrder)
    assert entry.purpose is Purpose.ENTRY, "no entry left at the signal"
    stage.acknowledge(entry.order_id)
    filled = {"filled": entry.terms.quantity, "@": 10_005}
    stage.say(entry.order_id, BrokerStatus.WORKING, filled)
    stage.funds()
    _see_stop(player)


def _see_stop(player: Player) -> None:
    stage = player.stage
    stop = stage.last(PlaceOrder)
    stage.acknowledge(stop.order_id)
    stage.say(stop.order_id, BrokerStatus.WORKING, {})
    player.skip()


def _by_hand(side: Side) -> Act:
    def begin(player: Player, values: Values, options: Options) -> None:
        """A position at 100.00 that no gate looked at; its stop lies 12 away and is seen."""
        contract, quantity = values
        stage = player.stage
        target = options["target"] / 100 if "target" in options else None
        entry = stage.intend(side, instrument=contract, quantity=quantity, target=target)
        if "leg" in options:
            held = stage.state.positions[entry.position]
            held.intent = msgspec.structs.replace(held.intent, structure=options["leg"])
        stage.acknowledge(entry.order_id)
        if "unfilled" in options:
            stage.say(entry.order_id, BrokerStatus.WORKING, {})
            player.skip()
            return
        stage.say(entry.order_id, BrokerStatus.WORKING, {"filled": quantity, "@": 10_000})
        stage.funds()
        player.skip(after=entry)
        if stage.last(PlaceOrder) is not entry:
            _see_stop(player)

    return begin


def _row(status: BrokerStatus, *, is_asked: bool) -> Act:
    def say(player: Player, values: Values, options: Options) -> None:
        stage = player.stage
        stage.say(stage.identity(values[0]), status, options, is_asked=is_asked)

    return say


def _fill(player: Player, values: Values, options: Options) -> None:
    named, quantity = values
    stage = player.stage
    stage.say(stage.identity(named), BrokerStatus.WORKING, {**options, "filled": quantity})


def _trigger(player: Player, values: Values, options: Options) -> None:
    stage = player.stage
    stage.release(stage.identity(values[0]))
    stage.say(stage.identity(values[0]), BrokerStatus.TRIGGERED, options)


def _word(player: Player, values: Values, options: Options) -> None:
    stage = player.stage
    stage.say(stage.identity(values[0]), values[1], options)


def _fail(outcome: Outcome) -> Act:
    def fail(player: Player, values: Values, options: Options) -> None:
        del options
        action, named, *refusal = values
        stage = player.stage
        stage.failure(action, stage.identity(named), outcome, *refusal)

    return fail


def _not_found(player: Player, values: Values, options: Options) -> None:
    del options
    stage = player.stage
    what = f"order {stage.identity(values[0])}"
    stage.tell(ReadFailed(at_ns=stage.now, what=what, reason="not found"))


def _foreign_row(values: Values, options: Options) -> ForeignRow:
    number, side, quantity, contract = values
    return ForeignRow(
        broker_id=BrokerOrderId(number),
        instrument=contract.id,
        product=Product.INTRADAY,
        side=side,
        quantity=quantity,
        filled_quantity=options.get("filled", 0),
        is_live="open" in options,
    )


def _foreign(player: Player, values: Values, options: Options) -> None:
    stage = player.stage
    stage.tell(ForeignUpdated(at_ns=stage.now, row=_foreign_row(values, options)))


def _book(times: int) -> Act:
    def read(player: Player, values: Values, options: Options) -> None:
        del options
        items: Sequence[Said] = values
        rows = [_book_row(player, item) for item in items if item.verb == "order"]
        foreign = [_foreign_row(i.values, i.options) for i in items if i.verb == "foreign"]
        nets = {i.values[0]: i.values[1] for i in items if i.verb == "net"}
        player.stage.passes(rows, foreign, nets or None, times=times)

    return read


def _book_row(player: Player, item: Said) -> OrderRow:
    stage = player.stage
    return stage.row_of(stage.identity(item.values[0]), item.values[1], item.options)


def _read_failed(player: Player, values: Values, options: Options) -> None:
    del values, options
    player.stage.tell(ReadFailed(at_ns=player.stage.now, what="book", reason="told by the story"))


def _settle(player: Player, values: Values, options: Options) -> None:
    del options
    contract, paise = values
    stage = player.stage
    told = Settled(
        at_ns=stage.now, instrument=contract.id, settlement_paise=paise, source="exchange"
    )
    stage.tell(told)


def _guard(player: Player, values: Values, options: Options) -> None:
    del options
    guard, answer = values
    stage = player.stage
    stage.tell(GuardAnswered(at_ns=stage.now, guard=guard, is_done=answer == "yes"))


def _link(player: Player, values: Values, options: Options) -> None:
    del options
    link, state = values
    assert isinstance(link, Link)
    stage = player.stage
    stage.tell(LinkChanged(at_ns=stage.now, link=link, is_up=state == "up"))


def _ask(player: Player, values: Values, options: Options) -> None:
    player.stage.ask_operator(values[0], position=options.get("position"))


def _stop(player: Player, values: Values, options: Options) -> None:
    del values, options
    player.stage.tell(StopAsked(at_ns=player.stage.now, reason="told by the story"))


def _fault(name: str) -> Act:
    def break_(player: Player, values: Values, options: Options) -> None:
        del options
        until_ns = player.stage.now + round(values[0] * SECOND)
        setattr(player.stage.venue, name, until_ns)

    return break_


_HAPPENS: Final[Mapping[str, Act]] = {
    "quote": _quote,
    "rest": _rest,
    "feed": lambda player, values, _: player.stage.feed(is_on=values[0] == "goes"),
    "wait": lambda _player, _values, _options: None,
    "signal": _speak,
    "hold": _hold,
    "long": _by_hand(Side.BUY),
    "short": _by_hand(Side.SELL),
    "ack": lambda player, values, _: player.stage.acknowledge(player.stage.identity(values[0])),
    "rests": _row(BrokerStatus.WORKING, is_asked=True),
    "stands": _row(BrokerStatus.WORKING, is_asked=False),
    "fill": _fill,
    "trigger": _trigger,
    "word": _word,
    "silence": _fail(Outcome.UNANSWERED),
    "refuse": _fail(Outcome.REFUSED),
    "unsent": _fail(Outcome.NOT_SENT),
    "notfound": _not_found,
    "foreign": _foreign,
    "book": _book(2),
    "pass": _book(1),
    "bookfails": _read_failed,
    "funds": lambda player, values, _: player.stage.funds(values[0]),
    "settle": _settle,
    "guard": _guard,
    "ask": _ask,
    "link": _link,
    "stop": _stop,
    "restart": lambda player, _values, _options: player.stage.begin_again(),
    "crash": lambda player, _, options: player.stage.crash(losing_s=options.get("losing", 0.0)),
    "deaf": _fault("deaf_until_ns"),
    "down": _fault("down_until_ns"),
}


# -- what is seen


def _order(kind: type) -> Act:
    def see(player: Player, values: Values, options: Options) -> None:
        del options
        named = values[0] if values else None
        player._next(kind, named, values[1] if len(values) > 1 else None)  # noqa: SLF001

    return see


def _find(player: Player, values: Values, options: Options) -> None:
    del options
    wanted = player.stage.identity(values[0])
    assert wanted in [one.order_id for one in player.recent(FindOrder)], "it was not looked for"


def _read(player: Player, values: Values, options: Options) -> None:
    del options
    assert player.recent(_READS[values[0]]), "it was not read"


def _loss_exit(player: Player, values: Values, options: Options) -> None:
    del values, options
    assert player.recent(SetLossExit), "the broker's loss exit was not asked for"


def _nothing(player: Player, values: Values, options: Options) -> None:
    del values, options
    sent = [one for one in player.stage.commands[player._block :] if isinstance(one, _ORDERS)]  # noqa: SLF001
    assert not sent, f"there left {_words(sent[0])}"


def _call(severities: tuple[Severity, ...]) -> Act:
    def see(player: Player, values: Values, options: Options) -> None:
        del options
        calls = [one.text for one in player.recent(Notify) if one.severity in severities]
        assert any(values[0] in text for text in calls), f"people heard {calls}"

    return see


def _decided(player: Player, values: Values, options: Options) -> None:
    del options
    told = [(one.position, one.exit.rule) for one in player.heard(ExitDecided)]
    assert values in told, f"decided were {told}"


def _closed(player: Player, values: Values, options: Options) -> None:
    told = [one for one in player.heard(PositionClosed) if one.position == values[0]]
    assert len(told) == 1, f"it was closed {len(told)} times"
    assert options.get("by", told[0].rule) == told[0].rule, f"by {told[0].rule}"
    gross = told[0].gross_paise
    assert options.get("gross", gross) == gross, f"gross is {gross / 100:.2f}"


def _numbers(kind: type) -> Act:
    def see(player: Player, values: Values, options: Options) -> None:
        del options
        told = [one.position for one in player.heard(kind)]
        assert told.count(values[0]) == 1, f"told of positions {told}"

    return see


def _position(attribute: str) -> Act:
    def see(player: Player, values: Values, options: Options) -> None:
        del options
        found = getattr(player.stage.state.positions[values[0]], attribute)
        assert found == values[1], f"{attribute} is {found}"

    return see


def _protected(player: Player, values: Values, options: Options) -> None:
    del options
    assert player.stage.state.positions[values[0]].verified, "no stop was seen to rest"


def _unprotected(player: Player, values: Values, options: Options) -> None:
    del options
    assert not player.stage.state.positions[values[0]].verified, "a stop counts as resting"


def _state(player: Player, values: Values, options: Options) -> None:
    del options
    found = player.stage.state.orders[player.stage.identity(values[0])].state
    assert found is values[1], f"it is {found.value}"


def _halted(player: Player, values: Values, options: Options) -> None:
    del options
    assert player.stage.engine.halt is values[0], f"halt is {player.stage.engine.halt.value}"


def _off(player: Player, values: Values, options: Options) -> None:
    del options
    assert player.stage.state.blocked_term == values[0], (
        f"entries are off by {player.stage.state.blocked_term}"
    )


def _on(player: Player, values: Values, options: Options) -> None:
    del values, options
    term = player.stage.state.blocked_term
    assert term is None, f"entries are off by {term}"


def _denied(player: Player, values: Values, options: Options) -> None:
    del options
    gates = [one.denial.gate for one in player.heard(Denied)]
    assert values[0] in gates, f"denied by {gates}"


def _drift(player: Player, values: Values, options: Options) -> None:
    del options
    contract, ours, theirs = values
    told = [(one.instrument, one.ours, one.theirs) for one in player.heard(Drift)]
    assert (contract.id, ours, theirs) in told, f"differences told: {told}"


def _agreed(player: Player, values: Values, options: Options) -> None:
    del values, options
    told = [(one.instrument, one.ours, one.theirs) for one in player.heard(Drift)]
    assert not told, f"differences told: {told}"


def _remedied(player: Player, values: Values, options: Options) -> None:
    del options
    wanted = values[0], player.stage.identity(values[1])
    told = [(one.difference.value, one.order_id) for one in player.heard(Remedied)]
    assert wanted in told, f"remedies told: {told}"


def _subscribed(player: Player, values: Values, options: Options) -> None:
    del options
    assert values[0].id in player.stage.subscribed, f"subscribed: {player.stage.subscribed}"


def _placed(player: Player, values: Values, options: Options) -> None:
    del options
    count = len(player.stage.placed)
    assert count == values[0], f"{count} orders were placed"


def _net(player: Player, values: Values, options: Options) -> None:
    del options
    contract, wanted = values
    assert player.stage.exchange is not None, "only the simulated broker holds anything"
    held = {key.instrument: net for key, net in player.stage.exchange.positions().items()}
    assert held.get(contract.id, 0) == wanted, f"the broker holds {held.get(contract.id, 0)}"


def _flat(player: Player, values: Values, options: Options) -> None:
    del values, options
    engine = player.stage.engine
    assert (engine.open_positions, engine.live_orders) == (0, ()), "not flat"


_SEEN: Final[Mapping[str, Act]] = {
    **{verb: _order(kind) for kind, verb in _VERBS.items()},
    "loss_exit": _loss_exit,
    "find": _find,
    "read": _read,
    "nothing": _nothing,
    "call": _call((Severity.ALARM,)),
    "warn": _call(tuple(Severity)),
    "decided": _decided,
    "opened": _numbers(PositionOpened),
    "closed": _closed,
    "ended": _numbers(EntryEnded),
    "protected": _protected,
    "unprotected": _unprotected,
    "held": _position("open_quantity"),
    "closable": _position("closable_quantity"),
    "state": _state,
    "halted": _halted,
    "off": _off,
    "on": _on,
    "denied": _denied,
    "drift": _drift,
    "agreed": _agreed,
    "remedied": _remedied,
    "subscribed": _subscribed,
    "placed": _placed,
    "net": _net,
    "flat": _flat,
}
