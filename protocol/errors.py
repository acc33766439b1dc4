"""Every error that can cross a process boundary, each with its code, HTTP status and whether a retry helps.

InfsupError
├── RequestError: the caller's mistake, a retry of the same request cannot help
│   ├── InvalidRequest 400 · UnsupportedTask 400 · ContextLengthExceeded 400 · UnsupportedParameter 400
│   ├── InvalidApiKey 401 · Forbidden 403 · ModelNotFound 404 · NotFound 404
│   └── MethodNotAllowed 405 · Conflict 409 · BodyTooLarge 413 · Cancelled 499
├── LimitError: come again later
│   └── QueueFull 429 · RateLimited 429
└── ServerError: ours, or the machine's
    ├── EngineFailure 500 · EngineMissing 501
    ├── WorkerCrashed 502 · WorkerStalled 504 · DeadlineExceeded 504 · SlowConsumer 504
    └── ModelLoading 503 · ModelUnavailable 503 · OutOfMemory 503 · ShuttingDown 503
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class InfsupError(Exception):
    """An error with a wire code.

    `param` names the request field at fault, `retry_after` is in seconds, `partial` is what a job had produced
    (`{"text": str, "usage": {...}}`), `final` says that even a client that retries by itself must not, and
    `details` holds numbers and names for programs (they stand in the HTTP body next to the message).
    """

    code: ClassVar[str] = "engine_error"
    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        partial: Mapping[str, Any] | None = None,
        final: bool = False,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep the public message and what goes with it."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.partial = dict(partial) if partial else None
        self.final = final
        self.details = dict(details) if details else {}

    def to_wire(self) -> dict[str, Any]:
        """Return the msgpack-able form; fields at their defaults are left out."""
        wire: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.param is not None:
            wire["param"] = self.param
        if self.retry_after is not None:
            wire["retry_after"] = self.retry_after
        if self.partial:
            wire["partial"] = self.partial
        if self.final:
            wire["final"] = True
        if self.details:
            wire["details"] = self.details
        return wire

    def to_body(self) -> dict[str, Any]:
        """Return the OpenAI-shaped HTTP body `{"error": {...}}`."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
            **self.details,
        }
        if self.partial:
            error["partial"] = self.partial
        return {"error": error}


class RequestError(InfsupError):
    """The caller's mistake."""

    code = "invalid_request"
    status = 400
    type = "invalid_request_error"


class InvalidRequest(RequestError):
    """A field is missing, unknown or wrong; `param` names it."""


class UnsupportedTask(RequestError):
    """The model does not serve this task."""

    code = "unsupported_task"


class ContextLengthExceeded(RequestError):
    """The prompt does not fit; the message gives both numbers."""

    code = "context_length_exceeded"


class UnsupportedParameter(RequestError):
    """The engine cannot honour this parameter and will not ignore it."""

    code = "unsupported_parameter"


class InvalidApiKey(RequestError):
    """No key, or a wrong one."""

    code = "invalid_api_key"
    status = 401
    type = "authentication_error"


class Forbidden(RequestError):
    """The caller may not do this."""

    code = "forbidden"
    status = 403
    type = "permission_error"


class ModelNotFound(RequestError):
    """No model of this name is configured."""

    code = "model_not_found"
    status = 404


class NotFound(RequestError):
    """No such path, job or instance."""

    code = "not_found"
    status = 404


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    status = 405


class Conflict(RequestError):
    """The thing is in a state that forbids this."""

    code = "conflict"
    status = 409


class BodyTooLarge(RequestError):
    """The request body exceeds `max_body`."""

    code = "body_too_large"
    status = 413


class Cancelled(RequestError):
    """The job was cancelled by its client or an operator."""

    code = "cancelled"
    status = 499


class LimitError(InfsupError):
    """A bound was reached; `retry_after` says when to come again."""

    status = 429
    type = "rate_limit_error"
    retryable = True


class QueueFull(LimitError):
    """The model's queue holds `max_queue` jobs."""

    code = "queue_full"


class RateLimited(LimitError):
    """This client sends too much."""

    code = "rate_limited"


class ServerError(InfsupError):
    """Not the caller's fault."""


class EngineFailure(ServerError):
    """The engine raised while it ran the job."""

    code = "engine_error"


class EngineMissing(ServerError):
    """The engine's package is not installed; the message names the extra to install."""

    code = "engine_missing"
    status = 501


class WorkerCrashed(ServerError):
    """The worker died under the job. `final` for a poison job: resending it would crash again."""

    code = "worker_crashed"
    status = 502
    retryable = True


class UnavailableError(ServerError):
    """Not now; `retry_after` says when."""

    status = 503
    retryable = True


class ModelLoading(UnavailableError):
    """The model is being loaded and the client asked not to wait."""

    code = "model_loading"


class ModelUnavailable(UnavailableError):
    """The circuit is open, or the load or the download failed: the message says why and since when."""

    code = "model_unavailable"


class OutOfMemory(UnavailableError):
    """The model does not fit, or the kernel ended its worker for memory."""

    code = "out_of_memory"


class ShuttingDown(UnavailableError):
    """The server is stopping."""

    code = "shutting_down"


class TimeoutFailure(ServerError):
    """Something took too long."""

    status = 504


class WorkerStalled(TimeoutFailure):
    """The worker made no progress and was ended."""

    code = "worker_stalled"


class DeadlineExceeded(TimeoutFailure):
    """The job's `timeout` passed."""

    code = "deadline_exceeded"


class SlowConsumer(TimeoutFailure):
    """The client reads its stream too slowly."""

    code = "slow_consumer"


BY_CODE: Mapping[str, type[InfsupError]] = {
    cls.code: cls
    for cls in (
        InvalidRequest, UnsupportedTask, ContextLengthExceeded, UnsupportedParameter, InvalidApiKey, Forbidden,
        ModelNotFound, NotFound, MethodNotAllowed, Conflict, BodyTooLarge, Cancelled, QueueFull, RateLimited,
        EngineFailure, EngineMissing, WorkerCrashed, ModelLoading, ModelUnavailable, OutOfMemory, ShuttingDown,
        WorkerStalled, DeadlineExceeded, SlowConsumer,
    )
}  # fmt: skip


def from_wire(wire: object) -> InfsupError:
    """Rebuild an error from `to_wire`'s form; whatever is malformed becomes an `EngineFailure` that says so."""
    if not isinstance(wire, dict):
        return EngineFailure(f"malformed error from a peer: {type(wire).__name__}")
    fields: dict[Any, Any] = wire  # pyright: ignore[reportUnknownVariableType]
    cls = BY_CODE.get(str(fields.get("code")), EngineFailure)
    retry_after: Any = fields.get("retry_after")
    partial: Any = fields.get("partial")
    details: Any = fields.get("details")
    return cls(
        str(fields.get("message", "unknown error")),
        param=None if fields.get("param") is None else str(fields["param"]),
        retry_after=float(retry_after) if isinstance(retry_after, int | float) else None,
        partial=_map_or_none(partial),
        final=fields.get("final") is True,
        details=_map_or_none(details),
    )


def _map_or_none(value: Any) -> Mapping[str, Any] | None:
    fields: Any = value
    return fields if isinstance(value, Mapping) else None
