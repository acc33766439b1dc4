"""The tables of a configuration that concern the server as a whole; each key says its unit and what is allowed."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .place_rules import core_numbers, gpu_slot_count, listen_address, local_path
from .rules import ListOf, byte_size, choice, flag, seconds, text, whole
from .units import Share, Size

_ApiKey = Annotated[str, text(r"[!-~]+", "a text of one or more visible ASCII characters without spaces")]
_Origin = Annotated[
    str, text(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+", '"*" or an origin such as "https://example.org", without a path')
]


class Table(BaseModel):
    """A table of the configuration: immutable, no unknown keys, no conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Server(Table):
    """The HTTP side: where it listens and whom it lets in."""

    host: Annotated[str, listen_address()] = Field(default="127.0.0.1", description="Address or name to listen on.")
    port: Annotated[int, whole(0, 65535, "0 for any free one")] = Field(
        default=8000, description="TCP port to listen on."
    )
    api_keys: Annotated[tuple[_ApiKey, ...], ListOf("keys")] = Field(
        default=(),
        repr=False,
        description="Keys that clients may send as `Authorization: Bearer KEY`. None at all (here and in "
        "`api_keys_file`) means that everybody may ask, which is allowed on loopback addresses only, unless "
        "`insecure` is true.",
    )
    api_keys_file: Annotated[Path | None, local_path()] = Field(
        default=None,
        description="A file with more keys, one a line; empty lines and lines that begin with `#` are skipped.",
    )
    insecure: Annotated[bool, flag()] = Field(
        default=False, description="Allow a server without keys on an address that other machines can reach."
    )
    cors_origins: Annotated[tuple[_Origin, ...], ListOf("origins")] = Field(
        default=(), description='Origins whose web pages may call the server from a browser; `"*"` is every origin.'
    )
    max_body: Annotated[Size, byte_size()] = Field(
        default=Size(50_000_000), description="Largest HTTP request body, in bytes. Larger ones get status 413."
    )
    gateways: Annotated[int, whole(1, 64)] = Field(
        default=1, description="Number of gateway processes that share the port."
    )


class Pool(Table):
    """What all models together may use, and how they share it."""

    concurrency: Annotated[int, whole(0, special="0 for what the instances can take")] = Field(
        default=0, description="Jobs that run at once over all models."
    )
    memory: Annotated[Size | Share, byte_size(share=True)] = Field(
        default=Share(80),
        description="Memory for all instances, in bytes or as a share of RAM (or of the cgroup's limit).",
    )
    gpu_slots: Annotated[int | Literal["auto"], gpu_slot_count()] = Field(
        default="auto", description="Instances that may use the GPU at once; `auto` is 1 if a GPU is found, else 0."
    )
    cores: Annotated[tuple[int, ...] | Literal["auto"], core_numbers()] = Field(
        default="auto", description="Processor cores for the instances; `auto` is all that the supervisor may use."
    )
    swap_patience: Annotated[float, seconds()] = Field(
        default=10.0,
        description="Seconds for which a model with work keeps a place (GPU slot or memory) that another one waits "
        "for; at least three times its load time.",
    )
    drain_timeout: Annotated[float, seconds()] = Field(
        default=30.0, description="Seconds that running jobs get to finish when the server stops."
    )
    prepare_concurrency: Annotated[int, whole(1, 64)] = Field(
        default=2, description="Models whose files are downloaded or checked at once. Not used yet."
    )


class Store(Table):
    """Where downloaded model files are kept."""

    path: Annotated[Path, local_path(optional=False)] = Field(
        default=Path("~/.cache/infsup"), validate_default=True, description="Directory of the downloaded files."
    )


class Log(Table):
    """What is logged, and how. Prompts are never logged, except at level `trace`."""

    level: Annotated[
        Literal["trace", "debug", "info", "warning", "error"], choice("trace", "debug", "info", "warning", "error")
    ] = Field(default="info", description="The least important kind of message that is still logged.")
    format: Annotated[Literal["text", "json"], choice("text", "json")] = Field(
        default="text", description="`text` for people, `json` for one JSON object a line."
    )
