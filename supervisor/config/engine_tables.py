"""What `defaults` and `options` of the built-in engines may say.

The workers check the same when they load a model. Nothing of theirs is imported here, so these tables are copies, and
tests compare them with workers/generation/params.py and with the engines.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from .models import ModelConfig
from .problems import Findings, KeyPath
from .rules import Refused, Rule, choice, flag, number, text, whole

_MAX_INT = 2**63 - 1
_MAX_STOPS = 16
_MAX_BIAS_TEXT = 1000
_MAX_BREAKERS = 64
_MAX_BREAKER_TEXT = 100
_PENALTY = number(-2, 2)
_BIAS = number(-100, 100)
_SIZE_UNITS = "(?:|[kmg]i?)b"


def _allow(words: str, passes: Callable[[Any], bool]) -> Rule:
    def read(value: object, _base: Path) -> object:
        if passes(value):
            return value
        raise Refused

    return Rule(words, read)


def _is_stop(value: object) -> bool:
    texts = cast("list[object]", value) if isinstance(value, list) else [value]
    return len(texts) <= _MAX_STOPS and all(isinstance(one, str) and one for one in texts)


def _is_bias(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    biases = cast("Mapping[str, object]", value)
    return all(0 < len(key) <= _MAX_BIAS_TEXT and _passes(_BIAS, bias) for key, bias in biases.items())


def _is_prompt(value: object) -> bool:
    ids = cast("list[object]", value) if isinstance(value, list) else [None]
    return isinstance(value, str) or all(isinstance(one, int) and not isinstance(one, bool) for one in ids)


def _are_breakers(value: object) -> bool:
    texts = cast("list[object]", value) if isinstance(value, list) else None
    if texts is None or len(texts) > _MAX_BREAKERS:
        return False
    return all(isinstance(one, str) and 0 < len(one) <= _MAX_BREAKER_TEXT and "\0" not in one for one in texts)


def _are_shares(value: object) -> bool:
    shares = cast("list[object]", value) if isinstance(value, list) else None
    return shares is not None and len(shares) <= _MAX_DEVICES and all(_passes(number(), one) for one in shares)


def _off(*values: int, whole_only: bool = False) -> Rule:
    """Allow nothing but the values at which a parameter does nothing."""

    def passes(value: object) -> bool:
        kinds = int if whole_only else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and value in values

    words = " or ".join(map(str, values)) or "nothing"
    return _allow(f"{words}: this engine does not have it", passes)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_table, cast("list[object]", value)))


def _is_text_or_table(value: object) -> bool:
    return isinstance(value, str | Mapping)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in cast("list[object]", value))


def _is_size(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(rf"\d+\s*(?:{_SIZE_UNITS})?", value, re.IGNORECASE) is not None
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _passes(rule: Rule, value: object) -> bool:
    try:
        rule.read(value, Path())
    except Refused:
        return False
    return True


_TEXT = text("(?s:.*)", "a text")
_SCHEMA = _allow("a JSON Schema: a table, or its JSON as text", _is_text_or_table)
_TEXT_DEFAULTS: Mapping[str, Rule] = {
    "max_tokens": whole(1, _MAX_INT),
    "temperature": number(0, 5),
    "top_k": whole(0, _MAX_INT),
    "top_p": number(0, 1),
    "min_p": number(0, 1),
    "repeat_penalty": number(0, 10, above=True),
    "repeat_last_n": whole(-1, _MAX_INT),
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "seed": whole(-_MAX_INT - 1, 2 * _MAX_INT + 1),
    "stop": _allow(f"a text or a list of at most {_MAX_STOPS} texts, none of them empty", _is_stop),
    "logit_bias": _allow("a table of tokens (their numbers or texts) and biases from -100 to 100", _is_bias),
    "n": whole(1, 16),
    "ignore_eos": flag(),
    "xtc_threshold": number(0, 1),
    "dry_base": number(1, 100),
    "dry_allowed_length": whole(0, _MAX_INT),
    "dry_penalty_last_n": whole(-1, _MAX_INT),
    "dry_sequence_breakers": _allow("a list of at most 64 texts of 1 to 100 characters", _are_breakers),
    "mirostat_tau": number(0, 100),
    "mirostat_eta": number(0, 100),
    "dynatemp_exponent": number(0, 100),
    "echo": flag(),
    "prompt": _allow("a text or a list of token numbers", _is_prompt),
    "messages": _allow("a list of messages, tables with role and content", _are_tables),
    "tools": _allow("a list of tables", _are_tables),
    "tool_choice": _allow("auto, none, required or a table with a function", _is_text_or_table),
    "parallel_tool_calls": flag(),
    "chat_template_kwargs": _allow("a table", _is_table),
    "response_format": _allow("a table with a type", _is_table),
    "structured_outputs": _allow("a table", _is_table),
    "json_schema": _SCHEMA,
    "guided_json": _SCHEMA,
    "guided_regex": _TEXT,
    "guided_choice": _allow("a list of texts", _are_texts),
    "guided_grammar": _TEXT,
    "grammar": _TEXT,
}
_ADVANCED_DEFAULTS: Mapping[str, Rule] = {
    "typical_p": number(0, 1),
    "top_n_sigma": number(-1, 1000),
    "xtc_probability": number(0, 1),
    "dry_multiplier": number(0, 100),
    "mirostat": whole(0, 2),
    "dynatemp_range": number(0, 5),
    "min_tokens": whole(0, _MAX_INT),
    "logprobs": whole(0, 20),
    "best_of": whole(1, 16),
}
"""What `onnx` has only at the values that ask for nothing."""
_OFF_DEFAULTS: Mapping[str, Rule] = {
    "typical_p": _off(1),
    "top_n_sigma": _off(-1, 0),
    "xtc_probability": _off(0),
    "dry_multiplier": _off(0),
    "mirostat": _off(0, whole_only=True),
    "dynatemp_range": _off(0),
    "min_tokens": _off(0, whole_only=True),
    "logprobs": _off(),
    "best_of": _off(1, whole_only=True),
}
_CHAT_TEMPLATE = text("(?s:.*)", "a Jinja template")
_SECONDS = number()
_CACHE_TYPE = choice("f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
_MAX_DEVICES = 16
_LLAMA_OPTIONS: Mapping[str, Rule] = {
    "chat_template": _CHAT_TEMPLATE,
    "context_shift": text(
        r"error|drop-oldest|truncate-middle|[A-Za-z_][\w.]*:[A-Za-z_]\w*",
        '"error", "drop-oldest", "truncate-middle" or "module:function"',
    ),
    "ubatch_size": whole(0, special="0 for batch_size, at most 512"),
    "prefill_chunk": whole(0, special="0 for what prefill_factor allows"),
    "prefill_factor": number(1, 1000, above=True),
    "kv_cells": whole(0, special="0 for parallel × context_size"),
    "cache_type_k": _CACHE_TYPE,
    "cache_type_v": _CACHE_TYPE,
    "flash_attention": choice("auto", "on", "off"),
    "mmap": flag(),
    "offload_kqv": flag(),
    "threads_batch": whole(0, 4096, "0 for cpu_threads"),
    "main_gpu": whole(0, _MAX_DEVICES - 1),
    "tensor_split": _allow(f"a list of at most {_MAX_DEVICES} numbers, 0 or more", _are_shares),
}

ENGINE_DEFAULTS: Mapping[str, Mapping[str, Rule]] = {
    "llama-cpp": {**_TEXT_DEFAULTS, **_ADVANCED_DEFAULTS},
    "onnx": {**_TEXT_DEFAULTS, **_OFF_DEFAULTS},
    "fault": {
        **_TEXT_DEFAULTS,
        **_ADVANCED_DEFAULTS,
    },  # it reads few of them, and stands in for engines that read them all
}
"""The request parameters that a model may have defaults for."""

ENGINE_OPTIONS: Mapping[str, Mapping[str, Rule]] = {
    "llama-cpp": _LLAMA_OPTIONS,
    "onnx": {"chat_template": _CHAT_TEMPLATE, "onnx_file": text(".*", "the name of an .onnx file in the directory")},
    "fault": {
        "load_delay": _SECONDS,
        "load_fail": text("(?s:.*)", "a text"),
        "load_crash": flag(),
        "load_order_file": text("(?s:.*)", "the path of a file with an order that the next load obeys"),
        "no_hello": flag(),
        "ignore_sigterm": flag(),
        "ignore_cancel": flag(),
        "token_delay": _SECONDS,
        "capacity": whole(1, 256),
        "memory": _allow('bytes (0 or more) or text such as "200MB" or "1GiB"', _is_size),
    },
}
"""The options of the built-in engines of this version. Those of custom engines are free."""


def check_engine_tables(model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    """Note names that the model's engine does not know in `defaults` and `options`, and values out of range."""
    if not findings.sound((*path, "engine")):
        return
    for key, kind, given, engines in (
        ("defaults", "parameter", model.defaults, ENGINE_DEFAULTS),
        ("options", "option", model.options, ENGINE_OPTIONS),
    ):
        if (rules := engines.get(model.engine)) is not None:
            _check_table(given, (*path, key), rules, f"an unknown {kind} of {model.engine}", findings)


def _check_table(
    given: Mapping[str, Any], path: KeyPath, rules: Mapping[str, Rule], unknown: str, findings: Findings
) -> None:
    for name, value in given.items():
        place = (*path, name)
        if not findings.sound(place):
            continue
        rule = rules.get(name)
        if rule is None:
            findings.add(place, ", ".join(rules), found=unknown, note=_suggestion(name, rules))
            continue
        try:
            rule.read(value, Path())
        except Refused as refusal:
            findings.add(place, rule.allowed, note=str(refusal))


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"?' if close else ""
