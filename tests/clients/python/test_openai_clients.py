"""Python's clients against /v1: OpenAI's own, LangChain's and LlamaIndex's.

INKSTONE_URL is the server, INKSTONE_LOGIN and INKSTONE_PASSWORD are its owner's; it has a model of
each task that is ready. Nothing here depends on what a model says.
"""

import json
import os
import unittest
import urllib.request

import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

ORIGIN = os.environ["INKSTONE_URL"].rstrip("/")
BASE = f"{ORIGIN}/v1"
ASKED = "Say a word about ink."
PATIENCE_S = 60
SIGN_IN = "mutation ($input: SignInInput!) { signIn(input: $input) { token } }"


def token():
    who = {"login": os.environ["INKSTONE_LOGIN"], "password": os.environ["INKSTONE_PASSWORD"]}
    body = json.dumps({"query": SIGN_IN, "variables": {"input": who}}).encode()
    request = urllib.request.Request(f"{ORIGIN}/graphql", data=body, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["data"]["signIn"]["token"]


KEY = token()


class Ink(BaseModel):
    dry: bool


def client(key=KEY):
    return openai.OpenAI(base_url=BASE, api_key=key, max_retries=0, timeout=PATIENCE_S)


def ready(task):
    models = client().models.list().data
    return next(model.id for model in models if model.task == task and model.state == "ready")


EMBED, GENERATE = ready("embed"), ready("generate")
MESSAGES = [{"role": "user", "content": ASKED}]


class OpenAi(unittest.TestCase):
    def test_vectors_are_the_same_packed_and_as_numbers(self):
        texts = ["wet ink", "干燥的石头"]
        packed = client().embeddings.create(model=EMBED, input=texts).data
        numbers = client().embeddings.create(model=EMBED, input=texts, encoding_format="float").data
        self.assertEqual(len(packed), 2)
        for one, other in zip(packed, numbers):
            self.assertLess(max(abs(x - y) for x, y in zip(one.embedding, other.embedding)), 1e-5)

    def test_a_text_is_the_same_whole_and_in_chunks(self):
        asked = {"model": GENERATE, "messages": MESSAGES, "max_tokens": 8, "temperature": 0}
        whole = client().chat.completions.create(**asked)
        text, usage = "", None
        for chunk in client().chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            usage = chunk.usage or usage
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)

    def test_a_text_has_the_form_of_a_class(self):
        done = client().chat.completions.parse(model=GENERATE, messages=MESSAGES, max_tokens=64, response_format=Ink)
        self.assertIsInstance(done.choices[0].message.parsed, Ink)

    def test_a_response_is_kept_and_gone_on_from(self):
        first = client().responses.create(model=GENERATE, input=ASKED, max_output_tokens=8)
        again = client().responses.retrieve(first.id)
        self.assertEqual(again.output_text, first.output_text)
        events = list(client().responses.create(model=GENERATE, input="And another?", max_output_tokens=8,
                                                previous_response_id=first.id, stream=True))
        told = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self.assertEqual(events[-1].response.output_text, told)
        self.assertEqual(events[-1].response.previous_response_id, first.id)

    def test_errors_are_the_clients_own(self):
        with self.assertRaises(openai.NotFoundError) as unknown:
            client().embeddings.create(model="text-embedding-3-small", input="ink")
        self.assertEqual(unknown.exception.code, "model_not_found")
        with self.assertRaises(openai.AuthenticationError):
            client("sk-of-nobody").chat.completions.create(model=GENERATE, messages=MESSAGES)
        with self.assertRaises(openai.BadRequestError) as empty:
            client().chat.completions.create(model=GENERATE, messages=[])
        self.assertEqual(empty.exception.param, "messages")


class LangChain(unittest.TestCase):
    def chat(self, **more):
        return ChatOpenAI(base_url=BASE, api_key=KEY, model=GENERATE, temperature=0, max_retries=0,
                          timeout=PATIENCE_S, **more)

    def test_a_chat_is_the_same_whole_and_in_parts(self):
        chat = self.chat(max_tokens=8)
        self.assertEqual("".join(part.text for part in chat.stream(ASKED)), chat.invoke(ASKED).text)

    def test_a_text_has_the_form_of_a_class(self):
        done = self.chat(max_tokens=64).with_structured_output(Ink, method="json_schema").invoke(ASKED)
        self.assertIsInstance(done, Ink)

    def test_vectors(self):
        # Numbers of OpenAI's own tokens would mean nothing to another model.
        embeddings = OpenAIEmbeddings(base_url=BASE, api_key=KEY, model=EMBED, check_embedding_ctx_length=False)
        vectors = embeddings.embed_documents(["wet ink", "dry stone"])
        self.assertEqual([len(vector) for vector in vectors], [len(embeddings.embed_query("ink"))] * 2)


class LlamaIndex(unittest.TestCase):
    def test_a_chat_is_the_same_whole_and_in_parts(self):
        llm = OpenAILike(api_base=BASE, api_key=KEY, model=GENERATE, is_chat_model=True, temperature=0, max_tokens=8,
                         max_retries=0, timeout=PATIENCE_S)
        said = [ChatMessage(role="user", content=ASKED)]
        parts = "".join(part.delta or "" for part in llm.stream_chat(said))
        self.assertEqual(parts, llm.chat(said).message.content)

    def test_vectors(self):
        model = OpenAILikeEmbedding(api_base=BASE, api_key=KEY, model_name=EMBED, max_retries=0)
        vectors = model.get_text_embedding_batch(["wet ink", "dry stone"])
        self.assertEqual(len(vectors), 2)
        self.assertEqual(len(model.get_query_embedding("ink")), len(vectors[0]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
