"""One place decides exits and one executes them; neither holds a second of the other."""

import ast

import pytest

from holdfast.core.engine import Engine
from holdfast.core.risk import watching
from holdfast.core.risk.exits import first_exit
from holdfast.domain.audit import ExitDecided
from holdfast.domain.command import ModifyOrder
from tests.support.desk import Desk
from tests.support.tree import modules


def users_of(name: str) -> dict[str, int]:
    """How often each module speaks of a name, other than where it is defined."""
    found: dict[str, int] = {}
    for module in modules():
        calls = [
            node
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        ]
        if calls:
            found[module.path] = len(calls)
    return found


@pytest.mark.proves("RSK-1", "EXE-8")
def test_rules_are_built_once_and_asked_in_one_place() -> None:
    """The engine builds them, watching asks them; closing and the runtime know no rule."""
    assert users_of("build_rules") == {"core/engine.py": 1}
    assert set(users_of("first_exit")) == {"core/risk/watching.py"}
    importers = {
        module.path
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "holdfast.core.risk.exits"
    }
    assert importers == {"core/engine.py", "core/risk/watching.py"}


@pytest.mark.proves("RSK-1")
def test_every_position_and_every_cadence_is_judged_by_the_same_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ticks, sweeps, reads and operators pass one and the same tuple of rules."""
    seen: set[int] = set()
    inner = first_exit

    def watched(rules: object, *rest: object) -> object:
        seen.add(id(rules))
        return inner(rules, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(watching, "first_exit", watched)
    desk = Desk()
    desk.hold(minute=1)
    desk.hold(minute=3)
    desk.at(200).tick(last=101.0)
    desk.at(203)
    desk.breach(210)
    assert len(desk.told(ExitDecided)) == 2
    assert seen == {id(desk.engine._rules)}  # noqa: SLF001
    assert len(desk.all(ModifyOrder)) == 2, "one closing order each, from the one executor"
    assert isinstance(desk.engine, Engine)


@pytest.mark.proves("I-43")
def test_no_part_but_a_broker_makes_up_a_brokers_word() -> None:
    """
    Acknowledgements and rows of orders come from what stands behind the port, chosen once by the
    mode; the way out to a broker holds none that it could give instead. The engine's self-test
    makes one, of a position that is no position.
    """
    makers = {
        module.path
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"OrderAcknowledged", "OrderRow"}
    }
    assert {path for path in makers if not path.startswith(("brokers/", "exchange/"))} == {
        "core/selftest.py"
    }
    assert all(path.startswith("app/") for path in users_of("Mode"))
