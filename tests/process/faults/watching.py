"""What was seen of a scenario: by the program's own word, and by the truth of the server."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from holdfast.store import query, schema
from tests.process.faults.life import Life, Mark, order_ids

PROMISED_MS: Final = 2_000
SLACK_MS: Final = 500
"""A look at the program comes so late at most before it counts as late itself."""

LIVE: Final = frozenset({"PENDING", "PART_TRADED", "TRIGGERED"})
"""An order of ours that the exchange has (TRANSIT: it is on its way)."""


class Watch:
    """Every look at the program while a scenario is played."""

    def __init__(self) -> None:
        """Nothing was seen."""
        self.terms: Counter[str] = Counter()
        self.longest_ms = 0
        self.faults: list[str] = []
        self.last: dict[str, Any] = {}

    def see(self, view: dict[str, Any]) -> None:
        """Take a look: what bars entries, and for how long nothing has protected a position."""
        self.last = view
        if view["blocked_by"] is not None:
            self.terms[view["blocked_by"]] += 1
        for held in view["positions"]:
            lasting_ms = held["unprotected_ms"] or 0
            self.longest_ms = max(self.longest_ms, lasting_ms)
            if lasting_ms > PROMISED_MS + SLACK_MS and view["blocked_by"] is None:
                self._fault(f"{lasting_ms} ms without protection, and entries are armed")
            if lasting_ms > 2 * PROMISED_MS + 4 * SLACK_MS and held["exit_rule"] is None:
                self._fault(f"{lasting_ms} ms without protection, and it is not closed")

    def _fault(self, text: str) -> None:
        if not self.faults:
            self.faults.append(text)


class Bare(Exception):
    """More was sold than was held."""


def longest_bare_ms(before: dict[str, Any], after: dict[str, Any], *, crossed: int = 0) -> int:
    """The longest time in which resting stops did not cover what was held, by the truth.

    `before` and `after` are the truth at the beginning, and what came behind it. `crossed` contracts
    were sold by the owner while our exit was on its way. Raises Bare when somebody sold more than
    the account had.
    """
    known = {one["order_id"]: one for one in before["orders"]}
    since: dict[str, int] = {}
    longest_ns = 0
    for at_ns, instrument, is_bare in _steps(known, after, crossed):
        if is_bare:
            since.setdefault(instrument, at_ns)
        elif instrument in since:
            longest_ns = max(longest_ns, at_ns - since.pop(instrument))
    now_ns: int = after["at_ns"]
    return max([longest_ns, *(now_ns - begun for begun in since.values())]) // 1_000_000


def _steps(
    known: dict[str, dict[str, Any]], after: dict[str, Any], crossed: int
) -> Iterator[tuple[int, str, bool]]:
    """After each word: when, which contract, and whether its stops cover less than is held."""
    for word in after["words"]:
        if not (word["status"] == "REJECTED" and _is_answer(known.get(word["order_id"]), after)):
            known[word["order_id"]] = word
        orders = [one for one in known.values() if one["instrument"] == word["instrument"]]
        net = sum(_signed(one) for one in orders)
        if net < -crossed:
            raise Bare(f"{word['instrument']} is at {net} by {word['order_id']}")
        covered = sum(_resting(one) for one in orders)
        yield word["at_ns"], word["instrument"], covered < net


def _is_answer(known: dict[str, Any] | None, after: dict[str, Any]) -> bool:
    """Whether a word of refusal is about a modification: the order lives on (T15)."""
    if known is None:
        return False
    now = next((one for one in after["orders"] if one["order_id"] == known["order_id"]), known)
    return bool(now["status"] != "REJECTED")


def _signed(order: dict[str, Any]) -> int:
    filled: int = order["filled_quantity"]
    return filled if order["side"] == "BUY" else -filled


def _resting(order: dict[str, Any]) -> int:
    """What a stop at the exchange would still sell."""
    is_stop = order["order_type"] == "STOP_LOSS" and order["status"] in LIVE
    left: int = order["quantity"] - order["filled_quantity"]
    return left if is_stop and order["side"] == "SELL" else 0


def differences(life: Life) -> list[str]:
    """In what the program's books differ from the truth, order by order and contract by contract."""
    truth, view = life.broker.truth(Mark(life.broker.truth())), life.program.view()
    if not view:
        return ["the program does not say"]
    found = [f"{name} sent {n} times" for name, n in Counter(order_ids(truth)).items() if n > 1]
    ours = {one.order_id: one for one in query.orders(life.program.folder / schema.FILE_NAME)}
    for order in truth["orders"]:
        if order["source"] == "P":
            found += _order_differences(order, ours.pop(order["correlation_id"], None))
    found += [f"{one.order_id} filled nowhere" for one in ours.values() if one.filled_quantity]
    return found + _net_differences(truth, view)


def _order_differences(order: dict[str, Any], ours: Any) -> list[str]:
    name = order["correlation_id"]
    if ours is None:
        return [f"{name} is not known here"]
    theirs = (order["filled_quantity"], order["filled_value_paise"])
    told = (ours.filled_quantity, ours.filled_value_paise)
    return [] if theirs == told else [f"{name} filled {theirs} there and {told} here"]


def nets(truth: dict[str, Any]) -> Counter[str]:
    """What the account holds of each instrument, in signed contracts."""
    held = Counter[str]()
    for key in truth["positions"]:
        held[key["instrument"]] += key["bought"] - key["sold"]
    return held


def _net_differences(truth: dict[str, Any], view: dict[str, Any]) -> list[str]:
    theirs = nets(truth)
    ours = Counter[str]()
    for held in view["positions"]:
        ours[held["instrument"]] += held["quantity"]
    names = sorted({*theirs, *ours})
    found = [
        f"{name}: {theirs[name]} there, {ours[name]} here"
        for name in names
        if theirs[name] != ours[name]
    ]
    return found + [f"difference {one['key']}" for one in view["drifts"] if one["is_present"]]
