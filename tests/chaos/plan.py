"""What will be done, decided by a seed before anything runs: faults at their times, and each client's requests."""

import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache

from .landscape import BY_NAME, BYSTANDER, LEAKY, MODELS, RENEWED, ROOT, TIMEOUT_S, Model

LATE_S = 15.0
"""How much later than its `timeout` a request may end: the supervisor itself is stopped for up to 10 s."""
SURE_LOGITS, LONGEST_CHARS = 4.0, 200
"""Which answers of the tiny model are asked for: a lead over the second best token that no arithmetic turns round."""
BULK_WORDS, BULK_WORD_BYTES = 60, 100_000
"""A slow reader's answer: more than the buffers between worker and client hold."""


class Fault(StrEnum):
    """What is injected; the value is its name in the report."""

    SIGKILL = "SIGKILL of a worker"
    SIGSTOP = "SIGSTOP of a worker"
    SIGTERM = "SIGTERM to a worker"
    SEGFAULT = "SIGSEGV in the engine"
    ABORT = "SIGABRT in the engine"
    CRASH = "fatal engine error"
    EXIT = "exit of the worker"
    OOM = "SIGKILL as by the OOM killer"
    HANG = "hang with beats"
    FREEZE = "hang without beats"
    GIL = "GIL held for 30 s"
    LEAK = "memory leak over max_memory"
    LOAD_FAILURE = "load failure"
    LOAD_CRASH = "SIGSEGV in load"
    LOAD_SLOW = "slow load"
    LOAD_HANG = "hang in load"
    GARBAGE = "garbage frames from a worker"
    BIG_FRAMES = "oversize frames from a worker"
    STRANGER = "garbage frames from a stranger"
    IMPOSTOR = "orders for other clients' jobs"
    OVERSIZE = "oversize frames from a stranger"
    GATEWAY = "SIGKILL of the gateway"
    SUPERVISOR = "SIGSTOP of the supervisor"
    BUSY = "busy box"
    RELOAD = "reload of a changed configuration"
    BROKEN_RELOAD = "reload of a broken configuration"

    @property
    def strikes_workers(self) -> bool:
        """Whether it may end workers of its model; of anything else no worker may die."""
        return self in {*SIGNALS, *ORDERS, *LOAD_FAULTS, Fault.LEAK}


SIGNALS = (Fault.SIGKILL, Fault.SIGSTOP, Fault.SIGTERM)
ORDERS = (
    Fault.SEGFAULT, Fault.ABORT, Fault.CRASH, Fault.EXIT, Fault.OOM, Fault.HANG, Fault.FREEZE, Fault.GIL,
    Fault.GARBAGE, Fault.BIG_FRAMES,
)  # fmt: skip
LOAD_FAULTS = (Fault.LOAD_FAILURE, Fault.LOAD_CRASH, Fault.LOAD_SLOW, Fault.LOAD_HANG)
FAULTS = tuple(Fault)


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault: `at` seconds after the beginning, at `model` (whose recovery is measured); `number` is unique."""

    at: float
    fault: Fault
    model: str
    number: int


class Manner(StrEnum):
    """How a client behaves; the value is its name in the report."""

    READS = "reads to the end"
    LEAVES = "disconnects mid-stream"
    PAUSES = "reads slowly"
    HURRIES = "has a deadline that cannot be met"
    PROBES = "probe after a fault"
    ORDERS = "carries a fault"


class Api(Enum):
    """The two calls; the value is the path."""

    CHAT = "/v1/chat/completions"
    TEXT = "/v1/completions"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `expected` is the whole text of a successful answer, of which every answer must be a beginning.

    It must have ended `limit_s` seconds after it began. `seed` makes its parameters unlike those of any other.
    `leaves_after` pieces of text the client hangs up; `pause_s` is how long it reads nothing after the first one.
    """

    model: str
    prompt: str
    expected: str
    manner: Manner = Manner.READS
    api: Api = Api.CHAT
    stream: bool = True
    seed: int = 0
    timeout_s: float | None = None
    leaves_after: int = 0
    pause_s: float = 0.0
    must_fail: bool = False

    @property
    def limit_s(self) -> float:
        """When it counts as hanging, in seconds."""
        return (self.timeout_s or TIMEOUT_S) + self.pause_s + LATE_S


