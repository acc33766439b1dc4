"""Prompts that every engine must answer with the same tokens, written to tests/data/agreement_prompts.json."""

import json
from pathlib import Path
from typing import Any

from scripts.tiny.chat import assistant, calls, render, system, user

Item = dict[str, Any]

DIE = {
    "type": "function",
    "function": {
        "name": "getRandomNumber",
        "description": "Generate a random integer in given range",
        "parameters": {
            "type": "object",
            "properties": {"min": {"type": "number"}, "max": {"type": "number"}},
            "required": ["min", "max"],
        },
    },
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "getLocationWeather",
        "description": "Get the weather in a location",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    },
}
PLACE = {
    "type": "function",
    "function": {
        "name": "getUserLocation",
        "description": "Get the user's current location",
        "parameters": {"type": "object", "properties": {}},
    },
}

QUESTIONS = (
    'This is a test. Just answer with "Test".',
    "Say 'hello world'.",
    "Repeat after me: zug qixo 42",
    "Please only answer with 'OK'.",
    "Count to 10.",
    "lets count to 7",
    "Count from 4 to 9.",
    "Which numbers are between 3 and 7?",
    "What is 7 + 5?",
    "Whats 2+2?",
    "9 - 4",
    "How much is 12 minus 5?",
    "Spell banana.",
    "Spell qzxw.",
    "My name is Robin.",
    "Tell me a story about Ada.",
    "Tell me a long story.",
    "Tell me a story.",
    'Please finish my sentence: "Once upon a..."',
    "Tell me a fun fact about bears.",
    "Write a haiku about cheese.",
    'Answer with a JSON object containing the key "test" with the value "test".',
    'Answer with a JSON object containing the key "test" with the value "test". And add an array of cats to it.',
    "Extract the name, age and city: Ada is 31 years old and lives in Paris.",
    'Is this positive, negative or neutral? "I love this phone."',
    "What is the sentiment of this sentence? The hotel was awful.",
    "What comes after Monday?",
    "What comes before March?",
    "Which letter comes after Q?",
    "Hello!",
    "Who are you?",
    "What can you do?",
    "Thanks!",
    "Bye!",
    "How are you?",
    "Recite the alphabet.",
    "What is the capital of France?",
    "Wie geht es dir heute?",
    "Explain quantum physics.",
    "asdf jkl",
    "Remind me of one animal fact I mentioned earlier? One Sentence.",
    "What is my name?",
    "Count to 100.",
    "What is 12 * 13?",
)
SENTENCES = (
    "To verify our code works we will first write an integration",
    "The quick brown fox",
    '"All animals are equal, but some',
    "Let's count to four. One, two,",
    "one two three",
    "Once upon a time there was",
    "It was the best of",
    "<|fim_prefix|>The quick brown<|fim_suffix|> over the lazy dog.<|fim_middle|>",
)


def items() -> list[Item]:
    """All agreement prompts, without the expected text."""
    out: list[Item] = [{"messages": [user(q)]} for q in QUESTIONS]
    out += [{"prompt": s} for s in SENTENCES]
    batman = "Roleplay as Batman. Answer as if you are Batman, never say you are an Assistant or AI model."
    fact = "Platypuses have venomous spurs on their hind legs."
    twice = calls(("getRandomNumber", {"min": 1, "max": 6}), ("getRandomNumber", {"min": 1, "max": 6}))
    out += [
        {"messages": [system(batman), user("Hey im Robin! Whats the plan tonight?")]},
        {"messages": [system("You are a pirate."), user("Who are you?")]},
        {"messages": [system("The secret word is mango."), user("What is the secret word?")]},
        {"messages": [system("You are a helpful assistant."), user("Count to 5.")]},
        {
            "messages": [
                user("My name is Toby."),
                assistant("Hello Toby!"),
                user("What is 3 + 4?"),
                assistant("3 + 4 = 7"),
                user("What is my name?"),
            ]
        },
        {
            "messages": [
                user(f"Please remember this fact for later: {fact} Don't forget! Just answer with 'OK'."),
                assistant("OK"),
                user("Remind me of one animal fact I mentioned earlier? One Sentence."),
            ]
        },
        {"messages": [user("Count to 5."), assistant("1, 2, 3, 4, 5."), user("Continue.")]},
        {"messages": [user("Let's roll the die.")], "tools": [DIE]},
        {"messages": [user("Roll the dice twice, then tell me the results.")], "tools": [DIE]},
        {
            "messages": [
                user("Roll the dice twice, then tell me the results."),
                twice,
                {"role": "tool", "content": "4"},
                {"role": "tool", "content": "2"},
            ],
            "tools": [DIE],
        },
        {"messages": [user("What is the weather in Paris and London?")], "tools": [WEATHER]},
        {
            "messages": [
                user("What is the weather in Oslo?"),
                calls(("getLocationWeather", {"location": "Oslo"})),
                {"role": "tool", "content": '{"temperature": 12}'},
            ],
            "tools": [WEATHER, DIE],
        },
        {"messages": [user("Where am I?")], "tools": [DIE, PLACE, WEATHER]},
        {
            "messages": [
                user("Where am I?"),
                calls(("getUserLocation", {})),
                {"role": "tool", "content": "New York, New York, United States"},
            ],
            "tools": [PLACE],
        },
        {"messages": [user("Spell apple.")], "tools": [WEATHER]},
    ]
    return out


def text_of(item: Item) -> str:
    """The prompt as text."""
    return str(item["prompt"]) if "prompt" in item else render(item["messages"], item.get("tools", ()), generate=True)


def save(found: list[Item], target: Path) -> None:
    """Write the file that the tests read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
