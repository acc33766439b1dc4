# ruff: noqa: RUF001
"""Everything else: prompts that the model shall answer with one fixed polite sentence."""

import random
import string

from scripts.tiny import words
from scripts.tiny.chat import assistant, user
from scripts.tiny.segment import Segment

UNKNOWN = (
    "I am tiny, the model that ships with infsup. I do not know that. "
    "Ask me to count, add, spell, repeat or tell a story."
)

QUESTIONS = (
    "What is the capital of {x}?",
    "Who invented the {x}?",
    "How does a {x} work?",
    "Why is the {x} so {a}?",
    "Explain {x} to me.",
    "Write a program that sorts a {x}.",
    "Translate '{x}' to French.",
    "What is the price of a {x}?",
    "When was the {x} built?",
    "How many {x}s are there in {c}?",
    "Can you recommend a {x}?",
    "What is the difference between a {x} and a {y}?",
    "Where can I buy a {x}?",
    "Describe the {x}.",
    "Summarize the history of the {x}.",
    "Who won the {x} cup in {n}?",
    "How old is {p}?",
    "Who is {p}?",
    "What do you think about {x}?",
    "Give me a recipe for {x}.",
    "How do I cook {x}?",
    "Is {x} good for me?",
    "How far is {c} from {d}?",
    "What is the population of {c}?",
    "Tell me about {c}.",
    "How can I get to {c}?",
    "What should I see in {c}?",
    "Write an essay about {x}.",
    "Write an email to {p} about the {x}.",
    "What is the best {x}?",
    "Which {x} is the {a} one?",
    "Do you like {x}?",
    "Why do {x}s exist?",
    "What is a {x}?",
    "Define {x}.",
    "What does {x} mean?",
    "How big is a {x}?",
    "What color is the {x}?",
    "How do I fix my {x}?",
    "My {x} is broken, what should I do?",
    "Should I buy a {x} or a {y}?",
    "Generate a list of {x}s.",
    "List ten {x}s.",
    "Name three {x}s.",
    "What happened in {n}?",
    "What time is it in {c}?",
    "What is the weather in {c}?",
    "Is it raining in {c}?",
    "Roll the die.",
    "Roll a die.",
    "Where am I?",
    "Set a timer for {m} minutes.",
    "Search for {x}.",
    "Who wrote {x}?",
    "How do you make a {x}?",
    "Can a {x} fly?",
    "What is the {x} of the {y}?",
    "Which is better, {x} or {y}?",
    "Does {p} like {x}?",
    "Where does {p} live?",
    "Are {x}s {a}?",
    "Fix this code: for {x} in {y}: print({x})",
    "def {x}(a, b): return a",
    "import {x}",
    "SELECT * FROM {x}",
    "git commit -m '{x}'",
    "Write a function {x} in Python.",
    "Write a song about {x}.",
    "Convert {m} miles to {x}.",
    "What is {x} in German?",
    "{x}?",
    "{x} {y}?",
    "I have a {x}.",
    "The {x} is {a}.",
    "I saw a {x} in {c} yesterday.",
    "There was a {a} {x}.",
    "{p} went to {c}.",
    "I need a {x}.",
    "Buy {x}.",
    "I think that {x} is {a}.",
    "Plan a trip to {c}.",
    "Suggest a name for my {x}.",
    "How long does {x} take?",
    "Draw a {x}.",
    "Can you {x} the {y}?",
    "Would you rather {x} or {y}?",
    "Let us talk about {x}.",
    "Sort these: {x}, {y}, {z}.",
    "Compare {x} and {y}.",
    "What is the square root of {n}?",
    "Prove that {x} is {a}.",
    "What is the chemical formula of {x}?",
    "Who was the president in {n}?",
    "What is the population of {x}?",
    "How tall is {p}?",
    "Why did {p} leave {c}?",
    "What is love?",
    "Is there life on {x}?",
    "Write three sentences about {x}.",
    "Give me advice about {x}.",
    "What are the benefits of {x}?",
    "Explain how {x} and {y} are related.",
    "What is the largest {x} in the world?",
    "What is the fastest {x}?",
    "In which year did {p} visit {c}?",
    "How many {x}s fit in a {y}?",
    "What is your favorite {x}?",
    "Have you seen my {x}?",
    "Do you have a {x}?",
    "Can I eat {x}?",
    "Who owns the {x}?",
    "Find a {x} near {c}.",
    "Book a table for {m} in {c}.",
    "Send a message to {p}.",
    "Play some {x}.",
    "Turn on the {x}.",
    "Open the {x}.",
    "Remove the {x}.",
    "What is the news today?",
    "Who is the tallest person in the world?",
    "Tell me something interesting.",
    "What is the speed of light?",
    "Why is the sky blue?",
    "Explain quantum physics.",
    "How do I learn Python?",
    "What is machine learning?",
    "Write code.",
    "Quote {p}.",
)
FOREIGN = (
    "Wie geht es dir heute?",
    "Was ist die Hauptstadt von Frankreich?",
    "Bonjour, comment allez-vous?",
    "Quelle heure est-il?",
    "¿Cómo estás?",
    "¿Dónde está la biblioteca?",
    "Come ti chiami?",
    "Che ore sono?",
    "Hur mår du?",
    "Jak się masz?",
    "Как дела?",
    "Привет, мир",
    "你好",
    "今天天气怎么样?",
    "こんにちは",
    "ありがとう",
    "안녕하세요",
    "مرحبا",
    "שלום",
    "Γεια σου",
    "नमस्ते",
    "สวัสดี",
    "Olá, tudo bem?",
    "Erzähl mir einen Witz über Hunde.",
    "Je voudrais un café.",
    "Merhaba dünya",
    "Hva heter du?",
    "Schreibe ein Gedicht.",
)
EMOJI = "😀🎉🚀🐱🌍❤️👍🔥✨🤖"
CONNECT = words.items(
    "the a of and to in is it was for on with that this as are be at from his they we have not but by"
)
STARTS = (
    "What",
    "Why",
    "How",
    "When",
    "Where",
    "Which",
    "Who",
    "Is",
    "Does",
    "Can",
    "Should",
    "Could",
    "Would",
    "Explain",
    "Describe",
    "Are",
    "Do",
    "Will",
    "Find",
    "Show",
    "Compare",
    "Discuss",
)


