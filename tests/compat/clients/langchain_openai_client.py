"""langchain-openai beside its standard suites: streams, tools, types, vectors, responses."""

from __future__ import annotations

from cases import (
    BASE_URL,
    CHAT,
    KEY,
    SCRIPTED,
    SCRIPTED_BACKEND,
    VECTORS,
    WEATHER_TOOL,
    case,
    main,
)
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

COMMON = {"base_url": BASE_URL, "api_key": KEY, "temperature": 0}
tiny = ChatOpenAI(model=CHAT, **COMMON)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@case("invoke and stream")
def texts():
    assert tiny.invoke("Say hello").content == "Hello from the tiny model."
    assert "".join(piece.content for piece in tiny.stream("Count to 5")) == "1 2 3 4 5"


@case("tool loop")
def tools():
    bound = tiny.bind_tools([WEATHER_TOOL])
    question = {"role": "user", "content": "What is the weather in Rome?"}
    asked = bound.invoke([question])
    assert [call["args"] for call in asked.tool_calls] == [{"city": "Rome"}]
    result = ToolMessage("rainy", tool_call_id=asked.tool_calls[0]["id"])
    assert bound.invoke([question, asked, result]).content == "It is rainy in Rome."


@case("structured output")
def structured():
    person = tiny.with_structured_output(Person).invoke("Reply in JSON")
    assert person == Person(name="Ada", age=36)


@case("embeddings")
def vectors():
    options = {"base_url": BASE_URL, "api_key": KEY, "model": VECTORS}
    embed = OpenAIEmbeddings(check_embedding_ctx_length=False, **options)
    many = embed.embed_documents(["one", "two"])
    assert [len(each) for each in many] == [128, 128]


@case("responses API")
def responses():
    model = ChatOpenAI(model=CHAT, use_responses_api=True, **COMMON)
    assert model.invoke("Say hello").text == "Hello from the tiny model."
    assert "".join(piece.text for piece in model.stream("Count to 5")) == "1 2 3 4 5"


@case("responses API with tools", SCRIPTED_BACKEND)
def responses_tools():
    model = ChatOpenAI(model=SCRIPTED, use_responses_api=True, **COMMON)
    asked = model.bind_tools([WEATHER_TOOL]).invoke("What is the weather in Oslo?")
    assert [call["args"] for call in asked.tool_calls] == [{"city": "Oslo"}]


if __name__ == "__main__":
    main()
