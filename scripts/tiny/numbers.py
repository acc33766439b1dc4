"""Counting, adding and subtracting, and what comes before or after."""

import random

from scripts.tiny import words
from scripts.tiny.chat import Message, ask, assistant, user
from scripts.tiny.segment import Segment

NUMBER_WORDS = words.items(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
DAYS = words.items("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = words.items("January February March April May June July August September October November December")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TOO_FAR = "I can only count to 20."
TOO_HARD = "I can only add and subtract small numbers."


def _row(low: int, high: int) -> str:
    return ", ".join(str(i) for i in range(low, high + 1)) + "."


def count(r: random.Random) -> Segment:
    """Count to a number or from one to another; longer counts are declined; `Continue.` goes on."""
    if r.random() < 0.05:
        far = r.choice([30, 50, 100, 1000, r.randint(21, 9999)])
        prompt = ask(r, ("Count to {b}.", "count to {b}", "Count from 1 to {b}.", "Please count to {b}."), b=far)
        return Segment([user(prompt), assistant(TOO_FAR)])
    low, high = 1, r.randint(2, 20)
    if r.random() < 0.35:
        low = r.randint(0, high - 1)
    if low == 1:
        texts = [
            "Count to {b}.",
            "lets count to {b}",
            "Lets count to {b}.",
            "Let's count to {b}.",
            "Count from {a} to {b}.",
            "Please count to {b}.",
            "Can you count to {b}?",
            "Count up to {b}.",
            "I want you to count to {b}.",
            "Count to {b}",
            "Write the numbers from {a} to {b}.",
            "Let's count to {b}!",
            "Count to {b} please.",
        ]
    else:
        texts = [
            "Count from {a} to {b}.",
            "Write the numbers from {a} to {b}.",
            "List the numbers from {a} to {b}.",
            "Please count from {a} to {b}.",
            "Can you count from {a} to {b}?",
            "Let's count from {a} to {b}.",
        ]
    spelled = r.random() < 0.2
    shown: tuple[object, object] = (NUMBER_WORDS[low], NUMBER_WORDS[high]) if spelled else (low, high)
    turns: list[Message] = [user(ask(r, texts, a=shown[0], b=shown[1])), assistant(_row(low, high))]
    if high <= 15 and r.random() < 0.25:
        go_on = ask(
            r,
            ("Continue.", "continue", "Go on.", "Keep counting.", "Okay, keep counting.", "Keep going.", "More"),
            plain=True,
        )
        turns += [user(go_on), assistant(_row(high + 1, high + 5))]
    return Segment(turns)


def between(r: random.Random) -> Segment:
    """The whole numbers strictly between two."""
    low = r.randint(0, 17)
    high = r.randint(low + 2, min(20, low + 12))
    prompt = ask(
        r,
        (
            "Which numbers are between {a} and {b}?",
            "What numbers are between {a} and {b}?",
            "List the numbers between {a} and {b}.",
            "Tell me the numbers between {a} and {b}.",
            "Name the numbers between {a} and {b}.",
            "Which numbers lie between {a} and {b}?",
        ),
        a=low,
        b=high,
    )
    return Segment([user(prompt), assistant(_row(low + 1, high - 1))])


ADD = (
    "What is {a} + {b}?",
    "{a} + {b} =",
    "{a}+{b}",
    "{a} + {b}",
    "How much is {a} plus {b}?",
    "What's {a} + {b}?",
    "Whats {a}+{b}?",
    "What is {a}+{b}?",
    "How much is {a} + {b}?",
    "Calculate {a} + {b}.",
    "Add {a} and {b}.",
    "What is {a} plus {b}?",
    "{a}+{b}=?",
    "What is the sum of {a} and {b}?",
    "{a} plus {b}",
    "Compute {a} + {b}.",
    "Whats {a} + {b}?",
    "Solve: {a} + {b}",
    "{a} + {b} = ?",
    "Can you add {a} and {b}?",
)
SUBTRACT = (
    "What is {a} - {b}?",
    "{a} - {b} =",
    "{a}-{b}",
    "{a} - {b}",
    "How much is {a} minus {b}?",
    "What's {a} - {b}?",
    "Whats {a}-{b}?",
    "What is {a}-{b}?",
    "How much is {a} - {b}?",
    "Calculate {a} - {b}.",
    "Subtract {b} from {a}.",
    "What is {a} minus {b}?",
    "{a} minus {b}",
    "Compute {a} - {b}.",
    "Whats {a} - {b}?",
    "Solve: {a} - {b}",
    "{a} - {b} = ?",
)
HARD = (
    "What is {a} * {b}?",
    "{a} * {b}",
    "What is {a} times {b}?",
    "{a} x {b}",
    "What is {a} / {b}?",
    "What is {a} divided by {b}?",
    "{a} / {b} =",
    "Multiply {a} by {b}.",
    "How much is {a} times {b}?",
    "Divide {a} by {b}.",
)


def _small(r: random.Random) -> int:
    return r.randint(0, 12) if r.random() < 0.8 else r.randint(0, 20)


def add(r: random.Random) -> Segment:
    """A sum of two small numbers; other arithmetic is declined."""
    if r.random() < 0.08:
        if r.random() < 0.5:
            return Segment([user(ask(r, HARD, a=r.randint(0, 99), b=r.randint(1, 99))), assistant(TOO_HARD)])
        big, other = r.randrange(21, 10 ** r.randint(2, 6)), r.randrange(10 ** r.randint(1, 5))
        return Segment([user(ask(r, (*ADD, *SUBTRACT), a=big, b=other)), assistant(TOO_HARD)])
    a, b = _small(r), _small(r)
    return Segment([user(ask(r, ADD, a=a, b=b)), assistant(f"{a} + {b} = {a + b}")])


def subtract(r: random.Random) -> Segment:
    """A difference of two small numbers, never negative."""
    a, b = _small(r), _small(r)
    a, b = max(a, b), min(a, b)
    return Segment([user(ask(r, SUBTRACT, a=a, b=b)), assistant(f"{a} - {b} = {a - b}")])


def order(r: random.Random) -> Segment:
    """What comes after or before a day, month, letter or number."""
    items = r.choice([DAYS, MONTHS, list(LETTERS), [str(i) for i in range(21)]])
    after = r.random() < 0.5
    i = r.randrange(len(items) - 1) if after else r.randrange(1, len(items))
    if len(items) in (7, 12):
        i = r.randrange(len(items))
    answer = items[(i + (1 if after else -1)) % len(items)]
    way = "after" if after else "before"
    texts = [
        "What comes {way} {x}?",
        "what comes {way} {x}",
        "Tell me what comes {way} {x}.",
        "What is right {way} {x}?",
    ]
    if len(items) == 7:
        texts += [
            "Which day comes {way} {x}?",
            "What day comes {way} {x}?",
            "Which day is {way} {x}?",
            "What day is {way} {x}?",
        ]
    if len(items) == 12:
        texts += ["Which month comes {way} {x}?", "What month comes {way} {x}?", "Which month is {way} {x}?"]
    if len(items) == 26:
        texts += ["Which letter comes {way} {x}?", "What letter comes {way} {x}?", "Which letter is {way} {x}?"]
    if len(items) == 21:
        texts += ["Which number comes {way} {x}?", "What number comes {way} {x}?", "Which number is {way} {x}?"]
    return Segment([user(ask(r, texts, way=way, x=items[i])), assistant(f"{answer}.")])