def injections(seed: int, seconds: float, every: float) -> list[Injection]:
    """Return a fault about every `every` seconds; each kind once before any comes again."""
    dice = random.Random(f"faults {seed}")
    bag: list[Fault] = []
    plan: list[Injection] = []
    for number in range(max(1, int(seconds / every))):
        if not bag:
            bag = dice.sample(FAULTS, len(FAULTS))
        fault = bag.pop()
        model = _target(dice, fault)
        plan.append(Injection(number * every + dice.uniform(0, every), fault, model, number))
    return plan


def _target(dice: random.Random, fault: Fault) -> str:
    if fault is Fault.LEAK:
        return LEAKY
    if fault is Fault.RELOAD:
        return RENEWED
    if fault in SIGNALS:
        return dice.choice([model.name for model in MODELS if model.victim])
    if fault in ORDERS or fault in LOAD_FAULTS:
        return dice.choice([model.name for model in MODELS if model.victim and model.obeys])
    return BYSTANDER


def requests(seed: int, client: int) -> Iterator[tuple[float, Request]]:
    """Yield what a client does for ever: seconds to think, then a request."""
    dice = random.Random(f"client {client} {seed}")
    shares = [model.share for model in MODELS]
    number = 0
    while True:
        number += 1
        model = dice.choices(MODELS, shares)[0]
        yield dice.uniform(0.1, 1.0), _request(dice, model, f"client{client} request{number}")


def probe(model: str, mark: str) -> Request:
    """Return the smallest request whose answer shows that the model serves."""
    known = BY_NAME.get(model)
    if known is not None and not known.obeys:
        seed = zlib.crc32(mark.encode()) % 2**31
        return Request(model, *known_answers()[0], Manner.PROBES, stream=False, seed=seed)
    return Request(model, mark, mark, Manner.PROBES, stream=False)


def _request(dice: random.Random, model: Model, mark: str) -> Request:
    api, stream = dice.choice(list(Api)), dice.random() < 0.7
    roll = dice.random()
    if not model.obeys:
        prompt, text = dice.choice(known_answers())
        leaves = 2 if roll < 0.15 and len(text) > 20 else 0
        manner = Manner.LEAVES if leaves else Manner.READS
        seed = dice.randint(1, 2**31 - 1)  # or two deaths by others' hands would make a prompt poison
        return Request(model.name, prompt, text, manner, stream=stream or leaves > 0, seed=seed, leaves_after=leaves)
    if roll < 0.03:
        words = [mark, *(f"{dice.getrandbits(64):016x}" * (BULK_WORD_BYTES // 16) for _ in range(BULK_WORDS))]
        text = " ".join(words)
        return Request(model.name, text, text, Manner.PAUSES, api, pause_s=dice.uniform(0.5, 3.0))
    if roll < 0.15:
        count, delay = dice.randint(20, 200), dice.uniform(0.005, 0.03)
        leaves = dice.randint(1, 10)
        prompt = f"!tokens {count} {delay:.3f}"
        return Request(model.name, prompt, tokens(count), Manner.LEAVES, api, leaves_after=leaves)
    if roll < 0.2:
        return Request(model.name, "!sleep 3", "", Manner.HURRIES, api, stream, timeout_s=1.0, must_fail=True)
    if roll < 0.25:
        return Request(model.name, f"!sleep {dice.uniform(0.1, 1.0):.2f}", "", Manner.READS, api, stream)
    if roll < 0.5:
        count = dice.randint(5, 60)
        return Request(
            model.name, f"!tokens {count} {dice.uniform(0.0, 0.02):.3f}", tokens(count), Manner.READS, api, stream
        )
    text = " ".join([mark, *(f"{dice.getrandbits(32):08x}" for _ in range(dice.randint(1, 40)))])
    return Request(model.name, text, text, Manner.READS, api, stream)


def tokens(count: int) -> str:
    """Return what `!tokens` says."""
    return " ".join(f"t{number}" for number in range(count))


@cache
def known_answers() -> tuple[tuple[str, str], ...]:
    """Return what the tiny model says to a chat of one message, where it is sure of every token."""
    items = json.loads((ROOT / "tests" / "data" / "agreement_prompts.json").read_text(encoding="utf-8"))
    chats = [item for item in items if len(item.get("messages", ())) == 1 and not item.get("tools")]
    return tuple(
        (item["messages"][0]["content"], item["expected"])
        for item in chats
        if item["margin"] >= SURE_LOGITS and len(item["expected"]) < LONGEST_CHARS
    )
