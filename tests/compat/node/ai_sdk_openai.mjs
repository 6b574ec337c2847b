// @ai-sdk/openai: the Vercel AI SDK over the responses API.

import { createOpenAI } from "@ai-sdk/openai";
import { testProvider } from "./ai_sdk.mjs";
import { apiKey, baseURL, chat, main, scripted } from "./cases.mjs";

const lair = createOpenAI({ baseURL, apiKey });

// It shows summaries of thoughts, and an open model has none: only the thoughts themselves.
testProvider(lair(chat), lair(scripted), (id) => lair.textEmbeddingModel(id), "");
await main();
