"""Turns: how many requests at once and a second, whose is next, and that none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobkit_async import ClientClosed, Limits, RequestTimeout, Timeout
from jobkit_async.pool import Lane, Pool
from jobkit_async.services.bsubio import endpoints
from jobkit_async.services.bsubio.models import CreateJobRequest

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]
CALLS, POLLS, LOGIN = Lane.CALLS, Lane.POLLS, Lane.LOGIN


def now() -> float:
    return asyncio.get_running_loop().time()


class Crowd:
    """Those who ask for a turn, and the order in which they get it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.served: list[tuple[float, str]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._leaves: dict[str, Callable[[], None]] = {}

    async def come(self, *names: str, lane: Lane = CALLS) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._come(name, lane))
        await asyncio.sleep(0)

    async def _come(self, name: str, lane: Lane) -> None:
        self._leaves[name] = await self.pool.enter(lane)
        self.served.append((now(), name))

    async def go(self, *names: str) -> None:
        for name in names:
            self._leaves.pop(name)()
        await asyncio.sleep(0)

    @property
    def order(self) -> list[str]:
        return [name for _, name in self.served]

    async def empty(self) -> None:
        """Let everybody go as soon as it has its turn."""
        while not all(task.done() for task in self.tasks.values()) or self._leaves:
            await self.go(*self._leaves)


# -- how many at once


async def test_the_first_to_come_are_the_first_to_be_served() -> None:
    crowd = Crowd(Pool(Limits(max_concurrent=3)))
    await crowd.come("a", "b", "c", "d")
    assert crowd.order == ["a", "b"]  # one place is kept for status requests
    await crowd.go("b")
    assert crowd.order == ["a", "b", "c"]
    await crowd.come("e")
    await crowd.go("a", "c")
    assert crowd.order == ["a", "b", "c", "d", "e"]
    await crowd.go("d", "e")
    assert crowd.pool.used == 0


@pytest.mark.parametrize(
    ("room", "most"), [(1, 1), (2, 1), (3, 2), (8, 7), (16, 14), (64, 56), (1000, 875)]
)
@pytest.mark.parametrize(("flood", "other"), [(CALLS, POLLS), (POLLS, CALLS)])
async def test_a_flood_leaves_room_for_the_other_lane(
    room: int, most: int, flood: Lane, other: Lane
) -> None:
    crowd = Crowd(Pool(Limits(max_concurrent=room)))
    await crowd.come(*map(str, range(room + 5)), lane=flood)
    assert len(crowd.served) == most
    await crowd.come("one", lane=other)
    assert ("one" in crowd.order) == (room > 1)
    await crowd.empty()
    assert "one" in crowd.order


@pytest.mark.parametrize(("flood", "other"), [(CALLS, POLLS), (POLLS, CALLS)])
async def test_one_place_is_shared_too(flood: Lane, other: Lane) -> None:
    crowd = Crowd(Pool(Limits(max_concurrent=1)))
    await crowd.come(*map(str, range(20)), lane=flood)
    await crowd.come("one", lane=other)
    await crowd.empty()
    assert crowd.order.index("one") <= 4


async def test_a_log_in_is_next_and_may_take_any_place() -> None:
    crowd = Crowd(Pool(Limits(max_concurrent=2)))
    await crowd.come("a", "b", "c")
    await crowd.come("login", lane=LOGIN)
    assert crowd.order == ["a", "login"]
    await crowd.come("poll", lane=POLLS)
    await crowd.come("again", lane=LOGIN)
    await crowd.go("login")
    assert crowd.order == ["a", "login", "again"]
    await crowd.empty()
    assert {*crowd.order} == {"a", "b", "c", "login", "poll", "again"}


async def test_a_place_is_given_back_once() -> None:
    pool = Pool(Limits(max_concurrent=2))
    leave = await pool.enter(CALLS)
    leave()
    leave()
    assert pool.used == 0
    assert repr(pool) == "<Pool 0 of 2 under way, 0 waiting>"


