"""Gridbatch has all that the library counts on."""

from __future__ import annotations

import json
from pathlib import Path

from jobkit_async.testing import check_service
from jobkit_gridbatch.client import GridbatchClient
from jobkit_gridbatch.fake import FakeGridbatch
from jobkit_gridbatch.job import GridbatchJob
from jobkit_gridbatch.models import SubmitJobRequest

EXAMPLES = json.loads((Path(__file__).parent / "answers.json").read_text(encoding="utf-8"))


async def start(client: GridbatchClient, server: FakeGridbatch) -> GridbatchJob:
    request = SubmitJobRequest(job_name="frame", job_queue="night", job_definition="render:3")
    return await client.jobs.submit_job(request)


def test_conformance() -> None:
    check_service("gridbatch", start=start, examples=EXAMPLES)
