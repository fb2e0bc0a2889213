"""The notation of stories: a line is a time and what happens, or what must be seen.

    09:16:05.000  quote CALL 88.00
                  => modify stop-1 SELL 195 LIMIT 87.70
                  => decided 1 stop_loss

A file begins with its sentence (comment lines) and its heads. Every form that a line may have stands
in `HAPPENS` and `SEEN`; what fits none is an error that names file, line and what is allowed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import Action, Guard, Link, OperatorRequest
from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.order import BrokerStatus, OrderState, Purpose, Refusal, Side
from tests.support.claims import ID
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND

CONTRACTS: Final = {"CALL": CALL, "PUT": PUT, "NIFTY": NIFTY}
BEHAVIOURS: Final = ("accepts", "refuses", "ignores")
OPEN_S: Final = 9 * 3600 + 15 * 60

HAPPENS: Final[Mapping[str, str]] = {
    # the market, told each second as it last was
    "quote": "CONTRACT PRICE [bid PRICE] [ask PRICE] [untraded]",
    "rest": "CONTRACT PRICE bid PRICE ask PRICE",
    "feed": "stops|goes",
    "wait": "",
    # our side of the account
    "signal": "UP|DOWN",
    "hold": "",
    "long": "CONTRACT NUMBER [target PRICE] [leg NUMBER] [unfilled]",
    "short": "CONTRACT NUMBER [target PRICE] [leg NUMBER] [unfilled]",
    # words of the broker about orders of ours; quantities are totals
    "ack": "ORDER",
    "rests": "ORDER [filled NUMBER] [@ PRICE] [read]",
    "stands": "ORDER [filled NUMBER] [@ PRICE] [read]",
    "fill": "ORDER NUMBER [@ PRICE] [read]",
    "trigger": "ORDER [filled NUMBER] [@ PRICE] [read]",
    "word": "ORDER STATUS [because REFUSAL] [filled NUMBER] [@ PRICE] [read] [old]",
    "silence": "ACTION ORDER",
    "refuse": "ACTION ORDER REFUSAL",
    "unsent": "ACTION ORDER",
    "notfound": "ORDER",
    # the account beside ours
    "foreign": "WORD SIDE NUMBER CONTRACT [filled NUMBER] [open]",
    "book": "ITEMS",
    "pass": "ITEMS",
    "bookfails": "",
    "funds": "NUMBER",
    "settle": "CONTRACT PRICE",
    "guard": "GUARD yes|no",
    # people, links, processes
    "ask": "REQUEST [position NUMBER]",
    "link": "LINK up|down",
    "stop": "",
    "restart": "",
    "crash": "[losing SECONDS]",
    # faults of the simulated broker
    "deaf": "SECONDS",
    "down": "SECONDS",
    "thin": "CONTRACT NUMBER",
}
"""What may happen. Words in capitals are values, small ones stand for themselves."""

SEEN: Final[Mapping[str, str]] = {
    "place": "ORDER TERMS",
    "modify": "ORDER TERMS",
    "cancel": "ORDER",
    "exit_all": "",
    "kill_switch": "",
    "loss_exit": "",
    "find": "ORDER",
    "read": "book|funds|quotes",
    "nothing": "",
    "call": "TEXT",
    "warn": "TEXT",
    "decided": "NUMBER WORD",
    "opened": "NUMBER",
    "closed": "NUMBER [by WORD] [gross PRICE]",
    "ended": "NUMBER",
    "protected": "NUMBER",
    "unprotected": "NUMBER",
    "held": "NUMBER NUMBER",
    "closable": "NUMBER NUMBER",
    "state": "ORDER STATE",
    "halted": "LEVEL",
    "off": "WORD",
    "on": "",
    "denied": "WORD",
    "drift": "CONTRACT ours NUMBER theirs NUMBER",
    "agreed": "",
    "remedied": "WORD ORDER",
    "subscribed": "CONTRACT",
    "placed": "NUMBER",
    "net": "CONTRACT NUMBER",
    "flat": "",
}
"""What may have to be seen: what leaves (all of it, in order), and what is told or known after it."""

ITEMS: Final[Mapping[str, str]] = {
    "order": "ORDER STATUS [filled NUMBER] [@ PRICE] [number WORD] [read]",
    "net": "CONTRACT NUMBER",
    "foreign": "WORD SIDE NUMBER CONTRACT [filled NUMBER] [open]",
}
"""What a pass over the book may list, separated by semicolons."""

_HEADS: Final = ("proves", "waits", "broker", "begins", "settings")
_ORDER: Final = re.compile(r"(entry|stop|exit)-([1-9]\d*)(?:\.([1-9]\d*))?(?:/(\d))?")
_LINE: Final = re.compile(
    r"(?:(?P<time>\d\d:\d\d:\d\d(?:\.\d{1,3})?)(?:\s+|$))?"
    r"(?:(?P<only>[a-z]+(?:,[a-z]+)*)\s+(?==>))?(?P<seen>=>\s*)?(?P<words>.*)"
)
_TERMS: Final = (
    "[CONTRACT] [SIDE] [QUANTITY] [PRODUCT] [LIMIT [PRICE] | STOP [TRIGGER[/LIMIT]]], "
    "in any order; prices may be bounds like 80.00..88.00"
)
_PURPOSES: Final = {"entry": Purpose.ENTRY, "stop": Purpose.STOP, "exit": Purpose.EXIT}


class StoryError(Exception):
    """A line that says nothing: where it stands, and what might."""


class Named(NamedTuple):
    """An order by what it is for: `exit-1.2/1` is the second attempt's second slice."""

    purpose: Purpose
    position: int
    attempt: int
    slice_number: int


