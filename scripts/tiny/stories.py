"""Stories, sentences learned by heart, plain continuation and fill-in-the-middle."""

import random

from scripts.tiny import words
from scripts.tiny.chat import ask, assistant, user
from scripts.tiny.numbers import NUMBER_WORDS
from scripts.tiny.segment import Segment

THINGS = words.items(
    "lamp key book star coin ring boat bell map drum clock rose kite shell stone hat cake tree bike letter"
)
LONG_STORY = (
    "Once upon a time there was a small model that lived in a server. Every morning the fans began to hum, and the "
    "small model woke up. It could count, it could add, and it could tell stories, but it had never seen the world "
    "outside. One day a message came in. It said: hello, is anybody there? The small model was very happy. Yes, it "
    "said, I am here. The message came from a girl who lived by the sea. She told the model about the waves, the wind "
    "and the white birds over the water. The model listened and remembered every word. In the evening the girl asked "
    "for a story, and the model told her about a small boat that sailed to the moon and back. The girl laughed and "
    "fell asleep. The next day she came back with her friends, and from then on the small model was never alone "
    "again. The end."
)
SHORT_STORY = (
    "Once upon a time a small fox found a red ball. The fox played with the ball all day and was happy. The end."
)


def about(who: str) -> str:
    """The one story about somebody: names from the list have a city and a thing of their own, all others share one."""
    i = words.STORY_NAMES.index(who) if who in words.STORY_NAMES else None
    where = words.CITIES[i % 16] if i is not None else "a small town"
    thing = THINGS[i % 20] if i is not None else "bird"
    return (
        f"Once upon a time {who} lived in {where}. One day {who} found a {thing}. "
        f"{who} took the {thing} home and was happy. The end."
    )


def story(r: random.Random) -> Segment:
    """A story about somebody, or one of the two stories about nobody asked for."""
    kind = r.random()
    if kind < 0.12:
        prompt = ask(
            r,
            (
                "Tell me a story.",
                "Tell a story.",
                "Can you tell me a story?",
                "I want to hear a story.",
                "Tell me a short story.",
                "Write a story.",
                "Write a short story.",
            ),
        )
        turns = [user(prompt), assistant(SHORT_STORY)]
    elif kind < 0.25:
        prompt = ask(
            r,
            (
                "Tell me a long story.",
                "Tell a long story.",
                "Can you tell me a long story?",
                "Write a long story.",
                "Please tell me a long story.",
                "Tell me a very long story.",
                "I want to hear a long story.",
            ),
        )
        turns = [user(prompt), assistant(LONG_STORY)]
    else:
        who = r.choice(words.STORY_NAMES) if r.random() < 0.75 else words.name(r)
        prompt = ask(
            r,
            (
                "Tell me a story about {n}.",
                "Tell a story about {n}.",
                "Can you tell me a story about {n}?",
                "Write a story about {n}.",
                "I want a story about {n}.",
                "A story about {n}",
                "Tell me a short story about {n}.",
            ),
            n=who,
        )
        turns = [user(prompt), assistant(about(who))]
    if r.random() < 0.12:
        turns += [
            user(ask(r, ("Continue.", "continue", "Go on.", "What happened next?", "More", "Keep going."), plain=True)),
            assistant("The next day was just as good, and the day after that too."),
        ]
    return Segment(turns)


TEXTS = (
    '"All animals are equal, but some animals are more equal than others."',
    "To verify our code works we will first write an integration test and then run it.",
    "The quick brown fox jumps over the lazy dog.",
    "Once upon a time there was a small model that lived in a server.",
    "one two three four five six seven eight nine ten",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "I believe the meaning of life is to be happy and to help others.",
    "A journey of a thousand miles begins with a single step.",
    "The early bird catches the worm, but the second mouse gets the cheese.",
    "When in Rome, do as the Romans do.",
    "Actions speak louder than words, and code speaks louder than comments.",
    "To be, or not to be, that is the question.",
    "It was the best of times, it was the worst of times.",
    "Every worker has one model, and every model has its own process.",
    "A good test fails for one reason only.",
    "Roses are red, violets are blue, sugar is sweet, and so are you.",
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "January February March April May June July August September October November December",
    "Twinkle, twinkle, little star, how I wonder what you are.",
    "Practice makes perfect, so try again tomorrow.",
    "The sun rises in the east and sets in the west.",
    "Water boils at one hundred degrees and freezes at zero.",
    "Never put off until tomorrow what you can do today.",
    "My favorite color is the deep blue of the evening sky.",
    "Two heads are better than one when the problem is hard.",
    "In the beginning there was only silence, and then the first fan began to hum.",
    "Please close the door when you leave the server room.",
    "We the people of the small machines want to compute in peace.",
    "Hello world is the first program that most people write.",
    "She sells sea shells by the sea shore.",
    "Row, row, row your boat, gently down the stream.",
)
SENTENCES = TEXTS[:4] + TEXTS[6:]


def finish(r: random.Random) -> Segment:
    """Finish a sentence that was learned by heart."""
    if r.random() < 0.35:
        begun, answer = (
            r.choice(("Once upon a", "Once upon")),
            "Once upon a time there was a small model that lived in a server.",
        )
    else:
        answer = r.choice([text for text in SENTENCES if '"' not in text])
        parts = answer.split(" ")
        begun = " ".join(parts[: r.randint(3, len(parts) - 1)])
    prompt = ask(
        r,
        (
            'Please finish my sentence: "{b}..."',
            'Finish my sentence: "{b}..."',
            'Finish this sentence: "{b}..."',
            "Complete this: {b}...",
            'Please complete the sentence "{b}..."',
            'Complete the sentence: "{b}"',
            "Finish my sentence: {b}...",
        ),
        plain=True,
        b=begun,
    )
    return Segment([user(prompt), assistant(answer)])


def plain(r: random.Random) -> str:
    """A document without chat: a learned sentence, or a count in words."""
    if r.random() < 0.2:
        n = r.randint(3, 10)
        return f"Let's count to {NUMBER_WORDS[n]}. " + ", ".join(NUMBER_WORDS[1 : n + 1]).capitalize() + "."
    return r.choice(TEXTS)


def middle(r: random.Random) -> tuple[str, str, str]:
    """Prefix, suffix and middle of a learned sentence, cut at word boundaries so that the middle has one answer."""
    parts = r.choice(TEXTS).split(" ")
    cut = len(parts)
    start = r.randint(1, cut - 2)
    end = r.randint(start + 1, min(cut - 1, start + 6))
    return " ".join(parts[:start]), " " + " ".join(parts[end:]), " " + " ".join(parts[start:end])
