//! Weights as the kernels want them, kept in a file beside the model's own: laid out once, and from
//! then on mapped, so that a model is there at once and the system may take its memory back.
//!
//! The file has the weights one after another, each at a line of the cache; then an index in JSON,
//! the index's length (8 bytes, little-endian), and [`MAGIC`]. It gets its name when it is whole and
//! on the disk. It is made anew when the model's files are others, or the kernels want another layout.
//! Where it cannot be written, the weights are laid out in memory, as without it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::{Mmap, MmapOptions};
use serde::{Deserialize, Serialize};

use super::Compute;
use super::catalogue::Entry;
use super::encoder::LoadError;
use super::kernels::memory::{Kept, LAYOUT, LINE};

const MAGIC: &[u8; 8] = b"inklaid\n";
/// Bytes behind the index.
const TAIL: u64 = 16;
/// Most bytes of an index.
const MAX_INDEX: u64 = 64 << 20;

/// The matrices of one model, laid out.
pub struct LaidOut {
    state: RefCell<State>,
}

enum State {
    /// Nothing is kept.
    Off,
    Here {
        file: File,
        index: Index,
        path: PathBuf,
        /// Something was asked for that is not in it.
        misses: bool,
    },
    Writing(Writing),
}

#[derive(Deserialize, Serialize)]
struct Index {
    /// What it was made of.
    of: String,
    parts: HashMap<String, Part>,
}

/// A matrix in the file: places are `[begin, length]`, in bytes.
#[derive(Deserialize, Serialize)]
struct Part {
    shape: [usize; 2],
    head: [u64; 2],
    weights: [u64; 2],
    /// CRC-32 of both, so that a damaged file does not compute something else.
    crc: u32,
}

/// A file that is not whole yet. What is left of it when it is dropped goes away.
struct Writing {
    file: File,
    at: u64,
    index: Index,
    path: PathBuf,
    part: PathBuf,
}

impl LaidOut {
    /// Has `load` read a model of `entry` in `folder`, whose matrices are all of kind `T` and are kept where
    /// the kernels compute with them.
    ///
    /// Errors: those of `load`.
    pub(super) fn while_loading<T: Kept, M>(
        folder: &Path,
        entry: &Entry,
        compute: &Compute,
        load: impl FnOnce(&Self) -> Result<M, LoadError>,
    ) -> Result<M, LoadError> {
        let laid_out = match compute {
            Compute::Kernels(_) => Self::of::<T>(folder, entry),
            Compute::Tensors { .. } => Self::none(),
        };
        let loaded = load(&laid_out)?;
        laid_out.finish();
        Ok(loaded)
    }

    fn of<T: Kept>(folder: &Path, entry: &Entry) -> Self {
        let path = folder.join(format!("laid-out.{}", T::layout()));
        remove_left_behind(folder);
        let state = match made_of(folder, entry) {
            Ok(of) => match opened(&path, &of) {
                Some((file, index)) => State::Here { file, index, path, misses: false },
                None => Writing::begin(path, of).map_or_else(off, State::Writing),
            },
            Err(error) => off(error),
        };
        Self { state: RefCell::new(state) }
    }

    /// Keeps nothing.
    pub fn none() -> Self {
        Self { state: RefCell::new(State::Off) }
    }

    /// A matrix `[out, in]` that was laid out before, or that `make` lays out.
    ///
    /// Errors: those of `make`.
    pub(super) fn matrix<T: Kept>(
        &self,
        name: &str,
        shape: [usize; 2],
        make: impl FnOnce() -> Result<T, LoadError>,
    ) -> Result<T, LoadError> {
        let mut state = self.state.borrow_mut();
        if let State::Here { file, index, misses, .. } = &mut *state {
            let part = index.parts.get(name).filter(|part| part.shape == shape);
            match part.and_then(|part| part.read(file)) {
                Some(kept) => return Ok(kept),
                None => *misses = true,
            }
        }
        let made = make()?;
        if let State::Writing(writing) = &mut *state {
            match writing.put(name, shape, &made) {
                Ok(Some(kept)) => return Ok(kept),
                Ok(None) => {}
                Err(error) => *state = off(error),
            }
        }
        Ok(made)
    }

