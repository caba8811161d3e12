//! Several rankings made one: reciprocal rank fusion (Cormack, Clarke & Büttcher 2009).
//!
//! Only ranks count, because what the lists are ordered by cannot be compared: weights of words,
//! cosines of one language, cosines of another.

use std::collections::HashMap;
use std::hash::Hash;

/// How quickly what comes later counts less. The paper's 60 is for lists of a thousand; a site's are
/// shorter. `docs/SEARCH.md` has what was tried.
const K: f64 = 20.0;

/// A ranking, best first, and what it counts.
#[derive(Clone, Debug)]
pub struct Ranking<T> {
    pub weight: f64,
    pub best_first: Vec<T>,
}

/// All that is in any of the rankings, best first, with its score: 1 for what is first in all.
pub fn fuse<T: Eq + Hash + Ord + Clone>(rankings: &[Ranking<T>]) -> Vec<(T, f64)> {
    let mut scores: HashMap<T, f64> = HashMap::new();
    for ranking in rankings {
        for (rank, item) in ranking.best_first.iter().enumerate() {
            *scores.entry(item.clone()).or_default() += ranking.weight / (K + 1.0 + rank as f64);
        }
    }
    let most: f64 = rankings.iter().map(|ranking| ranking.weight).sum::<f64>() / (K + 1.0);
    let mut all: Vec<_> = scores.into_iter().map(|(item, score)| (item, score / most.max(f64::MIN_POSITIVE))).collect();
    all.sort_by(|(a, score_a), (b, score_b)| score_b.total_cmp(score_a).then_with(|| b.cmp(a)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_lists_agree_on_comes_first() {
        let list = |weight, best_first: &[u32]| Ranking { weight, best_first: best_first.to_vec() };
        let order = |rankings: &[Ranking<u32>]| fuse(rankings).into_iter().map(|(item, _)| item).collect::<Vec<_>>();
        assert_eq!(order(&[list(1.0, &[1, 2, 3]), list(1.0, &[4, 2, 5])]), [2, 4, 1, 5, 3]);
        assert_eq!(order(&[list(2.0, &[1, 2]), list(1.0, &[2, 1])]), [1, 2]);
        let fused = fuse(&[list(1.0, &[7]), list(0.5, &[7])]);
        assert!((fused[0].1 - 1.0).abs() < 1e-9, "first everywhere is 1");
        assert!(order(&[]).is_empty());
    }
}
