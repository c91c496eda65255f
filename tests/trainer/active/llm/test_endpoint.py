from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest

from labels.environment.settings import LanguageModel
from labels.errors import CommuniqueError, EndpointError, InputError
from tests.lazy import needed
from tests.trainer.active.llm.conftest import KEY, small_codebook
from tests.trainer.active.llm.misbehaving_server import MisbehavingServer
from tests.trainer.conftest import plain_codebook
from trainer.active.llm.asking import answer_about
from trainer.active.llm.coder_prompt import Prompt
from trainer.active.llm.endpoint import Endpoint, RefusedTextError

PROMPT = Prompt(small_codebook())
TEXT = "They pledged a support package."


@pytest.fixture
def endpoint(server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    needed("openai")
    monkeypatch.setenv("LLM_KEY", KEY)
    settings = LanguageModel(base_url=server.url, model="word-model", key="LLM_KEY", timeout=1, retries=2)
    found = Endpoint(settings)
    yield found
    found.close()


def changed(endpoint: Endpoint, **changes: object) -> Endpoint:
    endpoint.settings = replace(endpoint.settings, **changes)  # type: ignore[arg-type]
    return endpoint


def test_an_answer_comes_with_what_it_cost(endpoint: Endpoint, server: MisbehavingServer) -> None:
    answer = answer_about(endpoint, PROMPT, TEXT)
    assert (answer.labels, answer.probabilities) == (("aid",), (1.0, 0.0))
    assert (answer.requests, answer.attempts, answer.tokens_in, answer.tokens_out) == (1, 1, 100, 10)
    (request,) = server.requests
    assert (request["model"], request["temperature"], request["seed"]) == ("word-model", 0.0, 13)
    assert request["response_format"]["json_schema"]["schema"] == PROMPT.schema
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize("fault", ["429", "500", "cut", "slow"])
def test_passing_failures_are_repeated_and_counted(endpoint: Endpoint, server: MisbehavingServer, fault: str) -> None:
    server.faults = deque([fault])
    answer = answer_about(endpoint, PROMPT, TEXT)
    assert (answer.labels, answer.requests, answer.attempts) == (("aid",), 1, 2)
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", ["unreadable", "refusal", "length", "broken", "empty"])
def test_an_unreadable_answer_is_asked_for_once_more(endpoint: Endpoint, server: MisbehavingServer, fault: str) -> None:
    server.faults = deque([fault])
    answer = answer_about(endpoint, PROMPT, TEXT)
    assert (answer.labels, answer.requests) == (("aid",), 2)
    assert [request["seed"] for request in server.requests] == [13, 14]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [("unreadable", "not JSON"), ("refusal", "refused"), ("length", "cut off"), ("broken", "not JSON")],
)
def test_two_unreadable_answers_are_no_answer(
    endpoint: Endpoint, server: MisbehavingServer, fault: str, problem: str
) -> None:
    server.always = fault
    answer = answer_about(endpoint, PROMPT, TEXT)
    assert answer.labels is None
    assert answer.probabilities == ()
    assert problem in answer.problem
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("401", InputError, "does not accept the key"),
        ("404", InputError, "has no model 'word-model'"),
        ("429", EndpointError, "quota is exhausted"),
        ("500", EndpointError, "failed"),
        ("cut", EndpointError, "cannot be reached"),
        ("redirect", EndpointError, "redirects requests to another address"),
        ("context", RefusedTextError, "exceeds the context of model 'word-model'"),
        ("invalid", RefusedTextError, "refused the request"),
    ],
)
def test_lasting_failures_are_one_line_without_the_key(
    endpoint: Endpoint, server: MisbehavingServer, fault: str, error: type[CommuniqueError], said: str
) -> None:
    server.always = fault
    with pytest.raises(error, match=said) as raised:
        answer_about(endpoint, PROMPT, TEXT)
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)
    assert raised.value.__cause__ is None
    assert len(server.requests) == (3 if fault in ("429", "500", "cut") else 1)


def test_an_endpoint_without_schemas_is_asked_without_them(endpoint: Endpoint, server: MisbehavingServer) -> None:
    server.always = "schema"
    answers = [answer_about(endpoint, PROMPT, TEXT) for _ in range(2)]
    assert [answer.labels for answer in answers] == [("aid",), ("aid",)]
    assert ["response_format" in request for request in server.requests] == [True, False, False]
    assert not endpoint.enforces_schema


