//! What waits for a model: bounded, readers before bulk, and whoever left is not waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{InferenceError, Priority};

/// Texts that wait, each on its own, so that a long list does not hold up a short one.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
    max_texts: usize,
}

struct State<T> {
    waiting: [VecDeque<Unit<T>>; 2],
    closed: bool,
    /// How many texts a second were done of late, for the hint when to come again.
    rate: f32,
}

/// One text of a request.
pub(super) struct Unit<T> {
    pub text: T,
    pub index: usize,
    pub job: Arc<Job>,
}

/// A request whose texts are done one by one.
pub(super) struct Job {
    state: Mutex<JobState>,
}

struct JobState {
    done: Vec<Option<Vec<f32>>>,
    left: usize,
    reply: Option<oneshot::Sender<Result<Vec<Vec<f32>>, InferenceError>>>,
}

pub(super) type Reply = oneshot::Receiver<Result<Vec<Vec<f32>>, InferenceError>>;

impl<T> Queue<T> {
    pub fn new(max_texts: usize) -> Self {
        let state = State { waiting: Default::default(), closed: false, rate: 0.0 };
        Self { state: Mutex::new(state), wake: Condvar::new(), max_texts }
    }

    /// Whether so many more texts find a place now; who comes with them still has to ask.
    ///
    /// Errors: `Overloaded`, with how long the texts that wait may take.
    pub fn has_room(&self, texts: usize, priority: Priority) -> Result<(), InferenceError> {
        let state = self.lock();
        if state.closed {
            return Err(InferenceError::Stopping);
        }
        // Bulk leaves room for readers.
        let room = if priority == Priority::Bulk { self.max_texts / 2 } else { self.max_texts };
        let waiting: usize = state.waiting.iter().map(VecDeque::len).sum();
        // A request alone in the queue has its place, however long it is.
        if waiting > 0 && waiting + texts > room {
            let seconds = waiting as f32 / state.rate.max(1.0);
            return Err(InferenceError::Overloaded { retry_after: Duration::from_secs_f32(seconds.clamp(1.0, 60.0)) });
        }
        Ok(())
    }

    /// Lets texts wait. None are answered at once.
    pub fn push(&self, texts: Vec<T>, priority: Priority) -> Result<Reply, InferenceError> {
        self.has_room(texts.len(), priority)?;
        let (reply, answer) = oneshot::channel();
        let (left, none) = (texts.len(), texts.is_empty());
        let state = JobState { done: vec![None; left], left, reply: Some(reply) };
        let job = Arc::new(Job { state: Mutex::new(state) });
        if none {
            job.finish(Ok(Vec::new()));
            return Ok(answer);
        }
        let units = texts.into_iter().enumerate().map(|(index, text)| Unit { text, index, job: job.clone() });
        self.lock().waiting[usize::from(priority == Priority::Bulk)].extend(units);
        self.wake.notify_one();
        Ok(answer)
    }

