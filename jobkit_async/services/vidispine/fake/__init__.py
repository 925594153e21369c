"""An embedded Vidispine: the ten operations with their state machine, filters and error bodies."""

from jobkit_async.services.vidispine.fake.jobs import FakeVidispineJob
from jobkit_async.services.vidispine.fake.server import FakeVidispine

__all__ = ["FakeVidispine", "FakeVidispineJob"]
