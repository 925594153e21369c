"""A made-up service. It imports its API class, which the generator must not depend on."""

from .api import ToyJobsApi, ToyThingsApi

__all__ = ["ToyJobsApi", "ToyThingsApi"]
