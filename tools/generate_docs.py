"""Writes the sections of the documents that are made from code, between their two marks.

A section begins with `<!-- generated: NAME -->` and ends with `<!-- end -->`. `make docs` rewrites
what stands between; a test compares it. Run with `--list` for the names.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from holdfast.app.cli.ending import MEANINGS
from holdfast.app.cli.verbs import VERBS, Verb
from holdfast.app.config import Config, effective
from holdfast.app.keys import KEYS
from holdfast.core.entries.gates import GATES
from holdfast.core.orders import life
from holdfast.core.readiness import TERMS
from holdfast.core.risk.exits import RULES
from holdfast.domain.order import OrderState
from tools import CHECKOUT, registry
from tools.registry import first_sentence

SECTION: Final = re.compile(
    r"(?P<head><!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(?P<tail><!-- end -->)",
    re.DOTALL,
)


def documents() -> list[Path]:
    """Every document for people: those in the root and those under docs."""
    return [*sorted(CHECKOUT.glob("*.md")), *sorted((CHECKOUT / "docs").rglob("*.md"))]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def settings() -> str:
    """Every key of the configuration with its default and what it takes."""
    defaults = effective(Config())
    rows = (
        (f"`{key.path}`", f"`{_toml(defaults[key.path])}`", key.kind.takes, key.says)
        for key in KEYS
    )
    return table(("key", "default", "takes", "says"), rows)


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _structs(structs: Iterable[type[msgspec.Struct]]) -> Iterator[tuple[str, str, str]]:
    for struct in structs:
        fields = ", ".join(f"`{name}`" for name in struct.__struct_fields__ if name != "at_ns")
        yield f"`{struct.__name__}`", first_sentence(struct), fields


def events() -> str:
    """What can happen to the engine."""
    return table(("event", "what happened", "it carries"), _structs(registry.events()))


def commands() -> str:
    """What the engine can ask for."""
    return table(("command", "what is asked", "it carries"), _structs(registry.commands()))


def audits() -> str:
    """What a step can tell."""
    return table(("audit", "what it tells", "it carries"), _structs(registry.audits()))


def rules() -> str:
    """The exit rules in order of priority."""
    rows = (
        (str(n), f"`{rule.name}`", first_sentence(rule)) for n, rule in enumerate(RULES, start=1)
    )
    return table(("", "rule", "what it does"), rows)


def terms() -> str:
    """The terms of readiness in the order asked."""
    rows = ((str(n), f"`{name}`", first_sentence(term)) for n, (name, term) in enumerate(TERMS, 1))
    return table(("", "term", "holds when"), rows)


def gates() -> str:
    """The entry gates in the order asked."""
    rows = (
        (str(n), f"`{gate.__name__}`", first_sentence(gate))
        for n, gate in enumerate(GATES, start=1)
    )
    return table(("", "gate", "a signal passes when"), rows)


def verbs() -> str:
    """Every verb of the command line with an example."""
    rows = (
        (f"`holdfast {verb.name}`", verb.says, f"`{example}`")
        for verb in VERBS
        for example in registry.verb_command(verb).example.splitlines()[:1]
    )
    return table(("verb", "what it does", "for example"), rows)


def json_shapes() -> str:
    """What each verb prints with `--json`."""
    parts = (f"`holdfast {v.name} --json`\n\n```text\n{_shape(v)}\n```\n" for v in VERBS)
    return "\n".join(parts)


def _shape(verb: Verb) -> str:
    return registry.verb_command(verb).shape.rstrip()


def exit_codes() -> str:
    """How the program can end."""
    return table(("code", "meaning"), ((f"{code.value}", says) for code, says in MEANINGS.items()))


def order_life() -> str:
    """The ordinary life of an order as a diagram; loops to the same state are left out."""
    labels: dict[tuple[str, str], list[str]] = {}
    for (before, what), after in life.TABLE.items():
        if before is not after:
            labels.setdefault((before.value, after.value), []).append(what.value)
    arrows = [f"    {a} --> {b}: {', '.join(words)}\n" for (a, b), words in labels.items()]
    return f"```mermaid\nstateDiagram-v2\n    [*] --> planned\n{''.join(arrows)}```\n"


def order_table() -> str:
    """Every pair of state and event: where it leads. `!` marks an alarm, `-` what is never asked."""
    states = list(dict.fromkeys(before for before, _ in life.TABLE))
    rows = (
        [f"*{what.value}*", *(_outcome(before, what) for before in states)]
        for what in life.OrderEvent
    )
    return table(("", *(f"**{state.value}**" for state in states)), rows)


def _outcome(before: OrderState, what: life.OrderEvent) -> str:
    pair = (before, what)
    if pair in life.FORBIDDEN:
        return "-"
    return f"{life.ALARMS[pair].value} !" if pair in life.ALARMS else life.TABLE[pair].value


SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "settings": settings,
    "events": events,
    "commands": commands,
    "audits": audits,
    "terms": terms,
    "gates": gates,
    "rules": rules,
    "verbs": verbs,
    "json": json_shapes,
    "exit-codes": exit_codes,
    "order-life": order_life,
    "order-table": order_table,
}
"""Every section by name. Each must stand in exactly one document."""


def renewed(text: str) -> str:
    """A document with its sections made anew. Raises KeyError for a name that is none."""

    def section(found: re.Match[str]) -> str:
        return f"{found['head']}\n{SECTIONS[found['name']]()}\n{found['tail']}"

    return SECTION.sub(section, text)


def main(arguments: Sequence[str]) -> int:
    """Rewrite the documents; `--list` only names the sections."""
    if "--list" in arguments:
        print("\n".join(SECTIONS))
        return 0
    for document in documents():
        text = document.read_text("utf-8")
        if (made := renewed(text)) != text:
            document.write_text(made, "utf-8")
            print(f"rewrote {document.relative_to(CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
