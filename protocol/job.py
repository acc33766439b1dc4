"""A job: what a client asks for, and what a worker gets."""

import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidRequest

TASKS = frozenset({
    "text-completion", "chat-completion", "embedding", "rerank", "image-to-text", "image-to-image", "text-to-image",
    "speech-to-text", "text-to-speech", "object-detection", "text-classification",
})  # fmt: skip
"""The task names of the protocol. A custom engine may serve others."""

MAX_DEPTH = 8
"""How deep jobs may be nested: a client's job is at depth 0, a child of it at 1."""
MIN_PRIORITY, MAX_PRIORITY = -10, 10
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True, slots=True)
class JobHeader:
    """What the supervisor reads of a job; the parameters travel beside it, packed.

    `priority` is -10 (last) to 10 (first). `timeout` is in seconds from acceptance to the end, None for the model's
    own. `client` is the fairness key. `prefix` is the hash chain of the context (a routing hint). `stream` says that
    the client wants chunks as they come. `parent` is the token (see `Job.token`) of the running job that asks for this
    one: the child goes before jobs of clients and ends with its parent. `keep_alive`
    (seconds; 0 = end after this job, -1 = never) replaces the model's `ttl`. With `wait` false the job fails with
    `model_loading` instead of waiting for a load.
    """

    id: str
    model: str
    task: str
    priority: int = 0
    timeout: float | None = None
    client: str = ""
    prefix: tuple[bytes, ...] = ()
    stream: bool = True
    parent: str | None = None
    keep_alive: float | None = None
    wait: bool = True

    def check(self) -> None:
        """Check what types cannot say. Raises `InvalidRequest` naming the field."""
        if not _ID.fullmatch(self.id):
            raise InvalidRequest(f"id: found {self.id[:80]!r}, allowed are 1 to 64 of A-Z a-z 0-9 _ . : -", param="id")
        if not MIN_PRIORITY <= self.priority <= MAX_PRIORITY:
            raise InvalidRequest(
                f"priority: found {self.priority}, allowed is {MIN_PRIORITY} to {MAX_PRIORITY}",
                param="priority",
            )
        if self.timeout is not None and not (math.isfinite(self.timeout) and self.timeout >= 0):
            raise InvalidRequest(f"timeout: found {self.timeout}, allowed is 0 or more seconds", param="timeout")
        if self.keep_alive is not None and not (self.keep_alive == -1 or 0 <= self.keep_alive < math.inf):
            raise InvalidRequest(
                f"keep_alive: found {self.keep_alive}, allowed are 0 or more seconds, and -1", param="keep_alive"
            )


@dataclass(frozen=True, slots=True)
class Job:
    """A job as an engine sees it: `timeout` is what is left of it when the worker got it, in seconds.

    `token` stands for this run alone; a job that has it as `parent` is a child of this one.
    """

    id: str
    model: str
    task: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timeout: float | None = None
    stream: bool = True
    token: str = ""


def new_id(prefix: str = "job") -> str:
    """Return a fresh identifier, unguessable: `job-` and 24 hex digits."""
    return f"{prefix}-{secrets.token_hex(12)}"
