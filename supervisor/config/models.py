"""The `[models.NAME]` tables: what is served, by which engine, and how its instances are kept alive."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from infsup.protocol.spec import DeviceSpec, ModelSpec

from .engines import describe_tasks
from .place_rules import MODEL_NAME, MODEL_NAME_WORDS, engine_name, gpu_use, local_path, web_address
from .rules import ListOf, byte_size, choice, flag, seconds, text, whole
from .tables import Table
from .units import Size

_Alias = Annotated[str, text(MODEL_NAME, MODEL_NAME_WORDS)]
_Url = Annotated[str, web_address()]
_Sha256 = Annotated[str, text("[0-9A-Fa-f]{64}", "64 hexadecimal digits", optional=True)]
_Md5 = Annotated[str, text("[0-9A-Fa-f]{32}", "32 hexadecimal digits", optional=True)]
_OptionalPath = Annotated[Path | None, local_path()]
_Count = Annotated[int, whole(0)]
_Limit = Annotated[float, seconds(positive=True)]

_LOADED = (
    "task", "engine", "url", "file", "sha256", "md5", "files", "context_size", "batch_size", "parallel", "device",
    "defaults", "preload", "grammars", "tools", "python", "options",
)  # fmt: skip


class Device(Table):
    """Where the instances of a model run."""

    gpu: Annotated[bool | Literal["auto", "cuda", "vulkan", "metal"], gpu_use()] = Field(
        default="auto",
        description="`true` waits for a GPU slot, `auto` takes the processor when none is free, the name of a "
        "backend is `true` with that backend. Custom engines take no slot unless this is set.",
    )
    gpu_layers: Annotated[int, whole(-1, special="-1 for all that fit")] = Field(
        default=-1, description="Layers of the model on the GPU."
    )
    cpu_threads: Annotated[int, whole(0, 4096, "0 for cores ÷ max_instances")] = Field(
        default=0,
        description="Threads, and so cores, of one instance. Custom engines have no cores to themselves unless this is "
        "set.",
    )
    mem_lock: Annotated[bool, flag()] = Field(
        default=False, description="Keep the model's memory from being swapped out."
    )


class FileRef(Table):
    """One more file that a model needs, such as `mmproj` or `vae`: an address, a path, or both."""

    url: _Url = Field(default="", description="Where to download it. Not used yet.")
    file: _OptionalPath = Field(default=None, description="Where it is, or where the download is to be kept.")
    sha256: _Sha256 = Field(default="", description="SHA-256 checksum of the file. Not used yet.")
    md5: _Md5 = Field(default="", description="MD5 checksum of the file. Not used yet.")


class ModelConfig(Table):
    """One model. Its name is what clients ask for: letters, digits and `_ : . -`; with `.` or `:` it needs quotes."""

    task: Annotated[str, text(r"[a-z0-9]+(?:-[a-z0-9]+)*", describe_tasks())] = Field(
        description="What the model does. A `text-completion` model serves chat too if it has a chat template."
    )
    engine: Annotated[str, engine_name()] = Field(
        description="What runs it: one of the built-in engines, a class of your own as `package.module:Class`, or the "
        "name of an installed entry point of the group `infsup.engines`."
    )
    aliases: Annotated[tuple[_Alias, ...], ListOf("names")] = Field(
        default=(), description="Other names for the model."
    )
    url: _Url = Field(default="", description="Where to download the model. Not used yet: it needs `file` too.")
    file: _OptionalPath = Field(
        default=None,
        description="The model's file, or directory where the engine wants one: a `.gguf` file for `llama-cpp`; a "
        "`.onnx` file, or a directory with one (also in `onnx/`), for `onnx`.",
    )
    sha256: _Sha256 = Field(default="", description="SHA-256 checksum of the model's file. Not used yet.")
    md5: _Md5 = Field(default="", description="MD5 checksum of the model's file. Not used yet.")
    files: dict[str, FileRef] = Field(
        default_factory=dict[str, FileRef], description="More files by component, such as `mmproj` or `vae`; see below."
    )
    prepare: Annotated[Literal["on-demand", "blocking", "async"], choice("on-demand", "blocking", "async")] = Field(
        default="on-demand",
        description="When missing files are downloaded: with the first request, before the server is ready, or in the "
        "background from the start. Not used yet.",
    )
    min_instances: Annotated[int, whole(0, 1024)] = Field(
        default=0, description="Instances that are always kept loaded."
    )
    max_instances: Annotated[int, whole(1, 1024)] = Field(default=1, description="Instances at most.")
    ttl: Annotated[float, seconds(zero="the end of each job", never="never")] = Field(
        default=300.0, description="Seconds of idleness after which an instance ends; never below `min_instances`."
    )
    context_size: Annotated[int, whole(0, special="0 for the model's own, as far as memory allows")] = Field(
        default=0, description="Tokens that one sequence may hold, prompt and answer together."
    )
    batch_size: Annotated[int, whole(1)] = Field(
        default=512, description="Prompt tokens that are computed at once; never more than `context_size`."
    )
    parallel: Annotated[int, whole(1, 256)] = Field(
        default=1,
        description="Sequences that one instance of `llama-cpp` decodes together; it holds `parallel` × `context_size` "
        "tokens. The engine `fault` has `options.capacity`.",
    )
    max_queue: _Count = Field(
        default=512, description="Jobs that may wait without a place in an instance. More get status 429."
    )
    timeout: Annotated[float, seconds(zero="none")] = Field(
        default=0.0, description="Seconds from the acceptance of a job to its end."
    )
    retries: Annotated[int, whole(0, 100)] = Field(
        default=1, description="Fresh starts of a job whose worker died before it had sent anything."
    )
    start_timeout: _Limit = Field(default=60.0, description="Seconds until a new process says hello.")
    load_timeout: _Limit = Field(default=300.0, description="Seconds without progress while the model is loaded.")
    prefill_timeout: _Limit = Field(default=120.0, description="Seconds without progress while a prompt is read.")
    stall_timeout: _Limit = Field(default=60.0, description="Seconds without progress while an answer is made.")
    opaque_timeout: _Limit = Field(
        default=600.0,
        description="Seconds without progress in a library call that reports none, such as one diffusion step.",
    )
    beat_interval: _Limit = Field(default=1.0, description="Seconds between a worker's signs of life.")
    beat_timeout: _Limit = Field(
        default=15.0,
        description="Seconds without a sign of life after which a worker is replaced; more than `beat_interval`.",
    )
    cancel_grace: Annotated[float, seconds()] = Field(
        default=5.0, description="Seconds that a cancelled job gets to stop before its worker is replaced."
    )
    max_restarts: Annotated[int, whole(-1, special="-1 for no limit")] = Field(
        default=5, description="Deaths within `restart_window` after which the model counts as unavailable."
    )
    restart_window: _Limit = Field(default=60.0, description="Seconds in which `max_restarts` deaths are too many.")
    recycle_after_jobs: Annotated[int, whole(0, special="0 for never")] = Field(
        default=0, description="Jobs after which an instance is replaced."
    )
    recycle_after_seconds: Annotated[float, seconds(zero="never")] = Field(
        default=0.0, description="Seconds of age after which an instance is replaced."
    )
    max_memory: Annotated[Size | None, byte_size(optional=True)] = Field(
        default=None,
        description="Memory of its own (not shared, swap included), in bytes, over which an instance is replaced.",
    )
    device: Device = Field(default=Device(), description="Where the instances run; see below.")
    defaults: dict[str, Any] = Field(
        default_factory=dict[str, Any],
        description="Values for request parameters that a client leaves out, such as `temperature` or `max_tokens`.",
    )
    preload: dict[str, Any] = Field(
        default_factory=dict[str, Any],
        description="What an instance reads ahead of the first request: `messages` (a chat) or `prefix` (a text). "
        "Requests that begin so need not read it again. Used by `llama-cpp`.",
    )
    grammars: dict[str, Any] = Field(
        default_factory=dict[str, Any],
        description="Named grammars that requests may ask for: GBNF text, or a table that is a JSON Schema. "
        "Not used yet.",
    )
    tools: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="Tools that the server itself runs. Not used yet."
    )
    python: _OptionalPath = Field(default=None, description="Another Python interpreter for this model's workers.")
    options: dict[str, Any] = Field(default_factory=dict[str, Any], description="Options of the engine; see below.")

    def load_key(self) -> str:
        """Return 16 hex digits that are equal for two models exactly when a loaded instance of one can serve the other.

        Covers all that a worker is told when it loads; not names, limits, timeouts or counts.
        """
        loaded = self.model_dump(mode="json", include=set(_LOADED))
        return hashlib.sha256(json.dumps(loaded, sort_keys=True).encode()).hexdigest()[:16]

    def to_spec(self, name: str, device: DeviceSpec, file: Path | None, files: Mapping[str, Path]) -> ModelSpec:
        """Return what a worker is asked to load; `file` and `files` are where the files are now."""
        return ModelSpec(
            name=name,
            task=self.task,
            engine=self.engine,
            file=str(file) if file else "",
            files={component: str(place) for component, place in files.items()},
            context_size=self.context_size,
            batch_size=self.batch_size,
            parallel=self.parallel,
            device=device,
            defaults=self.defaults,
            preload=self.preload,
            grammars=self.grammars,
            tools=self.tools,
            options=self.options,
        )
