# Generated from jobkit_async.services.leia.endpoints: change that, not this, and run
#     python -m jobkit_async.codegen jobkit_async.services.leia.endpoints
"""The API classes of leia, generated from its endpoint table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobkit_async.joblist import JobList
from jobkit_async.service import ServiceApi
from jobkit_async.transfer import Content, Download

from . import endpoints, models
from .job import LeiaJob

__all__ = [
    "LeiaJobsApi",
    "LeiaModelsApi",
]


class LeiaJobsApi(ServiceApi[LeiaJob]):
    """The operations of Leia's JobAdminApi page."""

    __slots__ = ()

    async def admin_cancel_job(self, submitter_id: str, job_id: str) -> None:
        """Cancel a job.

        The job stays readable, as ``CANCELED``; the jobs that wait for it fail.

        Args:
            submitter_id: Id of the application that submitted the job.
            job_id: Id of the job.

        Raises:
            Forbidden: The job belongs to another submitter.
            NotFound: There is no such job, or it has been cancelled already.
        """
        await self._none(endpoints.ADMIN_CANCEL_JOB, submitter_id, job_id)

    async def admin_create_conditional_job(
        self,
        application_id: str,
        execute_after_id: str,
        *,
        body: models.ConditionalBody | None = None,
        callback_url: str | None = None,
    ) -> LeiaJob:
        """Run jobs that are chosen by the result of another job.

        The result maps the id of each rule that held to the results of its jobs. Rules need not
        exclude each other.

        Args:
            application_id: Id of the application that owns the models.
            execute_after_id: Id of the job whose result decides; where it fails, this one fails
                too.
            body: The rules.
            callback_url: Where the service posts the job once it has ended; it expects 200 or 204.
                ``CallbackReceiver.url_for(client)`` is such an address.

        Returns:
            A handle on the job.

        Raises:
            BadRequest: The documents cannot be processed.
            Forbidden: The model is no classification model.
            NotFound: There is no such job, model or document.
            OutcomeUnknown: The answer was lost; admin_get_jobs(execute_after_id=...) shows the job
                if it was created.
        """
        return await self._job(
            endpoints.ADMIN_CREATE_CONDITIONAL_JOB,
            application_id,
            execute_after_id,
            body,
            callback_url,
        )

    async def admin_get_job(self, submitter_id: str, job_id: str) -> LeiaJob:
        """Read one job.

        Args:
            submitter_id: Id of the application that submitted the job.
            job_id: Id of the job.

        Returns:
            A handle on the job.

        Raises:
            Forbidden: The job belongs to another submitter.
        """
        return await self._job(endpoints.ADMIN_GET_JOB, submitter_id, job_id)

    async def admin_get_job_statuses(
        self, submitter_id: str, job_ids: Sequence[str]
    ) -> dict[str, str]:
        """Read the statuses of many jobs of one submitter, by job id.

        Args:
            submitter_id: Id of the application that submitted the jobs.
            job_ids: Ids of the jobs.

        Returns:
            What the service answers.

        Raises:
            NotFound: A job is unknown; an unknown one may also be just left out.
        """
        value: dict[str, str] = await self._value(
            endpoints.ADMIN_GET_JOB_STATUSES, submitter_id, job_ids
        )
        return value

    async def admin_get_jobs(
        self,
        *,
        job_id: str | None = None,
        submitter_id: str | None = None,
        application_id: str | None = None,
        job_type: str | None = None,
        model_id: str | None = None,
        document_id: str | None = None,
        execute_after_id: str | None = None,
        parent_job_id: str | None = None,
        status: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        sort: str | None = None,
        offset: int | None = None,
        limit: int | None = None,
    ) -> JobList[LeiaJob]:
        """List jobs, of all submitters unless told otherwise.

        Cancelled jobs stay listed. The service has a limit of its own, which is not documented.

        Args:
            job_id: Only the job with this id.
            submitter_id: Only jobs that this application submitted.
            application_id: Only jobs on documents of this application.
            job_type: Only jobs of this type. Known words: ``models.JobTypes``.
            model_id: Only jobs that apply this model.
            document_id: Only jobs that process this document.
            execute_after_id: Only jobs that wait, or waited, for this job.
            parent_job_id: Only jobs that are a part of this job.
            status: Only jobs with this status. Known words: ``models.Statuses``.
            created_after: Only jobs created after this moment. Without a time zone it is UTC.
            created_before: Only jobs created before this moment. Without a time zone it is UTC.
            sort: Fields to sort by, comma-joined, each with ``-`` in front to descend:
                ``submitter_id``, ``application_id``, ``creation_time``, ``starting_time``,
                ``finished_time``, ``job_type``, ``model_id``, ``document_ids``, ``status``,
                ``parent_job_id``.
            offset: Number of jobs to leave out at the beginning, 0 or more.
            limit: The most jobs to return, 1 or more.

        Returns:
            Handles on the jobs; ``total`` is the number of matches.
        """
        return await self._jobs(
            endpoints.ADMIN_GET_JOBS,
            job_id,
            submitter_id,
            application_id,
            job_type,
            model_id,
            document_id,
            execute_after_id,
            parent_job_id,
            status,
            created_after,
            created_before,
            sort,
            offset,
            limit,
        )