    /// Ends with the last matrix: gives a file that was written its name, and takes one away that lacks
    /// something, so that it is written the next time.
    fn finish(self) {
        let done = match self.state.into_inner() {
            State::Writing(writing) => writing.finish(),
            State::Here { path, misses: true, .. } => fs::remove_file(path),
            State::Here { .. } | State::Off => Ok(()),
        };
        if let Err(error) = done {
            off(error);
        }
    }
}

fn off(error: io::Error) -> State {
    tracing::info!(%error, "weights are laid out in memory each time, as they cannot be kept beside the model's files");
    State::Off
}

impl Part {
    fn read<T: Kept>(&self, file: &File) -> Option<T> {
        let [at, length] = self.head;
        let mut head = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut head, at).ok()?;
        // All of it is read here, in order, which whoever computes with it would do as well.
        let weights = map(file, self.weights).ok()?;
        if crc(&head, &weights) != self.crc {
            tracing::warn!("weights that were laid out are damaged on the disk: they are laid out anew");
            return None;
        }
        T::from_kept(self.shape, &head, weights)
    }
}

fn crc(head: &[u8], weights: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(weights);
    hasher.finalize()
}

fn map(file: &File, [at, length]: [u64; 2]) -> io::Result<Mmap> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    // SAFETY: what was written is not written again; who cuts the file under a running server takes the
    // process down, as with every mapped library.
    unsafe { MmapOptions::new().offset(at).len(length).map(file) }
}

/// The file, if it is whole and was made of these.
fn opened(path: &Path, of: &str) -> Option<(File, Index)> {
    // Another kind of file might never open.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let file = File::open(path).ok()?;
    let end = file.metadata().ok()?.len().checked_sub(TAIL)?;
    let mut tail = [0; TAIL as usize];
    file.read_exact_at(&mut tail, end).ok()?;
    let (length, magic) = tail.split_first_chunk()?;
    let length = u64::from_le_bytes(*length);
    if magic != MAGIC || length > MAX_INDEX {
        return None;
    }
    let begin = end.checked_sub(length)?;
    let mut json = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut json, begin).ok()?;
    let index: Index = serde_json::from_slice(&json).ok()?;
    let is_inside = |[at, length]: [u64; 2]| at.checked_add(length).is_some_and(|end| end <= begin);
    let is_whole = index.parts.values().all(|part| is_inside(part.head) && is_inside(part.weights));
    (index.of == of && is_whole).then_some((file, index))
}

/// What a layout is made of: the kernels' layout, and the model's files with their lengths and times.
fn made_of(folder: &Path, entry: &Entry) -> io::Result<String> {
    let mut of = format!("{} layout {LAYOUT}", entry.architecture);
    for file in &entry.files {
        let here = fs::metadata(folder.join(&file.name))?;
        let changed = here.modified()?.duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
        of.push_str(&format!("\n{} {} {}", file.name, here.len(), changed.as_nanos()));
    }
    Ok(of)
}

impl Writing {
    fn begin(path: PathBuf, of: String) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().unwrap_or(Path::new("."));
        let part = folder.join(format!(".{name}.{:016x}.part", rand::random::<u64>()));
        let file = File::options().read(true).write(true).create_new(true).open(&part)?;
        // As long as it is being written: see `remove_left_behind`.
        let _ = file.try_lock();
        Ok(Self { file, at: 0, index: Index { of, parts: HashMap::new() }, path, part })
    }

    /// Writes a matrix, and gives it as it is mapped; none if it is nothing that can be.
    fn put<T: Kept>(&mut self, name: &str, shape: [usize; 2], made: &T) -> io::Result<Option<T>> {
        if made.weights().is_empty() {
            return Ok(None);
        }
        let weights = self.write(made.weights())?;
        let head = made.head();
        let part = Part { shape, head: self.write(&head)?, weights, crc: crc(&head, made.weights()) };
        let kept = T::from_kept(shape, &head, map(&self.file, weights)?);
        self.index.parts.insert(name.to_owned(), part);
        Ok(kept)
    }

    /// Writes at the next line, and says where that is.
    fn write(&mut self, bytes: &[u8]) -> io::Result<[u64; 2]> {
        let at = self.at.next_multiple_of(LINE as u64);
        self.file.write_all_at(bytes, at)?;
        self.at = at + bytes.len() as u64;
        Ok([at, bytes.len() as u64])
    }

    fn finish(mut self) -> io::Result<()> {
        let mut end = serde_json::to_vec(&self.index).map_err(io::Error::other)?;
        let length = end.len() as u64;
        end.write_all(&length.to_le_bytes())?;
        end.write_all(MAGIC)?;
        self.write(&end)?;
        self.file.sync_all()?;
        fs::rename(&self.part, &self.path)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // It is not there any more once it has its name.
        let _ = fs::remove_file(&self.part);
    }
}

