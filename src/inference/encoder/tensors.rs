//! Named tensors in a file that stays on the disk: read where they are needed, not copied whole.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use half::{bf16, f16};
use memmap2::Mmap;
use serde::Deserialize;

use super::LoadError;

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    F32,
    F16,
    Bf16,
    /// 32 numbers in 18 bytes: a scale and 4 bits each, GGML's `Q4_0`.
    Q4_0,
    /// `(byte - zero) * scale`, ONNX's linear quantisation.
    U8 {
        scale: f32,
        zero: f32,
    },
    /// The same with a sign.
    I8 {
        scale: f32,
        zero: f32,
    },
}

impl Form {
    fn bytes(self, numbers: usize) -> usize {
        match self {
            Self::F32 => numbers * 4,
            Self::F16 | Self::Bf16 => numbers * 2,
            Self::Q4_0 => numbers / 32 * 18,
            Self::U8 { .. } | Self::I8 { .. } => numbers,
        }
    }
}

/// A file of tensors, by the names that Hugging Face's BERT gives them.
pub struct Tensors {
    map: Mmap,
    views: HashMap<String, View>,
    name: String,
}

/// Where a tensor is in its file.
pub(super) struct View {
    pub form: Form,
    pub shape: Vec<usize>,
    pub at: Range<usize>,
    /// A matrix of `shape` that lies there column by column.
    pub transposed: bool,
}

#[derive(Deserialize)]
struct Header {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl Tensors {
    /// A safetensors file.
    ///
    /// Errors: what is wrong with it, by the name of the file.
    pub fn safetensors(path: &Path) -> Result<Self, LoadError> {
        let (map, name) = open(path)?;
        let wrong = |why: &str| LoadError::File { file: name.clone(), wrong: why.to_owned() };
        let length = map.first_chunk().map(|length| u64::from_le_bytes(*length));
        let length = length.and_then(|length| usize::try_from(length).ok());
        let begin = length.and_then(|length| length.checked_add(8)).filter(|begin| *begin <= map.len());
        let begin = begin.ok_or_else(|| wrong("it is no safetensors file, or it was cut"))?;
        let header: HashMap<String, serde_json::Value> =
            serde_json::from_slice(&map[8..begin]).map_err(|error| wrong(&format!("its header: {error}")))?;
        let mut views = HashMap::new();
        for (tensor, value) in header.into_iter().filter(|(tensor, _)| tensor != "__metadata__") {
            let told: Header = serde_json::from_value(value).map_err(|error| wrong(&format!("{tensor}: {error}")))?;
            let form = match told.dtype.as_str() {
                "F32" => Form::F32,
                "F16" => Form::F16,
                "BF16" => Form::Bf16,
                // Indices, such as the positions that older files hold.
                _ => continue,
            };
            let [from, to] = told.data_offsets;
            let at = begin.saturating_add(from)..begin.saturating_add(to);
            views.insert(tensor, View { form, shape: told.shape, at, transposed: false });
        }
        Self { map, views, name }.checked()
    }

    /// Tensors at places that another format tells.
    pub(super) fn at(
        path: &Path,
        read: impl FnOnce(&[u8]) -> Result<HashMap<String, View>, String>,
    ) -> Result<Self, LoadError> {
        let (map, name) = open(path)?;
        let views = read(&map).map_err(|wrong| LoadError::File { file: name.clone(), wrong })?;
        Self { map, views, name }.checked()
    }

    fn checked(self) -> Result<Self, LoadError> {
        for (tensor, view) in &self.views {
            let numbers = view.shape.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
            let whole = numbers.is_some_and(|n| view.form.bytes(n) == view.at.len()) && view.at.end <= self.map.len();
            if !whole {
                let wrong = format!("{tensor} is not whole: the file was cut, or is another");
                return Err(LoadError::File { file: self.name, wrong });
            }
        }
        Ok(self)
    }

    pub fn has(&self, tensor: &str) -> bool {
        self.views.contains_key(tensor)
    }

    /// A whole tensor, row by row.
    ///
    /// Errors: there is none of this name, or its shape is another.
    pub fn read(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let view = self.shaped(tensor, shape)?;
        let mut out = vec![0.0; shape.iter().product()];
        decode(view.form, &self.map[view.at.clone()], &mut out);
        Ok(if view.transposed { transpose(&out, shape) } else { out })
    }

