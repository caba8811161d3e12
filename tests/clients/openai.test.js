// OpenAI's own client against /v1. What needs a model runs where the server has one for it that is
// ready, whichever it is: nothing here depends on what a model says.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import OpenAI from "openai";

import { inTime, origin, ownerToken } from "./support/server.js";

const client = async (apiKey) =>
  new OpenAI({ baseURL: `${origin}/v1`, apiKey: apiKey ?? (await ownerToken()), maxRetries: 0 });

const messages = [{ role: "user", content: "Say a word about ink." }];
/** More than a test needs, and little enough for a slow model. */
const max_tokens = 8;

const { data: models } = await inTime((await client()).models.list(), "the list of models");
const ready = (task) => models.find((model) => model.task === task && model.state === "ready")?.id;
/** A test that needs a model for `task`. */
const withModel = (task, name, run) => {
  const model = ready(task);
  test(name, { skip: model ? false : `the server has no model that is ready to ${task}` }, () => run(model));
};

suite("OpenAI's client", () => {
  test("finds each model that is listed by its name", async () => {
    const openai = await client();
    for (const { id } of models) assert.equal((await openai.models.retrieve(id)).id, id);
  });

  test("knows what went wrong", async () => {
    const openai = await client();
    const unknown = openai.embeddings.create({ model: "text-embedding-3-small", input: "ink" });
    await assert.rejects(unknown, (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError, `a name that nobody knows: ${error}`);
      return error.code === "model_not_found" && error.param === "model";
    });
    const empty = openai.chat.completions.create({ model: "any", messages: [] });
    await assert.rejects(empty, (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, `no messages: ${error}`);
      return error.param === "messages" && error.requestID.length > 0;
    });
    const stranger = await client("sk-of-nobody");
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError, "a key that is none");
    await assert.rejects(openai.get("/nothing"), OpenAI.NotFoundError, "an address that is none");
  });

  withModel("rerank", "has texts ranked, at an address that is not OpenAI's", async (model) => {
    const openai = await client();
    const documents = ["dry stone", "wet ink", "paper"];
    const { results } = await openai.post("/rerank", { body: { model, query: "wet ink", documents, top_n: 2 } });
    assert.equal(results.length, 2, "as many as asked for");
    const [best, next] = results.map((result) => result.relevance_score);
    assert.ok(best >= next && best <= 1 && next >= 0, `shares of 1, the best first: ${best}, ${next}`);
  });

  withModel("embed", "gets the same vectors packed, as it asks by itself, and as numbers", async (model) => {
    const openai = await client();
    const asked = { model, input: ["wet ink", "dry stone"] };
    const packed = await openai.embeddings.create(asked);
    const numbers = await openai.embeddings.create({ ...asked, encoding_format: "float" });
    assert.equal(packed.data.length, 2, "a vector for each text");
    for (const [index, { embedding }] of packed.data.entries()) {
      const norm = Math.hypot(...embedding);
      assert.ok(Math.abs(norm - 1) < 1e-3, `a vector has norm 1: ${norm}`);
      const other = numbers.data[index].embedding;
      assert.ok(embedding.every((x, at) => Math.abs(x - other[at]) < 1e-5), "both hold the same");
    }
  });

  withModel("generate", "gets a text whole and in chunks", async (model) => {
    const openai = await client();
    const asked = { model, messages, max_tokens, temperature: 0, seed: 1 };
    const whole = await openai.chat.completions.create(asked);
    const { message, finish_reason: reason } = whole.choices[0];
    assert.ok(["stop", "length"].includes(reason), `a text ends for a reason: ${reason}`);
    let text = "";
    let usage;
    const stream = await openai.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, message.content, "the likeliest tokens are the same each time");
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  });

  withModel("generate", "has responses kept, and goes on from them", async (model) => {
    const openai = await client();
    const asked = { model, input: "Say a word about ink.", max_output_tokens: max_tokens, temperature: 0 };
    const first = await openai.responses.create(asked);
    assert.ok(first.output_text.length > 0, "a text");
    assert.equal((await openai.responses.retrieve(first.id)).output_text, first.output_text, "kept as it was told");
    let text = "";
    let last;
    const next = { ...asked, input: "And another?", previous_response_id: first.id, stream: true };
    for await (const event of await openai.responses.create(next)) {
      if (event.type === "response.output_text.delta") text += event.delta;
      last = event;
    }
    assert.ok(["response.completed", "response.incomplete"].includes(last.type), `the end: ${last.type}`);
    assert.equal(last.response.output[0].content[0].text, text, "its parts are the whole");
    assert.equal(last.response.previous_response_id, first.id);
    await openai.responses.delete(first.id);
    await assert.rejects(openai.responses.retrieve(first.id), OpenAI.NotFoundError, "gone is gone");
  });

  withModel("generate", "has a text written in a form", async (model) => {
    const openai = await client();
    const schema = { type: "object", properties: { dry: { type: "boolean" } }, required: ["dry"], additionalProperties: false };
    const response_format = { type: "json_schema", json_schema: { name: "ink", schema } };
    const { choices } = await openai.chat.completions.create({ model, messages, max_tokens: 64, response_format });
    assert.deepEqual(Object.keys(JSON.parse(choices[0].message.content)), ["dry"]);
  });

  withModel("generate", "goes on from a text, and leaves a stream when it likes", async (model) => {
    const openai = await client();
    const { choices } = await openai.completions.create({ model, prompt: "An inkstone is", max_tokens });
    assert.equal(choices.length, 1);
    const stream = await openai.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) {
      assert.equal(chunk.object, "chat.completion.chunk");
      break;
    }
  });
});
