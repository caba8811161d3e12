//! How weights lie in memory: tiles of 16 outputs by 32 inputs.
//!
//! A weight is `scale * (code - ZERO) + min`, its code of 4, 5, 6 or 8 bits. A tile holds the low
//! four bits of the codes (or all eight), a plane of 64 bytes for each further bit, and then the
//! scales as 16-bit floats. Inputs go in groups of four, as the dot product instructions take them:
//! group `g` of output `o` lies in bytes `4 * o..` of vector `g % 4`, the groups 4 to 7 in the upper
//! halves of the bytes; the bits of group `g` in a plane are the bits `g` of its bytes.

/// Outputs of a tile.
pub const OUTS: usize = 16;
/// Inputs of a tile.
pub const INS: usize = 32;
/// The most rows of the input that a kernel takes at once.
pub const ROWS: usize = 8;

/// What a kernel has to know of a kind of tile.
pub trait Form {
    /// The codes are whole bytes.
    const WHOLE: bool = false;
    /// Bits beyond the fourth.
    const PLANES: usize = 0;
    /// The code of the weight 0, for forms without `MIN`.
    const ZERO: u8 = 0;
    /// There is a scale for each half of the inputs.
    const SPLIT: bool = false;
    /// There is a value for each output that is added to its weights.
    const MIN: bool = false;

    const PLANES_AT: usize = if Self::WHOLE { 512 } else { 256 };
    const SCALES_AT: usize = Self::PLANES_AT + 64 * Self::PLANES;
    /// Where the scales of the second half are, or the minima.
    const SECOND_AT: usize = Self::SCALES_AT + 2 * OUTS;
    /// Bytes of a tile.
    const BYTES: usize = Self::SECOND_AT + if Self::SPLIT || Self::MIN { 2 * OUTS } else { 0 };
}

/// Q4_0, Q4_1, Q4_K.
pub struct Four;
impl Form for Four {
    const MIN: bool = true;
}

/// Q5_0, Q5_1, Q5_K.
pub struct Five;
impl Form for Five {
    const PLANES: usize = 1;
    const MIN: bool = true;
}

/// Q6_K.
pub struct Six;
impl Form for Six {
    const PLANES: usize = 2;
    const ZERO: u8 = 32;
    const SPLIT: bool = true;
}

/// Q8_0, and what was F16, BF16 or F32.
pub struct Eight;
impl Form for Eight {
    const WHOLE: bool = true;
    const ZERO: u8 = 128;
}

/// A form as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Four,
    Five,
    Six,
    Eight,
}

impl Kind {
    pub fn tile_bytes(self) -> usize {
        match self {
            Self::Four => Four::BYTES,
            Self::Five => Five::BYTES,
            Self::Six => Six::BYTES,
            Self::Eight => Eight::BYTES,
        }
    }

    /// As it is written in files: the bits of a code.
    pub fn number(self) -> u8 {
        match self {
            Self::Four => 4,
            Self::Five => 5,
            Self::Six => 6,
            Self::Eight => 8,
        }
    }

    pub fn of_number(number: u8) -> Option<Self> {
        [Self::Four, Self::Five, Self::Six, Self::Eight].into_iter().find(|kind| kind.number() == number)
    }
}

/// 32 weights of one output, before they are packed.
#[derive(Clone, Copy)]
pub struct Weights {
    pub codes: [u8; INS],
    /// Of each half of the inputs.
    pub scales: [f32; 2],
    pub min: f32,
}

/// Writes the weights of the output `out` of a tile that was zero.
pub fn write<F: Form>(tile: &mut [u8], out: usize, weights: &Weights, factor: f32) {
    for (input, &code) in weights.codes.iter().enumerate() {
        let (group, byte) = (input / 4, 4 * out + input % 4);
        if F::WHOLE {
            tile[64 * group + byte] = code;
            continue;
        }
        tile[64 * (group % 4) + byte] |= (code & 15) << (group / 4 * 4);
        for plane in 0..F::PLANES {
            tile[F::PLANES_AT + 64 * plane + byte] |= (code >> (4 + plane) & 1) << group;
        }
    }
    let mut half = |at: usize, value: f32| {
        tile[at + 2 * out..][..2].copy_from_slice(&to_half(value * factor).to_le_bytes());
    };
    half(F::SCALES_AT, weights.scales[0]);
    if F::SPLIT || F::MIN {
        half(F::SECOND_AT, if F::SPLIT { weights.scales[1] } else { weights.min });
    }
}

/// The codes of group `group` of all outputs.
#[inline(always)]
pub fn codes<F: Form>(tile: &[u8], group: usize) -> [u8; 64] {
    let mut codes = [0; 64];
    let from = &tile[64 * if F::WHOLE { group } else { group % 4 }..][..64];
    for (byte, code) in codes.iter_mut().enumerate() {
        *code = if F::WHOLE { from[byte] } else { from[byte] >> (group / 4 * 4) & 15 };
    }
    for plane in 0..F::PLANES {
        let bits = &tile[F::PLANES_AT + 64 * plane..][..64];
        for (code, byte) in codes.iter_mut().zip(bits) {
            *code |= (byte >> group & 1) << (4 + plane);
        }
    }
    codes
}

/// Sixteen 16-bit floats of a tile.
#[inline(always)]
pub fn halves(tile: &[u8], at: usize) -> [f32; OUTS] {
    let bytes = &tile[at..][..2 * OUTS];
    std::array::from_fn(|out| from_half(u16::from_le_bytes([bytes[2 * out], bytes[2 * out + 1]])))
}

/// The weights of one output of a tile.
pub fn read<F: Form>(tile: &[u8], out: usize) -> [f32; INS] {
    let scales = halves(tile, F::SCALES_AT)[out];
    let second = if F::SPLIT || F::MIN { halves(tile, F::SECOND_AT)[out] } else { 0.0 };
    std::array::from_fn(|input| {
        let code = codes::<F>(tile, input / 4)[4 * out + input % 4];
        let scale = if F::SPLIT && input >= INS / 2 { second } else { scales };
        scale * (f32::from(code) - f32::from(F::ZERO)) + if F::MIN { second } else { 0.0 }
    })
}

/// The 16-bit float that is nearest, the even one of two.
pub fn to_half(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16 & 0x8000) as u16;
    let abs = value.to_bits() & 0x7fff_ffff;
    let half = match abs {
        0x7f80_0001.. => 0x7e00,
        // 65520 and more.
        0x477f_f000.. => 0x7c00,
        // Below 2^-14 the steps are those of an f32 at 0.5.
        0..0x3880_0000 => (f32::from_bits(abs) + 0.5).to_bits() - 0x3f00_0000,
        _ => (abs + 0xfff + (abs >> 13 & 1) - 0x3800_0000) >> 13,
    };
    sign | half as u16
}

#[inline]
pub fn from_half(half: u16) -> f32 {
    let (exponent, mantissa) = (u32::from(half >> 10 & 31), u32::from(half & 0x3ff));
    let abs = match exponent {
        0 => mantissa as f32 * f32::from_bits(0x3380_0000),
        31 => f32::from_bits(0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits((exponent + 112) << 23 | mantissa << 13),
    };
    if half & 0x8000 == 0 { abs } else { -abs }
}
