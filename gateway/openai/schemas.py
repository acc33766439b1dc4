"""The request bodies: which fields there are, their types and ranges. `validation` turns bodies into these."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_CHOICES = 16
MAX_STOPS = 16
_MAX_INT = 2**63 - 1

Count = Annotated[int, Field(ge=1, le=_MAX_INT)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Factor = Annotated[float, Field(ge=0, le=100)]
Logprobs = Annotated[int, Field(ge=0, le=20)]
Bias = Annotated[float, Field(ge=-100, le=100)]


class Strict(BaseModel):
    """No coercion (a "5" is not a 5), no unknown fields, no infinities."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class StreamOptions(Strict):
    """`include_usage` asks for a last chunk with the usage. `include_obfuscation` is taken and has no effect."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class TextBody(Strict):
    """What chats and completions share. None means left out: the model's default holds.

    Of these, `SAMPLING` and `FORMS` go to the worker as they are.
    """

    model: Annotated[str, Field(min_length=1, max_length=256)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=5)] | None = None
    top_k: Annotated[int, Field(ge=0, le=_MAX_INT)] | None = None
    top_p: Fraction | None = None
    min_p: Fraction | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    repeat_last_n: Annotated[int, Field(ge=-1, le=_MAX_INT)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-_MAX_INT - 1, le=2 * _MAX_INT + 1)] | None = None
    stop: Any = None
    logit_bias: dict[str, Bias] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    ignore_eos: bool | None = None
    typical_p: Fraction | None = None
    top_n_sigma: Annotated[float, Field(ge=-1, le=1000)] | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Fraction | None = None
    dry_multiplier: Factor | None = None
    dry_base: Annotated[float, Field(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[int, Field(ge=0, le=_MAX_INT)] | None = None
    dry_penalty_last_n: Annotated[int, Field(ge=-1, le=_MAX_INT)] | None = None
    dry_sequence_breakers: list[str] | None = None
    mirostat: Annotated[int, Field(ge=0, le=2)] | None = None
    mirostat_tau: Factor | None = None
    mirostat_eta: Factor | None = None
    dynatemp_range: Annotated[float, Field(ge=0, le=5)] | None = None
    dynatemp_exponent: Factor | None = None
    min_tokens: Annotated[int, Field(ge=0, le=_MAX_INT)] | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    json_schema: dict[str, Any] | str | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    grammar: str | None = None
    priority: Any = None
    timeout: Any = None
    keep_alive: Any = None
    wait: Any = None


class ChatBody(TextBody):
    """POST chat/completions. `messages` are read by `messages.read_messages`."""

    messages: list[Any]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Logprobs | None = None


class CompletionBody(TextBody):
    """POST completions. `prompt` is read by `prompts.read_prompts`. `max_tokens` 0 makes sense with `echo`."""

    prompt: Any
    max_tokens: Annotated[int, Field(ge=0, le=_MAX_INT)] | None = None
    echo: bool | None = None
    logprobs: Logprobs | None = None


SAMPLING = (
    "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "frequency_penalty",
    "presence_penalty", "seed", "logit_bias", "ignore_eos", "typical_p", "top_n_sigma", "xtc_probability",
    "xtc_threshold", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers",
    "mirostat", "mirostat_tau", "mirostat_eta", "dynatemp_range", "dynatemp_exponent", "min_tokens", "best_of",
)  # fmt: skip

FORMS = (
    "response_format", "structured_outputs", "json_schema", "guided_json", "guided_regex", "guided_choice",
    "guided_grammar", "grammar",
)  # fmt: skip
"""They say what form the answer is to have; what is in them is checked where the grammar is made."""