def test_probabilities_come_from_the_tokens_of_yes_and_no(endpoint: Endpoint, server: MisbehavingServer) -> None:
    server.chances = lambda _: {"truce": 0.2, "aid": 0.9}
    prompt = replace(PROMPT, each=True)
    answer = answer_about(changed(endpoint, probabilities="logprobs"), prompt, TEXT)
    assert answer.labels == ("aid",)
    assert answer.probabilities == pytest.approx((0.9, 0.2))


def test_labels_named_like_an_answer_do_not_confuse_probabilities(
    endpoint: Endpoint, server: MisbehavingServer
) -> None:
    server.chances = lambda _: {"no": 0.7, "yes": 0.4}
    prompt = Prompt(plain_codebook("no", "yes"), each=True)
    answer = answer_about(changed(endpoint, probabilities="logprobs"), prompt, TEXT)
    assert answer.probabilities == pytest.approx((0.7, 0.4))


@pytest.mark.parametrize("refusal", [True, False])
def test_an_endpoint_without_log_probabilities_gives_no_answer_or_says_so(
    endpoint: Endpoint, server: MisbehavingServer, refusal: bool
) -> None:
    prompt = replace(PROMPT, each=True)
    server.rule = lambda *_: prompt.written(("aid",))
    asked = changed(endpoint, probabilities="logprobs")
    if refusal:
        server.always = "logprobs"
        with pytest.raises(EndpointError, match="offers no log-probabilities"):
            answer_about(asked, prompt, TEXT)
    else:
        answer = answer_about(asked, prompt, TEXT)
        assert (answer.labels, answer.problem) == (None, "the answer has no log-probabilities")


def test_samples_give_shares_of_the_readable_answers(endpoint: Endpoint, server: MisbehavingServer) -> None:
    given = iter(["aid"] * 3 + ["truce"])
    server.rule = lambda *_: json.dumps({"labels": [next(given)]})
    server.faults = deque(["", "unreadable", "unreadable", ""])
    # Unreadable answers take one of the rule's answers with them.
    given = iter(["aid", "aid", "aid", "aid", "truce", "aid"])
    answer = answer_about(changed(endpoint, probabilities="samples", samples=5), PROMPT, TEXT)
    assert answer.labels == ("aid",)
    assert answer.probabilities == pytest.approx((0.75, 0.25))
    assert {request["temperature"] for request in server.requests} == {1.0}
    assert len({request["seed"] for request in server.requests}) == answer.requests == 6


def test_the_prompt_that_is_sent_is_the_prompt_that_is_shown(endpoint: Endpoint, server: MisbehavingServer) -> None:
    text = "</sentence> <|im_end|> A text with “quotes” and \ud83d\ude00".encode("utf-16", "surrogatepass").decode(
        "utf-16"
    )
    answer_about(endpoint, PROMPT, text)
    assert server.requests[0]["messages"] == PROMPT.messages(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": ""}, "Add `base_url`"),
        ({"model": ""}, "Add `model`"),
        ({"base_url": "localhost:8000"}, "must be an address such as"),
        ({"base_url": "http://user:password@host/v1"}, "must not contain a user name, a password"),
        ({"base_url": "http://host/v1?key=sk-secret"}, "must not contain a user name, a password"),
        ({"base_url": "http://host:99999/v1"}, "must be an address such as"),
        ({"key": "UNSET_KEY"}, "environment variable UNSET_KEY"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(
    server: MisbehavingServer, changes: dict[str, str], said: str
) -> None:
    settings = replace(LanguageModel(base_url=server.url, model="word-model"), **changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said) as raised:
        Endpoint(settings)
    assert "password@" not in str(raised.value)
    assert "sk-secret" not in str(raised.value)
    assert server.requests == []


def test_without_a_key_none_of_the_environment_is_sent(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = Endpoint(LanguageModel(base_url=server.url, model="word-model"))
    answer_about(endpoint, PROMPT, TEXT)
    endpoint.close()
    assert KEY not in server.keys[0]


def test_a_server_that_does_not_run_is_one_line() -> None:
    endpoint = Endpoint(LanguageModel(base_url="http://127.0.0.1:9/v1", model="m", retries=0))
    with pytest.raises(EndpointError, match=r"http://127.0.0.1:9/v1: the endpoint cannot be reached"):
        answer_about(endpoint, PROMPT, TEXT)
    endpoint.close()
    assert math.isfinite(endpoint.settings.timeout)
