//! The product of some rows and a panel of columns, both rounded to bf16, by the matrix unit that
//! some processors have: AMX. Rust has no names for its instructions yet, but its assembler does.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

use super::lane::Lane;
use super::tile::{Bias, Product, store};
use super::x86::V512;

/// Rows of `a` that are read at once: there have to be so many, whatever their values.
pub const ROWS: usize = 32;
/// The depth is a multiple of this.
pub const DEPTH: usize = 32;

/// Whether the processor has it, and the system lets this process use it.
pub fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| super::bf16::available() && has_tiles() && may_use_tiles())
}

fn has_tiles() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

/// Linux gives the room for the tiles' state only to who asks.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let mut answer = ARCH_PRCTL;
    // SAFETY: the call reads and writes no memory of ours.
    unsafe {
        asm!(
            "syscall",
            inout("rax") answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn may_use_tiles() -> bool {
    false
}

/// Eight tiles of 16 rows of 64 bytes, for as long as this lives.
///
/// The thread has it to itself: nothing else in this process uses tiles.
pub struct Tiles(());

#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start: u8,
    _reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// # Safety
    /// AMX is [`available`].
    pub unsafe fn new() -> Self {
        let (mut bytes, mut rows) = ([0; 16], [0; 16]);
        bytes[..8].fill(64);
        rows[..8].fill(16);
        let shape = Shape { palette: 1, start: 0, _reserved: [0; 14], bytes, rows };
        // SAFETY: AMX is available, and the shape is one that it has.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shape, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: who made it saw that AMX is available.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// The sums of 32 rows and 32 columns.
#[repr(C, align(64))]
struct Sums([[f32; 32]; ROWS]);

/// As [`super::bf16::multiply`]. `a` has a multiple of [`ROWS`] rows, and `depth` is one of [`DEPTH`].
///
/// # Safety
/// All that `product` says can be read and written, and AMX is [`available`].
#[target_feature(enable = "avx512f,avx2,fma")]
pub unsafe fn multiply(_tiles: &Tiles, product: &Product<u16>, finish: &Bias) {
    let mut sums = Sums([[0.0; 32]; ROWS]);
    for first in (0..product.rows).step_by(ROWS) {
        let rows = (product.rows - first).min(ROWS);
        // SAFETY: as the caller promises; the rows that are stored are there.
        unsafe {
            let a = product.a.add(first * product.a_step);
            if rows > 16 {
                thirty_two(a, product.a_step * 2, product.panel, product.depth, &mut sums);
            } else {
                sixteen(a, product.a_step * 2, product.panel, product.depth, &mut sums);
            }
            for (r, sums) in sums.0[..rows].iter().enumerate() {
                let lanes = [V512::load(sums.as_ptr()), V512::load(sums.as_ptr().add(16))];
                let row = first + r;
                store(lanes, product.c.add(row * product.c_step), product.columns, row, finish);
            }
        }
    }
}

/// Rows of `a` are `step` bytes apart; tiles 0 to 3 hold sums, 4 and 5 rows of `a`, 6 and 7 the panel.
unsafe fn thirty_two(a: *const u16, step: usize, panel: *const u16, depth: usize, sums: &mut Sums) {
    // SAFETY: 32 rows of `a` and `depth` of the panel can be read, and the tiles are as `Tiles` says.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{a} + {step}*1]",
            "tileloadd tmm6, [{panel} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{panel} + {line}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{below} + {step}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, 64",
            "add {below}, 64",
            "add {panel}, 2048",
            "dec {n}",
            "jnz 2b",
            "tilestored [{c} + {line}*1], tmm0",
            "tilestored [{c} + {line}*1 + 64], tmm1",
            "tilestored [{c} + {line}*1 + 2048], tmm2",
            "tilestored [{c} + {line}*1 + 2112], tmm3",
            a = inout(reg) a => _,
            below = inout(reg) a.byte_add(16 * step) => _,
            step = in(reg) step,
            panel = inout(reg) panel => _,
            line = in(reg) 128_usize,
            n = inout(reg) depth / DEPTH => _,
            c = in(reg) sums as *mut Sums,
            options(nostack),
        );
    }
}

/// As [`thirty_two`], for the first half of the rows.
unsafe fn sixteen(a: *const u16, step: usize, panel: *const u16, depth: usize, sums: &mut Sums) {
    // SAFETY: 16 rows of `a` and `depth` of the panel can be read, and the tiles are as `Tiles` says.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm4, [{a} + {step}*1]",
            "tileloadd tmm6, [{panel} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{panel} + {line}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {a}, 64",
            "add {panel}, 2048",
            "dec {n}",
            "jnz 2b",
            "tilestored [{c} + {line}*1], tmm0",
            "tilestored [{c} + {line}*1 + 64], tmm1",
            a = inout(reg) a => _,
            step = in(reg) step,
            panel = inout(reg) panel => _,
            line = in(reg) 128_usize,
            n = inout(reg) depth / DEPTH => _,
            c = in(reg) sums as *mut Sums,
            options(nostack),
        );
    }
}
