// openai-node: chats, tools, vectors, models, responses and their streams.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { apiKey, baseURL, chat, env, hello, main, scripted, test, vectors, weather } from "./cases.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const tool = { type: "function", function: { name: "get_weather", description: "d", parameters: weather } };
const user = (content) => [{ role: "user", content }];
const ask = (content, more = {}) =>
  client.chat.completions.create({ model: chat, messages: user(content), temperature: 0, ...more });

test("chat", async () => {
  const answer = await ask("Say hello");
  assert.equal(answer.choices[0].message.content, hello);
  assert.ok(answer._request_id);
});

test("stream", async () => {
  let text = "";
  let usage;
  for await (const chunk of await ask("Count to 7", { stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, "1 2 3 4 5 6 7");
  assert.ok(usage.completion_tokens > 6);
});

test(".stream() with two tool calls at once", async () => {
  const stream = client.chat.completions.stream({
    model: chat, messages: user("What is the weather in Oslo and Cairo?"), temperature: 0, tools: [tool],
  });
  const [choice] = (await stream.finalChatCompletion()).choices;
  assert.deepEqual(choice.message.tool_calls.map((call) => JSON.parse(call.function.arguments).city), ["Oslo", "Cairo"]);
  assert.equal(new Set(choice.message.tool_calls.map((call) => call.id)).size, 2);
  assert.equal(choice.finish_reason, "tool_calls");
});

test(".stream() with n=2", async () => {
  const stream = client.chat.completions.stream({ model: chat, messages: user("Count to 7"), temperature: 0, n: 2 });
  const final = await stream.finalChatCompletion();
  assert.deepEqual(final.choices.map((choice) => choice.message.content), Array(2).fill("1 2 3 4 5 6 7"));
});

test("runTools()", async () => {
  const asked = [];
  const runnable = {
    type: "function",
    function: { ...tool.function, parse: JSON.parse, function: ({ city }) => (asked.push(city), "rainy") },
  };
  const runner = client.chat.completions.runTools({
    model: chat, messages: user("What is the weather in Rome?"), temperature: 0, tools: [runnable],
  });
  assert.equal(await runner.finalContent(), "It is rainy in Rome.");
  assert.deepEqual(asked, ["Rome"]);
});

test("parse() into a type", async () => {
  const answer = await client.chat.completions.parse({
    model: chat, messages: user("Reply in JSON"), temperature: 0,
    response_format: zodResponseFormat(z.object({ name: z.string(), age: z.number().int() }), "person"),
  });
  assert.deepEqual(answer.choices[0].message.parsed, { name: "Ada", age: 36 });
});

test("embeddings, base64 and float", async () => {
  const input = ["one", "two"];
  const packed = await client.embeddings.create({ model: vectors, input });
  const plain = await client.embeddings.create({ model: vectors, input, encoding_format: "float" });
  for (const [index, { embedding }] of packed.data.entries()) {
    assert.equal(embedding.length, 128);
    embedding.forEach((number, at) => assert.ok(Math.abs(number - plain.data[index].embedding[at]) < 1e-6));
  }
});

test("models, also with odd ids", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes("tiny-chat"));
  assert.equal((await client.models.retrieve(env.COMPAT_ODD)).id, env.COMPAT_ODD);
}, "scripted");

test("a response", async () => {
  const answer = await client.responses.create({ model: chat, input: "Say hello", temperature: 0 });
  assert.equal(answer.output_text, hello);
});

test("responses.stream()", async () => {
  let text = "";
  const stream = client.responses.stream({ model: chat, input: "Count to 7", temperature: 0 });
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const final = await stream.finalResponse();
  assert.equal(text, "1 2 3 4 5 6 7");
  assert.equal(final.output_text, text);
});

test("responses.stream() with a tool and a thought", async () => {
  const stream = client.responses.stream({
    model: scripted, input: "Think: what is the weather in Oslo?",
    tools: [{ type: "function", name: "get_weather", description: "d", parameters: weather, strict: false }],
  });
  const { output } = await stream.finalResponse();
  assert.deepEqual(output.map((item) => item.type), ["reasoning", "function_call"]);
  assert.deepEqual(JSON.parse(output[1].arguments), { city: "Oslo" });
}, "scripted");

test("previous_response_id and a conversation", async () => {
  const ask = (input, more) => client.responses.create({ model: chat, input, temperature: 0, ...more });
  const first = await ask("My favourite colour is teal.");
  assert.match((await ask("What is my favourite colour?", { previous_response_id: first.id })).output_text, /teal/);
  const { id } = await client.conversations.create();
  await ask("My favourite colour is gold.", { conversation: id });
  assert.match((await ask("What is my favourite colour?", { conversation: id })).output_text, /gold/);
  assert.equal((await client.conversations.delete(id)).deleted, true);
});

test("errors as its own exceptions", async () => {
  await assert.rejects(ask("Hi", { model: "nobody/has-this" }), OpenAI.NotFoundError);
  await assert.rejects(ask("Hi", { temperature: "hot" }), OpenAI.BadRequestError);
});

await main();
