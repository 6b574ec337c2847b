"""pydantic-ai: agents with tools, streams and types, by the chat and the responses API."""

from __future__ import annotations

from cases import BASE_URL, CHAT, KEY, SCRIPTED, SCRIPTED_BACKEND, case, main
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

SETTINGS = {"temperature": 0}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def agent(model=CHAT, kind=OpenAIChatModel, **options):
    """Make an agent of a model, with connections of its own: each case has its event loop."""
    provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=BASE_URL, api_key=KEY))
    return Agent(kind(model, provider=provider), model_settings=SETTINGS, **options)


@case("run")
def run():
    result = agent().run_sync("Say hello")
    assert result.output == "Hello from the tiny model."
    assert result.usage.output_tokens > 0


@case("run_stream")
async def run_stream():
    async with agent().run_stream("Count to 6") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert "".join(pieces) == "1 2 3 4 5 6"
    assert len(pieces) > 1


@case("an agent with a tool")
def tool_agent():
    weatherman = agent()
    asked = []

    @weatherman.tool_plain
    def get_weather(city: str) -> str:
        """d"""  # what the tiny model was trained on
        asked.append(city)
        return "rainy"

    assert weatherman.run_sync("What is the weather in Rome?").output == "It is rainy in Rome."
    assert asked == ["Rome"]


@case("output_type", SCRIPTED_BACKEND)
def output_type():
    person = agent(SCRIPTED, output_type=Person).run_sync("Name 'Ada', who is 36").output
    assert person == Person(name="Ada", age=36)


@case("responses API")
async def responses():
    speaker = agent(kind=OpenAIResponsesModel)
    assert (await speaker.run("Say hello")).output == "Hello from the tiny model."
    async with speaker.run_stream("Count to 6") as result:
        assert await result.get_output() == "1 2 3 4 5 6"


@case("responses API, an agent with a tool", SCRIPTED_BACKEND)
def responses_tool():
    weatherman = agent(SCRIPTED, OpenAIResponsesModel)

    @weatherman.tool_plain
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        return f"rainy in {city}"

    answer = weatherman.run_sync("What is the weather in Oslo?").output
    assert answer == "The tool says: rainy in Oslo"


if __name__ == "__main__":
    main()
