"""The jobs that the supervisor knows, from acceptance until their slot is free again."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from infsup.protocol.job import JobHeader

CREDIT_CHUNKS, CREDIT_BYTES = 256, 1024 * 1024
"""How far a stream may run ahead of its client before the job is cancelled with `slow_consumer`."""
MAX_KEPT_BYTES = 1024 * 1024
"""How much of a non-streaming answer is kept for the `partial` of an error."""


@dataclass(slots=True)
class JobRecord:
    """One job. `answered`: the client has its last event, though a worker may still hold the slot."""

    header: JobHeader
    params: bytes
    peer: bytes
    model: str
    accepted_at: float
    retries: int
    instance: str = ""
    started_at: float = 0.0
    solo: bool = False
    answered: bool = False
    cancelling: bool = False
    sent: bool = False
    ahead_chunks: int = 0
    ahead_bytes: int = 0
    kept: list[bytes] = field(default_factory=list[bytes])
    kept_bytes: int = 0
    timers: list[asyncio.TimerHandle] = field(default_factory=list[asyncio.TimerHandle])
    token: str = ""
    """What its present run is known by; jobs that name it are its children."""
    parent: "JobRecord | None" = None
    children: "dict[str, JobRecord]" = field(default_factory=dict[str, "JobRecord"])
    had_children: bool = False
    """They may have had effects: this job is not to run again."""
    position: int | None = None
    """The last that the client was told."""

    @property
    def id(self) -> str:
        """The job's id."""
        return self.header.id

    @property
    def deadline(self) -> float | None:
        """When its time is over, on the loop's clock."""
        return self.accepted_at + self.header.timeout if self.header.timeout else None

    @property
    def depth(self) -> int:
        """How many ancestors it has."""
        return 0 if self.parent is None else self.parent.depth + 1

    def time_left(self, now: float) -> float | None:
        """Seconds until the deadline, at least 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - now)

    def limit(self, timeout: float | None, now: float) -> float | None:
        """Return a child's timeout in seconds, at most what this job has left; None = none."""
        left = self.time_left(now)
        if left is None:
            return timeout
        return max(0.001, left if timeout is None else min(left, timeout))  # 0 would mean none

    @property
    def waits(self) -> bool:
        """Whether it is in its model's queue."""
        return not self.instance and not self.answered

    @property
    def may_be_retried(self) -> bool:
        """Whether it can run again unnoticed."""
        return self.retries > 0 and not self.sent and not self.had_children

    def over_credit(self) -> bool:
        """Whether the stream is too far ahead of its client."""
        return self.ahead_chunks > CREDIT_CHUNKS or self.ahead_bytes > CREDIT_BYTES

    def keep(self, body: bytes) -> None:
        """Keep a chunk of a non-streaming answer; past the bound the later ones are left out."""
        if self.kept_bytes + len(body) <= MAX_KEPT_BYTES:
            self.kept.append(body)
            self.kept_bytes += len(body)

    def forget_answer(self) -> None:
        """Drop what an earlier attempt produced."""
        self.kept.clear()
        self.kept_bytes = 0

    def stop_timers(self) -> None:
        """Cancel its timers."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class JobTable:
    """All job records, by id, by client and, while they run, by token."""

    def __init__(self) -> None:
        """Start empty."""
        self._jobs: dict[str, JobRecord] = {}
        self._by_peer: dict[bytes, set[str]] = {}
        self._seen: dict[bytes, float] = {}
        self._running: dict[str, JobRecord] = {}

    def __len__(self) -> int:
        """Return how many jobs there are."""
        return len(self._jobs)

    def __iter__(self) -> Iterator[JobRecord]:
        """Iterate over a snapshot."""
        return iter(list(self._jobs.values()))

    def get(self, job: str) -> JobRecord | None:
        """Return a record or None."""
        return self._jobs.get(job)

    def add(self, record: JobRecord, now: float) -> None:
        """Add a job; its client counts as heard of now."""
        self._jobs[record.id] = record
        self._by_peer.setdefault(record.peer, set()).add(record.id)
        self._seen[record.peer] = now
        if record.parent is not None:
            record.parent.children[record.id] = record
            record.parent.had_children = True

    def begin_run(self, record: JobRecord, instance: str, now: float) -> None:
        """An instance gets the job, under a fresh token."""
        record.instance, record.started_at = instance, now
        record.token = secrets.token_hex(16)
        record.position = None
        self._running[record.token] = record

    def end_run(self, record: JobRecord) -> None:
        """The instance has it no more."""
        record.instance = ""
        self._running.pop(record.token, None)

    def with_token(self, token: str) -> JobRecord | None:
        """Return the job that runs under a token, if it still has a future: its children would have one too."""
        record = self._running.get(token)
        return None if record is None or record.answered or record.cancelling else record

    def waiting_models(self) -> set[str]:
        """Return the models that jobs wait for."""
        return {record.model for record in self._jobs.values() if record.waits}

    def remove(self, record: JobRecord) -> None:
        """Remove a job and its timers."""
        record.stop_timers()
        self._running.pop(record.token, None)
        if record.parent is not None:
            record.parent.children.pop(record.id, None)
        self._jobs.pop(record.id, None)
        jobs = self._by_peer.get(record.peer)
        if jobs is not None:
            jobs.discard(record.id)
            if not jobs:
                del self._by_peer[record.peer]
                self._seen.pop(record.peer, None)

    def on_instance(self, instance: str) -> list[JobRecord]:
        """Return the jobs that an instance has."""
        return [record for record in self._jobs.values() if record.instance == instance]

    def of_peer(self, peer: bytes) -> list[JobRecord]:
        """Return the jobs of a client."""
        return [self._jobs[job] for job in self._by_peer.get(peer, ())]

    def saw(self, peer: bytes, now: float) -> None:
        """Note a sign of life of a client that has jobs."""
        if peer in self._seen:
            self._seen[peer] = now

    def silent(self, since: float) -> list[bytes]:
        """Return the clients with jobs that were not heard of since then."""
        return [peer for peer, seen in self._seen.items() if seen < since]

    def forgive_silence(self, seconds: float) -> None:
        """Count silence as that much shorter: the supervisor itself did not listen."""
        for peer in self._seen:
            self._seen[peer] += seconds
