"""Rules about the source that no linter knows: names, sizes, what is caught, what is iterated."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.tree import Function, Module, functions, modules, parse

LINES_MAX = 70

EMPTY_WORDS_LAST = {"Manager", "Handler", "Helper", "Helpers", "Util", "Utils", "Data", "Info"}
EMPTY_WORDS_FIRST = {"New", "Unified", "Enhanced", "Smart"}
ERRORS_NAMED_ERROR = {"HoldfastError"}  # the root of the tree; its leaves say what happened

CATCHES_EXCEPTION = {
    "core/engine.py": "a strategy's fault parks that strategy alone",
    "core/risk/exits.py": "a rule's fault must not stop the other rules",
    "runtime/service.py": "one turn of a periodic loop must not end the loop",
    "runtime/stepping.py": "a step that raised is taken back and tried bare (decisions 2.5)",
    "runtime/supervisor.py": "a service's fault is answered by its restart",
    "runtime/threads.py": "a thread's fault is kept for whoever asks what became of it",
}
"""The places that may catch `Exception`, and why. Everywhere else a handler names a type."""

STARTS_THREADS = {
    "runtime/threads.py": "the register of all threads",
}
"""The places that may start a thread, and why."""

INSTALLS_HANDLERS = {
    "runtime/signals.py": "the handlers of the program, put in place by `app/main` alone",
}
"""The place that may catch signals, and why."""

ORDER_FREE = {"sorted", "set", "frozenset", "any", "all", "sum", "len", "min", "max"}
"""Calls whose result does not depend on the order of what they are given (numbers only for sum)."""


def long_functions(module: Module) -> Iterator[str]:
    """Functions that no longer fit a screen; the docstring does not count."""
    for function in functions(module.tree):
        assert function.end_lineno is not None
        lines = function.end_lineno - function.lineno + 1 - _docstring_lines(function)
        if lines > LINES_MAX:
            yield f"{module.at(function)} {function.name} has {lines} lines"


def _docstring_lines(function: Function) -> int:
    if ast.get_docstring(function) is None:
        return 0
    first = function.body[0]
    assert first.end_lineno is not None
    return first.end_lineno - first.lineno + 1


def empty_names(module: Module) -> Iterator[str]:
    """Classes and modules whose name says nothing about what they are."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and _is_empty_name(node.name):
            yield f"{module.at(node)} class {node.name}"
    stem = module.path.removesuffix(".py").rsplit("/", 1)[-1]
    if _is_empty_name("".join(word.capitalize() for word in stem.split("_"))):
        yield f"src/holdfast/{module.path} as a module's name"


def _is_empty_name(name: str) -> bool:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    if name.endswith("Error"):
        return name not in ERRORS_NAMED_ERROR
    is_numbered = re.search(r"V\d+$", name) is not None
    return bool(words) and (
        is_numbered or words[-1] in EMPTY_WORDS_LAST or words[0] in EMPTY_WORDS_FIRST
    )


def broad_handlers(module: Module) -> Iterator[str]:
    """Handlers, and suppressions, that name no type of their own."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
            yield module.at(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            yield from (module.at(node) for argument in node.args if _is_broad(argument))


def _is_broad(caught: ast.expr | None) -> bool:
    types = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(t is None or ast.unparse(t) in {"Exception", "BaseException"} for t in types)


def set_iterations(module: Module) -> Iterator[str]:
    """Loops and sequences whose order is that of a set, which differs from run to run."""
    held = _names_of_sets(module.tree)
    for node in ast.walk(module.tree):
        for child in ast.iter_child_nodes(node):
            for source in _ordered_sources(child, parent=node):
                if _is_set(source, held):
                    yield f"{module.at(source)} iterates over {ast.unparse(source)}"


def _ordered_sources(node: ast.AST, *, parent: ast.AST) -> list[ast.expr]:
    """What `node` reads in order, unless its parent forgets the order again."""
    if isinstance(node, ast.For):
        return [node.iter]
    if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
        is_forgotten = isinstance(parent, ast.Call) and ast.unparse(parent.func) in ORDER_FREE
        return [] if is_forgotten else [part.iter for part in node.generators]
    if isinstance(node, ast.Starred):
        return [node.value]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {
        *("list", "tuple", "iter", "enumerate", "zip", "map", "filter", "dict", "fromkeys"),
        *("join", "extend", "next", "chain", "pop"),
    }:
        popped = [node.func.value] if isinstance(node.func, ast.Attribute) and not node.args else []
        return [*node.args, *popped]
    return []


def _is_set(node: ast.expr, held: set[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in {"set", "frozenset"}
    if isinstance(node, ast.BinOp) and isinstance(
        node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor
    ):
        return _is_set(node.left, held) or _is_set(node.right, held)
    return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in held


def _names_of_sets(tree: ast.Module) -> set[str]:
    """Names and attributes that the module itself annotates as sets or fills with one."""
    held: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            if re.match(r"(frozen)?set\b|AbstractSet\b|Set\b", ast.unparse(node.annotation)):
                held.add(node.arg if isinstance(node, ast.arg) else ast.unparse(node.target))
        elif isinstance(node, ast.Assign) and _is_set(node.value, set()):
            held.update(ast.unparse(target) for target in node.targets)
    return held


def thread_starts(module: Module) -> Iterator[str]:
    """Threads that are made, and pools that make them."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            if name in {"Thread", "Timer", "ThreadPoolExecutor", "to_thread", "run_in_executor"}:
                yield module.at(node)


def handler_installs(module: Module) -> Iterator[str]:
    """Calls that put a signal handler in place."""
    for node in ast.walk(module.tree):
        if (isinstance(node, ast.Call) and ast.unparse(node.func) == "signal.signal") or (
            isinstance(node, ast.Attribute) and node.attr == "add_signal_handler"
        ):
            yield module.at(node)


