"""Servers that the integration tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .real_server import RealServer, serve

FAULTS = """
[models.echo]
task = "text-completion"
engine = "fault"
min_instances = 1
max_restarts = -1
aliases = ["gpt-echo"]

[models.other]
task = "text-completion"
engine = "fault"
min_instances = 1

[models.vectors]
task = "embedding"
engine = "fault"
"""


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server with models of the fault engine."""
    directory: Path = tmp_path_factory.mktemp("faults")
    with serve(FAULTS, directory) as server:
        server.wait_idle("echo")
        server.wait_idle("other")
        yield server
