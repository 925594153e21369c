"""What a service is made of: whether the parts are there, and fit to each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from inspect import Parameter, iscoroutinefunction, signature
from typing import Any, get_type_hints

import attrs

from jobkit_async.codegen import CodegenError, generate
from jobkit_async.endpoint import Api, Endpoint, ResultKind
from jobkit_async.errors import JobkitError
from jobkit_async.job import Job
from jobkit_async.registry import GROUP, find_service
from jobkit_async.service import ClientOptions, ServiceApi
from jobkit_async.spec import ServiceSpec
from jobkit_async.states import JobState

__all__ = ["credentials_of", "job_class_of", "part_faults"]

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""What stands in refs, in variables of the environment, and in names of fixtures."""
LOGINS = (("api_key",), ("username", "password"), ("token",))
"""By which arguments a client usually logs in, the best way first."""
OPTIONS = ClientOptions.__optional_keys__


def part_faults(spec: ServiceSpec) -> Iterator[str]:
    """What is wrong with the parts of a service, as far as can be told without running them."""
    yield from _name_faults(spec)
    yield from _table_faults(spec)
    yield from _client_faults(spec)
    for api in spec.table.apis:
        yield from _api_faults(spec, api)
    yield from _status_faults(spec)
    yield from _route_faults(spec)


def credentials_of(spec: ServiceSpec) -> dict[str, Any]:
    """What client and embedded server log in with here: credentials that occur nowhere else."""
    known = {*spec.client._credentials} & {*signature(spec.fake).parameters}
    way = next((way for way in LOGINS if known >= {*way}), spec.client._credentials)
    return {name: f"planted-{name}-5f1c" for name in way}


def job_class_of(spec: ServiceSpec) -> type[Job[Any]]:
    """The class of its handles, as the table names it."""
    module, _, name = spec.table.job.partition(":")
    found: type[Job[Any]] = getattr(import_module(f"{spec.package}.{module}"), name)
    return found


def _name_faults(spec: ServiceSpec) -> Iterator[str]:
    if not NAME.fullmatch(spec.name):
        yield f"the name {spec.name!r} is not of small letters, digits and underscores"
    try:
        announced: Any = find_service(spec.name)
    except JobkitError:
        announced = None
    if announced != spec:
        yield f"no entry point {spec.name!r} of the group {GROUP} leads to this SPEC"
    names = {
        "its table": spec.table.service,
        "its client": getattr(spec.client, "service", None),
        "its handle": getattr(job_class_of(spec), "service", None),
        "its embedded server": getattr(spec.fake, "service", None),
    }
    for what, name in names.items():
        if name != spec.name:
            yield f"{what} calls the service {name!r}"


def _table_faults(spec: ServiceSpec) -> Iterator[str]:
    module = f"{spec.package}.{spec.table_name.partition(':')[0]}"
    try:
        fault = generate(module).fault()
    except (CodegenError, JobkitError) as error:
        fault = f"not to be had: {error}"
    if fault is not None:
        yield f"api.py is {fault}: run python -m jobkit_async.codegen {module}"
    names = Counter(row.name for api in spec.table.apis for row in api.rows)
    for name, count in names.items():
        if count > 1:
            yield f"{name}: {count} operations have this name"
    for api in spec.table.apis:
        for row in api.rows:
            if fault := row.fault() or _key_fault(row):
                yield f"{row.name}: {fault}"


def _key_fault(row: Endpoint) -> str | None:
    """What is wrong with how an operation's jobs are told apart, or None."""
    if row.returns.kind not in (ResultKind.JOB, ResultKind.JOBS):
        return None
    model, first = row.returns.type, row.returns.key[0]
    if not attrs.has(model):
        return f"jobs are of an attrs model, not of {model!r}"
    if first not in attrs.fields_dict(model):
        return f"{model.__name__} has no attribute {first!r}, which is to tell jobs apart"
    return None


def _client_faults(spec: ServiceSpec) -> Iterator[str]:
    parameters = signature(spec.client).parameters
    if not any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values()):
        for name in sorted(OPTIONS - parameters.keys()):
            yield f"its client takes no {name}="
    for name in spec.client._credentials:
        if name not in parameters:
            yield f"its client takes no {name}=, which is among its credentials"
    for name in credentials_of(spec):
        if name not in signature(spec.fake).parameters:
            yield f"its embedded server takes no {name}=, by which its client logs in"
    if spec.client._job_class is not job_class_of(spec):
        yield "the handles of its client are not of the class that its table names"


def _api_faults(spec: ServiceSpec, api: Api) -> Iterator[str]:
    client = spec.client(**credentials_of(spec), base_url="http://127.0.0.1:1")
    found = getattr(client, api.name, None)
    if not isinstance(found, ServiceApi) or type(found).__name__ != api.class_name:
        yield f"{api.name} of its client is no {api.class_name}"
        return
    for row in api.rows:
        method = getattr(found, row.name, None)
        if method is None or not iscoroutinefunction(method):
            yield f"{row.name}: {api.class_name} has no such method"
            continue
        parameters = signature(method).parameters
        required = [name for name, one in parameters.items() if one.default is Parameter.empty]
        if [*parameters] != [param.name for param in row.params]:
            yield f"{row.name}: its arguments are not those of the row"
        elif required != [param.name for param in row.params if param.required]:
            yield f"{row.name}: its required arguments are not those of the row"
        try:
            get_type_hints(method)
        except Exception as error:  # noqa: BLE001 - an annotation may be anything
            yield f"{row.name}: its annotations do not resolve: {error}"


def _status_faults(spec: ServiceSpec) -> Iterator[str]:
    states: dict[Any, Any] = {**spec.states}  # as it is, whatever its type may say
    for status in spec.statuses:
        if status.value not in states:
            yield f"what status {status.value!r} means is not said"
    for word, state in states.items():
        if not isinstance(state, JobState) or state is JobState.UNKNOWN:
            yield f"status {str(word)!r} is to mean {state!r}, which is no state to be in"
    for end in (JobState.SUCCEEDED, JobState.FAILED):
        if end not in states.values():
            yield f"no status means that a job has {end.value}"
    for word, state in spec.fake.states.items():
        if states.get(word) != state:
            yield f"status {str(word)!r} means {state.value!r} to its embedded server alone"


def _route_faults(spec: ServiceSpec) -> Iterator[str]:
    routes: dict[str, set[tuple[str, str]]] = {}
    for operation, method, path, _ in spec.fake(**credentials_of(spec)).routes():
        routes.setdefault(operation, set()).add((method, _shape(path)))
    for api in spec.table.apis:
        for row in api.rows:
            due = (row.method, _shape(row.path))
            if due not in routes.get(row.name, set()):
                yield f"{row.name}: its embedded server has no route {row.method} {row.path}"


def _shape(path: str) -> str:
    """A path template without the names of its slots."""
    return re.sub(r"\{[^{}]*\}", "{}", path)