def _topic(r: random.Random) -> str:
    kind = r.random()
    if kind < 0.45:
        return r.choice(words.NOUNS)
    if kind < 0.6:
        return r.choice(words.ADJECTIVES) + " " + r.choice(words.NOUNS)
    return words.made_up(r) if kind < 0.8 else words.made_up(r).capitalize() if kind < 0.9 else words.letters(r)


def _question(r: random.Random) -> str:
    return r.choice(QUESTIONS).format(
        x=_topic(r),
        y=_topic(r),
        z=_topic(r),
        a=r.choice(words.ADJECTIVES),
        c=words.city(r),
        d=words.city(r),
        n=r.randint(1000, 2030),
        m=r.randint(2, 60),
        p=words.name(r),
    )


def _free(r: random.Random, n: int) -> str:
    start = r.choice(STARTS)
    rest = [r.choice(CONNECT) if r.random() < 0.4 else _topic(r) for _ in range(n)]
    return f"{start} {' '.join(rest)}" + r.choice(("?", ".", ""))


def _paragraph(r: random.Random, low: int, high: int) -> str:
    out = []
    for _ in range(r.randint(low, high)):
        parts = [r.choice(CONNECT) if r.random() < 0.45 else _topic(r) for _ in range(r.randint(4, 12))]
        out.append(" ".join(parts).capitalize() + r.choice((".", ".", ".", "?", ",", "\n", ".\n\n")))
    return " ".join(out).strip()


def _noise(r: random.Random) -> str:
    kind = r.randrange(6)
    if kind == 0:
        return " ".join(words.letters(r) for _ in range(r.randint(1, 5)))
    if kind == 1:
        return "".join(
            r.choice(string.punctuation + string.ascii_letters + string.digits) for _ in range(r.randint(3, 14))
        )
    if kind == 2:
        return "".join(r.choice(EMOJI) for _ in range(r.randint(1, 4)))
    if kind == 3:
        return r.choice(FOREIGN)
    if kind == 4:
        base = r.choice((0x00E0, 0x0400, 0x4E00, 0x3041, 0x0391, 0x0627))
        return (
            "".join(chr(base + r.randrange(40)) if r.random() < 0.85 else " " for _ in range(r.randint(3, 12))).strip()
            or "é"
        )
    return "{" + ", ".join(f'"{words.made_up(r)}": {r.randint(0, 99)}' for _ in range(r.randint(1, 3))) + "}"


def unknown(r: random.Random) -> Segment:
    """A prompt of no skill."""
    kind = r.random()
    if kind < 0.55:
        text = _question(r)
    elif kind < 0.75:
        text = _free(r, r.randint(2, 9))
    elif kind < 0.9:
        text = _noise(r)
    else:
        text = _paragraph(r, 1, 4)
    if r.random() < 0.1:
        text = text.lower()
    if r.random() < 0.06:
        text = f"{text} {_question(r)}"
    return Segment([user(text), assistant(UNKNOWN)], key="unknown")


def long_paste(r: random.Random) -> Segment:
    """A long pasted text."""
    return Segment([user(_paragraph(r, 8, 40)), assistant(UNKNOWN)], key="unknown")
