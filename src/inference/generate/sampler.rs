//! Which token comes next.

use std::collections::{HashMap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::inference::GenerateOptions;

/// How far back the repetition penalty looks.
const RECENT: usize = 64;
/// A token that is so much less likely than the likeliest, as a power of e, is not drawn.
const NEGLIGIBLE: f32 = 20.0;

/// A token that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    pub token: u32,
    /// Of the model, before temperature and penalties; 0 unless asked for.
    pub logprob: f32,
    /// The likeliest, with their log-probabilities.
    pub top: Vec<(u32, f32)>,
}

/// Chooses the tokens of one text.
pub struct Sampler {
    options: GenerateOptions,
    random: StdRng,
    recent: VecDeque<u32>,
    counts: HashMap<u32, u32>,
}

impl Sampler {
    pub fn new(options: &GenerateOptions) -> Self {
        let seed = options.seed.unwrap_or_else(rand::random);
        Self {
            options: options.clone(),
            random: StdRng::seed_from_u64(seed),
            recent: VecDeque::with_capacity(RECENT),
            counts: HashMap::new(),
        }
    }

    /// Chooses out of `logits`, `[vocabulary]`, which it changes. `allowed` says which tokens may
    /// come. None if the model gave no numbers, or nothing is allowed.
    pub fn sample(&mut self, logits: &mut [f32], allowed: Option<&dyn Fn(u32) -> bool>) -> Option<Sampled> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return None;
        }
        let told = self.options.logprobs.map(|top| Told::of(logits, top.min(20)));
        self.penalise(logits);
        if let Some(allowed) = allowed {
            let forbidden = logits.iter_mut().zip(0_u32..).filter(|(_, token)| !allowed(*token));
            forbidden.for_each(|(logit, _)| *logit = f32::NEG_INFINITY);
        }
        let token = self.choose(logits)?;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
        *self.counts.entry(token).or_default() += 1;
        let (logprob, top) = told.map_or((0.0, Vec::new()), |told| (told.logprob(token), told.top));
        Some(Sampled { token, logprob, top })
    }

    /// What was said often becomes less likely, and what was asked for more.
    fn penalise(&self, logits: &mut [f32]) {
        let options = &self.options;
        if options.repetition_penalty != 1.0 {
            let mut seen: Vec<u32> = self.recent.iter().copied().collect();
            seen.sort_unstable();
            seen.dedup();
            for token in seen {
                let Some(logit) = logits.get_mut(token as usize) else { continue };
                let by = options.repetition_penalty;
                *logit = if *logit > 0.0 { *logit / by } else { *logit * by };
            }
        }
        if options.frequency_penalty != 0.0 || options.presence_penalty != 0.0 {
            for (token, count) in &self.counts {
                if let Some(logit) = logits.get_mut(*token as usize) {
                    *logit -= options.frequency_penalty * *count as f32 + options.presence_penalty;
                }
            }
        }
        for (token, bias) in &options.logit_bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
    }

    fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let (likeliest, largest) = largest(logits)?;
        let options = &self.options;
        if options.temperature <= 0.0 || options.top_k == 1 {
            return Some(likeliest);
        }
        // Only few are within reach: they alone are sorted.
        let least = largest - NEGLIGIBLE * options.temperature;
        let mut near: Vec<(u32, f32)> = logits
            .iter()
            .zip(0_u32..)
            .filter(|(logit, _)| **logit >= least)
            .map(|(logit, token)| (token, ((logit - largest) / options.temperature).exp()))
            .collect();
        near.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if options.top_k > 0 {
            near.truncate(options.top_k);
        }
        near.retain(|(_, share)| *share >= options.min_p);
        let all: f32 = near.iter().map(|(_, share)| share).sum();
        let mut sum = 0.0;
        let kept = near.iter().position(|(_, share)| {
            sum += share;
            sum >= options.top_p * all
        });
        near.truncate(kept.map_or(near.len(), |last| last + 1));
        let mut draw = self.random.random::<f32>() * near.iter().map(|(_, share)| share).sum::<f32>();
        let drawn = near.iter().find(|(_, share)| {
            draw -= share;
            draw <= 0.0
        });
        drawn.or(near.last()).map(|(token, _)| *token)
    }
}

/// None if all are forbidden.
fn largest(logits: &[f32]) -> Option<(u32, f32)> {
    let mut best = None;
    for (logit, token) in logits.iter().zip(0_u32..) {
        if *logit > best.map_or(f32::NEG_INFINITY, |(_, logit)| logit) {
            best = Some((token, *logit));
        }
    }
    best
}

/// Log-probabilities of the model itself.
struct Told {
    logits: Vec<f32>,
    log_sum: f32,
    top: Vec<(u32, f32)>,
}

