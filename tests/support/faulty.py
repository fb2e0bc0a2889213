"""`holdfast run` with services beside its own that misbehave as they are told.

`python -m tests.support.faulty '{"argv": [...], "beside": [{"name": ..., "act": ..., ...}]}'`. The
program is the real one; whoever embeds it may give it services, and these are such.
"""

import asyncio
import json
import sys
import time
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from holdfast.app.cli import running
from holdfast.app.cli.frame import Frame
from holdfast.app.config import Config
from holdfast.app.main import main as program
from holdfast.app.program import Host
from holdfast.runtime.health import HEALTHY, Health
from holdfast.runtime.service import Group, Ready, Service

FOR_EVER = 10_000


class Faulty(Service):
    """Does one thing wrong. Core ones belong to the order group, the others to the side."""

    ready_within_s = 0.5
    silent_s = 0.5

    def __init__(
        self, *, name: str, act: str, critical: bool = False, needs: tuple[str, ...] = ()
    ) -> None:
        self.name, self.act, self.critical, self.needs = name, act, critical, tuple(needs)
        self.group = Group.ORDER if critical else Group.SIDE

    @override
    async def run(self, ready: Ready) -> None:
        match self.act:
            case "fails to start":
                raise ValueError(f"{self.name} cannot start")
            case "never ready":
                await self.stay()
            case "crashes":
                ready()
                await asyncio.sleep(0.05)
                raise ValueError(f"{self.name} crashed")
            case "hangs":
                ready()
                await asyncio.sleep(FOR_EVER)
            case "hangs in C":
                ready()
                await asyncio.sleep(0.2)
                time.sleep(2.5)  # noqa: ASYNC251 this is the misbehaviour
                await self.stay()
            case _:
                ready()
                try:
                    await self.stay()
                finally:
                    if self.act == "raises in stop":
                        raise ValueError(f"{self.name} raised in its stop")

    @override
    def health(self) -> Health:
        return HEALTHY


def main() -> None:
    """The program, with company."""
    plan: dict[str, Any] = json.loads(sys.argv[1])
    host_of = running.host_of
    sys.argv = ["holdfast", *plan["argv"]]

    def in_company(frame: Frame, config: Config) -> Host:
        beside = tuple(Faulty(**one) for one in plan["beside"])
        return replace(host_of(frame, config), beside=beside)

    running.host_of = in_company
    program()


if __name__ == "__main__":
    main()
