"""Vocabulary lists of the training data: closed lists that the model may learn by heart, and makers of unseen words."""

import random
import string


def items(text: str) -> list[str]:
    """The entries of a list that is written as one text: between bars if it has any, else between spaces."""
    return text.split("|" if "|" in text else None)


NAMES = items(
    "Ada Bob Cleo Dan Eve Finn Gus Hana Ivo June Kai Lena Max Nina Otto Pia Quin Rosa Sam Tess Uma Vera Will Xena "
    "Yara Zoe Robin Bruce Alice Alan Anna Ben Carl Clara Dora Emma Eric Felix Fred Grace Hugo Ida Jack Jane John "
    "Julia Karl Kate Leo Lily Lucas Lucy Mark Mary Maria Mia Mike Nora Noah Olga Oscar Paul Peter Rex Ruth Sara Sven "
    "Tina Tom Toby Victor Wanda Walter David Laura Emily James Oliver Sophie Daniel Thomas Martin Linda Ahmed Fatima "
    "Chen Priya Yuki Diego Carmen Igor"
)

STORY_NAMES = NAMES[:40]

CITIES = items(
    "Paris|London|Berlin|Tokyo|Rome|Madrid|Vienna|Oslo|Cairo|Lima|Delhi|Boston|Chicago|Denver|Dublin|Prague|New York|"
    "San Francisco|Los Angeles|Rio|Sydney|Toronto|Amsterdam|Brussels|Lisbon|Athens|Warsaw|Zurich|Geneva|Milan|Munich|"
    "Hamburg|Helsinki|Stockholm|Copenhagen|Moscow|Kyoto|Seoul|Beijing|Mumbai|Nairobi|Lagos|Quito|Bogota|Havana|Miami|"
    "Seattle|Austin|Dallas|Houston|Boise|Portland|Vancouver|Montreal|Mexico City|Cape Town|Hong Kong|Singapore|"
    "Bangkok|Hanoi"
)

COUNTRIES = items(
    "France England Germany Japan Italy Spain Austria Norway Egypt Peru India Ireland Canada Brazil Kenya"
)

NOUNS = items(
    "test banana apple river stone cloud cat dog house table music paper light night bread water sun moon star tree "
    "bird fish lamp chair window garden book pen door road hill lake ship boat train car wheel clock bell ring coin "
    "key box bag hat shoe coat shirt sock glove spoon fork knife plate cup glass bottle milk cheese butter egg honey "
    "sugar salt pepper rice soup cake pie lemon melon cherry grape peach plum pear berry carrot onion potato tomato "
    "bean corn leaf root seed flower rose grass forest desert island ocean wave sand beach snow ice rain storm wind "
    "fire smoke ash gold iron steel wood brick wall roof floor room bed pillow mirror candle piano guitar drum violin "
    "song dance story poem letter word number question answer picture color mouse horse cow sheep goat pig duck goose "
    "hen wolf bear fox lion tiger zebra monkey snake frog bee ant spider turtle whale shark rabbit camera phone "
    "laptop server robot engine rocket planet comet castle tower bridge market school office doctor teacher farmer "
    "pilot baker sailor"
)

ADJECTIVES = items(
    "green blue red orange silver yellow purple white black brown pink big small old young fast slow warm cold happy "
    "brave quiet loud soft hard round flat sharp bright dark clean dirty early late rich poor strong weak sweet "
    "bitter fresh"
)

SMALL_WORDS = items(
    "hello yes no ok ping pong alpha beta gamma delta done ready stop go here there now never always maybe"
)

WORDS = NOUNS + ADJECTIVES + SMALL_WORDS
COLORS = items("red blue green yellow orange purple black white pink brown grey silver gold violet")
ANIMALS = items(
    "cat dog horse cow sheep goat pig duck wolf bear fox lion tiger zebra monkey snake frog turtle whale rabbit"
)
FOODS = items("pizza pasta bread cheese soup rice cake apple banana sushi curry salad chocolate honey")
PETS = ("cat", "dog", "rabbit", "parrot", "hamster", "horse", "goldfish", "turtle")
HOBBIES = items("chess tennis football painting cooking reading swimming singing dancing hiking fishing gardening")

ROLES = items(
    "a pirate|a robot|a teacher|a cat|a wizard|a chef|a poet|a gardener|a pilot|a doctor|a farmer|a detective|a "
    "dragon|a knight|a sailor|a singer|a queen|a king|a clown|a lawyer|a weather bot|a math tutor|an astronaut|an elf|"
    "an owl|an old tree|an engineer|a friendly ghost|a grumpy cat|a wise owl|a tour guide|a librarian|a travel agent|"
    "a banana|a talking dog|Sherlock Holmes|Captain Hook|Santa Claus|Zorro|Dracula|Robin Hood|Gandalf|Yoda|Superman|"
    "Merlin|Pinocchio|King Arthur"
)

_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwz", "aeiou"


def made_up(r: random.Random) -> str:
    """A pronounceable word that is in no list."""
    return "".join(
        r.choice(_CONSONANTS) + r.choice(_VOWELS) + r.choice(["", "", r.choice("nrstlmk")])
        for _ in range(r.randint(1, 3))
    )


def letters(r: random.Random) -> str:
    """A random string of two to seven letters."""
    return "".join(r.choice(string.ascii_lowercase) for _ in range(r.randint(2, 7)))


def digits(r: random.Random) -> str:
    """A number of one to five digits, as text."""
    return str(r.randrange(10 ** r.randint(1, 5)))


def word(r: random.Random) -> str:
    """One word to be copied: mostly from the lists, often one that never occurred before."""
    kind = r.random()
    if kind < 0.5:
        return r.choice(WORDS)
    if kind < 0.72:
        return made_up(r)
    if kind < 0.88:
        return letters(r)
    if kind < 0.95:
        return digits(r)
    return r.choice(NAMES)


def name(r: random.Random) -> str:
    """A person's name: from the list or invented."""
    return r.choice(NAMES) if r.random() < 0.55 else made_up(r).capitalize()


def city(r: random.Random) -> str:
    """A city: from the list or invented."""
    return r.choice(CITIES) if r.random() < 0.6 else made_up(r).capitalize()


def phrase(r: random.Random, low: int, high: int) -> str:
    """Between `low` and `high` words, sometimes capitalised."""
    text = " ".join(word(r) for _ in range(r.randint(low, high)))
    kind = r.random()
    if kind < 0.25:
        return text.capitalize()
    return text.upper() if kind < 0.3 else text