impl Told {
    fn of(logits: &[f32], top: usize) -> Self {
        let most = largest(logits).map_or(0.0, |(_, logit)| logit);
        let log_sum = most + logits.iter().map(|logit| (logit - most).exp()).sum::<f32>().ln();
        let mut best: Vec<(u32, f32)> = (0_u32..).zip(logits.iter().copied()).collect();
        if top > 0 && top < best.len() {
            best.select_nth_unstable_by(top - 1, |a, b| b.1.total_cmp(&a.1));
        }
        best.truncate(top);
        best.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let top = best.into_iter().map(|(token, logit)| (token, logit - log_sum)).collect();
        Self { logits: logits.to_vec(), log_sum, top }
    }

    fn logprob(&self, token: u32) -> f32 {
        self.logits.get(token as usize).map_or(f32::NEG_INFINITY, |logit| logit - self.log_sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(change: impl FnOnce(&mut GenerateOptions)) -> Sampler {
        let mut options = GenerateOptions { temperature: 1.0, seed: Some(7), ..GenerateOptions::default() };
        change(&mut options);
        Sampler::new(&options)
    }

    fn draws(sampler: &mut Sampler, logits: &[f32], times: usize) -> Vec<u32> {
        (0..times).map(|_| sampler.sample(&mut logits.to_vec(), None).expect("a token").token).collect()
    }

    #[test]
    fn without_temperature_the_likeliest_comes() {
        let mut greedy = sampler(|options| options.temperature = 0.0);
        assert_eq!(draws(&mut greedy, &[0.1, 3.0, 2.9], 3), [1, 1, 1]);
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely_and_again_for_the_same_seed() {
        let logits = [0.0, 2_f32.ln(), 7_f32.ln()];
        let drawn = draws(&mut sampler(|_| ()), &logits, 4000);
        for (token, share) in [(0, 0.1), (1, 0.2), (2, 0.7)] {
            let found = drawn.iter().filter(|drawn| **drawn == token).count() as f64 / 4000.0;
            assert!((found - share).abs() < 0.03, "token {token}: {found} of {share}");
        }
        assert_eq!(drawn, draws(&mut sampler(|_| ()), &logits, 4000), "the same seed");
        assert_ne!(drawn, draws(&mut sampler(|options| options.seed = Some(8)), &logits, 4000), "another seed");
    }

    #[test]
    fn what_is_cut_off_never_comes() {
        let logits = [1.0, 2.0, 3.0, 4.0];
        let only = |change: fn(&mut GenerateOptions), allowed: &[u32]| {
            let drawn = draws(&mut sampler(change), &logits, 500);
            assert!(drawn.iter().all(|token| allowed.contains(token)), "only {allowed:?}");
            assert!(allowed.iter().all(|token| drawn.contains(token)), "all of {allowed:?}");
        };
        only(|options| options.top_k = 2, &[2, 3]);
        only(|options| options.top_p = 0.7, &[2, 3]);
        only(|options| options.min_p = 0.3, &[2, 3]);
        only(|options| _ = options.logit_bias.insert(0, 100.0), &[0]);
        let mut sampler = sampler(|_| ());
        let odd = |token: u32| token == 1;
        assert_eq!(sampler.sample(&mut logits.to_vec(), Some(&odd)).map(|s| s.token), Some(1));
        assert_eq!(sampler.sample(&mut logits.to_vec(), Some(&|_| false)), None, "nothing is allowed");
        assert_eq!(sampler.sample(&mut [1.0, f32::NAN], None), None, "no number");
    }

    #[test]
    fn what_was_said_becomes_less_likely() {
        let change: [fn(&mut GenerateOptions); 3] = [
            |options| options.repetition_penalty = 3.0,
            |options| options.frequency_penalty = 1.0,
            |options| options.presence_penalty = 1.0,
        ];
        for change in change {
            let mut greedy = sampler(|options| {
                options.temperature = 0.0;
                change(options);
            });
            assert_eq!(draws(&mut greedy, &[1.5, 1.0], 2), [0, 1], "the second time the other one comes");
        }
    }

    #[test]
    fn log_probabilities_are_the_models_own() {
        let mut greedy = sampler(|options| {
            options.temperature = 0.0;
            options.logprobs = Some(2);
            options.logit_bias.insert(0, 9.0);
        });
        let sampled = greedy.sample(&mut [0.0, 7_f32.ln(), 2_f32.ln()], None).expect("a token");
        assert_eq!(sampled.token, 0, "the bias chooses");
        assert!((sampled.logprob.exp() - 0.1).abs() < 1e-5, "and the model's own share is told");
        assert_eq!(sampled.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 2]);
        assert!((sampled.top[0].1.exp() - 0.7).abs() < 1e-5);
    }
}