# -- how many a second


async def test_starts_are_evenly_spaced() -> None:
    crowd = Crowd(Pool(Limits(max_rps=4)))
    await crowd.come("a", "b", "c", "d")
    await asyncio.sleep(10)
    await crowd.come("e", "f")
    await asyncio.sleep(10)
    assert [at for at, _ in crowd.served] == [0.0, 0.25, 0.5, 0.75, 10.0, 10.25]
    assert crowd.order == ["a", "b", "c", "d", "e", "f"]


async def test_status_requests_yield_to_calls_but_not_for_ever() -> None:
    crowd = Crowd(Pool(Limits(max_rps=1)))
    await crowd.come("first")
    await crowd.come("p1", "p2", lane=POLLS)
    await crowd.come("c1", "c2", "c3", "c4", "c5")
    await crowd.come("login", lane=LOGIN)
    await asyncio.sleep(20)
    assert crowd.order == ["first", "login", "c1", "c2", "c3", "p1", "c4", "c5", "p2"]
    assert [at for at, _ in crowd.served] == [float(second) for second in range(9)]


async def test_the_pace_waits_for_a_place_as_well() -> None:
    crowd = Crowd(Pool(Limits(max_concurrent=2, max_rps=2)))
    await crowd.come("a", "b", "c")
    await asyncio.sleep(3)
    await crowd.go("a")
    await crowd.go("b")
    await asyncio.sleep(3)
    assert crowd.served == [(0.0, "a"), (3.0, "b"), (3.5, "c")]


async def test_who_comes_when_the_pace_allows_does_not_overtake() -> None:
    pool = Pool(Limits(max_rps=1))
    crowd = Crowd(pool)
    served_at_once: list[bool] = []

    def come() -> None:  # before the pool's own timer, at the same time
        poll = pool.enter(POLLS)
        try:
            poll.send(None)
        except StopIteration:
            served_at_once.append(True)
        else:
            served_at_once.append(False)
            poll.close()

    asyncio.get_running_loop().call_at(1.0, come)
    await crowd.come("a", "b")
    await asyncio.sleep(5)
    assert crowd.served == [(0.0, "a"), (1.0, "b")]
    assert served_at_once == [False]


async def test_a_log_in_goes_before_a_status_request_whose_turn_it_is() -> None:
    crowd = Crowd(Pool(Limits(max_rps=1)))
    await crowd.come("c1", "c2", "c3")
    await asyncio.sleep(2.5)
    await crowd.come("poll", lane=POLLS)
    await crowd.come("login", lane=LOGIN)
    await asyncio.sleep(5)
    assert crowd.order == ["c1", "c2", "c3", "login", "poll"]


# -- those who go away


async def test_the_cancelled_lose_no_place() -> None:
    pool = Pool(Limits(max_concurrent=4))
    leaves = [await pool.enter(CALLS) for _ in range(3)]
    tasks = [asyncio.create_task(pool.enter(CALLS)) for _ in range(1000)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.sleep(0)
    assert repr(pool) == "<Pool 3 of 4 under way, 500 waiting>"
    leaves.pop()()  # the first that still wants it gets it
    for task in tasks[1::4]:
        task.cancel()  # among them one whose turn has just come
    await asyncio.sleep(0)
    for task in tasks:
        if task.done() and not task.cancelled():
            leaves.append(task.result())
        while leaves and len(leaves) > 2:
            leaves.pop(0)()
            await asyncio.sleep(0)
    for task in tasks:
        if not task.cancelled():
            (await task)()
    for leave in leaves:
        leave()
    assert pool.used == 0
    assert repr(pool) == "<Pool 0 of 4 under way, 0 waiting>"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "come", "leave", "cancel", "both", "tick"]),
        st.sampled_from(list(Lane)),
        st.integers(0, 30),
    ),
    max_size=60,
)


