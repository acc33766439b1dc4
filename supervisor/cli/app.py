"""The commands."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from infsup.protocol.runtime import runtime_directory
from infsup.supervisor.config import ConfigError, find_config
from infsup.supervisor.local_config import load_here

from .remote import call, wait_until_gone
from .tables import show_deaths, show_instances, show_json, show_logs, show_problems, show_status

app = typer.Typer(
    help="Runs local AI models, each in a process of its own, behind an OpenAI-compatible API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[CONFIG]",
        help="Configuration file; default: $INFSUP_CONFIG, then ./infsup.toml.",
        show_default=False,
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Configuration of the running server, as given to start.", show_default=False),
]
RuntimeOption = Annotated[
    Path | None, typer.Option("--runtime-dir", help="Directory of the server's sockets.", show_default=False)
]
RELOAD_SECONDS = 60.0
"""New gateways have to start before a reload is over."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"infsup {version('infsup')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    del show_version


@app.command(add_help_option=False)
def start() -> None:
    """Start the server and stay in the foreground; see `infsup start --help`."""
    # Only for the list of commands: `main` sends `infsup start` straight to the server.


@app.command()
def check(config: ConfigArgument = None, as_json: JsonOption = False) -> None:
    """Check a configuration against the rules and this machine, and show every mistake in it."""
    try:
        path = find_config(config)
        local = load_here(path, starting=False)
    except ConfigError as error:
        show_problems(error.problems, as_json=as_json)
        raise typer.Exit(2) from error
    show_problems(local.warnings, as_json=as_json)
    if not as_json:
        print(f"{path}: ok, {len(local.config.models)} model(s): {', '.join(local.config.models)}")


@app.command()
def status(config: ConfigArgument = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False) -> None:
    """Show the running server: its models, jobs and instances."""
    directory = _directory(config, runtime_dir)
    facts = {**call(directory, "status"), "server": call(directory, "server")}
    show_json(facts) if as_json else show_status(facts)


@app.command()
def ps(config: ConfigArgument = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False) -> None:
    """List the instances."""
    instances = call(_directory(config, runtime_dir), "instances")
    show_json(instances) if as_json else show_instances(instances)


@app.command()
def deaths(config: ConfigArgument = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False) -> None:
    """Show the last workers that died, and why."""
    found = call(_directory(config, runtime_dir), "deaths")
    show_json(found) if as_json else show_deaths(found)


@app.command()
def logs(
    model: str, config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False
) -> None:
    """Show what a model's workers have written."""
    found = call(_directory(config, runtime_dir), "logs", model=model)
    show_json(found) if as_json else show_logs(found)


@app.command()
def load(
    model: str, config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False
) -> None:
    """Start an instance of a model unless there is one."""
    _report(call(_directory(config, runtime_dir), "load", model=model), as_json)


@app.command()
def unload(
    model: str, config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False
) -> None:
    """End a model's instances; running jobs finish first."""
    _report(call(_directory(config, runtime_dir), "unload", model=model), as_json)


@app.command()
def reset(
    model: str, config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False
) -> None:
    """Let a model that counts as unavailable be started again."""
    _report(call(_directory(config, runtime_dir), "reset", model=model), as_json)


@app.command()
def reload(config: ConfigArgument = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False) -> None:
    """Let the running server read its configuration again; only what differs is touched."""
    reply = call(_directory(config, runtime_dir), "reload", timeout=RELOAD_SECONDS)
    show_json(reply) if as_json else print(reply["changes"])


@app.command()
def cancel(
    job: str, config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False
) -> None:
    """Cancel a job."""
    _report(call(_directory(config, runtime_dir), "cancel", job=job), as_json)


@app.command()
def stop(
    config: ConfigArgument = None,
    runtime_dir: RuntimeOption = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for running jobs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the server; running jobs finish first. Returns when it has ended."""
    directory = _directory(config, runtime_dir)
    reply = call(directory, "stop", immediate=now)
    wait_until_gone(reply["pid"])
    _report({**reply, "stopped": True}, as_json)


def _report(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(facts)
    else:
        words = {name: _words(value) for name, value in facts.items()}
        print("; ".join(f"{name}: {word or 'none'}" for name, word in words.items()))


def _words(value: Any) -> str:
    items: list[Any] = [*value] if isinstance(value, list) else [value]
    return ", ".join(str(item) for item in items)


def _find(config: str | None) -> Path | None:
    try:
        return find_config(config, builtin=True)
    except ConfigError as error:
        show_problems(error.problems, as_json=False)
        raise typer.Exit(2) from error


def _directory(config: str | None, runtime_dir: Path | None) -> Path:
    if runtime_dir is not None:
        return runtime_directory(None, runtime_dir)
    return runtime_directory(_find(config))
