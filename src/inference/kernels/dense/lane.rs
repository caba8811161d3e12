//! The registers that the kernels are written for, and the choice among them when the program runs.

use std::sync::OnceLock;

/// Some `f32` beside one another that are computed with at once.
///
/// A value exists only where the processor has what its kind needs: [`splat`](Self::splat) and
/// [`load`](Self::load), which make one of nothing, are unsafe for that.
pub trait Lane: Copy {
    const WIDTH: usize;
    /// Rows of a tile two lanes wide whose sums stay in registers.
    const ROWS: usize;

    /// # Safety
    /// The processor has what this kind of lane needs.
    unsafe fn splat(x: f32) -> Self;
    /// # Safety
    /// As for [`splat`](Self::splat), and `WIDTH` values can be read.
    unsafe fn load(from: *const f32) -> Self;
    /// Values that are `step` apart.
    ///
    /// # Safety
    /// As for [`splat`](Self::splat), and the values can be read; `step` is below 2^26.
    unsafe fn gather(from: *const f32, step: usize) -> Self;
    /// # Safety
    /// `WIDTH` values can be written.
    unsafe fn store(self, to: *mut f32);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self * by + plus`
    fn mul_add(self, by: Self, plus: Self) -> Self;
    /// `other` where either is not a number.
    fn max(self, other: Self) -> Self;
    /// `other` where either is not a number.
    fn min(self, other: Self) -> Self;
    /// The nearest whole number.
    fn round(self) -> Self;
    /// Two to the power of `self`, which holds whole numbers of -126 to 127.
    fn pow2(self) -> Self;
    /// `1 / self`, to about the precision of `f32`.
    fn recip(self) -> Self;
    fn sum(self) -> f32;
    fn largest(self) -> f32;

    /// Runs `op` in a function of its own, whose registers are given to nothing else.
    ///
    /// # Safety
    /// As for [`splat`](Self::splat), and whatever `op` asks for.
    unsafe fn run(op: impl Op);

    /// `x` in every place.
    #[inline(always)]
    fn all(self, x: f32) -> Self {
        // SAFETY: `self` exists.
        unsafe { Self::splat(x) }
    }
}

/// What is computed with lanes of any kind.
pub trait Op {
    /// # Safety
    /// The processor has what `V` needs, and whatever the operation asks for.
    unsafe fn run<V: Lane>(self);
}

/// A kind of lane that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// All that this processor has, the quickest first.
    pub fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Isa>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let mut found = Vec::new();
            #[cfg(target_arch = "x86_64")]
            {
                let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                if fma && is_x86_feature_detected!("avx512f") {
                    found.push(Self::Avx512);
                }
                if fma {
                    found.push(Self::Avx2);
                }
            }
            found.push(Self::Portable);
            found
        })
    }

    pub fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self::Portable)
    }

    /// Columns of a panel: two lanes.
    pub fn columns(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 32,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 16,
            Self::Portable => 2 * <[f32; 4] as Lane>::WIDTH,
        }
    }

    /// Rows of a tile.
    pub fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::x86::V512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::x86::V256::ROWS,
            Self::Portable => <[f32; 4] as Lane>::ROWS,
        }
    }

    /// Runs `op` with lanes of this kind.
    ///
    /// # Safety
    /// Whatever `op` asks for.
    pub unsafe fn run(self, op: impl Op) {
        // SAFETY: only `available` makes the others, for a processor that has them.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => super::x86::V512::run(op),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => super::x86::V256::run(op),
                Self::Portable => <[f32; 4]>::run(op),
            }
        }
    }
}

/// For every processor; as wide as what most have.
impl Lane for [f32; 4] {
    const WIDTH: usize = 4;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: four values can be read.
        unsafe { from.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn gather(from: *const f32, step: usize) -> Self {
        // SAFETY: four values so far apart can be read.
        std::array::from_fn(|i| unsafe { *from.add(i * step) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: four values can be written.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] - other[i])
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] * other[i])
    }
    #[inline(always)]
    fn mul_add(self, by: Self, plus: Self) -> Self {
        // Not `f32::mul_add`, which is a call where the processor has no such instruction.
        std::array::from_fn(|i| self[i] * by[i] + plus[i])
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        std::array::from_fn(|i| if self[i] > other[i] { self[i] } else { other[i] })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        std::array::from_fn(|i| if self[i] < other[i] { self[i] } else { other[i] })
    }
    #[inline(always)]
    fn round(self) -> Self {
        // Adding this leaves no room for what comes after the point; right up to 2^22.
        const SHIFT: f32 = 12_582_912.0;
        self.map(|x| (x + SHIFT) - SHIFT)
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        self.map(|x| f32::from_bits(((x as i32).wrapping_add(127) << 23) as u32))
    }
    #[inline(always)]
    fn recip(self) -> Self {
        self.map(|x| 1.0 / x)
    }
    #[inline(never)]
    unsafe fn run(op: impl Op) {
        // SAFETY: as the caller promises.
        unsafe { op.run::<Self>() }
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        (self[0] + self[2]) + (self[1] + self[3])
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        self.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
