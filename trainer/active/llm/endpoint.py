"""A client for an OpenAI-compatible endpoint: chat requests, their cost, and error messages of one line.

Requests go only to the address in the settings: redirects are refused. After failed connections, timeouts, rate limits
and server errors, the `openai` client repeats a request after longer and longer pauses, or after the pause that the
server asks for (`Retry-After`). The key is read from an environment variable and removed from every message.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from labels.environment.settings import SETTINGS_FILE, LanguageModel
from labels.errors import EndpointError, InputError
from trainer.active.llm.coder_prompt import Prompt, UnreadableAnswer

if TYPE_CHECKING:
    from openai import OpenAI

_NO_KEY = "no-key-needed"  # the client insists on one
_LONGEST = 300
"""Maximum number of characters of a server's message quoted in an error."""
NOT_JSON, NO_CHOICE = "the endpoint's reply is not JSON", "the endpoint's reply has no answer"
_OPTIONAL = ("response_format", "seed", "logprobs")
"""Parameters that an endpoint may not know; without `logprobs` there are no probabilities."""
_TOP = 5  # alternatives of a token whose probabilities are asked for
_CONTEXT = re.compile(r"context|too long|maximum.{0,20}length|max_model_len|exceeds? .{0,20}tokens", re.IGNORECASE)
_PLAUSIBLE = 0.5
"""The smallest sum of the probabilities of "yes" and "no" at which their ratio is used."""


class RefusedTextError(EndpointError):
    """The endpoint refused one request as invalid, such as a text that is longer than the model's context."""


@dataclass(frozen=True)
class Reply:
    """One answer of a model.

    - `content`: the text of the answer; empty if the model refused
    - `problem`: why the answer cannot be read, although the request succeeded: cut off, refused; empty otherwise
    - `tokens_in`, `tokens_out`: as counted by the endpoint; 0 if it does not report them
    - `seconds`: from the first attempt to the answer; `attempts`: the number of requests that were needed
    - `tokens`: the answer's tokens, each with the log-probabilities of its alternatives; empty if not offered
    """

    content: str
    problem: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    attempts: int = 1
    tokens: tuple[tuple[str, Mapping[str, float]], ...] = ()


