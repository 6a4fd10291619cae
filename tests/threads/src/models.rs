//! The pool under loom, which tries the orders in which threads can take turns, and what each may then see of the others'
//! memory. An `into_inner` fails there unless all that was done to the value happened before it.

use crate::threads::ThreadPool;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// All orders with at most so many changes of threads that no thread asked for.
fn check(changes: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(changes);
    builder.check(model);
}

fn every_task_runs_once(threads: usize, jobs: usize) {
    let pool = ThreadPool::new(threads);
    for _ in 0..jobs {
        let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
        pool.run(threads, &|worker, task| {
            assert!(worker < threads);
            counts[task].fetch_add(1, Ordering::Relaxed);
        });
        assert!(counts.into_iter().all(|count| count.into_inner() == 1));
    }
}

#[test]
fn two_threads_run_every_task_of_two_jobs_once() {
    check(3, || every_task_runs_once(2, 2));
}

#[test]
fn three_threads_run_every_task_once() {
    check(2, || every_task_runs_once(3, 1));
}

/// A worker that sleeps through a job costs time alone, so that here tasks wait for one another.
#[test]
fn a_job_wakes_every_worker() {
    check(3, || {
        let pool = ThreadPool::new(2);
        let (here, came) = (Mutex::new(0), Condvar::new());
        pool.run(2, &|_, _| {
            let mut here = here.lock().unwrap();
            *here += 1;
            came.notify_all();
            while *here < 2 {
                here = came.wait(here).unwrap();
            }
        });
    });
}

#[test]
fn a_panic_of_a_worker_reaches_the_caller() {
    check(3, || {
        let pool = ThreadPool::new(2);
        let panicked = AtomicBool::new(false);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(2, &|worker, _| {
                if worker == 1 {
                    panicked.store(true, Ordering::Relaxed);
                    resume_unwind(Box::new(()));
                }
            });
        }));
        assert_eq!(caught.is_err(), panicked.into_inner());
    });
}
