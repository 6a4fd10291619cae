//! Persistent threads that take numbered tasks from a counter.

use crate::kernel::denormal::FlushDenormals;
#[cfg(loom)]
use loom::{sync, thread};
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::{sync, thread};
use sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use sync::{Arc, Condvar, Mutex, MutexGuard};
use thread::JoinHandle;

/// What a worker does: (number of the worker, number of the task).
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A job as workers see it. The pointers outlive every worker that entered the job: [`ThreadPool::run`] waits for them.
#[derive(Clone, Copy)]
struct Job {
    work: *const Work<'static>,
    next: *const AtomicUsize,
    tasks: usize,
}

// SAFETY: the work is `Sync`, the counter atomic, and both live until the last worker has left the job.
unsafe impl Send for Job {}

#[derive(Default)]
struct Slot {
    job: Option<Job>,
    /// Workers within the job.
    active: usize,
    panicked: bool,
}

#[derive(Default)]
struct Shared {
    slot: Mutex<Slot>,
    /// Changes when there is a new job or when the pool ends; workers look here before they sleep.
    generation: AtomicU64,
    stop: AtomicBool,
    wake: Condvar,
    left: Condvar,
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads that wait for jobs, briefly awake between one and the next.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Looks at the generation before a worker goes to sleep, some tens of microseconds. loom tries all that can follow from
/// each, so that it gets one.
const SPINS: usize = if cfg!(loom) { 1 } else { 20_000 };

impl ThreadPool {
    /// A pool of `threads` workers, of which the calling thread is one.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let workers = (1..threads)
            .map_while(|worker| {
                let shared = shared.clone();
                // With fewer threads than asked for, results are the same: workers take tasks, they do not own them.
                thread::Builder::new().name(format!("lenet-{worker}")).spawn(move || serve(&shared, worker)).ok()
            })
            .collect();
        ThreadPool { shared, workers }
    }

    /// Number of workers, the calling thread included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs tasks `0..tasks`, each once, on all workers; returns when all are done.
    pub fn run(&self, tasks: usize, work: &Work) {
        let _flush = FlushDenormals::new();
        let next = AtomicUsize::new(0);
        if tasks <= 1 || self.workers.is_empty() {
            (0..tasks).for_each(|task| work(0, task));
            return;
        }
        // SAFETY: only the lifetime changes. `Leave` below closes the job and waits until no worker is within it, also
        // when a task panics, so that nobody uses the pointers after this function.
        let work_static = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        {
            let mut slot = self.shared.slot();
            slot.job = Some(Job { work: work_static, next: &next, tasks });
            // Within the lock: a worker that has just looked is then asleep before it is woken.
            self.shared.generation.fetch_add(1, Ordering::Release);
        }
        self.shared.wake.notify_all();
        let leave = Leave { shared: &self.shared };
        take_tasks(&next, tasks, 0, work);
        drop(leave);
        debug_assert!(next.into_inner() >= tasks);
    }
}

struct Leave<'a> {
    shared: &'a Shared,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut slot = self.shared.slot();
        slot.job = None;
        let mut spins = 0;
        while slot.active > 0 {
            if spins < SPINS.div_ceil(20) {
                drop(slot);
                (0..20).for_each(|_| std::hint::spin_loop());
                spins += 1;
                slot = self.shared.slot();
            } else {
                slot = self.shared.left.wait(slot).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if std::mem::take(&mut slot.panicked) && !thread::panicking() {
            drop(slot);
            panic!("a worker panicked");
        }
    }
}

fn take_tasks(next: &AtomicUsize, tasks: usize, worker: usize, work: &Work) {
    loop {
        let task = next.fetch_add(1, Ordering::Relaxed);
        if task >= tasks {
            return;
        }
        work(worker, task);
    }
}

fn serve(shared: &Shared, worker: usize) {
    let _flush = FlushDenormals::new();
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while shared.generation.load(Ordering::Acquire) == seen && spins < SPINS {
            std::hint::spin_loop();
            spins += 1;
        }
        let mut slot = shared.slot();
        while shared.generation.load(Ordering::Acquire) == seen {
            slot = shared.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        seen = shared.generation.load(Ordering::Acquire);
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let Some(job) = slot.job else { continue };
        slot.active += 1;
        drop(slot);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // SAFETY: this worker counts as active, and the owner of both waits for it.
            let (work, next) = unsafe { (&*job.work, &*job.next) };
            take_tasks(next, job.tasks, worker, work);
        }));
        let mut slot = shared.slot();
        slot.active -= 1;
        slot.panicked |= done.is_err();
        if slot.active == 0 {
            shared.left.notify_all();
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        {
            let _slot = self.shared.slot();
            self.shared.stop.store(true, Ordering::Release);
            self.shared.generation.fetch_add(1, Ordering::Release);
        }
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 7] {
            let pool = ThreadPool::new(threads);
            for tasks in [0, 1, 2, 5, 100] {
                for _ in 0..20 {
                    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(tasks, &|worker, task| {
                        assert!(worker < threads);
                        counts[task].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = ThreadPool::new(3);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(50, &|_, task| assert_ne!(task, 25, "on purpose"));
        }));
        assert!(caught.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, &|_, task| {
            sum.fetch_add(task, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