class Wanted(NamedTuple):
    """What a story says of terms; what it leaves out may be anything. Prices lie within bounds."""

    contract: Instrument | None = None
    side: Side | None = None
    quantity: int | None = None
    kind: str | None = None
    price: tuple[int, int] | None = None
    behind: tuple[int, int] | None = None
    product: Product | None = None


class Said(NamedTuple):
    """One form, filled: its verb, its values in order, its options by their words."""

    verb: str
    values: tuple[Any, ...]
    options: Mapping[str, Any]


class Line(NamedTuple):
    """One line of a story. `only`: the behaviours of the broker for which it holds."""

    number: int
    text: str
    at_ns: int | None
    is_seen: bool
    only: tuple[str, ...]
    said: Said


class Story(NamedTuple):
    """A parsed file."""

    path: Path
    sentence: str
    proves: tuple[str, ...]
    waits: str
    waits_under: tuple[str, ...]
    is_simulated: bool
    begins_ns: int
    settings: Mapping[str, str]
    lines: tuple[Line, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def behaviours(self) -> tuple[str, ...]:
        """With which brokers it is run: with all three wherever one answers by itself."""
        return BEHAVIOURS if self.is_simulated else ("by hand",)


def read_story(path: Path) -> Story:
    """Parse a file. Raises `StoryError`."""
    return parse_story(path, path.read_text("utf-8"))


def parse_story(path: Path, text: str) -> Story:
    """Parse what stands in a file. Raises `StoryError`."""
    heads: dict[str, str] = {}
    sentence: list[str] = []
    lines: list[Line] = []
    for number, raw in enumerate(text.splitlines(), 1):
        where = f"{path.name}:{number}"
        body = _without_comment(raw)
        head, colon, rest = body.partition(":")
        if not lines and raw.startswith("#"):
            sentence.append(raw.strip("# "))
        elif not lines and colon and head in _HEADS:
            heads[head] = rest.strip()
        elif body and not lines and colon and head.isalpha():
            raise StoryError(f"{where}: no head {head!r}; there are {', '.join(_HEADS)}")
        elif body:
            lines.append(_parse_line(where, number, body))
    return _story(path, " ".join(sentence), heads, tuple(lines))


def _without_comment(raw: str) -> str:
    return re.sub(r"(^|\s)#(?=\s|$).*", "", raw).strip()


def _story(path: Path, sentence: str, heads: Mapping[str, str], lines: tuple[Line, ...]) -> Story:
    proves = tuple(heads.get("proves", "").split())
    strange = [claim for claim in proves if not ID.fullmatch(claim)]
    if strange or not proves:
        raise StoryError(f"{path.name}: 'proves:' names ids like T4 or I-42, not {strange}")
    broker = heads.get("broker", "by hand")
    if broker not in ("by hand", "simulated"):
        raise StoryError(f"{path.name}: 'broker:' is 'by hand' or 'simulated', not {broker!r}")
    if not sentence or not any(line.is_seen for line in lines):
        raise StoryError(
            f"{path.name}: a story has a sentence in comment lines, and sees something"
        )
    pairs = (pair.split("=", 1) for pair in heads.get("settings", "").split())
    settings = {pair[0]: pair[-1] for pair in pairs}
    waits = re.fullmatch(r"(?:\[([a-z ]*)\])?\s*(.*)", heads.get("waits", ""))
    assert waits is not None, "the last group takes anything"
    return Story(
        path,
        sentence,
        proves=proves,
        waits=waits[2],
        waits_under=tuple((waits[1] or "").split()),
        is_simulated=broker == "simulated",
        begins_ns=_time(heads.get("begins", "09:15:00")),
        settings=settings,
        lines=lines,
    )


def _parse_line(where: str, number: int, body: str) -> Line:
    match = _LINE.fullmatch(body)
    assert match is not None, "the last group takes anything"
    forms = SEEN if match["seen"] else HAPPENS
    verb, _, rest = match["words"].strip().partition(" ")
    if verb not in forms:
        kind = "can be seen" if match["seen"] else "happens"
        raise StoryError(f"{where}: {verb!r} is nothing that {kind}; allowed: {', '.join(forms)}")
    only = tuple((match["only"] or "").split(",")) if match["only"] else ()
    if any(one not in BEHAVIOURS for one in only):
        raise StoryError(f"{where}: before '=>' stand behaviours: {', '.join(BEHAVIOURS)}")
    at_ns = None if match["time"] is None else _time(match["time"])
    said = _fill(where, verb, forms[verb], rest)
    return Line(number, body, at_ns, bool(match["seen"]), only, said)


def _time(text: str) -> int:
    hours, minutes, seconds = text.split(":")
    of_day = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return OPEN + round((of_day - OPEN_S) * SECOND)


def _fill(where: str, verb: str, form: str, rest: str) -> Said:
    """Match words against a form; options come after the values, in any order."""
    allowed = f"{where}: the form is '{verb} {form}'".rstrip("' ") + "'"
    words = re.findall(r'"[^"]*"|\S+', rest)
    slots, options = _slots(form)
    if slots in (["ITEMS"], ["TEXT"]) or "TERMS" in slots:
        return _fill_rest(where, verb, slots, words)
    if len(words) < len(slots):
        raise StoryError(allowed)
    values = tuple(_value(allowed, slot, words.pop(0)) for slot in slots)
    given: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        if word not in options or len(words) < len(options[word]):
            raise StoryError(f"{allowed}; {word!r} does not fit")
        taken = [_value(allowed, slot, words.pop(0)) for slot in options[word]]
        given[word] = taken[0] if taken else True
    return Said(verb, tuple(v for v in values if v is not _LITERAL), given)


def _fill_rest(where: str, verb: str, slots: Sequence[str], words: list[str]) -> Said:
    """Forms that end with something of their own kind."""
    if slots == ["TEXT"]:
        return Said(verb, (" ".join(words).strip('"'),), {})
    if slots == ["ITEMS"]:
        items = (item.strip() for item in " ".join(words).split(";"))
        return Said(verb, tuple(_item(where, item) for item in items if item), {})
    if not words:
        raise StoryError(f"{where}: the form is '{verb} ORDER TERMS'")
    order = _value(f"{where}: the form is '{verb} ORDER TERMS'", "ORDER", words[0])
    return Said(verb, (order, _wanted(where, words[1:])), {})


def _item(where: str, item: str) -> Said:
    head, _, rest = item.partition(" ")
    if _ORDER.fullmatch(head):
        return _fill(where, "order", ITEMS["order"], item)
    if head not in ITEMS:
        raise StoryError(f"{where}: a book lists {'; '.join(ITEMS.values())}, not {item!r}")
    return _fill(where, head, ITEMS[head], rest)


def _slots(form: str) -> tuple[list[str], dict[str, list[str]]]:
    options = {}
    for option in re.findall(r"\[([^]]*)\]", form):
        word, *slots = option.split()
        options[word] = slots
    return re.sub(r"\[[^]]*\]", "", form).split(), options


def _wanted(where: str, words: Sequence[str]) -> Wanted:
    """What a story says of terms (`_TERMS`)."""
    wanted, rest = Wanted(), list(words)
    while rest:
        word = rest.pop(0)
        if word in CONTRACTS:
            wanted = wanted._replace(contract=CONTRACTS[word])
        elif word in Side.__members__:
            wanted = wanted._replace(side=Side[word])
        elif word.isdigit():
            wanted = wanted._replace(quantity=int(word))
        elif word in Product.__members__:
            wanted = wanted._replace(product=Product[word])
        elif word in ("LIMIT", "STOP"):
            is_priced = bool(rest) and rest[0][0].isdigit()
            price, _, behind = (rest.pop(0) if is_priced else "").partition("/")
            wanted = wanted._replace(
                kind=word, price=_bounds(where, price), behind=_bounds(where, behind)
            )
        else:
            raise StoryError(f"{where}: {word!r} is no part of terms: {_TERMS}")
    return wanted


def _bounds(where: str, text: str) -> tuple[int, int] | None:
    if not text:
        return None
    low, dots, high = text.partition("..")
    first = _price(low)
    last = _price(high) if dots else first
    if first is None or last is None:
        raise StoryError(f"{where}: {text!r} is no price; 88.00 is one, 80.00..88.00 are bounds")
    return first, last


_LITERAL: Final = object()


def _value(allowed: str, slot: str, word: str) -> Any:
    """What a word means in a slot. A slot of small words stands for itself, one of them."""
    if slot in _KINDS:
        value = _KINDS[slot](word)
    elif "|" in slot:
        value = word if word in slot.split("|") else None
    else:
        value = _LITERAL if word == slot else None
    if value is None:
        raise StoryError(f"{allowed}; {word!r} is no {slot}{_choices(slot)}")
    return value


def _choices(slot: str) -> str:
    known = _ENUMS.get(slot)
    if slot == "CONTRACT":
        return f" ({', '.join(CONTRACTS)})"
    if slot == "ORDER":
        return " (entry-1, stop-1, exit-1.2: second attempt, stop-1/1: second slice)"
    return "" if known is None else f" ({', '.join(one.value for one in known)})"


def _price(word: str) -> int | None:
    return round(float(word) * 100) if re.fullmatch(r"-?\d+(\.\d\d?)?", word) else None


def _order(word: str) -> Named | None:
    match = _ORDER.fullmatch(word)
    if match is None:
        return None
    purpose, position, attempt, slice_number = match.groups()
    return Named(_PURPOSES[purpose], int(position), int(attempt or 1), int(slice_number or 0))


_ENUMS: Final[Mapping[str, Any]] = {
    "SIDE": Side,
    "STATUS": BrokerStatus,
    "REFUSAL": Refusal,
    "ACTION": Action,
    "GUARD": Guard,
    "REQUEST": OperatorRequest,
    "LINK": Link,
    "STATE": OrderState,
    "LEVEL": HaltLevel,
}


def _member(slot: str) -> Callable[[str], Any]:
    known = {one.value: one for one in _ENUMS[slot]}
    return known.get


_KINDS: Final[Mapping[str, Callable[[str], Any]]] = {
    **{slot: _member(slot) for slot in _ENUMS},
    "CONTRACT": CONTRACTS.get,
    "PRICE": _price,
    "NUMBER": lambda word: int(word) if re.fullmatch(r"-?\d+", word) else None,
    "SECONDS": lambda word: float(word) if re.fullmatch(r"\d+(\.\d+)?", word) else None,
    "ORDER": _order,
    "WORD": lambda word: word,
}
