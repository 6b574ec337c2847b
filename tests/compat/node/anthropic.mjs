// @anthropic-ai/sdk: messages, streams, tools, counting.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { apiKey, chat, hello, main, scripted, test, url, weather } from "./cases.mjs";

const client = new Anthropic({ baseURL: url, apiKey, maxRetries: 0 });
const tool = { name: "get_weather", description: "d", input_schema: weather };
const user = (content) => [{ role: "user", content }];
const common = { model: chat, max_tokens: 60, temperature: 0 };
const ask = (content, more = {}) => client.messages.create({ ...common, messages: user(content), ...more });

test("a message", async () => {
  const answer = await ask("Say hello");
  assert.equal(answer.content[0].text, hello);
  assert.equal(answer.stop_reason, "end_turn");
});

test("messages.stream()", async () => {
  let text = "";
  const stream = client.messages.stream({ ...common, messages: user("Count to 7") });
  stream.on("text", (piece) => (text += piece));
  const final = await stream.finalMessage();
  assert.equal(text, "1 2 3 4 5 6 7");
  assert.ok(final.usage.output_tokens > 6);
});

test("two tool calls at once, by messages.stream()", async () => {
  const stream = client.messages.stream({
    ...common, messages: user("What is the weather in Oslo and Cairo?"), tools: [tool],
  });
  const calls = (await stream.finalMessage()).content.filter((block) => block.type === "tool_use");
  assert.deepEqual(calls.map((call) => call.input), [{ city: "Oslo" }, { city: "Cairo" }]);
});

test("a tool's result", async () => {
  const question = user("What is the weather in Rome?");
  const { content } = await client.messages.create({ ...common, messages: question, tools: [tool] });
  const result = { type: "tool_result", tool_use_id: content.at(-1).id, content: "rainy" };
  const told = await client.messages.create({
    ...common, tools: [tool], messages: [...question, { role: "assistant", content }, { role: "user", content: [result] }],
  });
  assert.equal(told.content[0].text, "It is rainy in Rome.");
});

test("thinking", async () => {
  const stream = client.messages.stream({
    model: scripted, max_tokens: 2048, messages: user("Think!"), thinking: { type: "enabled", budget_tokens: 1024 },
  });
  assert.deepEqual((await stream.finalMessage()).content.map((block) => block.type), ["thinking", "text"]);
}, "scripted");

test("countTokens()", async () => {
  assert.ok((await client.messages.countTokens({ model: chat, messages: user("Say hello") })).input_tokens > 2);
});

test("errors as its own exceptions", async () => {
  await assert.rejects(ask("Hi", { model: "nobody/has-this" }), Anthropic.NotFoundError);
  await assert.rejects(ask("Hi", { temperature: "hot" }), Anthropic.BadRequestError);
});

await main();
