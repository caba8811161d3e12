//! Memory that begins with a line of the cache, as the kernels read it.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use memmap2::Mmap;

/// Bytes of a line of the cache, and of the largest vector.
pub const LINE: usize = 64;

/// Changes whenever anything lies otherwise in what [`Kept`] gives, so that files of before are not read.
pub const LAYOUT: u32 = 1;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Numbers that are one whatever their bits: `f32`, `u16` and bytes here.
pub trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for u16 {}
impl Plain for u8 {}

/// A slice that begins with a line of the cache and is zero at first.
pub struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Plain> Aligned<T> {
    pub fn zeroed(len: usize) -> Self {
        let mut made = Self { lines: Vec::new(), len: 0, of: PhantomData };
        made.reserve(len);
        made
    }

    /// Makes it at least so long. What is in it is kept.
    pub fn reserve(&mut self, len: usize) {
        let lines = (len * size_of::<T>()).div_ceil(LINE);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line([0; LINE]));
        }
        self.len = self.len.max(len);
    }
}

impl<T: Plain> Default for Aligned<T> {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl<T: Plain> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold `len` values, and are values whatever their bits.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the lines hold `len` values, and are values whatever their bits.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// Numbers that stay as they are, in whole lines of the cache: in memory of this process, or in a
/// file that is mapped, of which the system keeps in memory what is read.
pub struct Fixed<T> {
    place: Place<T>,
    len: usize,
}

enum Place<T> {
    Own(Aligned<T>),
    File(Mmap),
}

impl<T: Plain> Fixed<T> {
    /// None if the file's part is not of this length, or begins elsewhere than with a line.
    pub fn of_file(part: Mmap, len: usize) -> Option<Self> {
        let fits = Some(part.len()) == bytes::<T>(len) && part.as_ptr().cast::<Line>().is_aligned();
        fits.then_some(Self { place: Place::File(part), len })
    }

    /// All lines, the end of the last one zero.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.place {
            // SAFETY: all bytes of the lines are set.
            Place::Own(own) => unsafe { std::slice::from_raw_parts(own.lines.as_ptr().cast(), own.lines.len() * LINE) },
            Place::File(part) => part,
        }
    }
}

/// Of so many numbers, in whole lines.
fn bytes<T>(len: usize) -> Option<usize> {
    len.checked_mul(size_of::<T>())?.checked_next_multiple_of(LINE)
}

impl<T: Plain> From<Aligned<T>> for Fixed<T> {
    fn from(own: Aligned<T>) -> Self {
        Self { len: own.len, place: Place::Own(own) }
    }
}

impl<T: Plain> Deref for Fixed<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the bytes begin with a line, hold `len` values, and are values whatever their bits.
        unsafe { std::slice::from_raw_parts(self.as_bytes().as_ptr().cast(), self.len) }
    }
}

/// A matrix `[out, in]` that can be kept in a file as it lies in memory.
pub trait Kept: Sized {
    /// How its weights lie, on this machine: other machines may have another layout.
    fn layout() -> String;

    /// What it has besides the shape and the weights.
    fn head(&self) -> Vec<u8>;

    /// As [`Fixed::as_bytes`] gives them.
    fn weights(&self) -> &[u8];

    /// None if head or weights are not those of a matrix of this shape.
    fn from_kept(shape: [usize; 2], head: &[u8], weights: Mmap) -> Option<Self>;
}

#[cfg(test)]
pub mod tests {
    /// What stands for some bytes in the tests that hold layouts to [`super::LAYOUT`]: files are read as
    /// long as that is theirs, so whoever lets a weight lie elsewhere counts it up.
    pub fn sum(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    }
}
