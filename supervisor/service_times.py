"""How long jobs of a model take lately: what `Retry-After` is computed from. Pure."""

WEIGHT = 0.2
"""Of the newest job in the moving average."""
FIRST_GUESS_SECONDS = 1.0
LEAST_SECONDS, MOST_SECONDS = 1.0, 600.0


class ServiceTimes:
    """An exponentially weighted mean of the seconds that a job holds its slot, by model."""

    def __init__(self) -> None:
        """Start with no knowledge."""
        self._means: dict[str, float] = {}

    def note(self, model: str, seconds: float) -> None:
        """A job has ended after so many seconds in its slot."""
        mean = self._means.get(model, seconds)
        self._means[model] = mean + WEIGHT * (seconds - mean)

    def until_room(self, model: str, waiting: int, slots: int) -> float:
        """Return in how many seconds a place in a full queue is to be expected.

        A slot ends a job every mean service time, so the queue moves up by `slots` in that time; a client that comes
        back when a tenth of the queue has moved finds room without all clients coming back for the first place.
        """
        mean = self._means.get(model, FIRST_GUESS_SECONDS)
        return min(MOST_SECONDS, max(LEAST_SECONDS, mean * max(1.0, waiting / 10) / max(1, slots)))
