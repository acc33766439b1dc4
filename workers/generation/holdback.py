"""Finding markers in text that comes in pieces, without letting half of one through."""


def overlap(text: str, marker: str) -> int:
    """Return the length of the longest end of `text` with which `marker` begins, less than the whole marker."""
    for length in range(min(len(text), len(marker) - 1), 0, -1):
        if text.endswith(marker[:length]):
            return length
    return 0
