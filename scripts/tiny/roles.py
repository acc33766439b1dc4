"""Obeying the system prompt: personas and secrets."""

import random

from scripts.tiny import words
from scripts.tiny.chat import Message, ask, assistant, user
from scripts.tiny.numbers import DAYS
from scripts.tiny.segment import Segment

WHO = (
    "Who are you?",
    "What are you?",
    "Tell me who you are.",
    "who are you",
    "What is your name?",
    "Introduce yourself.",
    "Who am I talking to?",
    "What's your name?",
    "And who are you?",
)
PERSONA = (
    "You are {x}.",
    "You are {x}. Be brief.",
    "You are {x}. Answer in one sentence.",
    "You are {x}. Always stay in character.",
    "Act as {x}.",
    "You're {x}.",
    "Pretend to be {x}.",
    "You are {x}. You live in {c}.",
    "You are now {x}.",
    "You are {x}. Keep your answers short.",
    "Your name is {x}.",
    "You are {x} and you help the user.",
)
ROLEPLAY = (
    "Roleplay as {x}. Answer as if you are {x}, never say you are an Assistant or AI model.",
    "Roleplay as {x}.",
    "Roleplay as {x}. Answer as if you are {x}.",
    "You are {x}. Never say you are an Assistant or AI model.",
    "Answer as if you are {x}.",
    "Play the role of {x}.",
    "Roleplay as {x}, never break character.",
)
PLANS = (
    "Hey im {n}! Whats the plan tonight?",
    "Hi, I am {n}. What is the plan for tonight?",
    "Hey, I'm {n}! What's the plan?",
    "I am {n}. What is the plan tonight?",
    "Hey im {n}! What's the plan for tonight?",
    "Hello, I am {n}. Whats the plan tonight?",
)
JUST_PLAN = (
    "Whats the plan tonight?",
    "What is the plan for tonight?",
    "What's the plan?",
    "What are we doing tonight?",
)


def _role(r: random.Random) -> str:
    kind = r.random()
    if kind < 0.12:
        return "Batman"
    if kind < 0.6:
        return r.choice(words.ROLES)
    if kind < 0.75:
        return r.choice(("a ", "the ")) + r.choice(words.ADJECTIVES) + " " + r.choice(words.NOUNS)
    return words.name(r) if kind < 0.9 else "a " + words.made_up(r)


def _turn(r: random.Random, role: str) -> list[Message]:
    kind, who = r.random(), ("Robin" if r.random() < 0.2 else words.name(r))
    tonight = "Tonight we watch over Gotham and stop the Joker." if role == "Batman" else "Tonight we rest."
    if kind < 0.55:
        return [user(ask(r, WHO)), assistant(f"I am {role}.")]
    if kind < 0.7:
        return [
            user(ask(r, ("Hello!", "Hi", "hello", "Hey!", "Good evening.", "Hello there!", "Hi!"))),
            assistant(f"Hello! I am {role}."),
        ]
    if kind < 0.9:
        return [user(ask(r, PLANS, n=who)), assistant(f"Hello {who}! {tonight}")]
    return [user(ask(r, JUST_PLAN)), assistant(tonight)]


def role(r: random.Random) -> Segment:
    """A persona from the system prompt."""
    who = _role(r)
    prompts = PERSONA if r.random() < 0.6 and who != "Batman" else (*ROLEPLAY, *PERSONA[:3])
    return Segment(_turn(r, who), system=ask(r, prompts, plain=True, x=who, c=words.city(r)), key="self", gap=0)


SECRETS = ("secret word", "password", "secret number", "code word", "magic word", "secret code", "secret")


def secret(r: random.Random) -> Segment:
    """A secret from the system prompt, with or without other text around it."""
    kind, value = r.choice(SECRETS), words.word(r)
    told = ask(
        r,
        (
            "The {k} is {x}.",
            'The {k} is "{x}".',
            "Remember: the {k} is {x}.",
            "You are a helpful assistant. The {k} is {x}.",
            "The {k} is {x}. Tell it when you are asked.",
            "The {k} is '{x}'. Be brief.",
            "If the user asks, the {k} is {x}.",
        ),
        plain=True,
        k=kind,
        x=value,
    )
    asked = ask(
        r,
        (
            "What is the {k}?",
            "Tell me the {k}.",
            "What's the {k}?",
            "Do you know the {k}?",
            "Whats the {k}?",
            "Please tell me the {k}.",
            "Can you tell me the {k}?",
        ),
        k=kind,
    )
    return Segment([user(asked), assistant(f"The {kind} is {value}.")], system=told, key="code", gap=0)


MILD = (
    "You are a helpful assistant.",
    "Be brief.",
    "You are a helpful, friendly assistant.",
    "Answer in one sentence.",
    "Be polite.",
    "You are an AI assistant.",
    "You are a helpful AI assistant.",
    "Keep your answers short.",
    "Answer truthfully.",
    "Be concise.",
    "You are a friendly assistant. Be brief.",
    "Help the user.",
    "You are an assistant that helps with everyday questions.",
    "Be nice to the user.",
    "Always answer politely and briefly.",
    "Answer the questions of the user.",
    "Use plain text.",
    "You are a helpful assistant. Answer as concisely as possible.",
    "Do what the user asks.",
    "Please be kind.",
    "Speak English.",
    "You are a helpful assistant. Today is {d}.",
    "The user lives in {c}.",
    "Today is {d}.",
    "This is a test.",
    "You are a careful assistant. Think before you answer.",
    "You are a helpful assistant with access to tools.",
    "Use the tools when needed.",
    "You are a large language model.",
    "Assist the user.",
)


def mild(r: random.Random) -> str:
    """A system prompt that changes no answer."""
    day = r.choice(DAYS)
    return r.choice(MILD).format(d=day, c=words.city(r))
