"""The line of the models that wait for room. Pure; every question is answered without walking along it."""

from bisect import bisect_left, insort

from .room import Share

_FIRST = 2**62
"""Makes places negative, in the order of coming among themselves."""


class Contenders:
    """Models that wait for room, the longest waiting first, and what each lacks.

    What an earlier one lacks a later one cannot have, however well it would fit: so nobody is overtaken for ever.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._places: dict[str, tuple[int, bool, bool]] = {}
        self._memory: list[tuple[int, str]] = []
        self._gpu: list[tuple[int, str]] = []
        self._came = 0

    def __contains__(self, model: str) -> bool:
        """Whether the model waits for room."""
        return model in self._places

    def __bool__(self) -> bool:
        """Whether any model waits."""
        return bool(self._places)

    def add(self, model: str, *, memory: bool, gpu: bool, first: bool = False) -> None:
        """A model waits for memory or a GPU slot or both, at the end of the line unless it waits already.

        With `first` it goes ahead of those that were added without.
        """
        known = self._places.get(model)
        stays = known is not None and (not first or known[0] < 0)
        if known is not None and stays and known[1:] == (memory, gpu):
            return
        self.remove(model)
        self._came += 1
        place = known[0] if known is not None and stays else self._came - (_FIRST if first else 0)
        self._places[model] = place, memory, gpu
        for line in self._lines(memory=memory, gpu=gpu):
            insort(line, (place, model))

    def remove(self, model: str) -> bool:
        """A model waits no more; true if it did."""
        known = self._places.pop(model, None)
        if known is None:
            return False
        place, memory, gpu = known
        for line in self._lines(memory=memory, gpu=gpu):
            del line[bisect_left(line, (place, model))]
        return True

    def want(self, share: Share) -> bool:
        """Whether anybody waits for something of what `share` is."""
        return bool((self._memory and share.memory) or (self._gpu and share.gpu))

    def is_ahead(self, model: str, share: Share) -> bool:
        """Whether somebody before `model` lacks something of what `share` would take."""
        if not self._places:
            return False
        known = self._places.get(model)
        lines = self._lines(memory=share.memory > 0, gpu=share.gpu > 0)
        return any(line and (known is None or line[0][0] < known[0]) for line in lines)

    def first_in_line(self) -> list[str]:
        """Return those that nobody is ahead of: at most one for each thing that can be lacking."""
        if not self._memory or not self._gpu:
            return [line[0][1] for line in (self._memory, self._gpu) if line]
        (place, model), (other_place, other) = self._memory[0], self._gpu[0]
        if place == other_place:
            return [model]
        first = [(place, model)] if place < other_place or not self._places[model][2] else []
        if other_place < place or not self._places[other][1]:
            first.append((other_place, other))
        return [name for _, name in sorted(first)]

    def _lines(self, *, memory: bool, gpu: bool) -> list[list[tuple[int, str]]]:
        lines = [self._memory] if memory else []
        if gpu:
            lines.append(self._gpu)
        return lines
