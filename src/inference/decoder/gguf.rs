//! A GGUF file: what it tells of its model, and its tensors, which stay on the disk until they are
//! laid out for the kernels.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, Value};
use memmap2::Mmap;

use crate::inference::encoder::LoadError;

/// A GGUF file that was opened.
pub struct Gguf {
    map: Mmap,
    pub content: Content,
    name: String,
}

/// A tensor as it lies in the file: `shape` is `[out, in]` for a matrix.
pub struct Blocks<'a> {
    pub form: GgmlDType,
    pub shape: Vec<usize>,
    pub bytes: &'a [u8],
}

impl Gguf {
    /// Errors: what is wrong with the file, by its name.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read = |source| LoadError::Read { file: name.clone(), source };
        let file = File::open(path).map_err(read)?;
        // SAFETY: the file was moved into place whole and is not written again.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        let content = Content::read(&mut Cursor::new(&map[..]))
            .map_err(|error| LoadError::File { file: name.clone(), wrong: error.to_string() })?;
        Ok(Self { map, content, name })
    }

    /// A number of the metadata.
    pub fn size(&self, key: &str) -> Result<usize, LoadError> {
        let value = self.content.metadata.get(key).ok_or_else(|| self.wrong(&format!("it does not tell {key}")))?;
        let number = match value {
            Value::U8(n) => u64::from(*n),
            Value::U16(n) => u64::from(*n),
            Value::U32(n) => u64::from(*n),
            Value::U64(n) => *n,
            Value::I32(n) => u64::try_from(*n).unwrap_or(u64::MAX),
            Value::I64(n) => u64::try_from(*n).unwrap_or(u64::MAX),
            _ => return Err(self.wrong(&format!("{key} is no number"))),
        };
        usize::try_from(number).ok().filter(|n| *n <= 1 << 24).ok_or_else(|| self.wrong(&format!("{key} is {number}")))
    }

    pub fn float(&self, key: &str) -> Option<f32> {
        match self.content.metadata.get(key) {
            Some(Value::F32(x)) => Some(*x),
            Some(Value::F64(x)) => Some(*x as f32),
            _ => None,
        }
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key)?.to_string().ok().map(String::as_str)
    }

    /// A tensor's bytes.
    ///
    /// Errors: there is none of this name, or the file was cut.
    pub fn blocks(&self, tensor: &str) -> Result<Blocks<'_>, LoadError> {
        let info = self.content.tensor_infos.get(tensor);
        let info = info.ok_or_else(|| self.wrong(&format!("it has no tensor {tensor}")))?;
        let form = info.ggml_dtype;
        let numbers = info.shape.elem_count();
        let from = usize::try_from(self.content.tensor_data_offset.saturating_add(info.offset)).unwrap_or(usize::MAX);
        let bytes = numbers / form.block_size() * form.type_size();
        let bytes = self.map.get(from..from.saturating_add(bytes));
        let bytes = bytes.ok_or_else(|| self.wrong(&format!("{tensor} is not whole: the file was cut")))?;
        Ok(Blocks { form, shape: info.shape.dims().to_vec(), bytes })
    }

    /// A tensor's bytes, if it has this shape.
    pub fn shaped(&self, tensor: &str, shape: &[usize]) -> Result<Blocks<'_>, LoadError> {
        let blocks = self.blocks(tensor)?;
        if blocks.shape != shape {
            return Err(self.wrong(&format!("{tensor} has the shape {:?}, and {shape:?} was expected", blocks.shape)));
        }
        Ok(blocks)
    }

    pub fn wrong(&self, wrong: &str) -> LoadError {
        LoadError::File { file: self.name.clone(), wrong: wrong.to_owned() }
    }
}

/// Blocks as f32.
pub fn plain(blocks: &Blocks<'_>) -> Result<Vec<f32>, LoadError> {
    let storage = candle_core::quantized::QStorage::from_data(
        std::borrow::Cow::Borrowed(blocks.bytes),
        &candle_core::Device::Cpu,
        blocks.form,
    )?;
    let tensor = candle_core::quantized::QTensor::new(storage, blocks.shape.clone())?;
    Ok(tensor.dequantize(&candle_core::Device::Cpu)?.flatten_all()?.to_vec1()?)
}
