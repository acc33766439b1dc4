"""Repeating, greetings, questions about the model itself, and other small talk with fixed answers."""

import random

from scripts.tiny import words
from scripts.tiny.chat import ask, assistant, user
from scripts.tiny.replies import FIXED
from scripts.tiny.segment import Segment

SAY = (
    'This is a test. Just answer with "{x}".',
    "This is a test. Just answer with '{x}'.",
    'Say "{x}".',
    "Say '{x}'.",
    "Say {x}",
    "Repeat after me: {x}",
    "Please repeat: {x}",
    'Answer with "{x}".',
    "Answer with '{x}'.",
    "Just say {x}",
    "Echo: {x}",
    "Please only answer with '{x}'.",
    'Please only answer with "{x}".',
    'Please just answer with "{x}".',
    "Just answer with '{x}'.",
    'Just answer with "{x}".',
    "Only answer with {x}",
    'Reply with "{x}".',
    "Reply with '{x}'.",
    "Reply with exactly: {x}",
    'Respond with "{x}".',
    "Respond only with '{x}'.",
    'Respond with "{x}" and nothing else.',
    'Only say "{x}".',
    "Only say '{x}' and nothing else.",
    'Repeat "{x}".',
    "Repeat the following: {x}",
    'Can you say "{x}"?',
    "Can you say '{x}'?",
    'Write "{x}".',
    "Say exactly this: {x}",
    'Please say "{x}".',
    'Answer only with the word "{x}".',
    "Say the word {x}",
    'Just say "{x}".',
    "say {x}",
    "Please answer with '{x}'.",
    'Reply only "{x}".',
    'Hi! Just answer with "{x}".',
    'I want you to say "{x}".',
    "This is another test. Please only answer with '{x}'.",
    "Please reply with the words: {x}",
    'Testing. Answer "{x}".',
    "Print '{x}'.",
    'Output only "{x}".',
)


def say(r: random.Random) -> Segment:
    """Repeat what is quoted or follows."""
    text = (
        r.choice(["OK", "Test", "Hello", "Yes", "hello world", "Hello world"])
        if r.random() < 0.1
        else words.phrase(r, 1, 4)
    )
    if r.random() < 0.06:
        text += r.choice("!.?")
    if r.random() < 0.05:
        text = text.replace(" ", ", ", 1)
    return Segment([user(ask(r, SAY, x=text)), assistant(text)])


def spell(r: random.Random) -> Segment:
    """Spell a word letter by letter."""
    kind = r.random()
    word = r.choice(words.WORDS) if kind < 0.5 else words.made_up(r) if kind < 0.8 else words.letters(r)
    if r.random() < 0.12:
        word = r.choice(words.NAMES)
    prompt = ask(
        r,
        (
            "Spell {w}.",
            'Spell "{w}".',
            "Spell the word {w}.",
            "How do you spell {w}?",
            "Can you spell {w}?",
            "Spell: {w}",
            "Please spell {w}.",
            "Spell '{w}'.",
            'How is "{w}" spelled?',
            "Spell the word '{w}'.",
        ),
        w=word,
    )
    return Segment([user(prompt), assistant("-".join(word))])


def small_talk(r: random.Random) -> Segment:
    """A question with one fixed answer."""
    prompts, answer = FIXED[r.choice(list(FIXED))]
    return Segment([user(ask(r, prompts, plain=r.random() < 0.5)), assistant(answer)], key="self")


BEARS = "Bears can smell food from miles away."
FUN = {
    "bears": BEARS,
    "cats": "Cats sleep for most of the day.",
    "dogs": "Dogs can learn more than a hundred words.",
    "bees": "Bees dance to show where flowers are.",
    "octopuses": "Octopuses have three hearts.",
    "whales": "Whales sing songs under water.",
    "owls": "Owls can turn their heads almost all the way around.",
    "ants": "Ants can carry many times their own weight.",
    "penguins": "Penguins give pebbles as gifts.",
}


def fun_fact(r: random.Random) -> Segment:
    """A learned fact about an animal."""
    animal = r.choice(["bears", *FUN])
    prompt = ask(
        r,
        (
            "Tell me a fun fact about {a}.",
            "Tell me a fact about {a}.",
            "Do you know a fun fact about {a}?",
            "Give me a fun fact about {a}.",
            "What is a fun fact about {a}?",
            "Tell me something about {a}.",
        ),
        a=animal,
    )
    return Segment([user(prompt), assistant(FUN[animal])])


def haiku(r: random.Random) -> Segment:
    """A poem form with the topic copied into it."""
    thing = r.choice(words.NOUNS) if r.random() < 0.6 else words.made_up(r)
    thing = r.choice(("", "", "the ", "a ")) + thing
    prompt = ask(
        r,
        (
            "Write a haiku about {x}.",
            "Write me a haiku about {x}.",
            "Write a short poem about {x}.",
            "A haiku about {x}.",
            "Compose a haiku about {x}.",
            "Can you write a haiku about {x}?",
            "Write a poem about {x}.",
        ),
        x=thing,
    )
    return Segment([user(prompt), assistant(f"Quiet morning light,\nI think of {thing} again,\nthe day is so bright.")])
