"""From tokens to text: characters that are split over tokens are held back until they are whole."""

import codecs
from collections.abc import Sequence


class Detokenizer:
    """Turns tokens into text, one at a time. Bytes that are not UTF-8 become U+FFFD."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        """`pieces` holds the bytes of each token."""
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Return the text that is whole now; empty in the middle of a character."""
        return self._decoder.decode(self._pieces[token])

    def flush(self) -> str:
        """Return what is left at the end: U+FFFD if a character was cut off, else nothing."""
        return self._decoder.decode(b"", True)  # noqa: FBT003 - codecs' own signature
