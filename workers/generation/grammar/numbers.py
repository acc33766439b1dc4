"""The bounds of numbers, written so that what the grammar allows is valid in binary arithmetic too.

The grammar compares decimal digits; a client reads them as a double. A text just above an excluded bound may be read
as the bound itself, so excluded bounds of numbers are moved inwards a little. Bounds of integers are exact.
"""

import math
from collections.abc import Mapping
from typing import Any

from .keywords import BOUNDS
from .places import JsonMap, Place

EXACT = 2**53
"""Up to here every integer is a double."""
MOST = 1e15
_INWARDS = 1e-9


def bounds(given: Mapping[str, Any], place: Place, *, integer: bool) -> JsonMap:
    """Return `minimum` and `maximum` for those of BOUNDS that are given. Raises `InvalidRequest` and
    `UnsupportedParameter`.
    """
    lows: list[float] = []
    highs: list[float] = []
    for name in BOUNDS:
        if name not in given:
            continue
        value = _number(given[name], place.at(name), EXACT if integer else MOST)
        excluded, low = name.startswith("exclusive"), name.lower().endswith("minimum")
        side = 1 if low else -1
        if integer:
            value = math.ceil(value * side) * side if not excluded else (math.floor(value * side) + 1) * side
        elif excluded:
            value += side * max(_INWARDS, abs(value) * _INWARDS)
        (lows if low else highs).append(value)
    held: JsonMap = {}
    if lows:
        held["minimum"] = max(lows)
    if highs:
        held["maximum"] = min(highs)
    if lows and highs and held["minimum"] > held["maximum"]:
        raise place.wrong(dict(given), "bounds that leave a number between them")
    return held


def multiple(value: object, place: Place) -> int:
    """Return a `multipleOf`. Raises `InvalidRequest` and `UnsupportedParameter`."""
    number = _number(value, place, EXACT)
    if number <= 0:
        raise place.wrong(value, "a number above 0")
    if number != int(number):
        raise place.unheld("only multiples of whole numbers can be held")
    return int(number)


def _number(value: object, place: Place, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise place.wrong(value, "a number")
    if abs(value) > most:
        raise place.unheld(f"numbers beyond {most:.0f} are not exact")
    return value
