"""Continuous batching: many answers in one context, each at its own place, one decode for all of them at a time."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from infsup.protocol.errors import EngineFailure, InfsupError
from infsup.workers.engine import Event, JobCancelled, JobContext, Piece
from infsup.workers.generation.answer import text_result
from infsup.workers.generation.choice import ChoiceWriter, Entry
from infsup.workers.generation.model import Sampling
from infsup.workers.generation.prompts import Prompt
from infsup.workers.generation.vocabulary import Vocabulary

from .llama_cpp_batch import Pace, share
from .llama_cpp_context import Decoded, LlamaContext, Logits
from .llama_cpp_logprobs import Logprobs
from .llama_cpp_sampler import ChainSampler
from .llama_cpp_slots import Place, Slot, Slots

MAX_LOGITS_BYTES = 64 * 1024 * 1024
"""What the logits of a prompt's tokens may take in one decode, where they are wanted."""


@dataclass(eq=False, slots=True)
class Answer:
    """One sequence to be generated. `todo` are the tokens that the cache lacks: the last of them is the newest."""

    request: "Request"
    writer: ChoiceWriter
    sampling: Sampling
    todo: list[int] = field(default_factory=list[int])
    slot: Slot | None = None
    sampler: ChainSampler | None = None
    at: int = 0
    """The batch's index of its logits."""
    entries: list[Entry] | None = None
    """What is to be told of the prompt's tokens, as far as they have been read; None: nothing."""


@dataclass(eq=False, slots=True)
class Request:
    """One job: its prompt and the answers to it."""

    job_id: str
    context: JobContext
    prompt: Prompt
    n: int
    """How many of the answers are wanted; if there are more, nothing is told before the best are known."""
    top: int | None = None
    """How many of the likeliest tokens are to be told beside each; None: no logprobs."""
    tells_prompt: bool = False
    """Whether the logprobs of the prompt are wanted too."""
    answers: list[Answer] = field(default_factory=list[Answer])
    open_answers: int = 0
    cached: int = 0

    @property
    def chooses(self) -> bool:
        """Whether only the best answers are told, at the end."""
        return len(self.answers) > self.n


