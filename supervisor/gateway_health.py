"""Whether a gateway process hangs: judged by its words on the jobs socket, as a worker is by its beats. Pure."""

START_SECONDS = 60.0
"""How long it may take to answer HTTP: the default of a model's `start_timeout`."""
SILENCE_SECONDS = 15.0
"""How long it may say nothing (it beats every 2 s): the default of a model's `beat_timeout`."""


class GatewayHealth:
    """When one gateway process was last heard; times are in seconds of one clock."""

    def __init__(self, now: float) -> None:
        """It has just been started."""
        self._heard_at = now
        self._serves = False

    def on_ready(self, now: float) -> None:
        """It answers HTTP."""
        self._serves = True
        self._heard_at = now

    def on_word(self, now: float) -> None:
        """It has sent a message. Before it serves that counts for nothing: it is to get there in time."""
        if self._serves:
            self._heard_at = now

    def find_stall(self, now: float, lag: float) -> str | None:
        """Return why it counts as stuck, None while it is well.

        `lag` is for how long the supervisor itself has not listened since the last look: nobody is blamed for that.
        """
        self._heard_at = min(now, self._heard_at + lag)
        limit = SILENCE_SECONDS if self._serves else START_SECONDS
        silence = now - self._heard_at
        if silence <= limit:
            return None
        what = "nothing heard" if self._serves else "does not serve"
        return f"{what} for {silence:.1f} s (the limit is {limit:g} s)"
