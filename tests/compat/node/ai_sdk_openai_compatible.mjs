// @ai-sdk/openai-compatible: the Vercel AI SDK over chat completions.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { testProvider } from "./ai_sdk.mjs";
import { apiKey, baseURL, chat, main, scripted } from "./cases.mjs";

const lair = createOpenAICompatible({
  name: "lair", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true,
});

testProvider(lair(chat), lair(scripted), (id) => lair.textEmbeddingModel(id), "I should think about this.");
await main();
