"""An embedded EcoTaxa: the seven operations and the log-in, with states, routing and error bodies.

No operation of this API creates a job; :meth:`FakeEcotaxa.create_job` does.
"""

from jobkit_async.services.ecotaxa.fake.jobs import FakeEcotaxaJob
from jobkit_async.services.ecotaxa.fake.server import FakeEcotaxa

__all__ = ["FakeEcotaxa", "FakeEcotaxaJob"]
