//! Layer normalisation, and a sequence's rows to one.

use super::super::dense::Shared;
use super::super::dense::lane::{Isa, Lane, Op};
use super::super::pool::Pool;

/// Values that a part has about; for fewer the threads would not be worth it.
const PART: usize = 16 * 1024;

/// `y = layer_norm(x + residual) * gamma + beta`, row by row; `x`, `residual` and `y` are `[rows, width]`.
///
/// Panics if they differ in length, or `gamma` and `beta` do.
pub fn add_layer_norm(
    x: &[f32],
    residual: Option<&[f32]>,
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    y: &mut [f32],
    pool: &Pool,
) {
    let width = gamma.len();
    assert_eq!(beta.len(), width, "beta is as long as gamma");
    assert_eq!(x.len(), y.len(), "the output is as long as the input");
    assert!(residual.is_none_or(|residual| residual.len() == x.len()), "the residual is as long as the input");
    if width == 0 {
        return;
    }
    let rows = x.len() / width;
    let at_once = (PART / width).max(1);
    let out = Shared(y.as_mut_ptr());
    pool.run(rows.div_ceil(at_once), &|part| {
        let places = part * at_once * width..rows.min((part + 1) * at_once) * width;
        let residual = residual.map(|residual| &residual[places.clone()]);
        // SAFETY: a part has rows of its own.
        let y = unsafe { out.slice(places.clone()) };
        let norm = Norm { x: &x[places], residual, gamma, beta, eps, y };
        // SAFETY: all is in slices.
        unsafe { Isa::best().run(norm) };
    });
}

struct Norm<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    gamma: &'a [f32],
    beta: &'a [f32],
    eps: f32,
    y: &'a mut [f32],
}

impl Op for Norm<'_> {
    #[inline(always)]
    unsafe fn run<V: Lane>(self) {
        let width = self.gamma.len();
        for (row, y) in self.y.chunks_exact_mut(width).enumerate() {
            let x = &self.x[row * width..][..width];
            match self.residual {
                Some(residual) => {
                    let residual = &residual[row * width..][..width];
                    y.iter_mut().zip(x).zip(residual).for_each(|((y, x), residual)| *y = x + residual);
                }
                None => y.copy_from_slice(x),
            }
            // SAFETY: as the caller promises.
            let (mean, variance) = unsafe { moments::<V>(y) };
            let scale = 1.0 / (variance + self.eps).sqrt();
            for ((y, gamma), beta) in y.iter_mut().zip(self.gamma).zip(self.beta) {
                *y = (*y - mean) * scale * gamma + beta;
            }
        }
    }
}

/// The mean, and the mean of the squares of what is off it.
#[inline(always)]
unsafe fn moments<V: Lane>(row: &[f32]) -> (f32, f32) {
    let (lanes, rest) = row.split_at(row.len() / V::WIDTH * V::WIDTH);
    let count = row.len() as f32;
    // SAFETY: the processor has what `V` needs, and each chunk is a lane.
    unsafe {
        let mut sum = V::splat(0.0);
        for lane in lanes.chunks_exact(V::WIDTH) {
            sum = sum.add(V::load(lane.as_ptr()));
        }
        let mut mean = sum.sum();
        for x in rest {
            mean += x;
        }
        mean /= count;
        let mut squares = V::splat(0.0);
        for lane in lanes.chunks_exact(V::WIDTH) {
            let off = V::load(lane.as_ptr()).sub(squares.all(mean));
            squares = off.mul_add(off, squares);
        }
        let mut variance = squares.sum();
        for x in rest {
            variance += (x - mean) * (x - mean);
        }
        (mean, variance / count)
    }
}

