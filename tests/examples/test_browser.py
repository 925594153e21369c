"""The pages of the web applications in a real browser."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobkit_async.testing import Plan

pytestmark = pytest.mark.slow

LOOK = """({
    path: location.pathname,
    state: document.getElementById("state")?.textContent ?? null,
    progress: document.getElementById("progress")?.getAttribute("value") ?? null,
    message: document.getElementById("message")?.textContent ?? null,
    problem: document.getElementById("problem")?.textContent ?? null,
    ended: document.body?.dataset.ended ?? null,
})"""


async def watch(tab: Any, seconds: float = 20.0) -> list[dict[str, Any]]:
    """What the page shows up to the job's end: each view once."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(seconds):
        while not seen or not seen[-1]["ended"]:
            view = await tab.run(LOOK)
            if not seen or view != seen[-1]:
                seen.append(view)
            await asyncio.sleep(0.02)
    return seen


async def submit(tab: Any, place: Any, until: Any) -> None:
    await tab.open(place.url)

    async def is_there(script: str) -> bool:
        return bool(await tab.run(script))

    await until(
        lambda: is_there("document.querySelector('button') && document.readyState === 'complete'")
    )
    await tab.run("document.querySelector('button').click()")
    await until(lambda: is_there("location.pathname.startsWith('/jobs/')"))


async def test_a_visitor_sees_state_and_progress(place: Any, tab: Any, until: Any) -> None:
    place.plan = Plan(queued=600.0, running=4.0)

    async def shows(state: str) -> bool:
        return (await tab.run(LOOK))["state"] == state

    async with place.running():
        await submit(tab, place, until)
        await until(lambda: shows("pending"))
        (job,) = place.server.jobs.values()  # which begins only now: a browser may be slow
        begins, ends = {"fastapi": ("STARTED", "FINISHED"), "aiohttp": ("STARTING", "PROCESSED")}[
            place.kind
        ]
        job.timeline.go(place.server.clock.time(), (0.0, begins), (4.0, ends))
        await until(lambda: shows("running"))
        seen = await watch(tab)
    assert [view["state"] for view in seen][-1] == "succeeded"
    assert seen[-1]["progress"] == "1"
    assert not seen[-1]["problem"]
    if place.kind == "fastapi":  # Vidispine tells the step, Leia nothing
        assert any(view["progress"] not in (None, "0", "1") for view in seen)


async def test_a_visitor_sees_why_it_failed(place: Any, tab: Any, until: Any) -> None:
    place.plan = Plan(queued=0.2, running=0.5, outcome="failure", message="<b>torn</b>")
    async with place.running():
        await submit(tab, place, until)
        (*_, last) = await watch(tab)
    assert (last["state"], last["message"]) == ("failed", "<b>torn</b>")


async def test_a_page_outlives_the_process(place: Any, tab: Any, until: Any) -> None:
    place.plan = Plan(queued=0.2, running=3.0)

    async def shows(name: str, text: str) -> bool:
        view = await tab.run(LOOK)
        return text in (view[name] or "")

    async with place.running():
        await submit(tab, place, until)
        await until(lambda: shows("state", "running"))
    await until(lambda: shows("problem", "trying again"))
    async with place.running():
        (*_, last) = await watch(tab)
    assert last["state"] == "succeeded"
    assert not last["problem"]


async def test_a_closed_tab_is_noticed(place: Any, tab: Any, until: Any) -> None:
    place.plan = Plan(queued=0.1, running=600.0)
    async with place.running() as app:
        app.desk._heartbeat = 0.1
        await submit(tab, place, until)
        (entry,) = app.client._tracker._entries.values()
        await until(lambda: len(entry.watches) == 2)
        await tab.close()
        await until(lambda: len(entry.watches) == 1)