@pytest.mark.looptime(False)
@settings(max_examples=60, deadline=None)
@given(room=st.integers(1, 9), steps=STEPS)
def test_whatever_happens_no_place_is_lost(room: int, steps: list[tuple[str, Lane, int]]) -> None:
    async def play() -> None:
        pool = Pool(Limits(max_concurrent=room))
        waiting: list[tuple[Lane, asyncio.Task[Callable[[], None]]]] = []
        held: list[tuple[Lane, Callable[[], None]]] = []

        async def settle() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for lane, task in list(waiting):
                if task.done():
                    waiting.remove((lane, task))
                    if not task.cancelled():
                        held.append((lane, task.result()))
            assert pool.used == len(held) <= room
            used = {lane: [holder for holder, _ in held].count(lane) for lane in Lane}
            for lane, _ in waiting:  # nobody waits for a place that is free for it
                kept = max(1, room // 8) if room > 1 and lane is not LOGIN else 0
                assert pool.used == room or used[lane] == room - kept

        for what, lane, number in steps:
            if what == "come":
                waiting.append((lane, asyncio.create_task(pool.enter(lane))))
            if what in ("leave", "both") and held:
                held.pop(number % len(held))[1]()
            if what in ("cancel", "both") and waiting:
                waiting[number % len(waiting)][1].cancel()
            if what != "both":
                await settle()
        await settle()
        while held or waiting:
            for _, leave in held:
                leave()
            held.clear()
            await settle()
        assert pool.used == 0

    asyncio.run(play())


# -- through a client


class Slow:
    """An action that answers after a while, and counts how many it answers at once."""

    def __init__(self, answer: bytes, seconds: float) -> None:
        self.answer, self.seconds = answer, seconds
        self.now = self.most = 0

    async def __call__(self, arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.seconds)
        self.now -= 1
        writer.write(self.answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))


async def test_a_client_bounds_its_requests(serve: Any, connect: Connect) -> None:
    slow = Slow(serve.jobs, 1.0)
    server = await serve(slow)
    client = await connect("bsubio", server.url, limits=Limits(max_concurrent=5))
    view = client.with_options(headers={"X-View": "1"})
    await asyncio.gather(*(user.jobs.list_jobs() for _ in range(10) for user in (client, view)))
    assert slow.most == 4
    assert now() == 5.0


async def test_status_requests_and_calls_do_not_wait_for_each_other(
    serve: Any, connect: Connect
) -> None:
    slow = Slow(serve.jobs, 10.0)
    server = await serve(slow)
    client = await connect("bsubio", server.url, limits=Limits(max_concurrent=16))
    polls = attrs.evolve(client._caller, lane=POLLS)
    flood = [asyncio.create_task(polls.value(endpoints.LIST_JOBS, None, None)) for _ in range(50)]
    await asyncio.sleep(1)
    await client.jobs.list_jobs()
    assert now() == 11.0
    await asyncio.gather(*flood)
    assert slow.most == 15


async def test_a_wait_goes_on_while_a_call_takes_all_room_of_calls(
    serve: Any, connect: Connect
) -> None:
    done = serve.json({"success": True, "data": {"id": "j", "status": "finished"}})
    server = await serve(serve.hang, done)
    client = await connect("bsubio", server.url, limits=Limits(max_concurrent=2))
    upload = asyncio.create_task(client.jobs.upload_job_data("j", "up", b"data"))
    await asyncio.sleep(1)
    final = await client.job("j").wait(timeout=10)
    assert final.status == "finished"
    assert not upload.done()
    upload.cancel()
    await asyncio.wait([upload])


async def test_a_view_shares_the_pace(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url, limits=Limits(max_rps=2))
    view = client.with_options(timeout=5)
    await asyncio.gather(*(user.jobs.list_jobs() for _ in range(2) for user in (client, view)))
    assert server.times == [0.0, 0.5, 1.0, 1.5]


