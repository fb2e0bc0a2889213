"""One world judged: what became of it, as a value that can be counted and sent to another process."""

import gc
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from holdfast.domain.errors import HoldfastError
from holdfast.runtime.clock import cpu_ns
from holdfast.worlds.acts import Script
from holdfast.worlds.checkers import Broken
from holdfast.worlds.coverage import Pair, counting
from holdfast.worlds.ground import BEGIN_NS, SECOND
from holdfast.worlds.world import World

RAISED: Final = (
    HoldfastError,
    AssertionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the program may raise in a world when it is wrong; `Broken` is one of them."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a world came to. `checker` and `text` tell what was broken, `None` where nothing was.

    `second` is when. `struck` counts faults that really happened, by kind; `reached` are pairs of
    the order table as (state, event).
    """

    seed: int
    checker: str | None
    text: str
    second: float
    ticks: int
    steps: int
    lives: int
    fills: int
    fills_under_fault: int
    seconds_of_cpu: float
    struck: Mapping[str, int]
    reached: tuple[tuple[str, str], ...]


def judge(script: Script) -> tuple[Verdict, World | None]:
    """Play a script. The world is there for its story, `None` where it could not even begin."""
    reached: set[Pair] = set()
    began_ns = cpu_ns()
    world: World | None = None
    checker, text = None, ""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with counting(reached):
            world = World(script)
            world.run()
    except Broken as broken:
        checker, text = broken.checker, broken.text
    except RAISED as raised:
        checker, text = "raised", f"{type(raised).__name__}: {raised}"
    finally:
        if was_enabled:
            gc.enable()
    return _verdict(script, world, (checker, text), reached, (cpu_ns() - began_ns) / SECOND), world


def _verdict(
    script: Script,
    world: World | None,
    broken: tuple[str | None, str],
    reached: set[Pair],
    seconds: float,
) -> Verdict:
    struck: Counter[str] = Counter()
    if world is not None:
        struck.update({kind.value: count for kind, count in world.faults.struck.items()})
        struck.update({kind.value: count for kind, count in world.market.struck.items()})
    return Verdict(
        seed=script.seed,
        checker=broken[0],
        text=broken[1],
        second=0.0 if world is None else (world.now_ns - BEGIN_NS) / SECOND,
        ticks=0 if world is None else world.ticks,
        steps=0 if world is None else world.steps,
        lives=0 if world is None else world.lives,
        fills=0 if world is None else len(world.exchange.executed),
        fills_under_fault=0 if world is None else world.fills_under_fault,
        seconds_of_cpu=seconds,
        struck=dict(struck),
        reached=tuple(sorted((state.value, event.value) for state, event in reached)),
    )