    /// A tensor of a shape as it lies in the file.
    pub fn bytes(&self, tensor: &str, shape: &[usize]) -> Result<(Form, &[u8]), LoadError> {
        let view = self.shaped(tensor, shape)?;
        Ok((view.form, &self.map[view.at.clone()]))
    }

    /// Adds row `index` of a matrix to `out`. An index past the end adds nothing.
    pub fn add_row(&self, matrix: &Matrix, index: usize, out: &mut [f32]) {
        let bytes = matrix.form.bytes(matrix.width);
        let from = matrix.at.start + index * bytes;
        if index < matrix.height {
            let mut row = vec![0.0; matrix.width];
            decode(matrix.form, &self.map[from..from + bytes], &mut row);
            out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    }

    /// A matrix that stays in the file.
    pub fn matrix(&self, tensor: &str) -> Result<Matrix, LoadError> {
        let view = self.view(tensor)?;
        match view.shape[..] {
            [height, width] if !view.transposed && (view.form != Form::Q4_0 || width % 32 == 0) => {
                Ok(Matrix { form: view.form, height, width, at: view.at.clone() })
            }
            _ => {
                let wrong = format!("{tensor} is no matrix: its shape is {:?}", view.shape);
                Err(LoadError::File { file: self.name.clone(), wrong })
            }
        }
    }

    fn shaped(&self, tensor: &str, shape: &[usize]) -> Result<&View, LoadError> {
        let view = self.view(tensor)?;
        if view.shape != shape {
            let wrong = format!("{tensor} has the shape {:?}, and {shape:?} was expected", view.shape);
            return Err(LoadError::File { file: self.name.clone(), wrong });
        }
        Ok(view)
    }

    fn view(&self, tensor: &str) -> Result<&View, LoadError> {
        let missing = || LoadError::File { file: self.name.clone(), wrong: format!("it has no tensor {tensor}") };
        self.views.get(tensor).ok_or_else(missing)
    }
}

/// Where a matrix lies.
pub struct Matrix {
    form: Form,
    pub height: usize,
    pub width: usize,
    at: Range<usize>,
}

fn open(path: &Path) -> Result<(Mmap, String), LoadError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let read = |source| LoadError::Read { file: name.clone(), source };
    let file = File::open(path).map_err(read)?;
    // SAFETY: the file was moved into place whole and is not written again; who cuts it under a
    // running server takes the process down, as with every mapped library.
    let map = unsafe { Mmap::map(&file) }.map_err(read)?;
    Ok((map, name))
}

/// A matrix of `shape` out of its columns.
fn transpose(columns: &[f32], shape: &[usize]) -> Vec<f32> {
    let [height, width] = *shape else { return columns.to_vec() };
    (0..height).flat_map(|row| (0..width).map(move |column| columns[column * height + row])).collect()
}

fn decode(form: Form, bytes: &[u8], out: &mut [f32]) {
    let pairs = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match form {
        Form::F32 => {
            let numbers = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            out.iter_mut().zip(numbers).for_each(|(x, number)| *x = number);
        }
        Form::F16 => out.iter_mut().zip(pairs()).for_each(|(x, bits)| *x = f16::from_bits(bits).to_f32()),
        Form::Bf16 => out.iter_mut().zip(pairs()).for_each(|(x, bits)| *x = bf16::from_bits(bits).to_f32()),
        Form::U8 { scale, zero } => {
            out.iter_mut().zip(bytes).for_each(|(x, byte)| *x = (f32::from(*byte) - zero) * scale);
        }
        Form::I8 { scale, zero } => {
            out.iter_mut().zip(bytes).for_each(|(x, byte)| *x = (f32::from(byte.cast_signed()) - zero) * scale);
        }
        Form::Q4_0 => {
            for (block, out) in bytes.chunks_exact(18).zip(out.chunks_exact_mut(32)) {
                let scale = f16::from_bits(u16::from_le_bytes([block[0], block[1]])).to_f32();
                let (low, high) = out.split_at_mut(16);
                for ((byte, low), high) in block[2..].iter().zip(low).zip(high) {
                    *low = scale * (f32::from(byte & 15) - 8.0);
                    *high = scale * (f32::from(byte >> 4) - 8.0);
                }
            }
        }
    }
}
