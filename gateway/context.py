"""What every handler needs, made once at start."""

from dataclasses import dataclass

from aiohttp import web

from infsup.protocol.client import Client

from .auth import Keys
from .origins import Origins
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Gateway:
    """The connection to the supervisor, and the rules for callers."""

    settings: Settings
    client: Client
    keys: Keys
    origins: Origins

    @property
    def server_name(self) -> str:
        """What the `Server` header of every answer says."""
        return f"infsup/{self.settings.version}"


GATEWAY = web.AppKey("gateway", Gateway)
CALLER = web.RequestKey("caller", str)
"""The fairness key of a request's caller, set by the access check."""
JOB_IDS = web.RequestKey("job_ids", str)
"""The ids of a request's jobs, as the header `X-Job-Id` gives them."""
REQUEST_ID = web.RequestKey("request_id", str)