    /// The next texts, readers' first, as many as `fits` takes; nothing after `idle` without any.
    pub fn pop(&self, idle: Duration, mut fits: impl FnMut(&T) -> bool) -> Popped<T> {
        let until = Instant::now() + idle;
        let mut state = self.lock();
        loop {
            let mut batch = Vec::new();
            for waiting in &mut state.waiting {
                while let Some(unit) = waiting.front() {
                    if unit.job.is_left() {
                        waiting.pop_front();
                    } else if batch.is_empty() | fits(&unit.text) {
                        batch.extend(waiting.pop_front());
                    } else {
                        break;
                    }
                }
                if !batch.is_empty() {
                    return Popped::Batch(batch);
                }
            }
            if state.closed {
                return Popped::Closed;
            }
            let Some(rest) = until.checked_duration_since(Instant::now()) else { return Popped::Idle };
            state = self.wake.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Notes how quickly texts are done.
    pub fn note(&self, texts: usize, took: Duration) {
        let rate = texts as f32 / took.as_secs_f32().max(1e-6);
        let mut state = self.lock();
        state.rate = if state.rate == 0.0 { rate } else { 0.8 * state.rate + 0.2 * rate };
    }

    /// What waits is still done, and nothing more is taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of waiting.
pub(super) enum Popped<T> {
    Batch(Vec<Unit<T>>),
    /// Nothing came for a while.
    Idle,
    Closed,
}

impl Job {
    /// Nobody waits for the answer any more.
    fn is_left(&self) -> bool {
        self.lock().reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// One of the request's texts is done; the last one answers it.
    pub fn put(&self, index: usize, vector: Vec<f32>) {
        let mut state = self.lock();
        if let Some(place) = state.done.get_mut(index)
            && place.replace(vector).is_none()
        {
            state.left -= 1;
        }
        if state.left == 0 {
            let done = std::mem::take(&mut state.done).into_iter().flatten().collect();
            drop(state);
            self.finish(Ok(done));
        }
    }

    pub fn finish(&self, answer: Result<Vec<Vec<f32>>, InferenceError>) {
        if let Some(reply) = self.lock().reply.take() {
            // Who asked may have gone.
            let _ = reply.send(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, JobState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn batch(queue: &Queue<u32>, most: usize) -> Vec<u32> {
        let mut room = most;
        let popped = queue.pop(SOON, |_| {
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        });
        match popped {
            Popped::Batch(units) => units
                .into_iter()
                .map(|unit| {
                    unit.job.put(unit.index, vec![unit.text as f32]);
                    unit.text
                })
                .collect(),
            Popped::Idle | Popped::Closed => Vec::new(),
        }
    }

    #[test]
    fn a_reader_goes_ahead_of_bulk_and_answers_keep_their_order() {
        let queue = Queue::new(100);
        let mut bulk = queue.push((10..16).collect(), Priority::Bulk).unwrap();
        assert_eq!(batch(&queue, 2), [10, 11]);
        let mut reader = queue.push(vec![1, 2], Priority::Reader).unwrap();
        assert_eq!(batch(&queue, 2), [1, 2], "the reader's texts come before the rest of the bulk");
        assert_eq!(reader.try_recv().unwrap(), Ok(vec![vec![1.0], vec![2.0]]));
        assert!(bulk.try_recv().is_err(), "the bulk is not done yet");
        assert_eq!(batch(&queue, 9).len(), 4);
        assert_eq!(bulk.try_recv().unwrap().unwrap().len(), 6);
    }

    #[test]
    fn a_full_queue_says_so_at_once_and_when_to_come_again() {
        let queue = Queue::new(4);
        let _first = queue.push(vec![1, 2, 3], Priority::Reader).unwrap();
        queue.note(1, Duration::from_secs(2));
        let refused = queue.push(vec![4, 5], Priority::Reader).expect_err("there is room for one");
        assert!(matches!(refused, InferenceError::Overloaded { retry_after } if retry_after >= Duration::from_secs(1)));
        assert!(queue.push(vec![6], Priority::Bulk).is_err(), "bulk may take half of the room only");
        assert!(queue.push(vec![6], Priority::Reader).is_ok());
    }

    #[test]
    fn who_left_costs_nothing() {
        let queue = Queue::new(10);
        drop(queue.push(vec![1, 2], Priority::Reader).unwrap());
        let _stays = queue.push(vec![3], Priority::Reader).unwrap();
        assert_eq!(batch(&queue, 9), [3]);
        assert!(queue.push(Vec::new(), Priority::Reader).unwrap().try_recv().unwrap().unwrap().is_empty());
    }

    #[test]
    fn a_closed_queue_is_emptied_first() {
        let queue = Queue::new(10);
        let _waits = queue.push(vec![7], Priority::Reader).unwrap();
        queue.close();
        assert_eq!(queue.push(vec![8], Priority::Reader).map(|_| ()), Err(InferenceError::Stopping));
        assert_eq!(batch(&queue, 9), [7]);
        assert!(matches!(queue.pop(SOON, |_| true), Popped::Closed));
    }
}