def printing(module: Module) -> Iterator[str]:
    """Calls of `print`: only `app` speaks to a terminal."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield module.at(node)


def test_every_module_begins_with_one_sentence() -> None:
    """It says what the module is, or the rule it keeps."""
    wrong = []
    for module in modules():
        first = (ast.get_docstring(module.tree) or "").split("\n\n")[0]
        if not re.match(r"\S.*[.?!)]$", first, re.DOTALL):
            wrong.append(f"src/holdfast/{module.path}: {first!r}")
    assert wrong == []


def test_no_name_is_empty() -> None:
    """`Manager`, `Data` and their like say nothing; errors are named by what happened."""
    assert [found for module in modules() for found in empty_names(module)] == []


def test_every_function_fits_a_screen() -> None:
    """The hard limit; most have four to eight lines."""
    assert [found for module in modules() for found in long_functions(module)] == []


def test_exceptions_are_caught_by_name() -> None:
    """A handler that names no type hides faults nobody thought of: few places may, once each."""
    found = {module.path: list(broad_handlers(module)) for module in modules()}
    assert [
        at for path, places in found.items() for at in places if path not in CATCHES_EXCEPTION
    ] == []
    assert {path: places for path, places in found.items() if len(places) > 1} == {}


def test_the_core_never_depends_on_the_order_of_a_set() -> None:
    """It differs between processes, and two runs of one day would decide differently."""
    core = [
        module for module in modules() if module.path.startswith(("core/", "domain/", "exchange/"))
    ]
    assert [found for module in core for found in set_iterations(module)] == []


def test_threads_are_started_in_few_places() -> None:
    """Where they get a name, an owner and an end; one that is started elsewhere is found here."""
    found = {module.path: list(thread_starts(module)) for module in modules()}
    assert {path: places for path, places in found.items() if places}.keys() == set(STARTS_THREADS)


def test_signal_handlers_are_installed_in_one_place() -> None:
    """A second one in the same process would take Ctrl+C away from the first."""
    found = {module.path: list(handler_installs(module)) for module in modules()}
    assert {path for path, places in found.items() if places} == set(INSTALLS_HANDLERS)


def test_only_the_app_prints() -> None:
    """Everything below it returns values or logs."""
    below = [module for module in modules() if not module.path.startswith("app/")]
    assert [found for module in below for found in printing(module)] == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (empty_names, "class FeedManager: ..."),
        (empty_names, "class OrderV2: ..."),
        (empty_names, "class UnifiedBook: ..."),
        (empty_names, "class BookError(Exception): ..."),
        (long_functions, "def f() -> None:\n" + "    g()\n" * LINES_MAX),
        (broad_handlers, "try: f()\nexcept Exception: g()"),
        (broad_handlers, "try: f()\nexcept (OSError, BaseException): g()"),
        (broad_handlers, "try: f()\nexcept: g()"),
        (broad_handlers, "with contextlib.suppress(Exception): f()"),
        (set_iterations, "for x in {1, 2}: f(x)"),
        (set_iterations, "y = [f(x) for x in set(z)]"),
        (set_iterations, "def f(held: frozenset[int]) -> list[int]: return list(held - other)"),
        (set_iterations, "self._held: set[int] = set()\nfor x in self._held: f(x)"),
        (set_iterations, "held = {1}\nfirst = held.pop()"),
        (set_iterations, "held = {1}\ng(*held)"),
        (printing, "print('so')"),
        (thread_starts, "threading.Thread(target=f).start()"),
        (handler_installs, "signal.signal(2, f)"),
        (handler_installs, "loop.add_signal_handler(2, f)"),
        (thread_starts, "await asyncio.to_thread(f)"),
    ],
)
def test_each_rule_finds_what_it_forbids(rule: object, text: str) -> None:
    """A rule that found nothing anywhere would also pass."""
    assert callable(rule)
    assert len(list(rule(parse("core/made_up.py", text)))) == 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (empty_names, "class DataRefused(Exception): ...\nclass Newest: ...\nclass Datable: ..."),
        (long_functions, "def f() -> None:\n" + "    g()\n" * (LINES_MAX - 1)),
        (broad_handlers, "try: f()\nexcept (OSError, ValueError): g()"),
        (
            set_iterations,
            "held = {1}\nfor x in sorted(held): f(x)\nok = any(x for x in held) or 1 in held",
        ),
        (set_iterations, "for x in {1: 2}: f(x)\nrest = list(rows)\nrows.pop()"),
    ],
)
def test_no_rule_finds_what_it_allows(rule: object, text: str) -> None:
    """The nearest things that are fine."""
    assert callable(rule)
    assert list(rule(parse("core/made_up.py", text))) == []


RESERVED_IN_LOGS = {"event", "level", "timestamp", "exc_info"}
"""Fields that the logger itself writes: to pass one of them raises, in the middle of an error."""


def clashing_fields(module: Module) -> Iterator[str]:
    """Calls of a logger with a field of a name that is the logger's own."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log."):
            yield from (
                f"{module.at(node)} {field.arg}"
                for field in node.keywords
                if field.arg in RESERVED_IN_LOGS
            )


@pytest.mark.proves("B-05")
def test_no_log_call_can_raise_for_the_name_of_a_field() -> None:
    """An error handler that fails in its log call hides the error that it was about to tell."""
    assert [found for module in modules() for found in clashing_fields(module)] == []
    wrong = parse("x.py", '_log.error("step failed", event="tick", error="x")')
    assert len(list(clashing_fields(wrong))) == 1
