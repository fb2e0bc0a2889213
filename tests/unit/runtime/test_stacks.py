"""The stacks of threads and tasks: where each one is, down to the last frame."""

import asyncio
import threading

from holdfast.runtime.stacks import awaits, task_stacks, thread_stacks


def test_each_thread_is_shown_by_its_name_with_what_it_does() -> None:
    """Also those that a library started."""
    ready, let_go = threading.Event(), threading.Event()

    def waits_here() -> None:
        ready.set()
        let_go.wait()

    thread = threading.Thread(target=waits_here, name="Waiter")
    thread.start()
    ready.wait()
    stacks = thread_stacks()
    let_go.set()
    thread.join()
    assert "let_go.wait()" in stacks["Waiter"]
    assert "thread_stacks()" in stacks["MainThread"]


def test_a_task_is_shown_down_the_whole_chain_of_awaits() -> None:
    """Not only the coroutine it was started with: the await in which it hangs."""

    async def innermost() -> None:
        await asyncio.Event().wait()

    async def middle() -> None:
        async with asyncio.timeout(None):
            await innermost()

    async def play() -> dict[str, str]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(middle(), name="Hangs")
            await asyncio.sleep(0)
            stacks = task_stacks([task])
            assert next(awaits(task.get_coro())).f_code.co_name == "middle"
            task.cancel()
        return stacks

    stack = asyncio.run(play())["Hangs"]
    names = ["in middle", "in innermost", "in wait"]
    places = [stack.index(name) for name in names]
    assert places == sorted(places)


def test_what_has_ended_has_no_stack() -> None:
    """It is shown as empty rather than refused."""

    async def play() -> dict[str, str]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0), name="Ended")
            await task
        return task_stacks([task])

    assert asyncio.run(play()) == {"Ended": ""}
