//! Models that are small enough to be made by a test, and to be computed in a plain way beside it.

pub mod decoder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use inkstone::inference::Engine;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use super::settings;

/// Tensors of random numbers, by name.
pub struct Weights {
    random: StdRng,
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Weights {
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), tensors: BTreeMap::new() }
    }

    /// Numbers around `middle`, at most `spread` away.
    pub fn put(&mut self, name: &str, shape: &[usize], middle: f32, spread: f32) {
        let count = shape.iter().product();
        let numbers = (0..count).map(|_| middle + self.random.random_range(-spread..spread)).collect();
        self.tensors.insert(name.to_owned(), (shape.to_vec(), numbers));
    }

    pub fn get(&self, name: &str) -> &[f32] {
        &self.tensors.get(name).unwrap_or_else(|| panic!("{name} was made")).1
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Row `n` of a matrix.
    pub fn row(&self, name: &str, n: usize) -> Vec<f64> {
        let width = self.tensors[name].0[1];
        self.get(name)[n * width..(n + 1) * width].iter().map(|x| f64::from(*x)).collect()
    }

    /// `x · Wᵀ + b`, the bias if there is one.
    pub fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let out = self.tensors[&format!("{name}.weight")].0[0];
        let bias = format!("{name}.bias");
        let bias = |n: usize| if self.has(&bias) { f64::from(self.get(&bias)[n]) } else { 0.0 };
        (0..out).map(|n| bias(n) + dot(&self.row(&format!("{name}.weight"), n), x)).collect()
    }

    /// A safetensors file, each tensor under the name that `named` gives it.
    pub fn safetensors(&self, path: &Path, named: impl Fn(&str) -> String) {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, (shape, numbers)) in &self.tensors {
            let from = data.len();
            data.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
            let offsets = [from, data.len()];
            header.insert(named(name), json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets }));
        }
        let header = serde_json::to_vec(&header).expect("a header");
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(path, [&length[..], &header, &data].concat()).expect("the file");
    }

    pub fn gguf(&self, path: &Path, metadata: &[(&str, Value)]) {
        let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
        let quantised = self.tensors.iter().map(|(name, (shape, numbers))| {
            let tensor = Tensor::from_slice(numbers, &shape[..], &Device::Cpu).expect("a tensor");
            (name.as_str(), QTensor::quantize(&tensor, GgmlDType::F32).expect("as it is"))
        });
        let quantised: Vec<_> = quantised.collect();
        let tensors: Vec<_> = quantised.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("the file"));
        gguf_file::write(&mut file, &metadata, &tensors).expect("written");
    }
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "both are of one length");
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn add(x: &mut [f64], more: &[f64]) {
    assert_eq!(x.len(), more.len(), "both are of one length");
    x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
}

/// The weighted mean of values whose keys are like `query`.
pub fn attend(query: &[f64], keys: &[&[f64]], values: &[&[f64]], scale: f64) -> Vec<f64> {
    let scores: Vec<f64> = keys.iter().map(|key| (dot(query, key) * scale).exp()).collect();
    let sum: f64 = scores.iter().sum();
    let of = |n: usize| scores.iter().zip(values).map(|(score, value)| score / sum * value[n]).sum();
    (0..query.len()).map(of).collect()
}

/// The cosine of what is above and below the mean.
pub fn likeness(ours: &[f32], plain: &[f64]) -> f64 {
    assert_eq!(ours.len(), plain.len(), "both are of one length");
    let ours: Vec<f64> = ours.iter().map(|x| f64::from(*x)).collect();
    let centred = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        x.iter().map(|x| x - mean).collect::<Vec<f64>>()
    };
    let (ours, plain) = (centred(&ours), centred(plain));
    dot(&ours, &plain) / (dot(&ours, &ours) * dot(&plain, &plain)).sqrt()
}

/// A folder of files and a list that has them as one model; `entry` is what the list says beside
/// the files.
pub struct Model {
    pub folder: tempfile::TempDir,
    name: String,
}

impl Model {
    pub fn new(name: &str) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), name: name.to_owned() }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn write(&self, file: &str, value: &serde_json::Value) {
        std::fs::write(self.path(file), value.to_string()).expect("the file");
    }

    /// The list of models that has this one.
    pub fn list(&self, entry: &str) -> PathBuf {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder");
        let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
        let files = names.filter(|name| !["models.toml", "engine"].contains(&name.as_str())).map(|name| {
            let path = self.path(&name);
            format!("[[model.file]]\nname = {name:?}\nsources = [{{ path = {path:?} }}]\n")
        });
        let text = format!(
            "[[model]]\nid = {:?}\nvariant = \"test\"\nlicence = \"MIT\"\n{entry}\n{}",
            self.name,
            files.collect::<String>()
        );
        std::fs::write(self.path("models.toml"), text).expect("the list");
        self.path("models.toml")
    }

    /// An engine that has this model in memory.
    pub async fn engine(&self, entry: &str) -> Engine {
        let engine = self.fetched(entry).await;
        engine.load(&self.name).await.expect("the model can be loaded");
        engine
    }

    /// What an engine says that does not take this model.
    pub async fn refused(&self, entry: &str) -> String {
        let refused = self.fetched(entry).await.load(&self.name).await.expect_err("it cannot be loaded");
        format!("{:#}", anyhow::Error::from(refused))
    }

    async fn fetched(&self, entry: &str) -> Engine {
        let own = self.folder.path().join("engine");
        let mut settings = settings(&own, &own);
        settings.models_file = Some(self.list(entry));
        let engine = Engine::open(settings).expect("an engine");
        engine.pull(&self.name, std::sync::Arc::new(|_, _| ())).await.expect("its files are here");
        engine
    }
}
