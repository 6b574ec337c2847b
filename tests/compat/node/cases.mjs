// How a client's script says what it tried: one line of JSON per case, as clients/cases.py does.

export const env = process.env;
// Without `/v1`, which OpenAI's clients want and Anthropic's do not.
export const url = env.COMPAT_URL;
export const baseURL = `${url}/v1`;
export const [chat, vectors, scripted] = [env.COMPAT_CHAT, env.COMPAT_VECTORS, env.COMPAT_SCRIPTED];
export const apiKey = "any";
export const hello = "Hello from the tiny model.";

export const weather = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};

const cases = [];

/** Register a case; it fails by throwing. The tiny model of llama.cpp answers if none is named. */
export function test(what, run, backend = "llama.cpp") {
  cases.push({ what, run, backend });
}

/** Run all cases in the order of the script. */
export async function main() {
  for (const { what, run, backend } of cases) {
    const begin = performance.now();
    let error = "";
    try {
      await run();
    } catch (thrown) {
      error = String(thrown?.stack ?? thrown);
    }
    const seconds = Math.round((performance.now() - begin) / 10) / 100;
    console.log(JSON.stringify({ what, backend, error, seconds }));
  }
}
