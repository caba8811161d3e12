// The Vercel AI SDK against /v1, by its provider for any API of OpenAI's shape. What needs a model
// runs where the server has one for it that is ready; nothing here depends on what a model says.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  DefaultChatTransport,
  embedMany,
  generateText,
  Output,
  readUIMessageStream,
  streamText,
} from "ai";
import { z } from "zod";

import { inTime, origin, ownerToken } from "./support/server.js";

const { data: models } = await (await inTime(fetch(`${origin}/v1/models`), "the list of models")).json();
const ready = (task) => models.find((model) => model.task === task && model.state === "ready")?.id;
const provider = async (apiKey) =>
  createOpenAICompatible({
    name: "inkstone",
    baseURL: `${origin}/v1`,
    apiKey: apiKey ?? (await ownerToken()),
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
const withModel = (task, name, run) => {
  const model = ready(task);
  test(name, { skip: model ? false : `the server has no model that is ready to ${task}` }, () => run(model));
};
const asked = { prompt: "Say a word about ink.", maxOutputTokens: 8, temperature: 0, maxRetries: 0 };

suite("The AI SDK", () => {
  withModel("generate", "gets a text whole and in parts", async (name) => {
    const model = (await provider())(name);
    const whole = await generateText({ ...asked, model });
    const stream = streamText({ ...asked, model });
    let text = "";
    for await (const part of stream.textStream) text += part;
    assert.equal(text, whole.text, "the likeliest tokens are the same each time");
    const usage = await stream.usage;
    assert.equal(usage.outputTokens, whole.usage.outputTokens);
    assert.ok(["stop", "length"].includes(await stream.finishReason));
  });

  withModel("generate", "gets an object of a schema", async (name) => {
    const model = (await provider())(name);
    const schema = z.object({ dry: z.boolean() });
    const output = Output.object({ schema });
    const done = await generateText({ ...asked, maxOutputTokens: 64, model, output });
    assert.equal(typeof done.output.dry, "boolean");
  });

  withModel("embed", "gets vectors", async (name) => {
    const model = (await provider()).textEmbeddingModel(name);
    const { embeddings, usage } = await embedMany({ model, values: ["wet ink", "dry stone"], maxRetries: 0 });
    assert.equal(embeddings.length, 2, "a vector for each text");
    assert.ok(usage.tokens > 0);
  });

  test("asks the site as useChat does, and shows where the answer is from", async () => {
    // Search learns of a new site a moment after it is there.
    for (let tries = 0; tries < 600; tries += 1) {
      const found = await (await fetch(`${origin}/api/v1/search?q=sqlite+cups&mode=words&first=1`)).json();
      if (found.items?.[0]?.post.slug === "tea-in-sqlite") break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const transport = new DefaultChatTransport({ api: `${origin}/api/v1/chat` });
    const question = "How many cups of tea are in the SQLite file?";
    const messages = [{ id: "1", role: "user", parts: [{ type: "text", text: question }] }];
    const stream = await transport.sendMessages({ trigger: "submit-message", chatId: "tea", messages });
    const failures = [];
    let answer;
    for await (const message of readUIMessageStream({ stream, onError: (error) => failures.push(error.message) })) {
      answer = message;
    }
    assert.equal(answer.role, "assistant");
    const sources = answer.parts.filter((part) => part.type === "source-url");
    assert.ok(sources.some((source) => source.url.includes("tea-in-sqlite")), JSON.stringify(sources));
    // Without a model that writes the site is quoted.
    const text = answer.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
    assert.ok(text.includes("[1]") || text.length > 20, `an answer: ${text}`);
    assert.deepEqual(failures, []);
    const refused = transport.sendMessages({ trigger: "submit-message", chatId: "tea", messages: [] });
    await assert.rejects(refused, /BAD_USER_INPUT/);
  });

  test("knows what went wrong", async () => {
    const unknown = generateText({ ...asked, model: (await provider())("gpt-9") });
    await assert.rejects(unknown, (error) => {
      assert.ok(APICallError.isInstance(error), `an error of the API: ${error}`);
      return error.statusCode === 404 && /gpt-9/.test(error.message);
    });
    const stranger = generateText({ ...asked, model: (await provider("sk-of-nobody"))("any") });
    await assert.rejects(stranger, (error) => error.statusCode === 401);
  });
});
