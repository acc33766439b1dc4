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

The cost of an event depends on the instances and clients of one model, never on the number of models. The one who
calls must carry out every decision, in order; a decision is already entered in the state when it is returned.
"""

from collections import OrderedDict
from dataclasses import replace

from .decisions import Assign, Decision, Drain, ModelLimits, NeverFits, QueueIsFull, Spawn
from .queue import Waiting
from .room import UNLIMITED, Contenders, Gpu, Room, Share, Tenant, choose_leavers, least
from .slots import InstanceSlots, ModelState, Slot


class Scheduler:
    """The one owner of queues and slots."""

    def __init__(self, concurrency: int = 0, *, total: Share = UNLIMITED, swap_patience: float = 10.0) -> None:
        """`concurrency` caps the jobs running at once over all models, 0 = no cap; `total` is what they share."""
        self.concurrency = concurrency
        self.room = Room(total)
        self._contenders = Contenders()
        self._swap_patience = swap_patience
        self._pinned = Share()
        self._models: dict[str, ModelState] = {}
        self._instances: dict[str, InstanceSlots] = {}
        self._leaving: set[str] = set()
        self._jobs: dict[str, Waiting] = {}
        self._keep_alive: dict[str, float] = {}
        self._held_back: OrderedDict[str, None] = OrderedDict()
        self._closed = False
        self._order = 0
        self._spawned = 0

    # Models

    def set_model(self, limits: ModelLimits) -> None:
        """Add a model, or change its limits."""
        state = self._models.get(limits.name)
        if state is not None:
            self._pinned = self._pinned - _pinned(state.limits)
            state.limits = limits
        else:
            self._models[limits.name] = ModelState(limits)
        self._pinned = self._pinned + _pinned(limits)

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
    ) -> list[Decision]:
        """Take a new job. Raises `QueueIsFull` and `NeverFits` (the job is then not taken)."""
        state = self._models[model]
        self._check_possible(state)
        self._order += 1
        waiting = Waiting(job, model, client, priority, now, self._order, prefix)
        if keep_alive is not None:
            self._keep_alive[job] = keep_alive
        state.queue.push(waiting)
        decisions = self._dispatch(state, now)
        unplaced = len(state.queue) - state.reserved
        if job in state.queue and unplaced > state.limits.max_queue:
            state.queue.remove(job)
            self._keep_alive.pop(job, None)
            raise QueueIsFull(unplaced - 1)
        return decisions

    def requeue(self, job: str, now: float, *, solo: bool = False) -> list[Decision]:
        """Put a job back whose instance is gone (call `instance_gone` first); it keeps its place by arrival.

        With `solo` it gets an instance to itself, so that its next death is its own.
        """
        waiting = replace(self._jobs.pop(job), solo=solo)
        state = self._models[waiting.model]
        state.queue.push(waiting)
        return self._next(state, now)

    def finish(self, instance: str, job: str, now: float) -> list[Decision]:
        """A job has left its slot, however it ended; the slot is idle."""
        slots = self._instances.get(instance)
        waiting = self._jobs.pop(job, None)
        keep_alive = self._keep_alive.pop(job, None)
        if slots is None:
            # Its instance was leaving or is dead; what it gives back is its place under `concurrency`.
            return [] if waiting is None else self._next(self._models[waiting.model], now)
        state = self._models[slots.model]
        for slot in slots.slots:
            if slot.job == job:
                slot.job, slot.used_at = None, now
        if keep_alive is not None:
            slots.ttl = keep_alive
        if slots.running == 0:
            slots.idle_since, slots.solo = now, False
        decisions = self._next(state, now)
        if self._contenders and slots.running == 0:
            decisions += self._contend(now)
        if instance in self._instances and self._expires_at(slots) <= now:
            decisions += self._expire(slots)
        return decisions

    def cancel(self, model: str, job: str) -> bool:
        """Take a waiting job out of its queue; false when it does not wait (any more)."""
        state = self._models[model]
        if state.queue.remove(job) is None:
            return False
        self._keep_alive.pop(job, None)
        if not self._wants_instance(state):
            self._settle(state)
        return True

    def drain_queue(self, model: str) -> list[str]:
        """Take all waiting jobs of a model out; the caller fails them."""
        return [waiting.job for waiting in self._models[model].queue.drain()]

    # Instances

    def instance_ready(self, instance: str, capacity: int, now: float, *, load_seconds: float = 0.0) -> list[Decision]:
        """An instance has loaded and has `capacity` slots."""
        slots = self._instances.get(instance)
        if slots is None:
            return []
        slots.ready, slots.capacity, slots.idle_since = True, capacity, now
        slots.load_seconds, slots.since = load_seconds, now
        slots.slots = [Slot(used_at=now) for _ in range(capacity)]
        decisions = self._dispatch(self._models[slots.model], now)
        if (old := self._instances.get(slots.replaces)) is not None:
            decisions += self._leave(old, "recycled")
        return decisions + self._contend(now)

    def recycle(self, instance: str, now: float) -> list[Decision]:
        """Replace an instance: where there is room the new one is loaded first, else the old one leaves at once.

        Either way the old one finishes its jobs. Harmless when it is being replaced already.
        """
        slots = self._instances.get(instance)
        if slots is None or slots.retiring or not slots.ready or self._closed:
            return []
        state = self._models[slots.model]
        if now < state.not_before:
            return []
        slots.retiring = True
        if not self._has_room(state) or state.leaving:
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
        state = self._models[model]
        state.leaving.discard(instance)
        self._leaving.discard(instance)
        self.room.give_back(instance)
        return [*self._contend(now), *self._dispatch(state, now)]

    def due(self, now: float) -> list[Decision]:
        """Return the instances whose TTL has passed, taken out; call it when `next_due` has come."""
        decisions: list[Decision] = []
        for slots in list(self._instances.values()):
            if self._expires_at(slots) <= now:
                decisions += self._expire(slots)
        return decisions + self._contend(now)

    def next_due(self, now: float) -> float | None:
        """Return when `due` will next have something, None for never."""
        times = [self._expires_at(slots) for slots in self._instances.values()]
        if self._contenders:
            # Those whose patience is over already were looked at: only an event can change what came of it.
            times += [at for slots in self._instances.values() if (at := self._patience_ends(slots)) > now]
        due = min(times, default=_NEVER)
        return None if due == _NEVER else due

    # Views

    @property
    def running(self) -> int:
        """How many jobs instances have, also those that are leaving."""
        return len(self._jobs)

    def waiting(self, model: str) -> int:
        """Return how many jobs of a model wait."""
        return len(self._models[model].queue)

    def position(self, model: str, job: str) -> int:
        """Return how many jobs of the model arrived earlier and still wait."""
        return next((place for place, waiting in enumerate(self._models[model].queue.jobs()) if waiting.job == job), 0)

    def has_ready_instance(self, model: str) -> bool:
        """Say whether a loaded instance of the model takes jobs."""
        return any(slots.ready for slots in self._models[model].instances.values())

    def instances(self, model: str) -> list[InstanceSlots]:
        """Return a model's instances, for views; do not change them."""
        return list(self._models[model].instances.values())

    # Rules

    @property
    def _full(self) -> bool:
        return 0 < self.concurrency <= self.running

    def _next(self, state: ModelState, now: float) -> list[Decision]:
        """Fill a place that came free: by the model itself, or under `concurrency` by whichever model is next."""
        if not self.concurrency:
            return self._dispatch(state, now)
        if len(state.queue):
            self._held_back[state.limits.name] = None
        decisions: list[Decision] = []
        for _ in range(len(self._held_back)):
            if self._full:
                break
            name, _ = self._held_back.popitem(last=False)
            decisions += self._dispatch(self._models[name], now)
        return decisions + self._spawn_needed(state, now)

    def _dispatch(self, state: ModelState, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        while (head := state.queue.peek(now)) is not None:
            if self._full:
                self._held_back[state.limits.name] = None
                break
            choice = self._choose_slot(state, head)
            if choice is None:
                break
            slots, slot, fresh = choice
            state.queue.pop(now)
            slot.job, slot.context, slot.used_at = head.job, head.prefix, now
            slots.solo = head.solo
            self._jobs[head.job] = head
            decisions.append(Assign(head.job, slots.id))
            if not fresh and not state.reserved and self._may_spawn(state, now) and self._has_room(state):
                decisions.append(self._spawn(state, now))  # rule 3, the spare
        decisions += self._spawn_needed(state, now)
        return decisions

    def _choose_slot(self, state: ModelState, head: Waiting) -> tuple[InstanceSlots, Slot, bool] | None:
        """Return the slot for a job and whether nothing is lost by taking it (rules 1 and 2, or no context at all)."""
        best: tuple[tuple[int, float], InstanceSlots, Slot] | None = None
        for slots, slot in self._idle_slots(state):
            if head.solo and slots.running:
                continue
            shared = _common_prefix(slot.context, head.prefix)
            # A longer context that shares the same prefix would be cut; among equals the least recently used goes.
            empty = 0 if slot.context else 1
            rank = (2 * shared + (empty if not shared else 0), -slot.used_at)
            if best is None or rank > best[0]:
                best = (rank, slots, slot)
        if best is None:
            return None
        (worth, _), slots, slot = best
        return slots, slot, worth > 0 or not head.prefix

    def _idle_slots(self, state: ModelState) -> list[tuple[InstanceSlots, Slot]]:
        return [
            (slots, slot)
            for slots in state.instances.values()
            if slots.ready and not slots.solo and not slots.yields_to
            for slot in slots.slots
            if slot.job is None
        ]

    def _spawn_needed(self, state: ModelState, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        while self._wants_instance(state) and self._may_spawn(state, now):
            if not self._has_room(state):
                if state.limits.name not in self._contenders:
                    decisions += self._make_room(state, now)
                return decisions
            decisions.append(self._spawn(state, now))
        self._settle(state)
        return decisions

    def _wants_instance(self, state: ModelState) -> bool:
        if len(state.instances) < state.limits.min_instances or (state.asked and not state.instances):
            return True
        # A job that waits for `concurrency` needs no instance yet.
        return not self._full and len(state.queue) > state.reserved and not self._idle_slots(state)

    def _may_spawn(self, state: ModelState, now: float) -> bool:
        if self._closed or now < state.not_before:
            return False
        return len(state.instances) + len(state.leaving) < state.limits.max_instances

    def _spawn(self, state: ModelState, now: float) -> Spawn:
        limits = state.limits
        self._spawned += 1
        state.asked = False
        name = f"{limits.name}-{self._spawned}"
        slots = InstanceSlots(name, limits.name, max(1, limits.parallel), limits.ttl, since=now)
        state.instances[name] = self._instances[name] = slots
        share = least(limits.needs)
        extra = Share(gpu=1)
        if limits.needs.gpu is Gpu.AUTO and self.room.free.covers(extra):
            share = share if self._contenders.is_ahead(limits.name, extra) else share + extra
        self.room.take(name, share)
        return Spawn(limits.name, name, share.gpu > 0)

    # Room

    def _check_possible(self, state: ModelState) -> None:
        needed = least(state.limits.needs)
        possible = self.room.total - self._pinned + _pinned(state.limits)
        if not possible.covers(needed):
            raise NeverFits(needed, possible)

    def _has_room(self, state: ModelState) -> bool:
        needed = least(state.limits.needs)
        return self.room.free.covers(needed) and not self._contenders.is_ahead(state.limits.name, needed)

    def _settle(self, state: ModelState) -> None:
        """The model waits for no room any more; if nobody does, who was to make room goes on."""
        if self._contenders.remove(state.limits.name) and not self._contenders:
            for slots in self._instances.values():
                slots.yields_to = ""

    def _contend(self, now: float) -> list[Decision]:
        """Look again at those who wait for room, after something changed."""
        decisions: list[Decision] = []
        for model in self._contenders.first_in_line():
            state = self._models[model]
            decisions += self._dispatch(state, now)
            if model in self._contenders:
                decisions += self._make_room(state, now)
        return decisions

    def _make_room(self, state: ModelState, now: float) -> list[Decision]:
        """Rule 5: let those leave who have no work, and those whose time is over once their jobs are done."""
        needed = least(state.limits.needs)
        coming = self.room.held([*self._leaving, *(one.id for one in self._instances.values() if one.yields_to)])
        available = self.room.free + coming
        lacking = Share(max(0, needed.memory - self.room.free.memory), max(0, needed.gpu - self.room.free.gpu))
        self._contenders.add(state.limits.name, lacking if lacking != Share() else needed)
        if available.covers(needed):
            return []
        tenants = self._tenants(state, now)
        leavers = choose_leavers(self.room, coming, needed, (tenant for tenant in tenants if tenant.idle >= 0))
        if leavers is None:
            leavers = choose_leavers(self.room, coming, needed, tenants) or []
        decisions: list[Decision] = []
        for name in leavers:
            slots = self._instances[name]
            if slots.running:
                slots.yields_to = state.limits.name
            else:
                decisions += self._expire(slots, state.limits.name)
        return decisions

    def _tenants(self, contender: ModelState, now: float) -> list[Tenant]:
        """Return who may be ended for the contender: `idle` is negative for those that still have work."""
        tenants: list[Tenant] = []
        for state in {slots.model: self._models[slots.model] for slots in self._instances.values()}.values():
            if state is contender:
                continue
            mine = [slots for slots in state.instances.values() if slots.ready]
            spare = len(state.instances) - state.limits.min_instances
            with_work = [slots for slots in mine if slots.running or len(state.queue)]
            idle = sorted((slots for slots in mine if slots not in with_work), key=lambda one: one.idle_since)
            over = [slots for slots in with_work if self._patience_ends(slots) <= now]
            candidates = [Tenant(one.id, now - one.idle_since, one.load_seconds) for one in idle]
            candidates += [Tenant(one.id, -1.0, one.load_seconds) for one in over]
            tenants += candidates[: max(0, spare)]
        return tenants

    def _patience_ends(self, slots: InstanceSlots) -> float:
        """When an instance with work has had its room long enough; never again once it makes room."""
        if not slots.ready or slots.yields_to:
            return _NEVER
        return slots.since + max(self._swap_patience, 3 * slots.load_seconds)

    # The end of an instance

    def _expires_at(self, slots: InstanceSlots) -> float:
        state = self._models[slots.model]
        if slots.yields_to and not slots.running:
            return slots.idle_since
        if not slots.ready or slots.running or slots.ttl < 0 or len(state.queue):
            return _NEVER
        if len(state.instances) <= state.limits.min_instances:
            return _NEVER
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
        del self._instances[slots.id], state.instances[slots.id]
        state.leaving.add(slots.id)
        self._leaving.add(slots.id)


_NEVER = float("inf")


def _pinned(limits: ModelLimits) -> Share:
    share = least(limits.needs)
    return Share(share.memory * limits.min_instances, share.gpu * limits.min_instances)


def _common_prefix(left: tuple[bytes, ...], right: tuple[bytes, ...]) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count
