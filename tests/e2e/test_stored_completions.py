"""`store: true` with OpenAI's own client, a real model, and a real memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from openai import NotFoundError, OpenAI

from tests.e2e.stack import Lair


@pytest.fixture
def client(lair: Lair) -> Iterator[OpenAI]:
    user = {"X-User-ID": f"store-{uuid4().hex}"}
    with OpenAI(base_url=f"{lair.url}/v1", api_key="none", default_headers=user) as client:
        yield client


def store(client: OpenAI, text: str, **options: Any) -> Any:
    said: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(
        model="auto", temperature=0, messages=said, store=True, **options
    )


def test_an_answer_is_found_at_once_by_the_id_it_came_with(client: OpenAI) -> None:
    answer = store(client, "Say hello", metadata={"topic": "greeting"})
    found = client.chat.completions.retrieve(answer.id)
    assert found.choices[0].message.content == answer.choices[0].message.content
    assert (found.id, found.model, found.usage) == (answer.id, answer.model, answer.usage)
    assert found.metadata == {"topic": "greeting"}


def test_so_is_a_streamed_one(client: OpenAI) -> None:
    chunks = list(store(client, "Count to 5", stream=True))
    [choice] = client.chat.completions.retrieve(chunks[0].id).choices
    assert (choice.message.content, choice.finish_reason) == ("1 2 3 4 5", "stop")


def test_all_of_several_answers_are_kept(client: OpenAI) -> None:
    answer = store(client, "Say hello", n=2)
    found = client.chat.completions.retrieve(answer.id)
    texts = [choice.message.content for choice in found.choices]
    assert texts == [choice.message.content for choice in answer.choices]


def test_they_are_listed_changed_and_deleted(client: OpenAI) -> None:
    names = [store(client, f"Count to {n}", metadata={"n": str(n)}).id for n in (3, 4, 5)]
    client.chat.completions.retrieve(names[-1])  # memory has heard of all
    assert [item.id for item in client.chat.completions.list(limit=2)] == names
    assert [item.id for item in client.chat.completions.list(order="desc")] == names[::-1]
    found = client.chat.completions.list(metadata={"n": "4"})
    assert [item.id for item in found] == names[1:2]
    client.chat.completions.update(names[1], metadata={"n": "four"})
    assert client.chat.completions.retrieve(names[1]).metadata == {"n": "four"}
    [asked] = client.chat.completions.messages.list(names[1]).data
    assert (asked.role, asked.content) == ("user", "Count to 4")
    assert client.chat.completions.delete(names[1]).deleted
    with pytest.raises(NotFoundError):
        client.chat.completions.retrieve(names[1])
    assert [item.id for item in client.chat.completions.list()] == [names[0], names[2]]


def test_nothing_is_kept_unless_it_is_asked_for(client: OpenAI) -> None:
    said: Any = [{"role": "user", "content": "Say hello"}]
    answer = client.chat.completions.create(model="auto", temperature=0, messages=said)
    with pytest.raises(NotFoundError):
        client.chat.completions.retrieve(answer.id)
    assert client.chat.completions.list().data == []


def test_the_owner_finds_what_a_program_keeps_for_its_user(client: OpenAI) -> None:
    answer = store(client, "Count to 3", user="somebody")
    assert client.chat.completions.retrieve(answer.id).id == answer.id
    assert answer.id in [item.id for item in client.chat.completions.list()]
    assert client.chat.completions.delete(answer.id).deleted
    with pytest.raises(NotFoundError):
        client.chat.completions.retrieve(answer.id)
