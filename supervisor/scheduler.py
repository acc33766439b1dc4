"""Which job runs where: the scheduling decisions. Pure: events and the clock come in, decisions go out, no I/O.

For a job of model M, the first that applies:

1. an idle slot of M whose context holds the longest prefix of this job (affinity);
2. an idle slot of M with an empty context;
3. a new instance of M, if `max_instances` and the circuit allow; another idle slot of M takes the job meanwhile, since
   reading a prompt afresh is cheaper than a load, and the new instance is a spare;
4. the least recently used idle slot of M;
5. end a set of idle instances of other models that makes enough room (or none), the least valuable first, and spawn;
6. wait in M's queue. A model that waits for room gets it once those who have it are without work, or have had it for
   `swap_patience` (at least three times their load time): then they get no more jobs and make room.

`placement` has rules 1, 2 and 4, `swaps` and `tenants` rule 5, `queue` and `contenders` the two lines of rule 6,
`expiry` the ends of idle instances.

The cost of an event depends on the instances and clients of one model, never on the number of models or of instances
of others. The one who calls must carry out every decision, in order; a decision is already entered in the state when it
is returned.
"""

from collections import OrderedDict

from .decisions import Assign, Decision, Drain, ModelLimits, NeverFits, QueueIsFull, Spawn
from .expiry import Expiry
from .nested_jobs import NestedJobs, Stuck
from .placement import NO_FAMILY, Place, choose_place
from .queue import NESTED_FIRST, Waiting
from .room import UNLIMITED, Room, Share
from .slots import NEVER, InstanceSlots, ModelState, Slot
from .swaps import Swaps, pinned


