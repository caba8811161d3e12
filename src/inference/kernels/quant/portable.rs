//! The kernel for every processor, which the others are held against.

use super::activations::Block;
use super::layout::{Eight, Five, Form, Four, INS, Kind, OUTS, Six, codes, halves};

/// `out[row] = tiles * x[row]`, for one row of tiles and up to 8 rows of the input.
pub fn run(kind: Kind, tiles: &[u8], x: &[Block], out: &mut [[f32; OUTS]]) {
    match kind {
        Kind::Four => rows::<Four>(tiles, x, out),
        Kind::Five => rows::<Five>(tiles, x, out),
        Kind::Six => rows::<Six>(tiles, x, out),
        Kind::Eight => rows::<Eight>(tiles, x, out),
    }
}

fn rows<F: Form>(tiles: &[u8], x: &[Block], out: &mut [[f32; OUTS]]) {
    out.fill([0.0; OUTS]);
    for (tile, x) in tiles.chunks_exact(F::BYTES).zip(x.chunks_exact(out.len())) {
        let groups: [[u8; 64]; INS / 4] = std::array::from_fn(|group| codes::<F>(tile, group));
        let scales = halves(tile, F::SCALES_AT);
        let second = if F::SPLIT || F::MIN { halves(tile, F::SECOND_AT) } else { scales };
        for (x, out) in x.iter().zip(out.iter_mut()) {
            let [first_dot, second_dot] = [0, 1].map(|half| {
                let mut dot = [-i32::from(F::ZERO) * x.sums[half]; OUTS];
                for (codes, x) in groups[4 * half..][..4].iter().zip(&x.codes[4 * half..]) {
                    for (dot, codes) in dot.iter_mut().zip(codes.as_chunks::<4>().0) {
                        *dot += (0..4).map(|i| i32::from(codes[i]) * i32::from(x[i])).sum::<i32>();
                    }
                }
                dot
            });
            for (o, out) in out.iter_mut().enumerate() {
                if F::SPLIT {
                    *out += scales[o] * x.scale * first_dot[o] as f32 + second[o] * x.scale * second_dot[o] as f32;
                } else {
                    *out += scales[o] * x.scale * (first_dot[o] + second_dot[o]) as f32;
                }
                if F::MIN {
                    *out += second[o] * x.sum;
                }
            }
        }
    }
}
