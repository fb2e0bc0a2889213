"""Make a failing world short: fewer acts, an earlier end, and still the same thing broken."""

from collections.abc import Callable

from msgspec.structs import replace

from holdfast.worlds.acts import Script
from holdfast.worlds.verdict import Verdict, judge

Judge = Callable[[Script], Verdict]


def _verdict_of(script: Script) -> Verdict:
    return judge(script)[0]


def shrink(script: Script, judged: Judge = _verdict_of) -> Script:
    """The shortest script found that breaks the same checker as `script`; itself, if it breaks none.

    Acts are left out by halves, then one by one; in the end the world is cut off after the break,
    where that needs no ending.
    """
    wanted = judged(script).checker
    if wanted is None:
        return script
    size = max(len(script.acts) // 2, 1)
    while size:
        script = _without_parts(script, size, lambda one: judged(one).checker == wanted)
        size //= 2
    return _cut(script, wanted, judged)


def _without_parts(script: Script, size: int, still: Callable[[Script], bool]) -> Script:
    """Leave out each run of `size` acts that is not needed."""
    start = 0
    while start < len(script.acts):
        shorter = replace(script, acts=script.acts[:start] + script.acts[start + size :])
        if still(shorter):
            script = shorter
        else:
            start += size
    return script


def _cut(script: Script, wanted: str, judged: Judge) -> Script:
    seconds = int(judged(script).second) + 2
    if seconds >= script.seconds:
        return script
    shorter = replace(script, seconds=seconds)
    return shorter if judged(shorter).checker == wanted else script
