"""Puts a worker together: the desk between the link's thread and the main thread."""

import logging
import os
import sys

from infsup.protocol.runtime import jobs_endpoint_beside

from . import process
from .child_jobs import ChildJobs, JobsConnection
from .desk import Desk
from .link import Link
from .progress import Progress
from .runner import Runner

_SWITCH_SECONDS = 0.0005
"""How long the link may have to wait for an engine that runs pure Python; the interpreter's 5 ms delay every chunk."""


def serve(launch: process.Launch) -> int:
    """Serve one model from hello to the end; must run on the main thread. Returns the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sys.setswitchinterval(_SWITCH_SECONDS)
    progress = Progress()
    connection = JobsConnection(jobs_endpoint_beside(launch.endpoint))
    desk = Desk(progress, lambda token, context: ChildJobs(connection, token, context, progress))
    link = Link(launch, desk, progress)
    if not os.environ.get(process.IGNORE_SIGTERM):
        process.watch_sigterm(link.wake_fd)
    runner = Runner(link, desk, progress)
    link.start()
    try:
        return runner.serve(link.load_orders.get())
    finally:
        connection.close()
        link.close()
