//! The weights in an ONNX file, whole or in 8 bits as onnxruntime's dynamic quantisation writes
//! them. Only the tensors are read; what they are for, the names of the graph's nodes tell.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::LoadError;
use super::bert::Shape;
use super::tensors::{Form, Tensors, View};

/// Most tensors and nodes that are looked at.
const MAX_PARTS: usize = 100_000;

/// BERT's own, which no ONNX file tells.
const EPSILON: f32 = 1e-12;

/// The file's tensors under the names of Hugging Face's BERT, and the shape of the model, which
/// has so many `heads`: the file does not tell.
pub fn open(path: &Path, heads: usize) -> Result<(Tensors, Shape), LoadError> {
    let mut shape = None;
    let tensors = Tensors::at(path, |bytes| {
        let graph = Graph::read(bytes).ok_or("it is no ONNX file, or it was cut")?;
        let views = graph.views();
        shape = shape_of(&views, heads);
        Ok(views)
    })?;
    let missing = || LoadError::Unsupported("an ONNX file without the tensors of a BERT encoder".to_owned());
    Ok((tensors, shape.ok_or_else(missing)?))
}

fn shape_of(views: &HashMap<String, View>, heads: usize) -> Option<Shape> {
    let size = |name: &str| {
        let view = views.get(name).or_else(|| views.get(&format!("bert.{name}")))?;
        Some((*view.shape.first()?, *view.shape.last()?))
    };
    let (vocabulary, hidden) = size("embeddings.word_embeddings.weight")?;
    let (positions, _) = size("embeddings.position_embeddings.weight")?;
    let (inner, _) = size("encoder.layer.0.intermediate.dense.bias")?;
    let has_layer = |n: &usize| size(&format!("encoder.layer.{n}.output.dense.bias")).is_some();
    let layers = (0..MAX_PARTS).take_while(has_layer).count();
    Some(Shape { hidden, layers, heads, inner, vocabulary, positions, first_position: 0, epsilon: EPSILON })
}

/// What is read of a graph.
struct Graph<'a> {
    tensors: HashMap<&'a str, Stored<'a>>,
    /// The weights of matrix products, by the path of the node: `[in, out]`.
    products: HashMap<&'a str, &'a str>,
}

/// ONNX's `TensorProto`.
#[derive(Default)]
struct Stored<'a> {
    name: &'a str,
    shape: Vec<usize>,
    kind: u64,
    raw: Range<usize>,
    /// A number that is not among the raw bytes.
    number: Option<f32>,
}

const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT8: u64 = 3;

impl<'a> Graph<'a> {
    fn read(file: &'a [u8]) -> Option<Self> {
        let mut graph = Self { tensors: HashMap::new(), products: HashMap::new() };
        let body = Fields { file, at: 0..file.len() }.find_map(|field| match field {
            Some((7, Field::Bytes(at))) => Some(at),
            _ => None,
        })?;
        let mut parts = 0;
        for field in (Fields { file, at: body }) {
            parts += 1;
            match field? {
                _ if parts > MAX_PARTS => return None,
                (1, Field::Bytes(node)) => graph.products.extend(product(file, node)),
                (5, Field::Bytes(at)) => {
                    let tensor = stored(file, at)?;
                    graph.tensors.insert(tensor.name, tensor);
                }
                _ => {}
            }
        }
        Some(graph)
    }

    fn views(&self) -> HashMap<String, View> {
        self.tensors.values().filter_map(|tensor| self.view(tensor)).collect()
    }

    /// Where a tensor is, and what BERT calls it; none for scales and other constants.
    fn view(&self, tensor: &Stored<'_>) -> Option<(String, View)> {
        if tensor.raw.start == tensor.raw.end {
            return None;
        }
        let base = tensor.name.strip_suffix("_quantized").unwrap_or(tensor.name);
        let number = |part: &str| self.tensors.get(format!("{base}_{part}").as_str()).and_then(|stored| stored.number);
        let form = match tensor.kind {
            FLOAT => Form::F32,
            UINT8 => Form::U8 { scale: number("scale")?, zero: number("zero_point")? },
            INT8 => Form::I8 { scale: number("scale")?, zero: number("zero_point")? },
            _ => return None,
        };
        let path = self.products.get(tensor.name);
        let named = |path: &&str| format!("{}.weight", path.trim_matches('/').replace('/', "."));
        let name = if base.ends_with(".weight") || base.ends_with(".bias") { None } else { path.map(named) };
        let mut shape = tensor.shape.clone();
        if path.is_some() {
            shape.reverse();
        }
        let view = View { form, shape, at: tensor.raw.clone(), transposed: path.is_some() };
        Some((name.unwrap_or_else(|| base.to_owned()), view))
    }
}

/// The weight of a node that multiplies by one, and the path of that node.
fn product(file: &[u8], at: Range<usize>) -> Option<(&str, &str)> {
    let (mut inputs, mut name, mut kind) = (Vec::new(), "", "");
    for field in (Fields { file, at }) {
        match field? {
            (1, Field::Bytes(at)) => inputs.push(text(file, at)?),
            (3, Field::Bytes(at)) => name = text(file, at)?,
            (4, Field::Bytes(at)) => kind = text(file, at)?,
            _ => {}
        }
    }
    let (path, _) = name.rsplit_once('/')?;
    let multiplies = kind == "MatMul" || kind == "MatMulInteger";
    multiplies.then_some((*inputs.get(1)?, path))
}

