"""The four services' parts in the demo: how jobs are submitted, and what else is done to them."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TypeVar

from jobkit_async import (
    BsubioClient,
    EcotaxaClient,
    EcotaxaJob,
    JobEnded,
    JobNeedsInput,
    JobState,
    LeiaClient,
    Polling,
    VidispineClient,
)
from jobkit_async.demo.check import OWN, Handle, View
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.leia.models import ConditionalBody
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import (
    FakeBsubio,
    FakeEcotaxa,
    FakeLeia,
    FakeServer,
    FakeVidispine,
    Planner,
)

__all__ = ["CONTENT", "PARTS", "Part"]

ServerT = TypeVar("ServerT", bound=FakeServer[Any])

ASKING: Final = 8
"""One EcoTaxa job in so many asks a question."""
CONDITIONAL: Final = 5
"""One Leia job in so many is a conditional one."""
CONTENT: Final = b"What the demo's jobs work on.\n" * 64


class Part(ABC, Generic[ServerT]):
    """One service's part in the demo.

    Args:
        jobs: Number of jobs.
        seed: Seeds the server, the pace of polling and the contents of files.
        folder: Where files may be put; it is made.
        planner: Draws what becomes of a job.
    """

    service: ClassVar[str]
    cancels: ClassVar[int] = 0
    """The most jobs that are cancelled."""
    server: ServerT

    def __init__(self, jobs: int, seed: int, folder: Path, planner: Planner) -> None:
        self.count = jobs
        self.folder = folder
        folder.mkdir()
        self.view = View(self.service)
        # Of its own, so that it does not depend on which other services take part.
        self.rng = random.Random(f"{seed} {self.service}")
        self.options: dict[str, Any] = {
            "seed": self.rng.getrandbits(32),
            "planner": planner,
            "record": True,
        }
        self.polling = Polling(rng=self.rng)

    @abstractmethod
    async def connect(self, stack: AsyncExitStack) -> None:
        """Open the service's client."""

    @abstractmethod
    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        """Submit all jobs."""

    async def provide(self, job: Handle, needs: JobNeedsInput) -> bool:
        """Give a job the input that it needs; False if that was not to be expected."""
        return False

    async def download(self) -> str | None:
        """Download a result; a line about it, or None where there is none."""
        return None

    async def cancel(self) -> None:
        """Cancel the newest jobs, one after the other; one that has just ended is left alone."""
        few = min(self.cancels, (len(self.view.jobs) + 15) // 20)
        for job in list(self.view.jobs.values())[len(self.view.jobs) - few :]:
            await asyncio.sleep(0.1)
            try:
                await job.cancel()
            except JobEnded:
                continue
            self.view.made("cancelled", job.id)

    def compare(self) -> None:
        """Compare what the client saw with the server's ledger."""
        self.view.compare(self.server, self.count)


class _Bsubio(Part[FakeBsubio]):
    """Create, upload a file, submit; a few are cancelled."""

    service = "bsubio"
    cancels = 5

    def __init__(self, jobs: int, seed: int, folder: Path, planner: Planner) -> None:
        super().__init__(jobs, seed, folder, planner)
        self.server = FakeBsubio(**self.options)
        self.file = folder / "paper.txt"
        self.file.write_bytes(CONTENT)

    async def connect(self, stack: AsyncExitStack) -> None:
        client = BsubioClient(
            api_key=self.server.api_key, base_url=self.server.base_url, polling=self.polling
        )
        self.own = (await stack.enter_async_context(client)).with_options(headers=OWN)

    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        for _ in range(self.count):
            job = await self.own.jobs.create_job(CreateJobRequest(type="pdf/extract"))
            self.view.made("created", job.id)
            await job.upload(self.file)
            self.view.made("uploaded", job.id)
            await job.submit()
            self.view.made("submitted", job.id)
            submitted(job)

    def compare(self) -> None:
        super().compare()
        for job in self.server.jobs.values():
            if job.data != CONTENT:
                self.view.mismatch(
                    job.id, f"{len(job.data)} bytes arrived instead of {len(CONTENT)}"
                )


class _Ecotaxa(Part[FakeEcotaxa]):
    """Jobs come from the web front-end, for which the server stands; some ask a question."""

    service = "ecotaxa"

    def __init__(self, jobs: int, seed: int, folder: Path, planner: Planner) -> None:
        super().__init__(jobs, seed, folder, planner)
        self.server = FakeEcotaxa(
            username="demo@example.org",
            password="demo",  # noqa: S106 - opens nothing but this server
            **self.options,
        )

    async def connect(self, stack: AsyncExitStack) -> None:
        client = EcotaxaClient(
            username="demo@example.org",
            password="demo",  # noqa: S106 - opens nothing but the demo's server
            base_url=self.server.base_url,
            polling=self.polling,
        )
        self.own = (await stack.enter_async_context(client)).with_options(headers=OWN)

    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        for index in range(self.count):
            question: dict[str, list[str]] = {}
            if index % ASKING == 0:
                question = {"missing_users": ["Jane Doe"], "missing_taxa": ["Calanoida"]}
            self.view.made("created", self.server.create_job(question=question).id)
        for job in await self.own.jobs.list_jobs(False):
            submitted(job)

    async def provide(self, job: Handle, needs: JobNeedsInput) -> bool:
        if not isinstance(job, EcotaxaJob) or needs.needs != "answer":
            return False
        # The names that the server could not find, each with the id of what is meant.
        reply = {
            asked.removeprefix("missing_"): {name: number for number, name in enumerate(names, 1)}
            for asked, names in needs.question.items()
        }
        await job.answer(reply)
        self.view.made("answered", job.id)
        return True

    async def download(self) -> str | None:
        for job in self.view.jobs.values():
            if isinstance(job, EcotaxaJob) and job.state is JobState.SUCCEEDED:
                wanted = self.server.jobs[job.id].file = self.rng.randbytes(1 << 18)
                async with await job.file() as download:
                    path = await download.save(self.folder)
                return self.view.same(f"the result of job {job.id}", path, wanted)
        return None


class _Leia(Part[FakeLeia]):
    """Most apply a model to a document; some are conditional on the one before."""

    service = "leia"

    def __init__(self, jobs: int, seed: int, folder: Path, planner: Planner) -> None:
        super().__init__(jobs, seed, folder, planner)
        self.server = FakeLeia(**self.options)

    async def connect(self, stack: AsyncExitStack) -> None:
        client = LeiaClient(
            api_key=self.server.api_key, base_url=self.server.base_url, polling=self.polling
        )
        self.own = (await stack.enter_async_context(client)).with_options(headers=OWN)

    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        self.model = self.server.add_model("invoices", self.rng.randbytes(1 << 16))
        self.view.made("model_created", self.model.id)
        owner, before = self.model.application_id, ""
        for index in range(self.count):
            document = f"doc-{index}"
            if index % CONDITIONAL == CONDITIONAL - 1:
                step = {"job_type": "apply_model", "model_id": self.model.id}
                rule = {"conditions": {"document": f"doc-{index - 1}"}, "jobs": [step]}
                body = ConditionalBody(rules={"as-expected": rule})
                job = await self.own.jobs.admin_create_conditional_job(owner, before, body=body)
            else:
                job = await self.own.models.admin_apply_model_async(
                    owner, self.model.id, [document]
                )
            before = job.id
            self.view.made("created", job.id)
            submitted(job)

    async def download(self) -> str | None:
        model = self.model
        download = await self.own.models.admin_get_model_contents(model.application_id, model.id)
        async with download:
            path = await download.save(self.folder / "model.zip")
        return self.view.same(f"model {model.name!r}", path, model.contents)


class _Vidispine(Part[FakeVidispine]):
    """Custom jobs; a few are aborted."""

    service = "vidispine"
    cancels = 5

    def __init__(self, jobs: int, seed: int, folder: Path, planner: Planner) -> None:
        super().__init__(jobs, seed, folder, planner)
        self.server = FakeVidispine(**self.options)

    async def connect(self, stack: AsyncExitStack) -> None:
        client = VidispineClient(
            username=self.server.username,
            password=self.server.password,
            base_url=self.server.base_url,
            polling=self.polling,
        )
        self.own = (await stack.enter_async_context(client)).with_options(headers=OWN)

    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        for _ in range(self.count):
            job = await self.own.jobs.create_custom_job("TRANSCODE", SimpleMetadataType())
            self.view.made("created", job.id)
            submitted(job)


PARTS: Final[Mapping[str, type[Part[Any]]]] = {
    part.service: part for part in (_Bsubio, _Ecotaxa, _Leia, _Vidispine)
}
