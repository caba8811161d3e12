//! Threads that share the work of one operation.
//!
//! An operation of a model takes some tens of microseconds, and there are hundreds in a step, so
//! that waking a thread for each would cost more than it brings: between two operations the
//! threads of a [`Pool`] look for the next one for a while, and only then sleep.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a thread looks for the next operation before it sleeps.
const SPIN: Duration = Duration::from_micros(150);

/// The lower half of the state: the job takes helpers, and how many it has.
const OPEN: u64 = 1 << 31;
const JOINED: u64 = OPEN - 1;

/// Some threads and the one that calls. Cloning shares them.
#[derive(Clone)]
pub struct Pool {
    helpers: Arc<Helpers>,
}

struct Helpers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// The number of the job, [`OPEN`], and how many helpers have joined it.
    state: AtomicU64,
    job: UnsafeCell<Job>,
    next: AtomicUsize,
    finished: AtomicU64,
    busy: AtomicBool,
    broken: AtomicBool,
    stop: AtomicBool,
    asleep: AtomicUsize,
}

// SAFETY: `job` is written only by the one who set `busy`, while the job is closed and every helper
// that had joined has finished; it is read only by helpers that have joined an open one.
unsafe impl Sync for Shared {}
unsafe impl Send for Shared {}

#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    parts: usize,
}

impl Pool {
    /// A pool that works with `threads` threads, the caller's among them.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(Job { work: &|_| (), parts: 0 }),
            next: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
        });
        let mut helpers = Helpers { shared: shared.clone(), threads: Vec::new() };
        for n in 1..threads.max(1) {
            let shared = shared.clone();
            let helper = std::thread::Builder::new().name(format!("kernel-{n}")).spawn(move || shared.help())?;
            helpers.threads.push(helper);
        }
        Ok(Self { helpers: Arc::new(helpers) })
    }

    pub fn threads(&self) -> usize {
        self.helpers.threads.len() + 1
    }

    /// Runs `work` once for each of `0..parts`, and returns when all are done. Who finds the pool
    /// at work does it alone.
    ///
    /// Panics if `work` does.
    pub fn run(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.helpers.shared;
        if parts < 2 || self.helpers.threads.is_empty() || shared.busy.swap(true, Ordering::Acquire) {
            return (0..parts).for_each(work);
        }
        let begun = Begun(shared);
        // SAFETY: the job is closed, and everybody who had joined it has left; see `Begun`.
        unsafe {
            // The lifetime is given up; `Begun` sees to it that nobody has the job after this call.
            let work = std::mem::transmute::<*const (dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync)>(work);
            *shared.job.get() = Job { work, parts };
        }
        shared.next.store(0, Ordering::Relaxed);
        shared.finished.store(0, Ordering::Relaxed);
        let number = (shared.state.load(Ordering::Relaxed) >> 32).wrapping_add(1) << 32;
        shared.state.store(number | OPEN, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            self.helpers.threads.iter().map(JoinHandle::thread).for_each(Thread::unpark);
        }
        shared.take(parts, work);
        drop(begun);
        assert!(!shared.broken.swap(false, Ordering::Relaxed), "a part of an operation panicked");
    }
}

/// A job that helpers may join until this is dropped, which waits for those who did.
struct Begun<'a>(&'a Shared);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let joined = self.0.state.fetch_and(!OPEN, Ordering::AcqRel) & JOINED;
        let mut looked = 0_u32;
        while self.0.finished.load(Ordering::Acquire) < joined {
            looked += 1;
            if looked.is_multiple_of(4096) { std::thread::yield_now() } else { spin_loop() }
        }
        self.0.busy.store(false, Ordering::Release);
    }
}

/// A helper's part in a job, which ends also when the work panics.
struct Joined<'a>(&'a Shared);

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
        self.0.finished.fetch_add(1, Ordering::Release);
    }
}

impl Shared {
    fn take(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return;
            }
            work(part);
        }
    }

    fn help(&self) {
        let mut seen = 0;
        while let Some(number) = self.wait(seen) {
            seen = number;
            if !self.join(number) {
                continue;
            }
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let joined = Joined(self);
                // SAFETY: the job is there while `joined` lives, and so is what it points to.
                let (work, parts) = unsafe {
                    let job = *self.job.get();
                    (&*job.work, job.parts)
                };
                self.take(parts, work);
                drop(joined);
            }));
            // The panic was told by the thread that began the job.
            drop(worked);
        }
    }

    /// The number of a job that is open and not `seen`; none when the pool is dropped.
    fn wait(&self, seen: u64) -> Option<u64> {
        let is_new = |state: u64| state & OPEN != 0 && state >> 32 != seen;
        let mut since = Instant::now();
        loop {
            for _ in 0..64 {
                let state = self.state.load(Ordering::Acquire);
                if is_new(state) {
                    return Some(state >> 32);
                }
                spin_loop();
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if since.elapsed() < SPIN {
                continue;
            }
            self.asleep.fetch_add(1, Ordering::SeqCst);
            if !is_new(self.state.load(Ordering::SeqCst)) && !self.stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            self.asleep.fetch_sub(1, Ordering::SeqCst);
            since = Instant::now();
        }
    }

    fn join(&self, number: u64) -> bool {
        let more = |state: u64| (state & OPEN != 0 && state >> 32 == number).then_some(state + 1);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).is_ok()
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for helper in self.threads.drain(..) {
            helper.thread().unpark();
            // A helper catches its panics.
            let _ = helper.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once() {
        let pool = Pool::new(4).unwrap();
        for parts in [0, 1, 2, 3, 100, 5000] {
            let done: Vec<_> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            pool.run(parts, &|part| {
                done[part].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{parts} parts, each once");
        }
    }

    #[test]
    fn callers_at_the_same_time_do_not_disturb_one_another() {
        let pool = Pool::new(3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..2000 {
                        let sum = AtomicUsize::new(0);
                        pool.run(round % 7, &|part| {
                            sum.fetch_add(part + 1, Ordering::Relaxed);
                        });
                        let parts = round % 7;
                        assert_eq!(sum.load(Ordering::Relaxed), parts * (parts + 1) / 2, "the sum of {parts} parts");
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_pool_whole() {
        let pool = Pool::new(2).unwrap();
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(64, &|part| assert!(part != 33, "the part that fails"));
        }));
        assert!(failed.is_err(), "the caller should hear of the panic");
        let done = AtomicUsize::new(0);
        pool.run(64, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 64, "the next job is done whole");
    }
}