fn stored(file: &[u8], at: Range<usize>) -> Option<Stored<'_>> {
    let mut tensor = Stored::default();
    for field in (Fields { file, at }) {
        match field? {
            (1, Field::Number(size)) => tensor.shape.push(usize::try_from(size).ok()?),
            (1, Field::Bytes(mut at)) => {
                while !at.is_empty() {
                    tensor.shape.push(usize::try_from(varint(file, &mut at)?).ok()?);
                }
            }
            (2, Field::Number(kind)) => tensor.kind = kind,
            (4, Field::Bytes(at)) => {
                tensor.number = file.get(at)?.first_chunk().map(|bytes| f32::from_le_bytes(*bytes));
            }
            // Negative numbers are written in 64 bits.
            (5, Field::Bytes(mut at)) => tensor.number = Some(varint(file, &mut at)?.cast_signed() as f32),
            (8, Field::Bytes(at)) => tensor.name = text(file, at)?,
            (9, Field::Bytes(at)) => tensor.raw = at,
            _ => {}
        }
    }
    if tensor.number.is_none() && tensor.raw.len() <= 4 {
        tensor.number = match (tensor.kind, file.get(tensor.raw.clone())?) {
            (FLOAT, [a, b, c, d]) => Some(f32::from_le_bytes([*a, *b, *c, *d])),
            (UINT8, [byte]) => Some(f32::from(*byte)),
            (INT8, [byte]) => Some(f32::from(byte.cast_signed())),
            _ => None,
        };
    }
    Some(tensor)
}

fn text(file: &[u8], at: Range<usize>) -> Option<&str> {
    std::str::from_utf8(file.get(at)?).ok()
}

/// The fields of a protobuf message, with their numbers; none for one that is cut.
struct Fields<'a> {
    file: &'a [u8],
    at: Range<usize>,
}

enum Field {
    Number(u64),
    /// Where it lies in the file.
    Bytes(Range<usize>),
    Other,
}

impl Iterator for Fields<'_> {
    type Item = Option<(u64, Field)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.at.start = self.at.end;
        }
        Some(field)
    }
}

impl Fields<'_> {
    fn field(&mut self) -> Option<(u64, Field)> {
        let key = varint(self.file, &mut self.at)?;
        let field = match key & 7 {
            0 => Field::Number(varint(self.file, &mut self.at)?),
            1 => self.skip(8).map(|_| Field::Other)?,
            2 => {
                let length = usize::try_from(varint(self.file, &mut self.at)?).ok()?;
                Field::Bytes(self.skip(length)?)
            }
            5 => self.skip(4).map(|_| Field::Other)?,
            _ => return None,
        };
        Some((key >> 3, field))
    }

    fn skip(&mut self, length: usize) -> Option<Range<usize>> {
        let from = self.at.start;
        let end = from.checked_add(length).filter(|end| *end <= self.at.end)?;
        self.at.start = end;
        Some(from..end)
    }
}

/// Protobuf's number of 7 bits a byte.
fn varint(file: &[u8], at: &mut Range<usize>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        if at.start >= at.end {
            return None;
        }
        let byte = *file.get(at.start)?;
        at.start += 1;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let (low, high) = (content.len() % 128, content.len() / 128);
        let byte = |number: usize| u8::try_from(number).expect("it is short");
        let mut field = vec![number << 3 | 2, byte(low) | 128, byte(high)];
        field.extend(content);
        field
    }

    fn tensor(name: &str, kind: u8, shape: &[u8], raw: &[u8]) -> Vec<u8> {
        let mut message = bytes(1, shape);
        message.extend([2 << 3, kind]);
        message.extend(bytes(8, name.as_bytes()));
        message.extend(bytes(9, raw));
        bytes(5, &message)
    }

    fn graph() -> Vec<u8> {
        let mut node = bytes(1, b"x");
        node.extend(bytes(1, b"onnx::MatMul_1_quantized"));
        node.extend(bytes(3, b"/bert/pooler/dense/MatMul_quant"));
        node.extend(bytes(4, b"MatMulInteger"));
        let mut body = bytes(1, &node);
        body.extend(tensor("onnx::MatMul_1_quantized", 3, &[2, 3], &[0, 1, 2, 3, 4, 255]));
        body.extend(tensor("onnx::MatMul_1_scale", 1, &[], &0.5_f32.to_le_bytes()));
        body.extend(tensor("onnx::MatMul_1_zero_point", 3, &[], &[1]));
        bytes(7, &body)
    }

    #[test]
    fn a_weight_in_8_bits_is_read_with_its_scale_and_turned() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("model.onnx");
        std::fs::write(&path, graph()).expect("a file");
        let tensors = Tensors::at(&path, |file| Ok(Graph::read(file).ok_or("cut")?.views())).expect("it is whole");
        let weight = tensors.read("bert.pooler.dense.weight", &[3, 2]).expect("it has its name");
        assert_eq!(weight, [-0.5, 1.0, 0.0, 1.5, 0.5, -1.0]);
        let said = open(&path, 12).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("without the tensors of a BERT"), "{said}");
    }

    #[test]
    fn what_is_cut_is_refused_wherever_it_is_cut() {
        let whole = graph();
        for length in 0..whole.len() {
            assert!(Graph::read(&whole[..length]).is_none(), "cut at {length}");
        }
        assert!(Graph::read(&[0xff; 40]).is_none());
    }
}
