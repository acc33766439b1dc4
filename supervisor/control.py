"""Control calls: what operators, the gateway and programs may ask of a running supervisor."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from infsup.protocol.errors import Conflict, InvalidRequest, NotFound

from .config import Config
from .decisions import Decision
from .dispatch import Dispatcher
from .instance import Instance
from .lifecycle import State
from .pool import Pool
from .preparation import Preparation, Stage
from .restarts import Restarts
from .scheduler import Scheduler


class Host(Protocol):
    """The running supervisor, as far as control calls need it."""

    started_at: float
    address: tuple[str, int]

    def request_stop(self, *, immediate: bool) -> None:
        """Begin to stop."""
        ...

    def gateway_ready(self, name: str) -> None:
        """A gateway answers HTTP."""
        ...

    def client_beat(self, peer: bytes) -> None:
        """A client, which may be a gateway, is alive."""
        ...

    def watch(self, lag: float) -> None:
        """Look after the gateways; for `lag` seconds nothing was read from the sockets."""
        ...

    def reload(self) -> Awaitable[dict[str, Any]]:
        """Read the configuration again and take over what differs. Raises `InfsupError`."""
        ...

    def carry_out(self, decisions: list[Decision]) -> None:
        """Carry out decisions of the scheduler."""
        ...


Verb = Callable[..., Any]


class Control:
    """The verbs. Each takes keyword arguments from a client and returns plain values."""

    def __init__(
        self,
        host: Host,
        config: Config,
        *,
        scheduler: Scheduler,
        pool: Pool,
        restarts: Restarts,
        dispatcher: Dispatcher,
        preparation: Preparation,
    ) -> None:
        """Keep what the verbs look at."""
        self._host = host
        self._config = config
        self._scheduler = scheduler
        self._pool = pool
        self._restarts = restarts
        self._preparation = preparation
        self._dispatcher = dispatcher
        self._verbs: Mapping[str, Verb] = {
            "ping": self._ping,
            "status": self._status,
            "server": self._server,
            "models": self._models,
            "instances": self._instances,
            "deaths": self._deaths,
            "logs": self._logs,
            "load": self._load,
            "unload": self._unload,
            "kill": self._kill,
            "reset": self._reset,
            "jobs": self._jobs,
            "cancel": self._cancel,
            "stop": self._stop,
            "ready": self._ready,
            "reload": self._reload,
            "gateway_ready": self._gateway_ready,
        }

    def set_config(self, config: Config) -> None:
        """Take over another configuration."""
        self._config = config

    def call(self, verb: object, args: object) -> Any:
        """Run a verb. Raises `InvalidRequest` for an unknown verb or wrong arguments, and what the verb raises."""
        function = self._verbs.get(verb) if isinstance(verb, str) else None
        if function is None:
            raise InvalidRequest(f"unknown control call {verb!r}; there are: {', '.join(self._verbs)}")
        if not isinstance(args, dict):
            raise InvalidRequest(f"{verb}: the arguments must be a map, found {type(args).__name__}")
        arguments: dict[Any, Any] = dict(args)  # pyright: ignore[reportUnknownArgumentType]
        allowed = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        for name in arguments:
            if name not in allowed:
                raise InvalidRequest(f"{verb}: unknown argument {name!r}; there are: {', '.join(allowed) or 'none'}")
        missing = [name for name in allowed if name not in arguments]
        missing = missing[: len(missing) - len(function.__defaults__ or ())]
        if missing:
            raise InvalidRequest(f"{verb}: the argument {missing[0]!r} is missing")
        for name, value in arguments.items():
            wanted = function.__annotations__[name]
            if not isinstance(value, wanted):
                raise InvalidRequest(
                    f"{verb}: {name}: found {type(value).__name__}, allowed is {wanted.__name__}", param=name
                )
        return function(**arguments)

    def _ping(self) -> str:
        return "pong"

    def _server(self) -> dict[str, Any]:
        host, port = self._host.address
        return {
            "pid": os.getpid(),
            "host": host,
            "port": port,
            "config": str(self._config.path or ""),
            "uptime": time.time() - self._host.started_at,
            "jobs": len(self._dispatcher.jobs),
            "stray_packets": self._dispatcher.stray_packets,
            "dropped_messages": self._dispatcher.complaints.count,
        }

    def _status(self) -> dict[str, Any]:
        jobs = list(self._dispatcher.jobs)
        processing = sum(bool(record.instance) for record in jobs)
        return {
            "pool": {
                "processing": processing,
                "pending": len(jobs) - processing,
                "instances": {instance.id: describe(instance) for instance in self._pool.instances.values()},
            },
            "store": {
                name: {
                    "engine": model.engine,
                    "status": self._model_status(name),
                    "device": {"gpu": model.device.gpu},
                    "minInstances": model.min_instances,
                    "maxInstances": model.max_instances,
                    "downloads": [],
                }
                for name, model in self._config.models.items()
            },
        }

    def _models(self) -> list[dict[str, Any]]:
        return [
            {
                "id": name,
                "task": model.task,
                "engine": model.engine,
                "created": int(self._host.started_at),
                "status": self._model_status(name),
                "aliases": list(model.aliases),
                "context_size": self._context_size(name) or model.context_size,
            }
            for name, model in self._config.models.items()
        ]

    def _instances(self) -> list[dict[str, Any]]:
        return [{"id": instance.id, **describe(instance)} for instance in self._pool.instances.values()]

    def _deaths(self) -> list[dict[str, Any]]:
        return self._pool.deaths.to_wire()

    def _logs(self, model: str) -> dict[str, list[str]]:
        name = self._dispatcher.resolve(model)
        dead = {death.instance: list(death.log_tail) for death in self._pool.deaths if death.model == name}
        living = {
            instance.id: instance.process.ring.tail()
            for instance in self._pool.instances.values()
            if instance.model == name
        }
        return dead | living

    def _load(self, model: str) -> dict[str, Any]:
        name = self._dispatcher.resolve(model)
        self._preparation.want(name)
        self._host.carry_out(self._scheduler.load(name, self._pool.now()))
        return {"model": name, "status": self._model_status(name)}

    def _unload(self, model: str) -> dict[str, Any]:
        name = self._dispatcher.resolve(model)
        ended = [instance for instance in self._pool.instances.values() if instance.model == name]
        for instance in ended:
            self._pool.drain(instance, "unload", self._config.pool.drain_timeout)
        return {"model": name, "instances": [instance.id for instance in ended]}

    def _kill(self, instance: str) -> dict[str, Any]:
        found = self._pool.instances.get(instance)
        if found is None:
            raise NotFound(f"no instance {instance!r}; there are: {', '.join(self._pool.instances) or 'none'}")
        if found.ended:
            raise Conflict(f"instance {instance!r} has ended already")
        self._pool.kill(found, "killed by an operator")
        return {"instance": instance}

    def _reset(self, model: str) -> dict[str, Any]:
        name = self._dispatcher.resolve(model)
        self._dispatcher.forgive()
        self._preparation.forgive(name)
        self._pool.reset(name)
        return {"model": name, "status": self._model_status(name)}

    def _jobs(self) -> list[dict[str, Any]]:
        """List jobs, without what they ask."""
        now = self._pool.now()
        return [
            {
                "id": record.id,
                "model": record.model,
                "task": record.header.task,
                "state": "running" if record.instance else "queued",
                "instance": record.instance,
                "priority": record.header.priority,
                "age": round(now - record.accepted_at, 3),
            }
            for record in self._dispatcher.jobs
        ]

    def _cancel(self, job: str, client: str = "") -> dict[str, Any]:
        """Cancel a job, with `client` only one of this fairness key."""
        record = self._dispatcher.jobs.get(job)
        foreign = record is not None and client and record.header.client != client
        if foreign or not self._dispatcher.on_cancel(b"", job):
            raise NotFound(f"no job {job!r} is waiting or running")
        return {"job": job}

    def _stop(self, immediate: bool = False) -> dict[str, Any]:
        self._host.request_stop(immediate=bool(immediate))
        return {"pid": os.getpid()}

    def _ready(self) -> dict[str, Any]:
        """Say whether blocking models are prepared and `min_instances` are up, and which models are not."""
        waits = dict.fromkeys(self._preparation.unready(), "is being prepared")
        for name, model in self._config.models.items():
            ready = sum(one.ready for one in self._scheduler.instances(name)) if model.min_instances else 0
            if ready < model.min_instances:
                waits.setdefault(name, f"{ready} of {model.min_instances} instances are ready (min_instances)")
        return {"ready": not waits and not self._dispatcher.stopping, "waiting": waits}

    def _reload(self) -> Awaitable[dict[str, Any]]:
        return self._host.reload()

    def _gateway_ready(self, name: str = "") -> None:
        self._host.gateway_ready(name)

    def _model_status(self, name: str) -> str:
        if self._scheduler.has_ready_instance(name):
            return "ready"
        if self._restarts.is_out(name) or self._preparation.stage(name) is Stage.FAILED:
            return "unavailable"
        if self._preparation.stage(name) is Stage.PREPARING:
            return "preparing"
        return "loading" if self._scheduler.instances(name) else "unloaded"

    def _context_size(self, name: str) -> int:
        for instance in self._pool.instances.values():
            if instance.model == name and instance.loaded is not None:
                size = instance.loaded.info.get("context_size", 0)
                return size if isinstance(size, int) else 0
        return 0


def describe(instance: Instance) -> dict[str, Any]:
    """Return an instance as status pages show it. Times are ISO 8601 (UTC), memory in bytes."""
    return {
        "model": instance.model,
        "engine": instance.engine,
        "state": instance.state.value,
        "device": instance.loaded.device if instance.loaded else ("gpu" if instance.gpu else "cpu"),
        "pid": instance.process.pid,
        "cores": list(instance.cores),
        "jobs": sorted(instance.jobs),
        "contextState": {"used": instance.context_used, "size": _size(instance)},
        "lastUsed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instance.last_used_wall)),
        "rssAnon": instance.memory[-1] if instance.memory else 0,
        "phase": instance.phase if instance.state is not State.STARTING else "starting",
    }


def _size(instance: Instance) -> int:
    size = instance.loaded.info.get("context_size", 0) if instance.loaded else 0
    return size if isinstance(size, int) else 0
