//! XLM-RoBERTa, made here and computed in a plain way: where its positions begin, and what is on top.

use inkstone::inference::{EmbedRequest, RerankRequest};
use serde_json::json;

use super::tiny::{Model, Weights, add, attend, dot, likeness};

const HIDDEN: usize = 32;
const HEADS: usize = 2;
const INNER: usize = 64;
const LAYERS: usize = 2;
/// The padding's token, which no text has, and after which positions are counted.
const PADDING: usize = 1;
const POSITIONS: usize = 16;
const WORDS: [&str; 12] = ["ink", "and", "stone", "paper", "brush", "water", "墨", "砚", "a", "the", "of", "is"];

fn weights(prefix: &str) -> Weights {
    let mut weights = Weights::new(7);
    for (name, rows) in [("word", WORDS.len() + 4), ("position", POSITIONS + PADDING + 1), ("token_type", 1)] {
        weights.put(&format!("{prefix}embeddings.{name}_embeddings.weight"), &[rows, HIDDEN], 0.0, 1.0);
    }
    let norm = |weights: &mut Weights, name: &str| {
        weights.put(&format!("{name}.weight"), &[HIDDEN], 1.0, 0.5);
        weights.put(&format!("{name}.bias"), &[HIDDEN], 0.0, 0.3);
    };
    let linear = |weights: &mut Weights, name: &str, [out, width]: [usize; 2]| {
        weights.put(&format!("{name}.weight"), &[out, width], 0.0, 0.4);
        weights.put(&format!("{name}.bias"), &[out], 0.0, 0.3);
    };
    norm(&mut weights, &format!("{prefix}embeddings.LayerNorm"));
    for layer in (0..LAYERS).map(|n| format!("{prefix}encoder.layer.{n}")) {
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            linear(&mut weights, &format!("{layer}.attention.{part}"), [HIDDEN, HIDDEN]);
        }
        norm(&mut weights, &format!("{layer}.attention.output.LayerNorm"));
        linear(&mut weights, &format!("{layer}.intermediate.dense"), [INNER, HIDDEN]);
        linear(&mut weights, &format!("{layer}.output.dense"), [HIDDEN, INNER]);
        norm(&mut weights, &format!("{layer}.output.LayerNorm"));
    }
    linear(&mut weights, "classifier.dense", [HIDDEN, HIDDEN]);
    linear(&mut weights, "classifier.out_proj", [1, HIDDEN]);
    weights
}

fn tokens(texts: &[&str]) -> Vec<usize> {
    let word = |word: &str| 4 + WORDS.iter().position(|known| *known == word).expect("a known word");
    // `<s> a </s>`, or `<s> a </s> </s> b </s>`.
    let mut tokens = vec![0];
    for (n, text) in texts.iter().enumerate() {
        if n > 0 {
            tokens.push(2);
        }
        tokens.extend(text.split_whitespace().map(word));
        tokens.push(2);
    }
    tokens
}

fn norm(weights: &Weights, name: &str, x: &[f64]) -> Vec<f64> {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let part = |part: &str, n: usize| f64::from(weights.get(&format!("{name}.{part}"))[n]);
    let one = |(n, x): (usize, &f64)| (x - mean) / (variance + 1e-5).sqrt() * part("weight", n) + part("bias", n);
    x.iter().enumerate().map(one).collect()
}

/// `x / 2 * (1 + erf(x / sqrt 2))`, by the series of `erf`.
fn gelu(x: f64) -> f64 {
    let z = (x / std::f64::consts::SQRT_2).clamp(-5.0, 5.0);
    let (mut term, mut sum) = (z, z);
    for n in 1..120 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    x / 2.0 * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}