class Scheduler:
    """The one owner of queues and slots."""

    def __init__(self, concurrency: int = 0, *, total: Share = UNLIMITED, swap_patience: float = 10.0) -> None:
        """`concurrency` caps the jobs running at once over all models, 0 = no cap; `total` is what they share."""
        self.concurrency = concurrency
        self._models: dict[str, ModelState] = {}
        self._instances: dict[str, InstanceSlots] = {}
        self._jobs: dict[str, tuple[Waiting, Slot, InstanceSlots]] = {}
        self._nested = NestedJobs(self._models, self._jobs)
        self._held_back: OrderedDict[str, None] = OrderedDict()
        self._swaps = Swaps(total, self._models, swap_patience)
        self._expiry = Expiry(self._expires_at)
        self._closed = False
        self._order = 0
        self._spawned = 0

    # Models

    def set_model(self, limits: ModelLimits) -> None:
        """Add a model, or change its limits."""
        room = self.room
        state = self._models.get(limits.name)
        if state is None:
            state = self._models[limits.name] = ModelState(limits)
        else:
            room.pinned = room.pinned - pinned(state)
            state.change(limits)
            self._touch(state)
        room.pinned = room.pinned + pinned(state)

    def set_shared(self, concurrency: int, now: float, *, total: Share, swap_patience: float) -> list[Decision]:
        """Change what holds for all models; instances that are too many for a smaller total are not ended for it."""
        self.concurrency = concurrency
        self._swaps.change(total, swap_patience)
        held, self._held_back = self._held_back, OrderedDict()
        return [one for name in held for one in self._dispatch(self._models[name], now)]

    def retire(self, model: str, now: float, reason: str) -> list[Decision]:
        """Let all instances of a model finish their jobs and leave: its definition has changed.

        They do not count against `max_instances` any more, so that the new ones need not wait for the old jobs; their
        share of memory and GPU counts until they are reaped.
        """
        return [*self._leave_all(self._models[model], reason), *self._contend(now)]

    def remove_model(self, model: str, now: float) -> list[Decision]:
        """Forget a model whose queue is empty (see `drain_queue`); its instances leave."""
        state = self._models[model]
        decisions = [*self._leave_all(state, "its model was removed"), *self._settle(state, now)]
        self._held_back.pop(model, None)
        self.room.pinned = self.room.pinned - pinned(state)
        self._swaps.forget(state)
        del self._models[model]
        return decisions + self._contend(now)

    def _leave_all(self, state: ModelState, reason: str) -> list[Decision]:
        decisions = [one for slots in list(state.instances.values()) for one in self._leave(slots, reason)]
        state.leaving.clear()
        return decisions

    def hold(self, model: str, until: float) -> None:
        """Start no instance of this model before `until` (backoff, open circuit)."""
        self._models[model].not_before = until

    def stop_spawning(self) -> None:
        """Start no instance any more: the server stops."""
        self._closed = True

    def maintain(self, model: str, now: float) -> list[Decision]:
        """Start what `min_instances` and the queue need, after a hold has passed or a model was added."""
        return self._spawn_needed(self._models[model], now)

    def load(self, model: str, now: float) -> list[Decision]:
        """Start an instance unless there is one."""
        state = self._models[model]
        state.asked = not state.instances
        return self._spawn_needed(state, now)

    # Jobs

    def submit(
        self,
        model: str,
        job: str,
        now: float,
        *,
        client: str = "",
        priority: int = 0,
        prefix: tuple[bytes, ...] = (),
        keep_alive: float | None = None,
        parent: str = "",
    ) -> list[Decision]:
        """Take a new job. Raises `QueueIsFull` and `NeverFits`: then it is not taken, and nothing was decided.

        `parent` is the running job that waits for it; `find_stuck` says whether it could.
        """
        state = self._models[model]
        if not state.instances and not self._swaps.is_possible(state):
            raise NeverFits(state.needed, self._swaps.most(state))
        self._order += 1
        order = self._order - NESTED_FIRST if parent else self._order
        waiting = Waiting(job, model, client, priority, now, order, prefix, keep_alive, parent=parent)
        if parent:
            self._nested.add(waiting)
        if not state.queue.size and not self._full and (place := choose_place(state, waiting)) is not None:
            state.queue.note_turn(client)
            return [*self._assign(state, waiting, place, now), *self._spawn_needed(state, now)]
        unplaced = state.queue.size - state.queue.nested - state.reserved
        if not parent and unplaced >= state.limits.max_queue and not self._can_place(state, now):
            raise QueueIsFull(unplaced)
        state.queue.push(waiting)
        return self._dispatch(state, now)

    def requeue(self, job: str, now: float, *, solo: bool = False) -> list[Decision]:
        """Put a job back whose instance is gone (call `instance_gone` first); it keeps its place by arrival.

        With `solo` it gets an instance to itself, so that its next death is its own.
        """
        waiting = self._jobs.pop(job)[0]._replace(solo=solo)
        state = self._models[waiting.model]
        state.queue.push(waiting)
        if waiting.parent:
            self._nested.put_back(waiting)
        return self._next(state, now)

    def finish(self, instance: str, job: str, now: float) -> list[Decision]:
        """A job has left its slot, however it ended; the slot is idle."""
        slots = self._instances.get(instance)
        entry = self._jobs.pop(job, None)
        if entry is None:
            return []
        waiting, slot, _ = entry
        if waiting.parent:
            self._nested.end(job)
        state = self._models.get(waiting.model)
        if state is None:
            return []  # a reload has removed the model
        if slots is None:
            # Its instance was leaving or is dead; what it gives back is its place under `concurrency`.
            return self._next(state, now)
        slot.job, slot.used_at = None, now
        slots.running -= 1
        if waiting.keep_alive is not None:
            slots.ttl = waiting.keep_alive
        if not slots.running:
            slots.idle_since, slots.solo = now, False
        decisions = self._next(state, now)
        if self._nested.waiting or (not slots.running and self._swaps.line.want(slots.share)):
            decisions += self._contend(now)
        if not slots.gone and self._expires_at(slots) <= now:
            decisions += self._expire(slots)
        return decisions

    def cancel(self, model: str, job: str, now: float) -> list[Decision]:
        """Take a job out of its queue; harmless when it does not wait (any more). Others may have its room now."""
        state = self._models[model]
        waiting = state.queue.remove(job)
        if waiting is None:
            return []
        if waiting.parent:
            self._nested.end(job)
        self._touch(state)
        if state.name not in self._swaps.line or self._wants_instance(state):
            return []
        return [*self._settle(state, now), *self._contend(now)]

    def drain_queue(self, model: str) -> list[str]:
        """Take all waiting jobs of a model out; the caller fails them."""
        state = self._models[model]
        jobs = state.queue.drain()
        for waiting in jobs:
            if waiting.parent:
                self._nested.end(waiting.job)
        self._touch(state)
        return [waiting.job for waiting in jobs]

    def find_stuck(self) -> Stuck | None:
        """Return a nested job that would wait for ever, the youngest; the caller fails it and asks again.

        Ask after the submission of a nested job, and now and then: an instance that leaves may take the last hope.
        """
        return self._nested.find_stuck(self._swaps.can_have_room, may_spawn=not self._closed)

    # Instances

    def instance_ready(self, instance: str, capacity: int, now: float, *, load_seconds: float = 0.0) -> list[Decision]:
        """An instance has loaded and has `capacity` slots."""
        slots = self._instances.get(instance)
        if slots is None:
            return []
        state = self._models[slots.model]
        state.make_ready(slots, capacity, load_seconds, now)
        self._swaps.on_ready(slots)
        decisions = self._dispatch(state, now)
        if (old := self._instances.get(slots.replaces)) is not None:
            decisions += self._leave(old, "recycled")
        return decisions + self._contend(now)

    def recycle(self, instance: str, now: float) -> list[Decision]:
        """Replace an instance: where there is room the new one is loaded first, else the old one leaves at once.

        Either way the old one finishes its jobs. Of a model one at a time is replaced: ask again later when nothing
        was decided. Harmless when it is being replaced already.
        """
        slots = self._instances.get(instance)
        if slots is None or slots.retiring or not slots.ready or self._closed:
            return []
        state = self._models[slots.model]
        if now < state.not_before or any(one.replaces and not one.ready for one in state.instances.values()):
            return []
        slots.retiring = True
        if not self._swaps.has_room(state) or state.leaving:
            return [*self._leave(slots, "recycled"), *self._next(state, now)]
        spawn = self._spawn(state, now)
        self._instances[spawn.instance].replaces = instance
        return [spawn]

    def instance_gone(self, instance: str, now: float) -> list[Decision]:
        """An instance can take no jobs any more (it drains, dies or is dead); its jobs are the caller's to requeue.

        Its process still counts against `max_instances` until `instance_reaped`.
        """
        slots = self._instances.get(instance)
        if slots is None:
            return []
        self._take_out(slots)
        if (old := self._instances.get(slots.replaces)) is not None:
            old.retiring = False  # the replacement never came to be
        return self._next(self._models[slots.model], now)

    def instance_reaped(self, model: str, instance: str, now: float) -> list[Decision]:
        """The process of an instance that was gone has ended (or is given up): its place may be filled."""
        self.room.give_back(instance)
        state = self._models.get(model)
        if state is None:
            return self._contend(now)  # a reload has removed the model
        state.leaving.discard(instance)
        return [*self._contend(now), *self._dispatch(state, now)]

    def due(self, now: float) -> list[Decision]:
        """Return the instances whose TTL has passed, taken out; call it when `next_due` has come."""
        decisions: list[Decision] = []
        while (slots := self._expiry.pop_due(now)) is not None:
            decisions += self._expire(slots)
        return decisions + self._contend(now)

    def next_due(self, now: float) -> float | None:
        """Return when `due` will next have something, None for never."""
        due = min(self._expiry.next(), self._swaps.next_due(now))
        return None if due == NEVER else due

    # Views

    @property
    def room(self) -> Room:
        """What the instances share, and what of it is free; do not change it."""
        return self._swaps.room

    @property
    def running(self) -> int:
        """How many jobs instances have, also those that are leaving."""
        return len(self._jobs)

    def waiting(self, model: str) -> int:
        """Return how many jobs of a model wait."""
        return self._models[model].queue.size

    def position(self, model: str, job: str) -> int:
        """Return how many jobs of the model arrived earlier and still wait."""
        return self._models[model].queue.position(job)

    def has_ready_instance(self, model: str) -> bool:
        """Say whether a loaded instance of the model takes jobs."""
        return any(slots.ready for slots in self._models[model].instances.values())

    def instances(self, model: str) -> list[InstanceSlots]:
        """Return a model's instances, for views; do not change them."""
        return list(self._models[model].instances.values())

    # Jobs to slots

    @property
    def _full(self) -> bool:
        return 0 < self.concurrency <= len(self._jobs) - self._nested.running

    def _can_place(self, state: ModelState, now: float) -> bool:
        """Whether a job more in the queue means a job that leaves it, for a slot or a reservation."""
        if self._full:
            return False
        if state.has_idle_slot():
            head = state.queue.peek(now)
            return head is None or choose_place(state, head) is not None
        return self._may_spawn(state, now) and self._swaps.has_room(state)

    def _next(self, state: ModelState, now: float) -> list[Decision]:
        """Fill a place that came free: by the model itself, or under `concurrency` by whichever model is next."""
        if not self.concurrency:
            return self._dispatch(state, now)
        decisions = self._dispatch(state, now) if state.queue.nested else []  # no place under `concurrency` is needed
        if state.queue.size:
            self._held_back[state.name] = None
        for _ in range(len(self._held_back)):
            if self._full:
                break
            name, _ = self._held_back.popitem(last=False)
            decisions += self._dispatch(self._models[name], now)
        return decisions + self._spawn_needed(state, now)

    def _dispatch(self, state: ModelState, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        queue = state.queue
        while queue.size:
            if self._full and not queue.nested:
                break
            if not (queue.nested or state.has_idle_slot()) or (head := queue.peek(now)) is None:
                break
            place = choose_place(state, head, self._nested.family(head.job) if head.parent else NO_FAMILY)
            if place is None:
                break
            queue.take(head)
            decisions += self._assign(state, head, place, now)
        if queue.size and self._full:
            self._held_back[state.name] = None
        decisions += self._spawn_needed(state, now)
        return decisions

    def _assign(self, state: ModelState, head: Waiting, place: Place, now: float) -> list[Decision]:
        instance, slot, fresh = place
        slot.job, slot.context, slot.used_at = head.job, head.prefix, now
        instance.running += 1
        instance.solo = head.solo
        self._jobs[head.job] = head, slot, instance
        if head.parent:
            self._nested.begin(head.job)
        if fresh or state.reserved or not self._may_spawn(state, now) or not self._swaps.has_room(state):
            return [Assign(head.job, instance.id)]
        return [Assign(head.job, instance.id), self._spawn(state, now)]  # rule 3: the spare

    # The beginning of an instance

    def _spawn_needed(self, state: ModelState, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        while self._wants_instance(state) and self._may_spawn(state, now):
            if not self._swaps.has_room(state):
                in_line = state.name in self._swaps.line and not state.queue.nested
                if not in_line and self._swaps.is_possible(state):
                    decisions += self._make_room(state, now)
                break
            decisions.append(self._spawn(state, now))
        else:
            if state.name in self._swaps.line:
                decisions += self._settle(state, now)
        self._touch(state)
        return decisions

    def _wants_instance(self, state: ModelState) -> bool:
        there = len(state.instances)
        if there < state.limits.min_instances or (state.asked and not there):
            return True
        # A job that waits for `concurrency` needs no instance yet.
        queue, reserved = state.queue, state.reserved
        return queue.size > reserved and not state.has_idle_slot() and (not self._full or queue.nested > reserved)

    def _may_spawn(self, state: ModelState, now: float) -> bool:
        if self._closed or now < state.not_before:
            return False
        return len(state.instances) + len(state.leaving) < state.limits.max_instances

    def _spawn(self, state: ModelState, now: float) -> Spawn:
        limits = state.limits
        self._spawned += 1
        state.asked = False
        name = f"{limits.name}-{self._spawned}"
        slots = InstanceSlots(name, limits.name, self._spawned, max(1, limits.parallel), limits.ttl, since=now)
        self._instances[name] = slots
        state.add(slots)
        return Spawn(limits.name, name, self._swaps.take(state, slots))

    # Room

    def _make_room(self, state: ModelState, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        occupied = self._nested.occupied() if state.queue.nested else frozenset[str]()
        for slots in self._swaps.make_room(state, now, occupied):
            decisions += self._expire(slots, state.name)
        return decisions

    def _settle(self, state: ModelState, now: float) -> list[Decision]:
        """The model waits for no room any more; if nobody does, who was to make room goes on."""
        if state.queue.size and self._full:
            self._held_back[state.name] = None  # it waits for `concurrency` now, not for room
        decisions: list[Decision] = []
        for released in self._swaps.settle(state):
            decisions += self._dispatch(released, now)
        return decisions

    def _contend(self, now: float) -> list[Decision]:
        """Look again at those who wait for room, after something changed; at each one once."""
        decisions: list[Decision] = []
        line = self._swaps.line
        looked_at: set[str] = set()
        while line and (first := [model for model in self._first_in_line() if model not in looked_at]):
            looked_at.update(first)
            for model in first:
                state = self._models[model]
                wants = self._wants_instance(state) and self._may_spawn(state, now)
                if not wants or self._swaps.has_room(state):
                    decisions += self._dispatch(state, now)
                if model in line:
                    decisions += self._make_room(state, now)
        return decisions

    def _first_in_line(self) -> list[str]:
        line = self._swaps.line
        if not self._nested.waiting:
            return line.first_in_line()
        nested = sorted(model for model in self._nested.models() if model in line)
        return [*nested, *(model for model in line.first_in_line() if model not in nested)]

    # The end of an instance

    def _touch(self, state: ModelState) -> None:
        """The jobs, instances or limits of a model have changed: other times and reasons to end may hold."""
        self._swaps.note(state)
        if not state.queue.size:
            for slots in state.instances.values():
                if not slots.running:
                    self._expiry.update(slots)

    def _expires_at(self, slots: InstanceSlots) -> float:
        if slots.gone or slots.running or not slots.ready:
            return NEVER
        if slots.yields_to:
            return slots.idle_since
        state = self._models[slots.model]
        if slots.ttl < 0 or state.queue.size or state.ready <= state.limits.min_instances:
            return NEVER
        return slots.idle_since + slots.ttl

    def _expire(self, slots: InstanceSlots, room_for: str = "") -> list[Decision]:
        room_for = room_for or slots.yields_to
        return self._leave(slots, f"room for {room_for}" if room_for else "ttl")

    def _leave(self, slots: InstanceSlots, reason: str) -> list[Decision]:
        self._take_out(slots)
        return [Drain(slots.id, reason)]

    def _take_out(self, slots: InstanceSlots) -> None:
        """From here on it gets no job; its process still counts until it is reaped."""
        state = self._models[slots.model]
        state.take_out(slots)
        del self._instances[slots.id]
        self._expiry.forget(slots)
        self._swaps.on_taken_out(slots)
        self._touch(state)