@dataclass
class Endpoint:
    """An endpoint to which chat requests can be sent from any thread. Close it after use.

    Raises:
        InputError: the `openai` package, the address, the model or the key is missing, or the address is not valid.
    """

    settings: LanguageModel
    _client: OpenAI = field(init=False, repr=False)
    _key: str = field(init=False, repr=False)
    _refused: set[str] = field(init=False, default_factory=set)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if find_spec("openai") is None:
            raise InputError('Language models need the package openai. Install it: pip install "communique[llm]".')
        checked_address(self.settings)
        self._key = _key(self.settings)
        from openai import DefaultHttpxClient, OpenAI

        own = self.settings
        self._client = OpenAI(
            base_url=own.base_url,
            api_key=self._key or _NO_KEY,
            timeout=own.timeout,
            max_retries=own.retries,
            # Nothing of the environment's own settings for OpenAI is sent, and no redirect takes a text elsewhere.
            organization="",
            project="",
            http_client=DefaultHttpxClient(follow_redirects=False, timeout=own.timeout),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def enforces_schema(self) -> bool:
        """Whether the endpoint has accepted a JSON schema so far."""
        return "response_format" not in self._refused

    def ask(self, prompt: Prompt, text: str, *, temperature: float | None = None, repeat: int = 0) -> Reply:
        """Ask for the labels of one text.

        Args:
            temperature: replaces the temperature in the settings.
            repeat: added to the seed, so that samples and repeated questions differ.

        Raises:
            InputError: the key, the address or the model is wrong.
            RefusedTextError: the endpoint refused this request as invalid.
            EndpointError: the endpoint cannot be reached, fails repeatedly, or is out of quota.
        """
        own = self.settings
        options: dict[str, Any] = {
            "model": own.model,
            "messages": prompt.messages(text),
            "temperature": own.temperature if temperature is None else temperature,
            "max_tokens": own.answer_tokens or prompt.longest_answer,
            "seed": own.seed + repeat,
        }
        if prompt.schema is not None:
            schema = {"name": "labels", "strict": True, "schema": prompt.schema}
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        if prompt.each:
            options |= {"logprobs": True, "top_logprobs": _TOP}
        return self._asked(options)

    def _asked(self, options: dict[str, Any]) -> Reply:
        """Send a request, without the optional parameters that the endpoint has turned out not to know."""
        import openai

        while True:
            sent = self._without_refused(options)
            start = time.perf_counter()
            try:
                raw = self._client.chat.completions.with_raw_response.create(**sent)
                return self._reply(raw.parse(), time.perf_counter() - start, raw.retries_taken + 1)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not self._refuses_parameter(error, sent):
                    raise RefusedTextError(self._refusal(error)) from None
            except openai.OpenAIError as error:
                self._explain(error)
            except ValueError:  # the body is not JSON, or not that of a chat completion
                return Reply("", NOT_JSON, seconds=time.perf_counter() - start)

    def _without_refused(self, options: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            gone = self._refused | ({"top_logprobs"} if "logprobs" in self._refused else set())
        return {name: value for name, value in options.items() if name not in gone}

    def _refuses_parameter(self, error: Any, sent: Mapping[str, Any]) -> bool:
        """Note the optional parameters that a message names; whether there is one, so that the request is repeated."""
        message = str(error.message)
        named = {name for name in _OPTIONAL if name in sent and name in message}
        if not named and "response_format" in sent and re.search(r"json_?schema|grammar|guided", message):
            named = {"response_format"}
        if "logprobs" in named or "top_logprobs" in message:
            raise EndpointError(_NO_LOGPROBS.format(address=shown_address(self.settings))) from None
        with self._lock:
            self._refused |= named
        return bool(named)

    def _reply(self, found: Any, seconds: float, attempts: int) -> Reply:
        choices = getattr(found, "choices", None)
        if not choices:
            return Reply("", NO_CHOICE, seconds=seconds, attempts=attempts)
        choice, usage = choices[0], getattr(found, "usage", None)
        message = choice.message
        problem = ""
        if getattr(message, "refusal", None) or choice.finish_reason == "content_filter":
            problem = "the model refused to answer"
        elif choice.finish_reason == "length":
            problem = "the answer was cut off at the limit of tokens"
        return Reply(
            content=str(message.content or ""),
            problem=problem,
            tokens_in=int(getattr(usage, "prompt_tokens", 0) or 0),
            tokens_out=int(getattr(usage, "completion_tokens", 0) or 0),
            seconds=seconds,
            attempts=attempts,
            tokens=_tokens(choice),
        )

    # -- failures in one line

    def _hidden(self, message: str) -> str:
        """A server's message in one line, without the key."""
        line = " ".join(message.split())[:_LONGEST]
        # Some servers quote the first and the last letters of a key.
        return re.sub(r"\bsk-[\w*-]{4,}", "***", line.replace(self._key, "***") if self._key else line)

    def _refusal(self, error: Any) -> str:
        said = self._hidden(str(error.message))
        if _CONTEXT.search(said):
            return (
                f"{shown_address(self.settings)}: the request exceeds the context of model '{self.settings.model}' "
                f"({said}). Use --short, fewer examples or a model with a longer context."
            )
        return f"{shown_address(self.settings)}: the endpoint refused the request ({said})."

    def _explain(self, error: Any) -> NoReturn:
        """Raise the error of communique for an error of the client.

        Raises:
            InputError, EndpointError: always.
        """
        import openai

        place, own = shown_address(self.settings), self.settings
        said = self._hidden(str(getattr(error, "message", error)))
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            needs = f"needs a key. Put it in an environment variable, and its name under [llm] in {SETTINGS_FILE}."
            rejects = f"does not accept the key. Put a valid key in the environment variable {own.key}."
            raise InputError(f"{place}: the endpoint {rejects if own.key else needs}") from None
        if isinstance(error, openai.NotFoundError):
            raise InputError(
                f"{place}: the endpoint has no model '{own.model}', or the address is wrong ({said}). Check `model` "
                "and `base_url`; many addresses end with /v1."
            ) from None
        if isinstance(error, openai.APITimeoutError):
            raise EndpointError(
                f"{place}: no answer within {own.timeout:g} seconds (attempts: {own.retries + 1}). Try again later, or "
                f"increase `timeout` under [llm] in {SETTINGS_FILE}."
            ) from None
        if isinstance(error, openai.APIConnectionError):
            cause = self._hidden(str(error.__cause__ or said))
            raise EndpointError(
                f"{place}: the endpoint cannot be reached ({cause}). Check `base_url`, and that the server is running."
            ) from None
        if isinstance(error, openai.RateLimitError):
            raise EndpointError(
                f"{place}: the endpoint's rate limit or quota is exhausted ({said}). Run the same command again later, "
                f"or lower `concurrency` under [llm] in {SETTINGS_FILE}."
            ) from None
        if 300 <= (getattr(error, "status_code", None) or 0) < 400:
            raise EndpointError(
                f"{place}: the endpoint redirects requests to another address, but texts are sent only to `base_url`. "
                "Set it to the right address."
            ) from None
        raise EndpointError(f"{place}: the endpoint failed ({said}). Run the same command again later.") from None


_NO_LOGPROBS = (
    "{address}: the endpoint offers no log-probabilities. Set `probabilities` under [llm] in communique.toml to "
    '"samples" or "none".'
)


def checked_address(settings: LanguageModel) -> None:
    """Check the address and the name of the model.

    Raises:
        InputError: one is missing, or the address is not that of an HTTP server or contains a password.
    """
    for name, option in (("base_url", "--base-url"), ("model", "--model")):
        if not getattr(settings, name):
            raise InputError(f"No language model is set. Add `{name}` under [llm] in {SETTINGS_FILE}, or use {option}.")
    try:
        parts = urlsplit(settings.base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"`base_url` must be an address such as http://localhost:8000/v1. Fix it in {SETTINGS_FILE}.")
    if parts.username or parts.password or parts.query:
        raise InputError(
            "`base_url` must not contain a user name, a password or query parameters. Put the key in an environment "
            f"variable, and its name as `key` under [llm] in {SETTINGS_FILE}."
        )


def shown_address(settings: LanguageModel) -> str:
    """The address of an endpoint for messages."""
    return settings.base_url.rstrip("/")


def proxies(settings: LanguageModel) -> str:
    """The proxy in the environment through which requests go, without its password; empty if there is none."""
    parts = urlsplit(settings.base_url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return ""
    found = getproxies()
    proxy = urlsplit(found.get(parts.scheme) or found.get("all") or "")
    return f"{proxy.hostname}:{proxy.port}" if proxy.port else (proxy.hostname or "")


def _key(settings: LanguageModel) -> str:
    if not settings.key:
        return ""
    found = os.environ.get(settings.key, "").strip()
    if not found:
        raise InputError(
            f"The environment variable {settings.key}, which must contain the key for {shown_address(settings)}, is "
            f"not set or empty. Set it, or change `key` under [llm] in {SETTINGS_FILE}."
        )
    if not found.isascii() or not found.isprintable():
        raise InputError(f"The environment variable {settings.key} has characters that no key has. Set it again.")
    return found


# -- probabilities of tokens


def _tokens(choice: Any) -> tuple[tuple[str, Mapping[str, float]], ...]:
    content = getattr(getattr(choice, "logprobs", None), "content", None) or []
    return tuple(
        (str(one.token), {str(top.token): float(top.logprob) for top in (one.top_logprobs or [one])}) for one in content
    )


def read_probabilities(prompt: Prompt, reply: Reply) -> tuple[float, ...]:
    """The probability of each label, from the tokens "yes" and "no" of an answer that says one of them for each label.

    It is P(yes) / (P(yes) + P(no)) at the place of the label's answer, given the model's answers before it.

    Raises:
        UnreadableAnswer: there are no log-probabilities, or such a token is missing for a label.
    """
    if not reply.tokens:
        raise UnreadableAnswer("the answer has no log-probabilities")
    written = "".join(token for token, _ in reply.tokens)
    chances = [_chance(name, written, reply) for name in prompt.codebook.label_names]
    total = sum(chances)
    # The labels of an exclusive codebook share a probability of 1.
    return tuple(one / total for one in chances) if prompt.codebook.exclusive and total > 1 else tuple(chances)


def _chance(label: str, written: str, reply: Reply) -> float:
    """The probability of "yes" against "no" at the token with which the answer for a label begins."""
    place = re.search(rf'"{re.escape(label)}"\s*:\s*"(yes|no)"', written)
    if place is None:
        raise UnreadableAnswer(f"the log-probabilities do not show the answer for '{label}'")
    ends = accumulate(len(token) for token, _ in reply.tokens)
    tops = next(tops for (_, tops), end in zip(reply.tokens, ends, strict=True) if end > place.start(1))
    mass = {"yes": 0.0, "no": 0.0}
    for token, logarithm in tops.items():
        word = token.strip(' ":').lower()
        if word in mass:
            mass[word] += math.exp(logarithm)
    total = mass["yes"] + mass["no"]
    if total < _PLAUSIBLE:
        raise UnreadableAnswer(f"the log-probabilities do not show the answer for '{label}'")
    return mass["yes"] / total