/// The last layer's vectors of a text's tokens, with the first one at this row of the positions.
fn plain(weights: &Weights, prefix: &str, tokens: &[usize], first: usize) -> Vec<Vec<f64>> {
    let embedding = |name: &str, n: usize| weights.row(&format!("{prefix}embeddings.{name}_embeddings.weight"), n);
    let embed = |(n, token): (usize, &usize)| {
        let mut x = embedding("word", *token);
        add(&mut x, &embedding("position", first + n));
        add(&mut x, &embedding("token_type", 0));
        norm(weights, &format!("{prefix}embeddings.LayerNorm"), &x)
    };
    let mut rows: Vec<Vec<f64>> = tokens.iter().enumerate().map(embed).collect();
    for layer in (0..LAYERS).map(|n| format!("{prefix}encoder.layer.{n}")) {
        let all = |part: &str| -> Vec<Vec<f64>> {
            rows.iter().map(|x| weights.linear(&format!("{layer}.attention.self.{part}"), x)).collect()
        };
        let (queries, keys, values) = (all("query"), all("key"), all("value"));
        let width = HIDDEN / HEADS;
        for (x, query) in rows.iter_mut().zip(&queries) {
            let head = |head: usize| {
                let of = head * width..(head + 1) * width;
                let part = |rows: &'_ [Vec<f64>]| rows.iter().map(|row| row[of.clone()].to_vec()).collect::<Vec<_>>();
                let (keys, values) = (part(&keys), part(&values));
                let [keys, values] = [&keys, &values].map(|rows| rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
                attend(&query[of], &keys, &values, 1.0 / (width as f64).sqrt())
            };
            let attended: Vec<f64> = (0..HEADS).flat_map(head).collect();
            add(x, &weights.linear(&format!("{layer}.attention.output.dense"), &attended));
            *x = norm(weights, &format!("{layer}.attention.output.LayerNorm"), x);
            let inner: Vec<f64> =
                weights.linear(&format!("{layer}.intermediate.dense"), x).into_iter().map(gelu).collect();
            add(x, &weights.linear(&format!("{layer}.output.dense"), &inner));
            *x = norm(weights, &format!("{layer}.output.LayerNorm"), x);
        }
    }
    rows
}

/// The files of a model with these weights.
fn model(name: &str, weights: &Weights) -> Model {
    let model = Model::new(name);
    weights.safetensors(&model.path("model.safetensors"), str::to_owned);
    model.write(
        "config.json",
        &json!({
            "model_type": "xlm-roberta", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "intermediate_size": INNER, "vocab_size": WORDS.len() + 4,
            "max_position_embeddings": POSITIONS + PADDING + 1, "layer_norm_eps": 1e-5, "hidden_act": "gelu",
            "position_embedding_type": "absolute", "pad_token_id": PADDING, "type_vocab_size": 1
        }),
    );
    let special = ["<s>", "<pad>", "</s>", "<unk>"];
    let vocabulary: serde_json::Map<_, _> =
        special.into_iter().chain(WORDS).enumerate().map(|(id, word)| (word.to_owned(), json!(id))).collect();
    let added = |(id, token): (usize, &str)| json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true });
    let token = |token: &str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    // A tokenizer that gives the second text another type, where the model knows but one.
    let text = |name: &str, kind: usize| json!({ "Sequence": { "id": name, "type_id": kind } });
    model.write(
        "tokenizer.json",
        &json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
            "added_tokens": special.into_iter().enumerate().map(added).collect::<Vec<_>>(),
            "pre_tokenizer": { "type": "WhitespaceSplit" },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [token("<s>"), text("A", 0), token("</s>")],
                "pair": [token("<s>"), text("A", 0), token("</s>"), token("</s>"), text("B", 1), token("</s>")],
                "special_tokens": {
                    "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] },
                    "</s>": { "id": "</s>", "ids": [2], "tokens": ["</s>"] }
                }
            },
            "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" }
        }),
    );
    model
}

const EMBED: &str = "task = \"embed\"\narchitecture = \"xlm-roberta\"\ncontext = 16\ndimensions = 32";
const RERANK: &str = "task = \"rerank\"\narchitecture = \"xlm-roberta-cross-encoder\"\ncontext = 16";

#[tokio::test]
async fn vectors_begin_after_the_paddings_position() {
    let weights = weights("");
    let engine = model("tiny-xlm", &weights).engine(EMBED).await;
    let texts = ["ink and stone", "墨 砚", "the brush is a brush of the ink and paper is water of"];
    let request = EmbedRequest { texts: texts.map(str::to_owned).to_vec(), ..EmbedRequest::default() };
    let vectors = engine.embed(None, request).await.expect("vectors").vectors;
    for (text, vector) in texts.iter().zip(&vectors) {
        let tokens = tokens(&[text]);
        let mean = |first: usize| {
            let mut sum = vec![0.0; HIDDEN];
            plain(&weights, "", &tokens, first).iter().for_each(|row| add(&mut sum, row));
            sum
        };
        let likeness_at = |first: usize| likeness(vector, &mean(first));
        assert!(likeness_at(PADDING + 1) > 0.999, "{text:?}: {}", likeness_at(PADDING + 1));
        assert!(likeness_at(0) < 0.99, "another beginning would be seen: {}", likeness_at(0));
    }
    let long = EmbedRequest { texts: vec!["ink ".repeat(15)], ..EmbedRequest::default() };
    engine.embed(None, long).await.expect_err("the positions before the first are none that can be used");
}

#[tokio::test]
async fn a_cross_encoders_logit_comes_out_of_two_layers() {
    let weights = weights("roberta.");
    let engine = model("tiny-xlm-rank", &weights).engine(RERANK).await;
    let (query, texts) = ("ink of stone", ["the ink is 墨", "water and paper", "brush"]);
    let request =
        RerankRequest { query: query.to_owned(), texts: texts.map(str::to_owned).to_vec(), ..RerankRequest::default() };
    let logits = engine.rerank(None, request).await.expect("a ranking").logits;
    assert_eq!(logits.len(), texts.len());
    for (text, logit) in texts.iter().zip(&logits) {
        let rows = plain(&weights, "roberta.", &tokens(&[query, text]), PADDING + 1);
        let dense: Vec<f64> = weights.linear("classifier.dense", &rows[0]).into_iter().map(f64::tanh).collect();
        let expected = weights.linear("classifier.out_proj", &dense)[0];
        assert!((f64::from(*logit) - expected).abs() < 0.05, "{text:?}: {logit} is not {expected}");
        let without = dot(&weights.row("classifier.out_proj.weight", 0), &rows[0]);
        assert!((without - expected).abs() > 0.1, "the layer in between counts: {without} and {expected}");
    }
}

#[tokio::test]
async fn a_model_that_is_another_than_its_entry_says_is_refused() {
    let weights = weights("");
    for (entry, says) in [
        (EMBED.replace("xlm-roberta", "bert"), "of this entry bert"),
        (EMBED.replace("= 16", "= 17"), "a context of 17 where the model has 16"),
        (EMBED.replace("= 32", "= 64"), "`dimensions` that are not the model's, 32"),
    ] {
        let refused = model("tiny-xlm", &weights).refused(&entry).await;
        assert!(refused.contains(says), "expected {says:?} in {refused:?}");
    }
}