/// Takes away what a process that was killed did not finish: nobody holds a lock on it any more.
fn remove_left_behind(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        let is_part = name.to_str().is_some_and(|name| name.starts_with(".laid-out.") && name.ends_with(".part"));
        if is_part && File::open(file.path()).is_ok_and(|part| part.try_lock().is_ok()) {
            let _ = fs::remove_file(file.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::*;
    use crate::inference::catalogue::Catalogue;
    use crate::inference::kernels::dense::{DenseLinear, Precision};
    use crate::inference::kernels::pool::Pool;
    use crate::inference::kernels::quant::QuantLinear;

    /// A folder with one file of weights, whose model is laid out.
    struct Model {
        folder: tempfile::TempDir,
        entry: Entry,
    }

    impl Model {
        fn new() -> Self {
            let catalogue = Catalogue::built_in().expect("the list is valid");
            let entry = catalogue.find("SmolLM2-135M-Instruct").expect("it is listed").clone();
            let model = Self { folder: tempfile::tempdir().expect("a folder"), entry };
            for file in &model.entry.files {
                fs::write(model.folder.path().join(&file.name), "weights").expect("a file");
            }
            model
        }

        fn laid_out(&self) -> LaidOut {
            LaidOut::of::<QuantLinear>(self.folder.path(), &self.entry)
        }

        /// The layouts, whole or not.
        fn files(&self) -> Vec<PathBuf> {
            let files = fs::read_dir(self.folder.path()).expect("the folder").map(|file| file.expect("a file").path());
            files.filter(|path| path.to_string_lossy().contains("laid-out")).collect()
        }
    }

    const SHAPE: [usize; 2] = [40, 64];

    fn quant(seed: u8) -> Result<QuantLinear, LoadError> {
        let row = |n: usize| (0..34).map(move |i| if i == 1 { 0x2c } else { seed.wrapping_add((n * i) as u8) });
        let blocks: Vec<u8> = (0..SHAPE[0] * SHAPE[1] / 32).flat_map(row).collect();
        Ok(QuantLinear::from_ggml(GgmlDType::Q8_0, &blocks, SHAPE[0], SHAPE[1]).expect("a matrix"))
    }

    fn outputs(of: impl Fn(&[f32], &mut [f32], &Pool)) -> Vec<f32> {
        let x: Vec<f32> = (0..2 * SHAPE[1]).map(|n| (n as f32 * 0.37).sin()).collect();
        let mut y = vec![0.0; 2 * SHAPE[0]];
        of(&x, &mut y, &Pool::new(1).expect("a pool"));
        y
    }

    fn of_quant(matrix: &QuantLinear) -> Vec<f32> {
        outputs(|x, y, pool| matrix.forward(x, 2, y, pool))
    }

    fn not_again() -> Result<QuantLinear, LoadError> {
        panic!("it was laid out before")
    }

    #[test]
    fn what_was_laid_out_once_is_mapped_and_gives_the_same() {
        let model = Model::new();
        let first = model.laid_out();
        for (name, seed) in [("a", 3), ("b", 9)] {
            let mapped = first.matrix(name, SHAPE, || quant(seed)).expect("a matrix");
            assert_eq!(of_quant(&mapped), of_quant(&quant(seed).expect("a matrix")), "as it is written, {name}");
        }
        first.finish();
        assert_eq!(model.files(), [model.folder.path().join("laid-out.tiles")], "one file, with its name");
        let again = model.laid_out();
        for (name, seed) in [("b", 9), ("a", 3)] {
            let mapped = again.matrix(name, SHAPE, not_again).expect("a matrix");
            assert_eq!(of_quant(&mapped), of_quant(&quant(seed).expect("a matrix")), "as it is read, {name}");
        }
        again.finish();
        assert_eq!(model.files().len(), 1, "it stays");
    }

    #[test]
    fn dense_weights_come_back_with_their_bias() {
        let model = Model::new();
        let weight: Vec<f32> = (0..SHAPE[0] * SHAPE[1]).map(|n| (n as f32 * 0.11).cos()).collect();
        let bias: Vec<f32> = (0..SHAPE[0]).map(|n| n as f32).collect();
        let make = || Ok(DenseLinear::new(&weight, Some(&bias), SHAPE[0], SHAPE[1], Precision::best()));
        let of = |matrix: &DenseLinear| {
            let none = crate::inference::kernels::dense::Activation::None;
            outputs(|x, y, pool| matrix.forward(x, 2, y, none, pool))
        };
        let expected = of(&make().expect("a matrix"));
        for _ in 0..2 {
            let laid_out = LaidOut::of::<DenseLinear>(model.folder.path(), &model.entry);
            assert_eq!(of(&laid_out.matrix("a", SHAPE, make).expect("a matrix")), expected);
            laid_out.finish();
        }
    }

    #[test]
    fn a_layout_of_other_files_or_that_is_not_whole_is_made_anew() {
        let model = Model::new();
        let path = model.folder.path().join("laid-out.tiles");
        let write = |seed| {
            let laid_out = model.laid_out();
            let made = laid_out.matrix("a", SHAPE, || quant(seed)).expect("a matrix");
            laid_out.finish();
            of_quant(&made)
        };
        let expected = |seed| of_quant(&quant(seed).expect("a matrix"));
        write(1);
        assert_eq!(write(2), expected(1), "what is there is taken");
        fs::write(model.folder.path().join(&model.entry.files[0].name), "other weights").expect("a file");
        assert_eq!(write(3), expected(3), "the model's files are others");
        let whole = fs::read(&path).expect("the layout");
        for (seed, broken) in (4..).zip([&whole[..whole.len() / 2], &whole[64..], b"", &[0xff; 4096]]) {
            fs::write(&path, broken).expect("a file");
            assert_eq!(write(seed), expected(seed), "a layout of {} bytes of {}", broken.len(), whole.len());
        }
        let laid_out = model.laid_out();
        let more = laid_out.matrix("b", SHAPE, || quant(11)).expect("a matrix");
        laid_out.finish();
        assert_eq!((of_quant(&more), model.files().len()), (expected(11), 0), "what lacks something goes away");
        write(12);
        let whole = fs::read(&path).expect("the layout");
        for damaged in [0, 100] {
            let mut bytes = whole.clone();
            bytes[damaged] ^= 0x10;
            fs::write(&path, bytes).expect("a file");
            assert_eq!((write(13), model.files().len()), (expected(13), 0), "the byte at {damaged} is another");
            write(12);
        }
    }

    #[test]
    fn nothing_is_left_of_what_was_not_finished() {
        let model = Model::new();
        let laid_out = model.laid_out();
        laid_out.matrix("a", SHAPE, || quant(1)).expect("a matrix");
        let fails = || Err::<QuantLinear, _>(LoadError::Unsupported("it".to_owned()));
        assert!(laid_out.matrix("b", SHAPE, fails).is_err(), "an error is told");
        assert_eq!(model.files().len(), 1, "it was being written");
        drop(laid_out);
        assert_eq!(model.files().len(), 0, "and nobody goes on");
        let (old, new) = (".laid-out.tiles.1.part", ".laid-out.tiles.2.part");
        for name in [old, new] {
            fs::write(model.folder.path().join(name), "half").expect("a file");
        }
        let written = File::open(model.folder.path().join(new)).expect("the file");
        written.try_lock().expect("nobody else writes it");
        drop(model.laid_out());
        assert_eq!(model.files(), [model.folder.path().join(new)], "another process is writing the newer one");
    }

    #[test]
    fn where_nothing_can_be_written_it_is_laid_out_in_memory() {
        let model = Model::new();
        let elsewhere = model.folder.path().join("not-there");
        let laid_out = LaidOut::of::<QuantLinear>(&elsewhere, &model.entry);
        let made = laid_out.matrix("a", SHAPE, || quant(1)).expect("a matrix");
        laid_out.finish();
        assert_eq!(of_quant(&made), of_quant(&quant(1).expect("a matrix")));
        assert!(!elsewhere.exists(), "nothing is made");
    }
}
