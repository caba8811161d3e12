//! Attention against the plain computation.

use super::super::dense::lane::Isa;
use super::super::pool::Pool;
use super::attention::{Shape, attention, attention_by};

/// Numbers of -2 to 2, the same ones every time.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 4_194_304.0 - 2.0
    };
    (0..len).map(|_| next()).collect()
}

fn plain(shape: Shape, qkv: &[f32], starts: &[usize]) -> Vec<f64> {
    let Shape { heads, head_dim, scale } = shape;
    let width = heads * head_dim;
    let at = |row: usize, of: usize| f64::from(qkv[row * 3 * width + of]);
    let mut y = vec![0.0; qkv.len() / 3];
    for rows in starts.windows(2) {
        for (query, head) in (rows[0]..rows[1]).flat_map(|row| (0..heads).map(move |head| (row, head * head_dim))) {
            let score = |key: usize| {
                let dot = (head..head + head_dim).map(|d| at(query, d) * at(key, width + d)).sum::<f64>();
                (dot * f64::from(scale)).exp()
            };
            let scores: Vec<_> = (rows[0]..rows[1]).map(score).collect();
            let sum: f64 = scores.iter().sum();
            for d in head..head + head_dim {
                let weighed = scores.iter().zip(rows[0]..).map(|(score, key)| score * at(key, 2 * width + d));
                y[query * width + d] = weighed.sum::<f64>() / sum;
            }
        }
    }
    y
}

#[test]
fn each_sequence_attends_to_itself_as_in_the_plain_computation() {
    let starts = [0, 1, 3, 3, 16, 80, 380];
    for (heads, head_dim, threads) in [(3, 32, 2), (2, 64, 1), (2, 20, 3), (1, 1, 2), (1, 96, 2)] {
        let shape = Shape { heads, head_dim, scale: 1.0 / (head_dim as f32).sqrt() };
        let (pool, qkv) = (Pool::new(threads).unwrap(), noise(380 * 3 * heads * head_dim));
        let plain = plain(shape, &qkv, &starts);
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; plain.len()];
            attention_by(*isa, shape, &qkv, &starts, &mut y, &pool);
            for (at, (y, plain)) in y.iter().zip(&plain).enumerate() {
                let off = (f64::from(*y) - plain).abs();
                assert!(off < 4e-6, "{isa:?}, {heads} heads of {head_dim}, place {at}: {y}, not {plain}");
            }
        }
    }
}

#[test]
fn a_sequence_does_not_depend_on_the_others() {
    let (pool, qkv) = (Pool::new(2).unwrap(), noise(90 * 3 * 64));
    let (mut all, mut one) = (vec![0.0; 90 * 64], vec![0.0; 33 * 64]);
    attention(&qkv, &[0, 7, 40, 90], 2, 32, 0.2, &mut all, &pool);
    attention(&qkv[7 * 192..40 * 192], &[0, 33], 2, 32, 0.2, &mut one, &pool);
    assert_eq!(one, all[7 * 64..40 * 64], "the second sequence alone is as among others");
}

#[test]
fn what_is_not_a_number_stays_in_its_sequence_and_scores_far_apart_are_right() {
    let pool = Pool::new(2).unwrap();
    for isa in Isa::available() {
        let mut qkv = noise(60 * 96);
        qkv[3] = f32::NAN;
        qkv[10 * 96 + 40] = f32::INFINITY;
        let mut y = vec![0.0; 60 * 32];
        let shape = Shape { heads: 1, head_dim: 32, scale: 100.0 };
        attention_by(*isa, shape, &qkv, &[0, 20, 60], &mut y, &pool);
        assert!(y[..32].iter().all(|y| y.is_nan()), "{isa:?}: a query that is not a number gives none");
        assert!(y[20 * 32..].iter().all(|y| y.is_finite()), "{isa:?}: the other sequence has numbers");
        for query in 20..60 {
            let dot = |key: usize| (0..32).map(|d| qkv[query * 96 + d] * qkv[key * 96 + 32 + d]).sum::<f32>();
            let nearest = (20..60).max_by(|a, b| dot(*a).total_cmp(&dot(*b))).unwrap();
            let second = (20..60).filter(|key| *key != nearest).map(dot).fold(f32::MIN, f32::max);
            if dot(nearest) - second > 0.3 {
                let off = (y[query * 32] - qkv[nearest * 96 + 64]).abs();
                assert!(off < 1e-5, "{isa:?}: query {query} has the value of the nearest key, {off} off");
            }
        }
    }
}

#[test]
fn no_sequences_give_nothing() {
    let pool = Pool::new(2).unwrap();
    attention(&[], &[], 2, 32, 1.0, &mut [], &pool);
    attention(&[], &[0], 2, 32, 1.0, &mut [], &pool);
    attention(&[], &[0, 0], 2, 32, 1.0, &mut [], &pool);
}
