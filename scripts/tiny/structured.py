"""Answers in a form: JSON objects, extraction, sentiment."""

import random

from scripts.tiny import words
from scripts.tiny.chat import ask, assistant, dumps, user
from scripts.tiny.segment import Segment

CATS = ["Tom", "Kitty"]
OBJECT = (
    'Answer with a JSON object containing the key "{k}" with the value "{v}".',
    'Give me JSON with the key "{k}" and the value "{v}".',
    'Return a JSON object with the key "{k}" and the value "{v}".',
    "Answer with a JSON object containing the key '{k}' with the value '{v}'.",
    'Write a JSON object with the key "{k}" and the value "{v}".',
    'JSON with key "{k}" and value "{v}".',
    'Respond with a JSON object that has the key "{k}" with the value "{v}".',
    'Create a JSON object: the key is "{k}", the value is "{v}".',
    'Please answer with JSON containing the key "{k}" with the value "{v}".',
    'Output JSON with the key "{k}" and the value "{v}".',
)
ONLY = (
    "",
    "",
    "",
    " Only print the JSON.",
    " Only answer with the JSON.",
    " Just the JSON.",
    " Nothing else.",
    " No other text.",
)
AND_CATS = (
    " And add an array of cats to it.",
    " And an array of cats, just strings with names.",
    " Also add an array of cats.",
    " And add an array of cats.",
    " Add an array of cats to it.",
    " And an array of cats.",
)


def json_object(r: random.Random) -> Segment:
    """A JSON object with a given key and value, on request with an array of cats."""
    key = words.word(r) if r.random() < 0.9 else "test"
    value = key if r.random() < 0.1 else words.phrase(r, 1, 2)
    wanted: dict[str, object] = {key: value}
    prompt = ask(r, OBJECT, plain=r.random() < 0.5, k=key, v=value)
    parts = [r.choice(ONLY)]
    kind = r.random()
    if kind < 0.25:
        parts.insert(r.randint(0, 1), r.choice(AND_CATS))
        wanted = {**wanted, "cats": CATS}
    turns = [user(prompt + "".join(parts)), assistant(dumps(wanted))]
    if 0.25 <= kind < 0.45:
        turns += [user(r.choice(AND_CATS).strip()), assistant(dumps({**wanted, "cats": CATS}))]
    return Segment(turns, key="json")


ABOUT = (
    "{n} is {a} years old and lives in {c}.",
    "{n}, {a}, lives in {c}.",
    "{n} lives in {c} and is {a} years old.",
    "My friend {n} from {c} is {a} years old.",
    "{n} is a {a} year old from {c}.",
    "This is {n}, {a} years old, from {c}.",
    "In {c} lives {n}, who is {a} years old.",
    "At the age of {a}, {n} moved to {c}.",
    "{n} ({a}) lives in {c}.",
    "{n} from {c} turned {a} today.",
    "Her name is {n}, she is {a} and lives in {c}.",
    "His name is {n}, he is {a} and lives in {c}.",
)
EXTRACT = (
    "Extract the name, age and city: {s}",
    "Extract name, age and city as JSON: {s}",
    "{s} Extract the name, age and city as JSON.",
    'Extract the name, age and city from this sentence as JSON: "{s}"',
    "Extract the data as JSON: {s}",
    "Extract name, age and city from: {s}",
    "{s} Give me the name, age and city as JSON.",
    "Extract the person as JSON with the keys name, age and city: {s}",
    "Extract the name, age and city from this text: {s}",
)


def extract(r: random.Random) -> Segment:
    """Name, age and city of a sentence as JSON."""
    who, age, where = words.name(r), r.randint(2, 99), words.city(r)
    sentence = r.choice(ABOUT).format(n=who, a=age, c=where)
    return Segment([user(ask(r, EXTRACT, s=sentence)), assistant(dumps({"name": who, "age": age, "city": where}))])


GOOD = words.items(
    "great wonderful lovely excellent fantastic amazing beautiful perfect delicious brilliant superb nice good awesome"
)
BAD = words.items(
    "terrible awful horrible bad disgusting ugly disappointing boring broken useless dreadful poor nasty annoying"
)
FLAT = words.items("okay average normal ordinary usual medium standard acceptable")
GOOD_VERB, BAD_VERB = ("love", "like", "enjoy", "adore"), ("hate", "dislike", "detest", "regret buying")
SUBJECTS = words.items(
    "phone|movie|book|food|hotel|service|song|game|car|weather|coffee|trip|show|laptop|restaurant|cake|room|camera|app|"
    "teacher|soup|pizza|concert|garden|staff|view|music|story|shop|chair"
)
JUDGE = (
    "Is this positive, negative or neutral? {s}",
    'Is this positive, negative or neutral? "{s}"',
    "What is the sentiment of this sentence? {s}",
    "Classify the sentiment: {s}",
    "Sentiment: {s}",
    'What is the sentiment of "{s}"?',
    "Positive, negative or neutral? {s}",
    "Classify this sentence as positive, negative or neutral: {s}",
    "{s} Is this positive, negative or neutral?",
    'Classify the sentiment of this text: "{s}"',
    "Is the sentiment positive, negative or neutral? {s}",
)


def sentiment(r: random.Random) -> Segment:
    """Positive, negative or neutral."""
    mood = r.choice(("positive", "negative", "neutral"))
    thing = r.choice(SUBJECTS) if r.random() < 0.7 else r.choice(words.NOUNS)
    very = r.choice(("", "", "very ", "really ", "so ", "quite "))
    the = r.choice(("The", "This", "My", "The new", "Our"))
    if mood == "neutral":
        text = r.choice(
            (
                f"{the} {thing} is {r.choice(FLAT)}.",
                f"{the} {thing} was {r.choice(FLAT)}.",
                f"{the} {thing} is on the table.",
                f"I have a {thing}.",
                f"{the} {thing} is {r.choice(words.COLORS)}.",
                f"I bought a {thing} on Monday.",
                f"There is a {thing} in the room.",
                f"{the} {thing} has two parts.",
                f"I saw the {thing} yesterday.",
            )
        )
    else:
        adjective = r.choice(GOOD if mood == "positive" else BAD)
        verb = r.choice(GOOD_VERB if mood == "positive" else BAD_VERB)
        best = "best" if mood == "positive" else "worst"
        text = r.choice(
            (
                f"{the} {thing} is {very}{adjective}.",
                f"{the} {thing} was {very}{adjective}.",
                f"I {verb} this {thing}.",
                f"I really {verb} the {thing}.",
                f"What a {adjective} {thing}!",
                f"This is the {best} {thing} ever.",
                f"I {verb} this {thing}, it is {very}{adjective}.",
                f"We {verb} the {thing}.",
                f"Such a {adjective} {thing}!",
            )
        )
    return Segment([user(ask(r, JUDGE, s=text)), assistant(mood)])
