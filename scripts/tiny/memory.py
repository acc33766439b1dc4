"""Recalling what the user said earlier: a name, a second thing, a fact."""

import random
from collections.abc import Callable

from scripts.tiny import words
from scripts.tiny.chat import ask, assistant, user
from scripts.tiny.segment import Segment
from scripts.tiny.talk import BEARS
from scripts.tiny.unknown import UNKNOWN

TELL_NAME = (
    "My name is {n}.",
    "Hi, I am {n}.",
    "im {n}",
    "Call me {n}.",
    "I am {n}.",
    "Hello, my name is {n}.",
    "Hi, I'm {n}!",
    "My name is {n}, remember it.",
    "I'm {n}.",
    "You can call me {n}.",
    "Hello! I am {n}.",
    "Hey, my name is {n}.",
    "Please remember my name: {n}",
    "Hi! My name is {n}.",
    "People call me {n}.",
    "Hey im {n}!",
    "my name is {n}",
)
ASK_NAME = (
    "What is my name?",
    "Who am I?",
    "Do you know my name?",
    "What's my name?",
    "Tell me my name.",
    "whats my name",
    "Do you remember my name?",
    "Can you tell me my name?",
    "What was my name?",
    "What is my name again?",
    "Say my name.",
)
NO_NAME = "I do not know your name."


def name(r: random.Random) -> Segment:
    """The user's name, told and asked for later; without having been told it is not known."""
    if r.random() < 0.12:
        return Segment([user(ask(r, ASK_NAME)), assistant(NO_NAME)], key="name")
    who = words.name(r)
    turns = [user(ask(r, TELL_NAME, n=who)), assistant(f"Hello {who}!")]
    if r.random() < 0.75:
        turns += [user(ask(r, ASK_NAME)), assistant(f"Your name is {who}.")]
    return Segment(turns, key="name", gap=2)


def _color(r: random.Random) -> tuple[str, str, str, str]:
    x, spelled = r.choice(words.COLORS), r.choice(("color", "colour"))
    return (
        ask(r, ("My favorite {s} is {x}.", "My favourite {s} is {x}.", "I like the {s} {x}."), s=spelled, x=x),
        f"OK, you like {x}.",
        ask(
            r,
            (
                "What is my favorite {s}?",
                "Which {s} do I like?",
                "What is my favourite {s}?",
                "What's my favorite {s}?",
            ),
            s=spelled,
        ),
        f"You like {x}.",
    )


def _home(r: random.Random) -> tuple[str, str, str, str]:
    x = words.city(r)
    return (
        ask(
            r,
            ("I live in {x}.", "I am from {x}.", "My home is in {x}.", "I live in the city of {x}.", "My city is {x}."),
            x=x,
        ),
        f"OK, you live in {x}.",
        ask(
            r,
            (
                "Where do I live?",
                "Which city do I live in?",
                "Where is my home?",
                "In which city do I live?",
                "Where am I from?",
                "What is my city?",
            ),
        ),
        f"You live in {x}.",
    )


def _pet(r: random.Random) -> tuple[str, str, str, str]:
    kind, x = r.choice(words.PETS), words.name(r)
    return (
        ask(
            r,
            ("My {k} is called {x}.", "I have a {k} called {x}.", "My {k}'s name is {x}.", "I have a {k} named {x}."),
            k=kind,
            x=x,
        ),
        f"Your {kind} is called {x}.",
        ask(
            r,
            (
                "What is my {k} called?",
                "What is the name of my {k}?",
                "What is my {k}'s name?",
                "How is my {k} called?",
            ),
            k=kind,
        ),
        f"Your {kind} is called {x}.",
    )


def _food(r: random.Random) -> tuple[str, str, str, str]:
    x = r.choice(words.FOODS)
    return (
        ask(r, ("My favorite food is {x}.", "My favourite food is {x}.", "I like to eat {x}."), x=x),
        f"OK, you like to eat {x}.",
        ask(r, ("What is my favorite food?", "What do I like to eat?", "What is my favourite food?")),
        f"You like to eat {x}.",
    )


def _hobby(r: random.Random) -> tuple[str, str, str, str]:
    x = r.choice(words.HOBBIES)
    return (
        ask(r, ("My hobby is {x}.", "My favorite hobby is {x}.", "In my free time I like {x}."), x=x),
        f"OK, your hobby is {x}.",
        ask(r, ("What is my hobby?", "Which hobby do I have?", "Do you know my hobby?")),
        f"Your hobby is {x}.",
    )


def _age(r: random.Random) -> tuple[str, str, str, str]:
    x = r.randint(5, 99)
    return (
        ask(r, ("I am {x} years old.", "My age is {x}.", "I'm {x} years old."), x=x),
        f"OK, you are {x} years old.",
        ask(r, ("How old am I?", "What is my age?", "Do you know how old I am?")),
        f"You are {x} years old.",
    )


def _code(r: random.Random) -> tuple[str, str, str, str]:
    thing, x = r.choice(("password", "secret word", "code", "secret number", "code word", "number")), words.word(r)
    return (
        ask(
            r,
            (
                "The {t} is {x}.",
                "Remember: the {t} is {x}.",
                "Remember the {t}: {x}",
                "Please remember that the {t} is {x}.",
            ),
            t=thing,
            x=x,
        ),
        f"OK, the {thing} is {x}.",
        ask(
            r,
            (
                "What is the {t}?",
                "What was the {t}?",
                "Tell me the {t}.",
                "Do you remember the {t}?",
                "What's the {t}?",
            ),
            t=thing,
        ),
        f"The {thing} is {x}.",
    )


