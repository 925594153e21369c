"""An embedded Leia: log-in, the fifteen operations, and their error bodies.

Where the service documents nothing, the strictest reading is taken, or the choice is left to the
test: see the arguments of :class:`FakeLeia`.
"""

from jobkit_async.services.leia.fake.jobs import FakeLeiaJob, FakeLeiaModel
from jobkit_async.services.leia.fake.server import FakeLeia

__all__ = ["FakeLeia", "FakeLeiaJob", "FakeLeiaModel"]