class LeiaModelsApi(ServiceApi[LeiaJob]):
    """The operations of Leia's ModelAdminApi page."""

    __slots__ = ()

    async def admin_apply_model_async(
        self,
        application_id: str,
        model_id: str,
        document_ids: Sequence[str],
        *,
        body: models.ApplyBody | None = None,
        tag: str | None = None,
        format_type: str | None = None,
        execute_after_id: str | None = None,
        page_range: str | None = None,
        callback_url: str | None = None,
        model_params: Mapping[str, Any] | None = None,
        block_processing: bool | None = None,
    ) -> LeiaJob:
        """Apply a model to documents.

        What wins where an argument and the body differ is not documented. In the query every key of
        ``model_params`` becomes a parameter of its own; in the body it stays an object.

        Args:
            application_id: Id of the application that owns the model.
            model_id: Id or short name of the model.
            document_ids: Ids of the documents to process.
            body: The same as the arguments below, and callback headers.
            tag: Picks the documents that were made from the one given, and carry this tag;
                ``document_ids`` has one element then.
            format_type: Form of the result; without it, a list of key-value items. Known words:
                ``models.FormatTypes``.
            execute_after_id: Id of a job that must be processed first; where it fails, this one
                fails too.
            page_range: Pages of the previous job to work on, as Python slices that count from 0,
                comma-joined, such as ``"0,2:5,-2:"``; needs ``execute_after_id``.
            callback_url: Where the service posts the job once it has ended; it expects 200 or 204.
                ``CallbackReceiver.url_for(client)`` is such an address.
            model_params: Passed on to the model as they are.
            block_processing: Whether the job stands still, as ``BLOCKED``, until it is started. The
                service assumes False.

        Returns:
            A handle on the job.

        Raises:
            BadRequest: The documents cannot be processed, or a tag came with several of them.
            Forbidden: The model cannot be applied.
            NotFound: There is no such model or document.
            OutcomeUnknown: The answer was lost; admin_get_jobs(document_id=...,
                sort='-creation_time') shows the job if it was created.
        """
        return await self._job(
            endpoints.ADMIN_APPLY_MODEL_ASYNC,
            application_id,
            model_id,
            document_ids,
            body,
            tag,
            format_type,
            execute_after_id,
            page_range,
            callback_url,
            model_params,
            block_processing,
        )

    async def admin_create_model(
        self,
        body: Content,
        name: str,
        application_id: str,
        *,
        short_name: str | None = None,
        description: str | None = None,
        ttl: int | None = None,
        allowed_application_ids: Sequence[str] | None = None,
        allow_all_applications: bool | None = None,
        tags: Sequence[str] | None = None,
    ) -> models.Model:
        """Add a model.

        Args:
            body: The model's file, a ZIP archive; it is streamed, so it may be large.
            name: Name of the model.
            application_id: Id of the application that will own the model.
            short_name: Its short name.
            description: Its description.
            ttl: Seconds that a worker keeps it loaded; negative for ever. The service assumes 200.
            allowed_application_ids: Ids of other applications that may use it.
            allow_all_applications: Whether all applications may use it.
            tags: Its tags.

        Returns:
            One model.

        Raises:
            BadRequest: The file is no model.
            NotFound: There is no such application.
            OutcomeUnknown: The answer was lost; admin_get_models(name=...) shows the model if it
                was created.
        """
        value: models.Model = await self._value(
            endpoints.ADMIN_CREATE_MODEL,
            body,
            name,
            application_id,
            short_name,
            description,
            ttl,
            allowed_application_ids,
            allow_all_applications,
            tags,
        )
        return value

    async def admin_delete_model(self, application_id: str, model_id: str) -> None:
        """Delete a model.

        Args:
            application_id: Id of the application that owns the model.
            model_id: Id of the model.

        Raises:
            NotFound: There is no such model, or it has been deleted already.
        """
        await self._none(endpoints.ADMIN_DELETE_MODEL, application_id, model_id)

    async def admin_edit_model(
        self,
        application_id: str,
        model_id: str,
        *,
        name: str | None = None,
        short_name: str | None = None,
        description: str | None = None,
        allowed_application_ids: Sequence[str] | None = None,
        allow_all_applications: bool | None = None,
        ttl: int | None = None,
    ) -> models.Model:
        """Change what is given, and leave the rest of a model as it is.

        Args:
            application_id: Id of the application that owns the model.
            model_id: Id of the model.
            name: Its name.
            short_name: Its short name.
            description: Its description.
            allowed_application_ids: Ids of other applications that may use it.
            allow_all_applications: Whether all applications may use it.
            ttl: Seconds that a worker keeps it loaded; negative for ever. The service assumes 200.

        Returns:
            One model.
        """
        value: models.Model = await self._value(
            endpoints.ADMIN_EDIT_MODEL,
            application_id,
            model_id,
            name,
            short_name,
            description,
            allowed_application_ids,
            allow_all_applications,
            ttl,
        )
        return value

    async def admin_get_model(self, application_id: str, model_id: str) -> models.Model:
        """Read one model.

        Args:
            application_id: Id of the application that owns the model.
            model_id: Id or short name of the model.

        Returns:
            One model.
        """
        value: models.Model = await self._value(endpoints.ADMIN_GET_MODEL, application_id, model_id)
        return value

    async def admin_get_model_contents(self, application_id: str, model_id: str) -> Download:
        """Download the file of a model, a ZIP archive.

        Args:
            application_id: Id of the application that owns the model.
            model_id: Id or short name of the model.

        Returns:
            The file; it holds a connection until it is read or closed.
        """
        return await self._download(endpoints.ADMIN_GET_MODEL_CONTENTS, application_id, model_id)

    async def admin_get_models(
        self,
        *,
        model_id: str | None = None,
        application_id: str | None = None,
        model_type: str | None = None,
        name: str | None = None,
        short_name: str | None = None,
        description: str | None = None,
        input_types: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        only_mine: bool | None = None,
        sort: str | None = None,
        offset: int | None = None,
        limit: int | None = None,
    ) -> list[models.Model]:
        """List models.

        Args:
            model_id: Only the model with this id.
            application_id: Only models of this application.
            model_type: Only models of this type. Known words: ``models.ModelTypes``.
            name: Only models with this name.
            short_name: Only the model with this short name.
            description: Only models whose description contains this.
            input_types: Only models that read this. Known words: ``models.ModelInputTypes``.
            tags: Only models with these tags.
            created_after: Only models created after this moment. Without a time zone it is UTC.
            created_before: Only models created before this moment. Without a time zone it is UTC.
            only_mine: Whether to leave out models that the application (``application_id``, or your
                own) may use but does not own. The service assumes False.
            sort: Fields to sort by, comma-joined, each with ``-`` in front to descend:
                ``application_id``, ``creation_time``, ``name``, ``description``, ``model_type``.
            offset: Number of models to leave out at the beginning, 0 or more.
            limit: The most models to return, 1 or more.

        Returns:
            What the service answers; empty if nothing matches.
        """
        value: list[models.Model] = await self._value(
            endpoints.ADMIN_GET_MODELS,
            model_id,
            application_id,
            model_type,
            name,
            short_name,
            description,
            input_types,
            tags,
            created_after,
            created_before,
            only_mine,
            sort,
            offset,
            limit,
        )
        return value

    async def admin_tag_model(self, application_id: str, model_id: str, tag: str) -> models.Model:
        """Add a tag to a model.

        Args:
            application_id: Id of the application that owns the model.
            model_id: Id of the model.
            tag: The tag to add.

        Returns:
            One model.
        """
        value: models.Model = await self._value(
            endpoints.ADMIN_TAG_MODEL, application_id, model_id, tag
        )
        return value

    async def admin_train_model_async(
        self,
        application_id: str,
        model_module: str,
        documents_tag: str,
        *,
        body: models.TrainBody | None = None,
        model_name: str | None = None,
        short_name: str | None = None,
        description: str | None = None,
        ttl: int | None = None,
        allowed_application_ids: Sequence[str] | None = None,
        allow_all_applications: bool | None = None,
        tags: Sequence[str] | None = None,
        execute_after_id: str | None = None,
        callback_url: str | None = None,
        model_params: Mapping[str, Any] | None = None,
    ) -> LeiaJob:
        """Train a model; the result of the job is the model.

        What wins where an argument and the body differ is not documented. In the query every key of
        ``model_params`` becomes a parameter of its own; in the body it stays an object.

        Args:
            application_id: Id of the application that will own the model.
            model_module: Dotted name of the Python module to train.
            documents_tag: Tag of the documents to train with.
            body: Some of the arguments below, and callback headers.
            model_name: Name of the model to be.
            short_name: Its short name.
            description: Its description.
            ttl: Seconds that a worker keeps it loaded; negative for ever. The service assumes 200.
            allowed_application_ids: Ids of other applications that may use it.
            allow_all_applications: Whether all applications may use it.
            tags: Its tags.
            execute_after_id: Id of a job that must be processed first; where it fails, this one
                fails too.
            callback_url: Where the service posts the job once it has ended; it expects 200 or 204.
                ``CallbackReceiver.url_for(client)`` is such an address.
            model_params: Passed on to the training as they are.

        Returns:
            A handle on the job.

        Raises:
            Forbidden: The model cannot be trained.
            NotFound: There are no documents with this tag.
            OutcomeUnknown: The answer was lost; admin_get_jobs(application_id=...,
                sort='-creation_time') shows the job if it was created.
        """
        return await self._job(
            endpoints.ADMIN_TRAIN_MODEL_ASYNC,
            application_id,
            model_module,
            documents_tag,
            body,
            model_name,
            short_name,
            description,
            ttl,
            allowed_application_ids,
            allow_all_applications,
            tags,
            execute_after_id,
            callback_url,
            model_params,
        )

    async def admin_untag_model(self, application_id: str, model_id: str, tag: str) -> None:
        """Remove a tag from a model.

        Args:
            application_id: Id of the application that owns the model.
            model_id: Id of the model.
            tag: The tag to remove.

        Raises:
            NotFound: There is no such model, or it has no such tag.
        """
        await self._none(endpoints.ADMIN_UNTAG_MODEL, application_id, model_id, tag)