class Batcher:
    """Owns the requests of one context from `submit` to their last event."""

    def __init__(self, context: LlamaContext, slots: Slots, pace: Pace, vocabulary: Vocabulary) -> None:
        """`slots` has as many sequences as the context, or one less than it for the preloaded one."""
        self._logprobs = Logprobs(context, vocabulary)
        self._most_outputs = max(1, MAX_LOGITS_BYTES // (4 * len(vocabulary.pieces)))
        self._context = context
        self._slots = slots
        self._pace = pace
        self._vocabulary_size = len(vocabulary.pieces)
        self._requests: dict[str, Request] = {}
        self._waiting: deque[Answer] = deque()
        self._running: list[Answer] = []
        self._turn = 0

    @property
    def used(self) -> int:
        """The tokens that the cache holds; shared ones count for each sequence."""
        return self._slots.used

    def submit(self, request: Request, answers: Sequence[tuple[ChoiceWriter, Sampling]]) -> None:
        """Take a request with at least one answer."""
        request.answers = [Answer(request, writer, sampling) for writer, sampling in answers]
        request.open_answers = len(request.answers)
        request.context.on_cancel(self._context.abort)
        self._requests[request.job_id] = request
        self._waiting.extend(request.answers)

    def step(self) -> list[Event]:
        """Admit, decode once, sample. See `BatchEngine.step`."""
        events: list[Event] = []
        self._context.arm()  # before looking: a cancellation that comes later ends the decode
        self._drop_cancelled(events)
        self._admit(events)
        if self._running:
            self._decode(events)
        return events

    def _drop_cancelled(self, events: list[Event]) -> None:
        for request in list(self._requests.values()):
            try:
                request.context.check()
            except JobCancelled as cancelled:
                self._fail(request, cancelled, events)

    def _fail(self, request: Request, error: Exception, events: list[Event]) -> None:
        """End a request and all its answers."""
        del self._requests[request.job_id]
        for answer in request.answers:
            self._release(answer)
        self._running = [answer for answer in self._running if answer.request is not request]
        self._waiting = deque(answer for answer in self._waiting if answer.request is not request)
        events.append(Event(request.job_id, error))

    def _release(self, answer: Answer) -> None:
        if answer.sampler is not None:
            answer.sampler.close()
            answer.sampler = None
        if answer.slot is not None:
            self._slots.give_back(answer.slot)
            answer.slot = None

    def _admit(self, events: list[Event]) -> None:
        """Give slots to those that wait, in their order; the first without a place holds up the others."""
        while self._waiting:
            answer = self._waiting[0]
            if answer.writer.reason and not answer.request.tells_prompt:  # it may have no tokens
                self._waiting.popleft()
                self._open(answer, events)
                self._finish(answer, events)
                continue
            prompt = answer.request.prompt.tokens
            reserved = len(prompt) + answer.writer.limit
            place = self._slots.place(prompt, reserved, reuse=not answer.request.tells_prompt)
            if place is None:
                return
            self._waiting.popleft()
            try:
                self._begin(answer, place, reserved)
            except Exception as error:  # noqa: BLE001 - one answer's sampler is no reason to stop the others
                self._fail(answer.request, error, events)

    def _begin(self, answer: Answer, place: Place, reserved: int) -> None:
        prompt = answer.request.prompt.tokens
        answer.sampler = ChainSampler(self._context, self._vocabulary_size, answer.sampling, prompt=prompt)
        if place.source is not None:
            self._context.copy(place.source.id, place.slot.id, place.kept)
        for slot in place.evicted:
            self._context.keep(slot.id, 0)
        kept = self._context.keep(place.slot.id, place.kept)
        answer.slot = self._slots.take(replace(place, kept=kept), prompt, reserved)
        answer.todo = list(prompt[kept:])
        if answer.request.tells_prompt:
            answer.entries = [self._logprobs.first(prompt[0])]
        if answer.writer.index == 0:
            answer.request.cached = kept
        self._running.append(answer)

    def _decode(self, events: list[Event]) -> None:
        batch = self._fill()
        began = time.perf_counter()
        try:
            outcome = self._context.decode()
        except EngineFailure as error:
            self._roll_back(batch)
            for request in {answer.request for answer, _ in batch}:
                self._fail(request, error, events)
            return
        if outcome is Decoded.YES:
            self._pace_by(batch, time.perf_counter() - began)
            self._move_on(batch, events)
            return
        self._roll_back(batch)
        if outcome is Decoded.NO_ROOM:
            # The reservations exclude it. Should llama.cpp see that otherwise, one answer less is still progress.
            youngest = self._running[-1].request
            self._fail(youngest, EngineFailure("llama.cpp found no room in the KV cache"), events)

    def _fill(self) -> list[tuple[Answer, int]]:
        """Fill the batch; return who got how many tokens into it."""
        batch: list[tuple[Answer, int]] = []
        readers: list[Answer] = []
        for answer in self._running:
            if len(answer.todo) > 1 or answer.entries is not None:
                readers.append(answer)
            else:
                batch.append((answer, 1))
                self._add(answer, answer.todo)
        self._tell_phase(answering=bool(batch))
        if readers:
            self._turn += 1
            first = self._turn % len(readers)
            readers = readers[first:] + readers[:first]
            lacking = [len(answer.todo) for answer in readers]
            counts = share(lacking, answers=len(batch), batch=self._context.batch_size, chunk=self._pace.chunk)
            for answer, share_ in zip(readers, counts, strict=True):
                count = min(share_, self._most_outputs) if answer.entries is not None else share_
                if count:
                    batch.append((answer, count))
                    self._add(answer, answer.todo[:count])
        return batch

    def _add(self, answer: Answer, tokens: list[int]) -> None:
        slot = _slot(answer)
        wanted = Logits.LAST if len(tokens) == len(answer.todo) else Logits.NONE
        if answer.entries is not None:
            wanted = Logits.ALL
        answer.at = self._context.add(slot.id, tokens, len(slot.tokens), wanted)

    def _tell_phase(self, *, answering: bool) -> None:
        self._running[0].request.context.phase("decode" if answering else "prefill")

    def _pace_by(self, batch: Sequence[tuple[Answer, int]], seconds: float) -> None:
        total = sum(count for _, count in batch)
        answers = sum(len(answer.todo) == 1 for answer, _ in batch)
        self._pace.note(answers, total - answers, seconds)

    def _roll_back(self, batch: Sequence[tuple[Answer, int]]) -> None:
        for answer, _ in batch:
            slot = _slot(answer)
            if self._context.keep(slot.id, len(slot.tokens)) < len(slot.tokens):
                answer.todo = slot.tokens + answer.todo
                slot.tokens = []
                if answer.entries is not None:
                    del answer.entries[1:]

    def _move_on(self, batch: Sequence[tuple[Answer, int]], events: list[Event]) -> None:
        """Note what the cache holds now, and sample where a sequence has been read to its end."""
        for answer, count in batch:
            if answer.slot is None:  # another answer to its request has just failed
                continue
            answer.request.context.progress(count)
            slot = answer.slot
            if answer.entries is not None:
                self._note_prompt(answer, answer.entries, count)
            if count == len(answer.todo):
                slot.tokens += answer.todo
                self._sample(answer, events)
            else:
                slot.tokens += answer.todo[:count]
                del answer.todo[:count]

    def _note_prompt(self, answer: Answer, entries: list[Entry], count: int) -> None:
        """Note how likely the prompt's tokens were that follow those just read."""
        prompt = answer.request.prompt.tokens
        read = len(_slot(answer).tokens)
        for i in range(count):
            if read + i + 1 < len(prompt):
                at = answer.at - count + 1 + i
                entries.append(self._logprobs.entry(at, prompt[read + i + 1], answer.request.top or 0))

    def _sample(self, answer: Answer, events: list[Event]) -> None:
        """Take the next token of a sequence that has been read to its end."""
        if not answer.writer.tokens:
            self._open(answer, events)
        if not answer.writer.reason:  # else only the prompt was wanted
            try:
                self._push_token(answer, events)
            except InfsupError as error:  # a grammar that can go nowhere from here
                self._fail(answer.request, error, events)
                return
        if answer.writer.reason:
            self._running.remove(answer)
            self._finish(answer, events)

    def _push_token(self, answer: Answer, events: list[Event]) -> None:
        if answer.sampler is None:
            raise RuntimeError("a running answer has no sampler")
        token = answer.sampler.sample(answer.at, answer.writer.mask())
        request = answer.request
        if request.top is None and not request.chooses:
            piece = answer.writer.push(token)
        else:
            piece = answer.writer.push_with(token, self._logprobs.entry(answer.at, token, request.top or 0))
        answer.todo = [token]
        _tell(answer, piece, events)

    def _open(self, answer: Answer, events: list[Event]) -> None:
        prompt, entries = answer.request.prompt, answer.entries
        answer.entries = None
        if entries is not None:
            self._logprobs.place(entries, prompt)
        _tell(answer, answer.writer.open(prompt.opening, entries or ()), events)

    def _finish(self, answer: Answer, events: list[Event]) -> None:
        """End an answer, and its request with the last one."""
        self._release(answer)
        request = answer.request
        _tell(answer, answer.writer.end(), events)
        request.open_answers -= 1
        if not request.open_answers:
            del self._requests[request.job_id]
            choices = [each.writer.choice for each in request.answers]
            events.append(Event(request.job_id, text_result(choices, request.prompt, request.cached, request.n)))


def _tell(answer: Answer, piece: Piece | None, events: list[Event]) -> None:
    if piece is not None and not answer.request.chooses:
        events.append(Event(answer.request.job_id, piece))


def _slot(answer: Answer) -> Slot:
    if answer.slot is None:
        raise RuntimeError("a running answer has no slot")
    return answer.slot
