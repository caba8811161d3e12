//! Each against the plain computation.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::super::pool::Pool;
use super::*;

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(-3.0..3.0)).collect()
}

fn near(ours: &[f32], plain: &[f64], what: &str) {
    assert_eq!(ours.len(), plain.len(), "{what}: as long");
    let far = ours.iter().zip(plain).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(far < 2e-5, "{what}: {far} off");
}

#[test]
fn norm_and_activation_are_what_they_say() {
    for width in [1, 7, 16, 64, 577] {
        let (x, weight) = (numbers(3 * width, 1), numbers(width, 2));
        let mut y = vec![0.0; x.len()];
        rms_norm(&x, &weight, 1e-5, &mut y);
        let mut plain = Vec::new();
        for row in x.chunks(width) {
            let square = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / width as f64;
            plain.extend(row.iter().zip(&weight).map(|(x, w)| f64::from(x * w) / (square + 1e-5).sqrt()));
        }
        near(&y, &plain, "rms_norm");
        let gelu = |x: f64| x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
        let wide: Vec<f32> = x.iter().map(|x| x * 30.0).collect();
        for (kind, open) in [(Gate::Silu, (|x| x / (1.0 + (-x).exp())) as fn(f64) -> f64), (Gate::Gelu, gelu)] {
            for gated in [&wide, &x] {
                let plain: Vec<f64> =
                    gated.iter().zip(&x).map(|(x, y)| open(f64::from(*x)) * f64::from(*y) / 90.0).collect();
                let mut ours = gated.clone();
                gate(kind, &mut ours, &x);
                near(&ours.iter().map(|x| x / 90.0).collect::<Vec<_>>(), &plain, "gate");
            }
        }
    }
}

#[test]
fn a_turn_keeps_lengths_and_tells_how_far_apart_two_are() {
    for neighbours in [true, false] {
        let turns = Turns::new(&[1.0, 0.1, 0.01, 0.001], 100, neighbours);
        let (q, k) = (numbers(8, 3), numbers(8, 4));
        let product = |at: usize, from: usize| {
            let (mut q, mut k) = (q.clone(), k.clone());
            rope(&mut q, at, &turns);
            rope(&mut k, from, &turns);
            q.iter().zip(&k).map(|(q, k)| q * k).sum::<f32>()
        };
        assert!((product(5, 2) - product(60, 57)).abs() < 1e-3, "only the distance counts");
        assert!((product(5, 2) - product(5, 3)).abs() > 1e-3, "and it does count");
        let mut unturned = q.clone();
        rope(&mut unturned, 0, &turns);
        assert_eq!(unturned, q, "position 0 is not turned");
    }
}

struct Rows {
    keys: Vec<f32>,
    values: Vec<f32>,
    head_dim: usize,
    kv_heads: usize,
}

impl Past for Rows {
    fn seen(&self, row: usize, kv_head: usize) -> (&[f32], &[f32]) {
        let positions = self.keys.len() / self.head_dim / self.kv_heads;
        let at = kv_head * positions * self.head_dim;
        let of = at..at + (positions - 3 + row) * self.head_dim;
        (&self.keys[of.clone()], &self.values[of])
    }
}

#[test]
fn attention_is_the_weighted_mean_of_what_came_before() {
    let pool = Pool::new(2).unwrap();
    for (heads, kv_heads, head_dim, positions) in [(4, 2, 16, 3), (9, 3, 64, 40), (2, 2, 10, 133)] {
        let rows = 3;
        let past = Rows {
            keys: numbers(kv_heads * positions * head_dim, 5),
            values: numbers(kv_heads * positions * head_dim, 6),
            head_dim,
            kv_heads,
        };
        let q = numbers(rows * heads * head_dim, 7);
        let mut y = vec![f32::NAN; q.len()];
        attention(&q, &past, [heads, kv_heads], head_dim, &mut y, &pool);
        for (n, (q, y)) in q.chunks(head_dim).zip(y.chunks(head_dim)).enumerate() {
            let (row, head) = (n / heads, n % heads);
            let (keys, values) = past.seen(row, head * kv_heads / heads);
            let scores: Vec<f64> = keys
                .chunks(head_dim)
                .map(|key| key.iter().zip(q).map(|(k, q)| f64::from(*k) * f64::from(*q)).sum::<f64>())
                .map(|score| (score / (head_dim as f64).sqrt()).exp())
                .collect();
            let sum: f64 = scores.iter().sum();
            let plain: Vec<f64> = (0..head_dim)
                .map(|d| {
                    scores.iter().zip(values.chunks(head_dim)).map(|(s, v)| s * f64::from(v[d])).sum::<f64>() / sum
                })
                .collect();
            // Row 0 of three positions sees none.
            if !scores.is_empty() {
                near(y, &plain, &format!("row {row}, head {head} of {heads}, {positions} positions"));
            }
        }
    }
}
