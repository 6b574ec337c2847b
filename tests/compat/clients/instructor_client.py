"""instructor: types out of chats, by schema and by tool."""

from __future__ import annotations

import instructor
import openai
from cases import BASE_URL, CHAT, KEY, SCRIPTED, SCRIPTED_BACKEND, case, main, user
from pydantic import BaseModel


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def client(mode, of=openai.OpenAI):
    """Wrap an OpenAI client."""
    return instructor.from_openai(of(base_url=BASE_URL, api_key=KEY), mode=mode)


@case("JSON_SCHEMA mode")
def json_schema():
    person = client(instructor.Mode.JSON_SCHEMA).chat.completions.create(
        model=CHAT, messages=[user("Reply in JSON")], temperature=0, response_model=Person
    )
    assert isinstance(person, Person)


@case("JSON_SCHEMA mode, async")
async def json_schema_async():
    person = await client(instructor.Mode.JSON_SCHEMA, openai.AsyncOpenAI).create(
        model=CHAT, messages=[user("Reply in JSON")], temperature=0, response_model=Person
    )
    assert isinstance(person, Person)


@case("TOOLS mode, whole and partial", SCRIPTED_BACKEND)
def tools():
    options = {
        "model": SCRIPTED,
        "messages": [user("Name 'Ada', who is 36")],
        "response_model": Person,
    }
    patched = client(instructor.Mode.TOOLS)
    *_, last = patched.chat.completions.create_partial(**options)
    for person in (patched.chat.completions.create(**options), last):
        assert (person.name, person.age) == ("Ada", 36)


if __name__ == "__main__":
    main()
