"""Inkstone against onnxruntime and llama.cpp, in one run on the same cores and the same files.

    python -m pip install onnxruntime onnx numpy safetensors tokenizers
    CMAKE_ARGS=-DGGML_NATIVE=ON python -m pip install --no-binary llama-cpp-python llama-cpp-python
    taskset -c 0,1 python compare.py target/release/inkstone ~/.cache/inkstone/models

The second is the folder of models that `inkstone models pull` made. Inkstone is asked at its front
door, over HTTP with an API key, as its users ask it; the references are called in this process:
onnxruntime in f32 with its fused graph, and llama.cpp, built for this machine, on the same GGUF. Rounds
are interleaved, and medians told. What is printed is the reference's time over Inkstone's: above 1,
Inkstone is faster.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import onnxruntime as ort
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../.ci"))
sys.dont_write_bytecode = True
from binary import environment, free_port, owner, stop  # noqa: E402
from reference import fused  # noqa: E402

MINILM, SMOLLM = "all-MiniLM-L6-v2/f32", "SmolLM2-135M-Instruct/q4_1"
SENTENCE = "the quick brown fox jumps over the lazy dog by the river and goes on to the next field".split()
WRITTEN, READ = 64, 512
READY_LIMIT_S = 120
# onnxruntime's threads look for more to do for some 50 ms after their work is done, on cores that the next
# one measured has to share with them.
SETTLE_S = 0.2


def words(skip, count):
    return " ".join(SENTENCE[(skip + n) % len(SENTENCE)] for n in range(count))


class Inkstone:
    """The server, with these two models alone."""

    def __init__(self, binary, models, threads, folder):
        self.listen = f"127.0.0.1:{free_port()}"
        settings = {"embed_model": MINILM, "generate_model": SMOLLM, "rerank_model": "none", "models_dir": models,
                    "inference_threads": threads, "rate_limit_per_minute": 0, "fetch_models": "true",
                    "demo": "never", "job_workers": 0}
        command = [binary, "--listen", self.listen]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        log_path = os.path.join(folder, "log")
        with open(log_path, "wb") as log:
            self.server = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
        login, password = owner(self.server, log_path)
        query = "mutation ($input: SignInInput!) { signIn(input: $input) { token } }"
        body = {"query": query, "variables": {"input": {"login": login, "password": password}}}
        self.token = ""
        self.token = self.post("/graphql", body)["data"]["signIn"]["token"]
        begun = time.monotonic()
        while sum(model["state"] == "ready" for model in self.ask("GET", "/v1/models")["data"]) < 2:
            if time.monotonic() - begun > READY_LIMIT_S:
                raise SystemExit("the models are not ready")
            time.sleep(0.2)

    def ask(self, method, path, body=None, connection=None):
        connection = connection or http.client.HTTPConnection(self.listen, timeout=120)
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {text[:300]}")
        return json.loads(text)

    def post(self, path, body, connection=None):
        return self.ask("POST", path, body, connection)

    def embed(self, texts):
        if not hasattr(self, "kept"):
            self.kept = http.client.HTTPConnection(self.listen, timeout=120)
        return self.post("/v1/embeddings", {"input": texts, "encoding_format": "base64"}, self.kept)["usage"]

    def write(self, prompts, tokens):
        """Seconds until all are written."""
        asked = [{"prompt": prompt, "max_tokens": tokens, "temperature": 0, "logit_bias": {"0": -100, "2": -100}}
                 for prompt in prompts]
        used = []
        each = [threading.Thread(target=lambda body=body: used.append(self.post("/v1/completions", body)["usage"]))
                for body in asked]
        begun = time.perf_counter()
        for thread in each:
            thread.start()
        for thread in each:
            thread.join()
        took = time.perf_counter() - begun
        if [usage["completion_tokens"] for usage in used] != [tokens] * len(prompts):
            raise SystemExit(f"texts were not written whole: {used}")
        return took


class OnnxRuntime:
    def __init__(self, folder, threads):
        weights = load_file(os.path.join(folder, "model.safetensors"))
        heads = json.load(open(os.path.join(folder, "config.json")))["num_attention_heads"]
        settings = ort.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
        graph = fused(weights, heads).SerializeToString()
        self.session = ort.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.enable_padding()

    def embed(self, texts):
        """In batches of 16 of about one length, so that little of what is padded is computed."""
        by_length = sorted(texts, key=len)
        return [self.batch(by_length[n:n + 16]) for n in range(0, len(texts), 16)]

    def batch(self, texts):
        found = self.tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in found], np.int32)
        mask = np.array([one.attention_mask for one in found], np.int64)
        states = self.session.run(None, {"ids": ids, "types": np.zeros_like(ids), "mask": mask})[0]
        vectors = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class LlamaCpp:
    """Its own functions, without what Python would add: the likeliest token is taken each time."""

    def __init__(self, path, threads):
        import llama_cpp
        self.llama, self.threads, self.version = llama_cpp, threads, llama_cpp.__version__
        print(llama_cpp.llama_print_system_info().decode())
        llama_cpp.llama_log_set(self.silence(), None)
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.width = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.contexts = {}

    def silence(self):
        self.silent = self.llama.llama_log_callback(lambda *_: None)
        return self.silent

    def context(self, sequences):
        """An empty one for so many texts."""
        if sequences not in self.contexts:
            settings = self.llama.llama_context_default_params()
            settings.n_ctx, settings.n_batch, settings.n_ubatch = 1024 * sequences, 512 * sequences, 512
            settings.n_seq_max, settings.n_threads, settings.n_threads_batch = sequences, self.threads, self.threads
            self.contexts[sequences] = self.llama.llama_init_from_model(self.model, settings)
        context = self.contexts[sequences]
        self.llama.llama_memory_clear(self.llama.llama_get_memory(context), True)
        return context

    def tokens(self, prompt):
        text, room = prompt.encode(), (self.llama.llama_token * 2048)()
        return list(room[:self.llama.llama_tokenize(self.vocab, text, len(text), room, 2048, False, False)])

    def decode(self, context, entries):
        """Of (token, place, text, is a choice wanted after it)."""
        batch = self.llama.llama_batch_init(len(entries), 0, 1)
        batch.n_tokens = len(entries)
        for n, (token, place, text, wanted) in enumerate(entries):
            batch.token[n], batch.pos[n], batch.n_seq_id[n], batch.logits[n] = token, place, 1, wanted
            batch.seq_id[n][0] = text
        if self.llama.llama_decode(context, batch) != 0:
            raise SystemExit("llama.cpp could not go on")
        chosen = [int(np.argmax(np.ctypeslib.as_array(self.llama.llama_get_logits_ith(context, n), (self.width,))))
                  for n, entry in enumerate(entries) if entry[3]]
        self.llama.llama_batch_free(batch)
        return chosen

    def read(self, prompt):
        tokens = self.tokens(prompt)
        self.decode(self.context(1), [(t, n, 0, n + 1 == len(tokens)) for n, t in enumerate(tokens)])

    def write(self, prompts, count):
        context, all_tokens = self.context(len(prompts)), [self.tokens(prompt) for prompt in prompts]
        entries = [(token, place, text, place + 1 == len(tokens)) for text, tokens in enumerate(all_tokens)
                   for place, token in enumerate(tokens)]
        chosen = self.decode(context, entries)
        for step in range(count - 1):
            chosen = self.decode(context, [(token, len(all_tokens[text]) + step, text, True)
                                           for text, token in enumerate(chosen)])


def median(rounds, *runs):
    """The median seconds of each, interleaved, after one round that warms up."""
    times = [[] for _ in runs]
    for number in range(rounds + 1):
        for run, taken in zip(runs, times):
            time.sleep(SETTLE_S)
            begun = time.perf_counter()
            said = run(number)
            took = said if isinstance(said, float) else time.perf_counter() - begun
            if number:
                taken.append(took)
    return [statistics.median(taken) for taken in times]


def embedding(inkstone, reference, rounds):
    print(f"\n{MINILM}: embeddings, onnxruntime {ort.__version__} = 1")
    for label, texts in [("a query of 11 words", [words(0, 11)]),
                         ("64 passages of 124 words", [words(n, 124) for n in range(64)]),
                         ("128 passages of 3 to 240 words", [words(n, 3 + 61 * n % 238) for n in range(128)])]:
        repeat = 20 if len(texts) == 1 else 1
        run = lambda embed: lambda _: [embed(texts) for _ in range(repeat)] and None
        way = lambda _: [inkstone.ask("GET", f"/v1/models/{MINILM}", connection=inkstone.kept)
                         for _ in range(repeat)] and None
        ours, theirs, asking = (took / repeat for took in median(rounds, run(inkstone.embed), run(reference.embed), way))
        print(f"{label:32} {1e3 * theirs:9.2f} ms, here {1e3 * ours:9.2f} ms: {theirs / ours:5.2f}"
              f"; {theirs / (ours - asking):5.2f} without {1e3 * asking:.2f} ms for asking")


def writing(inkstone, reference, rounds):
    print(f"\n{SMOLLM}: reading and writing, llama.cpp (llama-cpp-python {reference.version}) = 1")
    # Each prompt begins in its own way, so that nothing of it was read before.
    prompt = lambda number: f"{number} {words(number, READ - 4)}"
    ours, theirs = median(rounds, lambda n: inkstone.write([prompt(n)], 1), lambda n: reference.read(prompt(n)))
    print(f"{'a prompt of about 512 tokens':32} {1e3 * theirs:9.2f} ms, here {1e3 * ours:9.2f} ms: {theirs / ours:5.2f}")
    for texts in (1, 4, 8):
        prompts = [words(n, 16) for n in range(texts)]
        ours, theirs = median(rounds, lambda _: inkstone.write(prompts, WRITTEN),
                              lambda _: reference.write(prompts, WRITTEN))
        speed = lambda took: texts * WRITTEN / took
        print(f"{f'{texts} of {WRITTEN} tokens at once':32} {speed(theirs):8.0f} tok/s, here {speed(ours):8.0f} tok/s: "
              f"{theirs / ours:5.2f}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("binary")
    options.add_argument("models")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    models = os.path.abspath(given.models)
    with tempfile.TemporaryDirectory(prefix="inkstone-compare-") as folder:
        inkstone = Inkstone(os.path.abspath(given.binary), models, given.threads, folder)
        try:
            embedding(inkstone, OnnxRuntime(os.path.join(models, MINILM), given.threads), given.rounds)
            gguf = os.path.join(models, SMOLLM, "model.gguf")
            writing(inkstone, LlamaCpp(gguf, given.threads), given.rounds)
            stop(inkstone.server, "compare")
        finally:
            inkstone.server.kill()
            inkstone.server.wait()


if __name__ == "__main__":
    main()