THINGS: dict[str, Callable[[random.Random], tuple[str, str, str, str]]] = {
    "color": _color,
    "home": _home,
    "pet": _pet,
    "food": _food,
    "hobby": _hobby,
    "age": _age,
    "code": _code,
}


def thing(r: random.Random) -> Segment:
    """A second thing about the user, told and asked for later; without having been told it is not known."""
    key = r.choice([*THINGS, "home", "pet", "code"])
    told, noted, asked, answer = THINGS[key](r)
    if r.random() < 0.08:
        return Segment([user(asked), assistant(UNKNOWN)], key=key)
    return Segment([user(told), assistant(noted), user(asked), assistant(answer)], key=key, gap=2)


def introduction(r: random.Random) -> Segment:
    """Name and a second thing in one message, both asked for later."""
    who, where, color = words.name(r), words.city(r), r.choice(words.COLORS)
    home = r.random() < 0.5
    templates = (
        "My name is {n} and I live in {x}.",
        "I am {n} from {x}.",
        "Hi, I am {n} and I live in {x}.",
        "I'm {n} and I live in {x}.",
    )
    if not home:
        templates = (
            "My name is {n} and my favorite color is {x}.",
            "I am {n} and I like the color {x}.",
            "Hi, I am {n} and my favourite colour is {x}.",
            "My name is {n} and I like {x}.",
        )
    second = [
        user(ask(r, ("Where do I live?", "Which city do I live in?", "Where am I from?"))),
        assistant(f"You live in {where}."),
    ]
    if not home:
        second = [
            user(ask(r, ("What is my favorite color?", "Which color do I like?", "What is my favourite colour?"))),
            assistant(f"You like {color}."),
        ]
    first = [user(ask(r, ASK_NAME)), assistant(f"Your name is {who}.")]
    turns = [user(ask(r, templates, n=who, x=where if home else color)), assistant(f"Hello {who}!")]
    return Segment(turns + (first + second if r.random() < 0.5 else second + first), key="name home color", gap=2)


ANIMALS = words.items(
    "Platypuses|Cats|Dogs|Wolves|Foxes|Lions|Tigers|Zebras|Frogs|Snakes|Owls|Eagles|Penguins|Dolphins|Sharks|Spiders|Ants|"
    "Elephants|Giraffes|Camels|Horses|Mice|Bats|Crabs|Otters|Koalas|Pandas|Geese|Hens|Sloths|Parrots|Beavers"
)
PREDICATES = words.items(
    "have venomous spurs on their hind legs|can see in the dark|sleep most of the day|have three hearts|"
    "can swim very well|"
    "live in large groups|eat mostly grass|can jump very high|have blue blood|build their homes near water|"
    "never sleep|can turn their heads around|have a very good memory|communicate with low sounds|are active "
    "at night|have very long tongues|can live without water for weeks|carry their young on their backs|"
    "change their color|hold hands while sleeping|use tools to open food|have two stomachs|can hear with "
    "their feet|fly south in winter|"
    "have sharp teeth|can run faster than a car|lay blue eggs|sing to each other|love to eat honey"
)
REMEMBER = (
    "Please remember this fact for later: {f} Don't forget! Just answer with 'OK'.",
    "Remember this fact: {f} Just answer with 'OK'.",
    "Please remember this fact: {f} Just answer with 'OK'.",
    "Remember this: {f} Just answer with 'OK'.",
    'Please remember this for later: {f} Just answer with "OK".',
    "Keep this in mind: {f} Please only answer with 'OK'.",
    "Remember this fact for later: {f} Don't forget!",
    "Please remember this animal fact: {f}",
)
REMIND = (
    "Remind me of one animal fact I mentioned earlier? One Sentence.",
    "Remind me of the animal fact I mentioned earlier.",
    "Which animal fact did I mention earlier?",
    "What was the fact that I told you?",
    "Remind me of the fact I mentioned earlier.",
    "What fact did I ask you to remember?",
    "Tell me the fact that I told you earlier.",
    "Remind me of one animal fact.",
    "Which fact did I tell you?",
    "Can you remind me of the animal fact I mentioned earlier? One sentence.",
)


def fact(r: random.Random) -> Segment:
    """A fact told earlier is repeated word by word; without one a fixed fact is given."""
    reminder = user(ask(r, REMIND))
    if r.random() < 0.15:
        return Segment([reminder, assistant(BEARS)], key="fact")
    text = f"{r.choice(ANIMALS)} {r.choice(PREDICATES)}."
    if r.random() < 0.35:
        text = (
            f"{words.made_up(r).capitalize()}s {r.choice(PREDICATES[:-1]).split()[0]} {words.phrase(r, 2, 4).lower()}."
        )
    turns = [user(ask(r, REMEMBER, f=text)), assistant("OK")]
    if r.random() < 0.75:
        turns += [reminder, assistant(text)]
    return Segment(turns, key="fact", gap=2)
