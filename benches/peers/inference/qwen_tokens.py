"""Tokens of some texts as Qwen's own tokenizer gives them, for tests/models/tokens.rs.

    python -m pip install tiktoken
    python -m pip download dashscope==2.0.2 --no-deps
    python qwen_tokens.py dashscope-2.0.2-py3-none-any.whl ../../../tests/models/reference/qwen.json

The package holds the vocabulary (`qwen.tiktoken`) and the pattern that text is cut with. Of the vocabulary
only what can come up in these texts is written: the tokens that are part of one of them, each as the pair
that is joined to it, as Hugging Face's converter finds it, and its id.
"""

import base64
import json
import re
import sys
import unicodedata
import zipfile

import tiktoken

TEXTS = [
    "",
    " ",
    "Hello, world!",
    "  two blanks before, and two behind  ",
    "It's what they'd've said: we're, I'm, you'll, DON'T, IT'S, it'ſ, 'tis, rock 'n' roll.",
    "l'été à l'œuvre; naïve café, Straße, ŁÓDŹ, İstanbul",
    "cafe\u0301 nai\u0308ve A\u030a \u1112\u1161\u11ab\u1100\u1173\u11af",
    "墨分五色，纸寿千年。",
    "研墨要慢：加少量清水，用墨锭在砚台上轻轻打圈，直到墨色浓黑如漆。\n古人说“磨墨如病”，就是这个意思。",
    "我用GPT4模型v2.0写了3篇博客，共12345字，见https://example.org/墨?a=1&b=二。",
    "「こんにちは、世界」カタカナとひらがな、漢字。",
    "안녕하세요 세계! 한국어 텍스트입니다.",
    "Привет, мир! Ёлка и ещё что-то.",
    "مرحبا بالعالم، هذا نص عربي ١٢٣.",
    "नमस्ते दुनिया, यह हिन्दी है। สวัสดีชาวโลก",
    "0 1 12 123 1234 12345678 3.14159 1,000,000 -42 +7 1e-10 0xFF 50%",
    "１２３ ²³ ½ Ⅷ ④ 一二三 ٣",
    "2026-11-30T02:17:32Z, 10:30 a.m., +86 10 6552 9988",
    "fn main() {\n    let x = vec![1, 2, 3];\n\tprintln!(\"{:?}\", x);\n}\n",
    "def f(self, *args, **kwargs):\n        return {k: v for k, v in kwargs.items() if k != '_id'}  # ok\n\n\n",
    "<div class=\"a-b_c\">&nbsp;</div>\r\n<!-- x -->\r\n\r\n",
    "SELECT * FROM posts WHERE slug = 'ink''s' AND n >= 10;--",
    "# Title\n\n- one\n- two\n  - three\n\n```rust\nuse std::io;\n```\n\n| a | b |\n|---|---|\n",
    "a\nb\n\nc\n\n\nd\r\ne\r\rf\n \n g\n\t\nh",
    "   \n   x\n     \n\n  y   \n",
    "tabs\t\tand\t blanks \t mixed\t\n",
    "no-break\u00a0blank\u00a0\u00a0and\u3000wide\u3000\u3000one\u2009thin",
    "lines\u2028and\u2029and\u0085next\u000bold\u000c.",
    "🙂 🙂🙂 👩‍💻👨‍👩‍👧‍👦 🇨🇳 ❤️ 👍🏽!",
    "zero\u200bwidth \u200djoiner \ufeffmark \u0000 \u001b[0m",
    "!!! ??? ... ---- ==== ____ //// \\\\ #### «» “” ‘’ — –",
    "...\n\n!?\r\n;)\n}\n",
    "snake_case camelCase PascalCase SCREAMING_CASE kebab-case x1y2z3 _private __init__",
    "<|im_start|>user\nwhat is <|endoftext|>?<|im_end|>",
    "Donaudampfschifffahrtsgesellschaftskapitän antidisestablishmentarianism",
    "$E = mc^2$, \\frac{a}{b} \\sum_{i=0}^{n} x_i ≤ ∞ ∀ε>0 ∃δ",
    "日期：2026年11月30日（星期一）  温度：-3℃～5℃\n\n\t备注：无",
    "𠮷野家 㐂 龘 ﷽ ǅ ﬁ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa                                 .",
    "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过了懒狗。The End.",
]


def shown():
    """The character that stands for each byte, as GPT-2 has them."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {**{byte: chr(byte) for byte in seen}, **{byte: chr(256 + n) for n, byte in enumerate(hidden)}}


def parts(ranks, token):
    """The pair that is joined last to a token."""
    pieces = [bytes([byte]) for byte in token]
    while len(pieces) > 2:
        joined = [ranks.get(a + b, len(ranks)) for a, b in zip(pieces, pieces[1:])]
        at = min(range(len(joined)), key=joined.__getitem__)
        pieces[at:at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def main():
    package, out = sys.argv[1:]
    with zipfile.ZipFile(package) as wheel:
        lines = wheel.read("dashscope/resources/qwen.tiktoken").split(b"\n")
        source = wheel.read("dashscope/tokenizers/qwen_tokenizer.py").decode()
    ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in lines if line}
    pattern = re.search(r'PAT_STR = r"""(.*?)"""', source).group(1)
    qwen = tiktoken.Encoding("qwen", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    # As the package does it before it cuts.
    texts = {text: qwen.encode_ordinary(unicodedata.normalize("NFC", text)) for text in TEXTS}
    wanted = {bytes([byte]) for byte in range(256)}
    for text in TEXTS:
        written = unicodedata.normalize("NFC", text).encode()
        # No token of these is longer.
        wanted.update(written[a:b] for a in range(len(written)) for b in range(a + 2, min(a + 64, len(written)) + 1))
    tokens = sorted((token for token in wanted if token in ranks), key=ranks.get)
    byte = shown()
    told = lambda token: "".join(byte[b] for b in token)
    merges = []
    for token in tokens[256:]:
        pair = parts(ranks, token)
        assert all(part in wanted for part in pair), (token, pair)
        merges.append([*map(told, pair), ranks[token]])
    rows = lambda rows: ",\n".join(json.dumps(row) for row in rows)
    with open(out, "w", encoding="utf-8") as file:
        # The tokens of single bytes have the first ids.
        file.write(f'{{"bytes": {json.dumps("".join(map(told, tokens[:256])))},\n')
        file.write(f'"merges": [\n{rows(merges)}\n],\n"texts": [\n{rows(texts.items())}\n]}}\n')


if __name__ == "__main__":
    main()