async def test_a_repetition_keeps_to_the_pace(serve: Any, connect: Connect) -> None:
    server = await serve(serve.http(503, Retry_After="0"), serve.jobs)
    client = await connect("bsubio", server.url, limits=Limits(max_rps=0.1))
    await client.jobs.list_jobs()
    assert server.times == [0.0, 10.0]


async def test_waiting_for_a_turn_costs_no_time_of_the_call(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    client = await connect(
        "bsubio", server.url, limits=Limits(max_rps=0.1), timeout=Timeout(call=15)
    )
    await asyncio.gather(*(client.jobs.list_jobs() for _ in range(6)))
    assert server.times == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]


async def test_a_download_has_its_place_until_it_is_closed(serve: Any, connect: Connect) -> None:
    server = await serve(serve.stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
    client = await connect("ecotaxa", server.url, limits=Limits(max_concurrent=1))
    download = await client.jobs.get_job_file(1)
    task = asyncio.create_task(client.jobs.get_job_file(2))
    await asyncio.sleep(30)
    assert len(server.arrivals) == 1
    download.close()
    async with await task:
        assert len(server.arrivals) == 2
    assert client._caller.transport.pool.used == 0


async def test_a_place_that_comes_back_where_no_loop_runs_is_handed_on(
    serve: Any, connect: Connect
) -> None:
    server = await serve(serve.stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
    client = await connect("ecotaxa", server.url, limits=Limits(max_concurrent=1))
    download = await client.jobs.get_job_file(1)
    task = asyncio.create_task(client.jobs.get_job_file(2))
    await asyncio.sleep(30)
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)  # type: ignore[attr-defined]  # as between two cells
    try:
        download.close()
    finally:
        asyncio._set_running_loop(loop)  # type: ignore[attr-defined]
    async with await task:
        assert len(server.arrivals) == 2
    assert client._caller.transport.pool.used == 0


@pytest.mark.looptime(False)
def test_a_place_that_comes_back_after_the_end_of_its_loop_is_nobodys() -> None:
    pool = Pool(Limits(max_concurrent=1))

    async def crowd() -> Callable[[], None]:
        leave = await pool.enter(CALLS)
        waiting = asyncio.ensure_future(pool.enter(CALLS))
        await asyncio.sleep(0)
        waiting.get_loop().stop()
        return leave

    loop = asyncio.new_event_loop()
    holder = loop.create_task(crowd())
    loop.run_forever()
    loop.run_until_complete(asyncio.wait([holder]))
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # which is the point
    loop.close()
    holder.result()()
    assert pool.used == 0


async def test_a_pool_that_does_not_move_is_an_error(serve: Any, connect: Connect) -> None:
    async def drip(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        for _ in range(500):
            writer.write(b".")
            await asyncio.sleep(1)

    server = await serve(drip)
    client = await connect(
        "ecotaxa", server.url, limits=Limits(max_concurrent=1), timeout=Timeout(call=50)
    )
    download = await client.jobs.get_job_file(1)
    reading = asyncio.create_task(download.read())
    for call in (lambda: client.jobs.list_jobs(False), lambda: client.jobs.restart_job(1)):
        began = now()
        with pytest.raises(RequestTimeout, match=r"not sent.*under way.*1, unread.*50 s"):
            await call()
        assert now() == began + 50.0
    assert len(server.arrivals) == 1
    reading.cancel()
    await asyncio.wait([reading])


async def test_calls_that_get_their_turns_may_wait_for_long(serve: Any, connect: Connect) -> None:
    slow = Slow(serve.jobs, 4.0)
    server = await serve(slow)
    client = await connect(
        "bsubio", server.url, limits=Limits(max_concurrent=2), timeout=Timeout(call=5)
    )
    await asyncio.gather(*(client.jobs.list_jobs() for _ in range(10)))
    assert now() == 40.0


async def test_a_pace_slower_than_the_time_of_a_call_is_no_failure(
    serve: Any, connect: Connect
) -> None:
    server = await serve(serve.jobs)
    client = await connect(
        "bsubio", server.url, limits=Limits(max_rps=0.125), timeout=Timeout(call=2)
    )
    await asyncio.gather(*(client.jobs.list_jobs() for _ in range(4)))
    assert server.times == [0.0, 8.0, 16.0, 24.0]


async def test_a_slow_pace_starves_no_lane(serve: Any) -> None:
    pool = Pool(Limits(max_rps=0.125))
    (await pool.enter(CALLS))()
    waiting = [asyncio.create_task(pool.enter(CALLS)) for _ in range(9)]
    poll = asyncio.create_task(pool.enter(POLLS))
    await asyncio.sleep(0)
    left = pool.patience(POLLS, 2.0)
    while not poll.done():
        assert left() > 0.0
        await asyncio.sleep(1)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


async def test_a_callers_session_has_no_more_room_than_its_connector(
    serve: Any, connect: Connect
) -> None:
    slow = Slow(serve.jobs, 1.0)
    server = await serve(slow)
    for options in ({"limit": 3}, {"limit_per_host": 3}, {"limit": 0}):
        connector = aiohttp.TCPConnector(**options)
        async with aiohttp.ClientSession(connector=connector) as session:
            client = await connect("bsubio", server.url, session=session)
            room = client._caller.transport.pool.room
            assert room == (64 if options == {"limit": 0} else 3)
            if room == 3:
                slow.most = 0
                await asyncio.gather(*(client.jobs.list_jobs() for _ in range(6)))
                assert slow.most == 2


async def test_a_log_in_gets_its_place_while_all_wait_for_it(serve: Any, connect: Connect) -> None:
    tokens = iter(["old", "new"])

    async def answer(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        reply = serve.json([])
        if arrival.target == "/login":
            reply = serve.json(next(tokens))
        elif arrival.headers["Authorization"] == "Bearer old":
            reply = serve.http(401)
        writer.write(reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    server = await serve(answer)
    client = await connect(
        "ecotaxa",
        server.url,
        token=None,
        username="u",
        password="p",
        limits=Limits(max_concurrent=2, max_rps=1),
    )
    await asyncio.gather(*(client.jobs.list_jobs(False) for _ in range(5)))
    # The second goes before all those who hold on to the old token and wait for their turn.
    logins = [arrival.at for arrival in server.arrivals if arrival.target == "/login"]
    assert logins == [0.0, 2.0]


# -- the end of a client


@pytest.mark.parametrize("why", ["place", "pace", "pause", "login"])
async def test_calls_that_wait_end_with_their_client(
    serve: Any, connect: Connect, why: str
) -> None:
    reply = {"pause": serve.http(503, Retry_After="9")}.get(why, serve.hang)
    server = await serve(reply)
    limits = Limits(max_concurrent=1) if why == "place" else Limits(max_rps=0.01)
    login = {"token": None, "username": "u", "password": "p"} if why == "login" else {}
    client = await connect(
        "ecotaxa", server.url, limits=None if why in ("pause", "login") else limits, **login
    )
    calls = [asyncio.create_task(client.jobs.list_jobs(False)) for _ in range(3)]
    await asyncio.sleep(1)
    await client.aclose()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert now() == 1.0
    assert [type(end) for end in ends] == [ClientClosed] * 3
    assert client._caller.transport.pool.used == 0


async def test_what_is_sent_once_and_waits_was_not_sent(serve: Any, connect: Connect) -> None:
    server = await serve(serve.hang)
    client = await connect("bsubio", server.url, limits=Limits(max_concurrent=1))
    held = asyncio.create_task(client.jobs.list_jobs())
    task = asyncio.create_task(client.jobs.create_job(CreateJobRequest(type="t")))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.cancel()
    await asyncio.wait([held])
    assert len(server.arrivals) == 1
    assert client._caller.transport.pool.used == 0
