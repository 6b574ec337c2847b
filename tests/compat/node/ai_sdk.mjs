// What both providers of the Vercel AI SDK are tried with.

import assert from "node:assert/strict";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { hello, test, vectors } from "./cases.mjs";

// Its warnings about what a model cannot do go to standard output otherwise.
globalThis.AI_SDK_LOG_WARNINGS = false;

const common = { temperature: 0, maxRetries: 0 };
const tools = {
  get_weather: tool({
    description: "Get the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `rainy in ${city}`,
  }),
};

/** Register the cases for a provider: a tiny and a scripted model, its vectors, what it shows of thoughts. */
export function testProvider(model, scripted, embedding, thought) {
  test("generateText()", async () => {
    const { text, usage } = await generateText({ ...common, model, prompt: "Say hello" });
    assert.equal(text, hello);
    assert.ok(usage.outputTokens > 0);
  });

  test("streamText()", async () => {
    const { textStream, usage, finishReason } = streamText({ ...common, model, prompt: "Count to 7" });
    let text = "";
    for await (const piece of textStream) text += piece;
    assert.equal(text, "1 2 3 4 5 6 7");
    assert.ok((await usage).outputTokens > 6);
    assert.equal(await finishReason, "stop");
  });

  for (const [name, run] of Object.entries({ generateText, streamText })) {
    test(`a tool loop by ${name}()`, async () => {
      const result = await run({
        ...common, model: scripted, prompt: "What is the weather in Oslo?", tools, stopWhen: stepCountIs(3),
      });
      assert.equal(await result.text, "The tool says: rainy in Oslo");
      assert.equal((await result.steps).length, 2);
    }, "scripted");
  }

  test("an object by its schema", async () => {
    const schema = z.object({ name: z.string(), age: z.number().int() });
    const { output } = await generateText({
      ...common, model, prompt: "Reply in JSON", output: Output.object({ schema }),
    });
    assert.deepEqual(output, { name: "Ada", age: 36 });
  });

  test("reasoning", async () => {
    const { reasoning } = await generateText({ ...common, model: scripted, prompt: "Think!" });
    assert.deepEqual(reasoning.map((part) => part.text), [thought]);
  }, "scripted");

  test("embedMany()", async () => {
    const { embeddings } = await embedMany({ model: embedding(vectors), values: ["one", "two"], maxRetries: 0 });
    assert.deepEqual(embeddings.map((each) => each.length), [128, 128]);
  });
}
