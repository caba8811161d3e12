//! Statements that are shared: what comes while others are being asked waits, and all that waits shares
//! the next turn, which costs little more than one of them alone would.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Who waited so long begins another turn beside the one that runs: that one may wait for a lock.
const PATIENCE: Duration = Duration::from_millis(50);

/// Does what some have asked for.
pub trait Turn<I, O>: Clone + Send + Sync + 'static {
    /// An answer for each, in their order.
    fn take(&self, items: Vec<I>) -> impl Future<Output = Vec<O>> + Send;
}

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Items in a turn.
    pub items: usize,
    /// Turns at a time.
    pub turns: usize,
    /// Items that wait for one.
    pub waiting: usize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Too many wait already.
    Full,
    /// The turn panicked.
    Lost,
}

/// Those who wait for a turn. Cloning is cheap, and clones share it.
pub struct Together<I, O> {
    bounds: Bounds,
    queue: Arc<Mutex<Queue<I, O>>>,
}

struct Queue<I, O> {
    waiting: Vec<(I, oneshot::Sender<O>)>,
    turns: usize,
}

impl<I, O> Clone for Together<I, O> {
    fn clone(&self) -> Self {
        Self { bounds: self.bounds, queue: self.queue.clone() }
    }
}

impl<I: Send + 'static, O: Send + 'static> Together<I, O> {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, queue: Arc::new(Mutex::new(Queue { waiting: Vec::new(), turns: 0 })) }
    }

    /// Asks together with all who wait. Who leaves before their turn has asked for nothing.
    pub async fn ask(&self, item: I, turn: &impl Turn<I, O>) -> Result<O, Unanswered> {
        let (answer, mut answered) = oneshot::channel();
        {
            let mut queue = self.lock();
            if queue.waiting.len() >= self.bounds.waiting {
                return Err(Unanswered::Full);
            }
            queue.waiting.push((item, answer));
        }
        self.begin(1, turn);
        let answer = tokio::select! {
            biased;
            answer = &mut answered => answer,
            () = tokio::time::sleep(PATIENCE) => {
                self.begin(self.bounds.turns, turn);
                answered.await
            }
        };
        answer.map_err(|_| Unanswered::Lost)
    }

    /// One more turn, if anybody waits and there are fewer than `most`.
    fn begin(&self, most: usize, turn: &impl Turn<I, O>) {
        let mut queue = self.lock();
        if !queue.waiting.is_empty() && queue.turns < most {
            queue.turns += 1;
            let running = Running { of: self.clone(), done: false };
            tokio::spawn(running.run(turn.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<I, O>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns, one after another, until nobody waits.
struct Running<I: Send + 'static, O: Send + 'static> {
    of: Together<I, O>,
    done: bool,
}

impl<I: Send + 'static, O: Send + 'static> Running<I, O> {
    async fn run(mut self, turn: impl Turn<I, O>) {
        loop {
            // Those whose requests are here as well come first, and share the turn.
            tokio::task::yield_now().await;
            let Some(taken) = self.next() else { return };
            let still_there = taken.into_iter().filter(|(_, answer)| !answer.is_closed());
            let (items, answers): (Vec<_>, Vec<_>) = still_there.unzip();
            if items.is_empty() {
                continue;
            }
            // Who has gone meanwhile hears nothing, which is no error.
            answers.into_iter().zip(turn.take(items).await).for_each(|(answer, outcome)| drop(answer.send(outcome)));
        }
    }

    /// Under the same lock as this one sees that nobody waits, it is gone: who comes later begins another.
    fn next(&mut self) -> Option<Vec<(I, oneshot::Sender<O>)>> {
        let mut queue = self.of.lock();
        if queue.waiting.is_empty() {
            queue.turns -= 1;
            self.done = true;
            return None;
        }
        let most = queue.waiting.len().min(self.of.bounds.items);
        Some(queue.waiting.drain(..most).collect())
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Running<I, O> {
    /// After a panic nobody else may come for those who wait: they are told.
    fn drop(&mut self) {
        if !self.done {
            let mut queue = self.of.lock();
            queue.turns -= 1;
            queue.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Doubles numbers, a permit a turn; panics at 13.
    #[derive(Clone)]
    struct Doubles {
        permits: Arc<Semaphore>,
        turns: Arc<Mutex<Vec<Vec<u32>>>>,
        running: Arc<AtomicUsize>,
    }

    impl Doubles {
        fn new(permits: usize) -> Self {
            Self { permits: Arc::new(Semaphore::new(permits)), turns: Arc::default(), running: Arc::default() }
        }

        fn turns(&self) -> Vec<Vec<u32>> {
            self.turns.lock().expect("the turns").clone()
        }
    }

    impl Turn<u32, u32> for Doubles {
        async fn take(&self, items: Vec<u32>) -> Vec<u32> {
            self.turns.lock().expect("the turns").push(items.clone());
            self.running.fetch_add(1, Ordering::SeqCst);
            self.permits.acquire().await.expect("it is open").forget();
            self.running.fetch_sub(1, Ordering::SeqCst);
            assert!(!items.contains(&13), "an unlucky number");
            items.into_iter().map(|n| 2 * n).collect()
        }
    }

    fn together(items: usize, turns: usize, waiting: usize) -> Together<u32, u32> {
        Together::new(Bounds { items, turns, waiting })
    }

    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn who_waits_shares_the_next_turn() {
        let (together, doubles) = (together(3, 1, 10), Doubles::new(10));
        let all = futures_util::future::join_all((1..=6).map(|n| together.ask(n, &doubles))).await;
        assert_eq!(all, (1..=6).map(|n| Ok(2 * n)).collect::<Vec<_>>());
        assert_eq!(doubles.turns(), [vec![1, 2, 3], vec![4, 5, 6]]);
    }

    #[tokio::test]
    async fn a_turn_that_takes_long_is_passed_by() {
        let (together, doubles) = (together(10, 2, 2), Doubles::new(0));
        let ask = |n| {
            let (together, doubles) = (together.clone(), doubles.clone());
            tokio::spawn(async move { together.ask(n, &doubles).await })
        };
        let first = ask(1);
        until(|| doubles.turns().len() == 1).await;
        let second = ask(2);
        until(|| doubles.running.load(Ordering::SeqCst) == 2).await;
        let (third, left) = (ask(3), ask(4));
        tokio::time::sleep(2 * PATIENCE).await;
        assert_eq!(doubles.turns(), [[1], [2]], "there are no more than two");
        assert_eq!(together.ask(5, &doubles).await, Err(Unanswered::Full));
        left.abort();
        doubles.permits.add_permits(3);
        for (asked, answer) in [(first, 2), (second, 4), (third, 6)] {
            assert_eq!(asked.await.expect("it ends"), Ok(answer));
        }
        assert_eq!(doubles.turns().last(), Some(&vec![3]), "who has left is left out");
    }

    #[tokio::test]
    async fn a_panic_is_told_to_who_waits_and_ends_nothing() {
        let (together, doubles) = (together(1, 1, 10), Doubles::new(10));
        let asked = futures_util::future::join_all([13, 1].map(|n| together.ask(n, &doubles))).await;
        assert_eq!(asked, [Err(Unanswered::Lost), Err(Unanswered::Lost)]);
        assert_eq!(together.ask(2, &doubles).await, Ok(4));
    }
}
