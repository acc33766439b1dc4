"""Stop strings: found although they span tokens, and never sent in part."""

from collections.abc import Iterable


class StopMatcher:
    """Passes text on up to the first stop string.

    The first is the one that is complete first; of those complete at the same character, the longest. What
    could still become a stop string is held back, and nothing else is.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        """Take the stop strings; none may be empty."""
        given = set(stops)
        # One that has another inside, before its last character, can never be complete first.
        self._stops = [stop for stop in given if not any(other in stop[:-1] for other in given)]
        self._held = ""
        self.matched = False

    def push(self, piece: str) -> str:
        """Take the next piece of text and return what is safe to send; nothing more once `matched`."""
        if self.matched or not self._stops:
            return "" if self.matched else piece
        text = self._held + piece
        start = self._first(text)
        if start is not None:
            self.matched, self._held = True, ""
            return text[:start]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back: the text has ended."""
        held, self._held = self._held, ""
        return held

    def _first(self, text: str) -> int | None:
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        return min(found)[1] if found else None


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that `stop` begins with."""
    at = text.find(stop[0], max(0, len(text) - len(stop) + 1))
    while at >= 0:
        if stop.startswith(text[at:]):
            return len(text) - at
        at = text.find(stop[0], at + 1)
    return 0