/// The mean of the rows of each sequence, then L2 normalised; `x` is `[rows, width]`, `y` is
/// `[sequences, width]`. Sequence `s` has rows `starts[s]..starts[s + 1]`; one of none gives zeros.
///
/// Panics if `x` has not the rows that `starts` names, or `y` not the sequences.
pub fn mean_pool(x: &[f32], starts: &[usize], width: usize, y: &mut [f32]) {
    assert_eq!(y.len(), starts.len().saturating_sub(1) * width, "the output is [sequences, width]");
    for (rows, y) in starts.windows(2).zip(y.chunks_exact_mut(width.max(1))) {
        y.fill(0.0);
        for row in x[rows[0] * width..rows[1] * width].chunks_exact(width) {
            y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
        }
        let norm = y.iter().map(|y| y * y).sum::<f32>().sqrt();
        // The mean of a sequence points where its sum does.
        if norm > 0.0 {
            y.iter_mut().for_each(|y| *y /= norm);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, step: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * step).sin() * 3.0 + 1.0).collect()
    }

    #[test]
    fn rows_are_normalised_as_in_the_plain_computation() {
        let pool = Pool::new(2).unwrap();
        for (rows, width) in [(1, 1), (3, 7), (13, 384), (200, 384), (2, 100)] {
            let (x, residual) = (wave(rows * width, 0.7), wave(rows * width, 1.3));
            let (gamma, beta) = (wave(width, 0.3), wave(width, 0.1));
            for isa in Isa::available() {
                for residual in [None, Some(&residual[..])] {
                    let mut y = vec![f32::NAN; rows * width];
                    let norm = Norm { x: &x, residual, gamma: &gamma, beta: &beta, eps: 1e-5, y: &mut y };
                    // SAFETY: all is in slices.
                    unsafe { isa.run(norm) };
                    hold(&x, residual, [&gamma, &beta], &y, &format!("{isa:?} {rows} x {width}"));
                }
            }
            let mut y = vec![f32::NAN; rows * width];
            add_layer_norm(&x, Some(&residual), &gamma, &beta, 1e-5, &mut y, &pool);
            hold(&x, Some(&residual), [&gamma, &beta], &y, &format!("{rows} x {width}"));
        }
    }

    fn hold(x: &[f32], residual: Option<&[f32]>, [gamma, beta]: [&[f32]; 2], y: &[f32], what: &str) {
        let width = gamma.len();
        for (row, y) in y.chunks_exact(width).enumerate() {
            let places = row * width..(row + 1) * width;
            let of = |at: usize| f64::from(x[at]) + residual.map_or(0.0, |residual| f64::from(residual[at]));
            let mean = places.clone().map(of).sum::<f64>() / width as f64;
            let variance = places.clone().map(|at| (of(at) - mean).powi(2)).sum::<f64>() / width as f64;
            for (i, y) in y.iter().enumerate() {
                let normal = (of(places.start + i) - mean) / (variance + 1e-5).sqrt();
                let plain = normal * f64::from(gamma[i]) + f64::from(beta[i]);
                assert!((f64::from(*y) - plain).abs() < 1e-5, "{what}, row {row}, place {i}: {y}, not {plain}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_in_its_row() {
        let pool = Pool::new(2).unwrap();
        let (mut x, one) = (wave(5 * 40, 0.7), vec![1.0; 40]);
        x[2 * 40 + 3] = f32::NAN;
        let mut y = vec![0.0; 5 * 40];
        add_layer_norm(&x, None, &one, &one, 1e-12, &mut y, &pool);
        for (row, y) in y.chunks_exact(40).enumerate() {
            assert_eq!(y.iter().all(|y| y.is_nan()), row == 2, "only row 2 is not a number: {row}");
        }
    }

    #[test]
    fn a_sequence_is_the_mean_of_its_rows_with_norm_one() {
        let mut y = [f32::NAN; 6];
        mean_pool(&[3.0, 1.0, 3.0, 7.0, 0.0, -5.0], &[0, 2, 2, 3], 2, &mut y);
        assert_eq!(y, [0.6, 0.8, 0.0, 0.0, 0.0, -1.0], "two rows, none, and one");
        mean_pool(&[], &[], 2, &mut []);
    }
}
