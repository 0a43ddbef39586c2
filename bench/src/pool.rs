//! Work that does not depend on time, side by side.
//!
//! What counts instructions gives the same figures on a busy machine. What is
//! timed runs alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use xtask::failure::{Result, broken};

/// Does all jobs, as many at once as there are processors; results are in the
/// order of the jobs.
///
/// # Errors
/// The first failure, when all have ended.
pub(crate) fn side_by_side<J: Sync, T: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<T>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let some = || {
        while let Some((job, place)) = {
            let n = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(n).zip(done.get(n))
        } {
            let result = work(job);
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(some)));
    let results = done.into_iter().map(|place| {
        let result = place.into_inner().unwrap_or_else(PoisonError::into_inner);
        result.unwrap_or_else(|| Err(broken("a measurement was given up")))
    });
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..40).collect();
        let squares = side_by_side(&jobs, |n| Ok(n * n)).unwrap();
        assert_eq!(squares, jobs.iter().map(|n| n * n).collect::<Vec<_>>());
        assert!(side_by_side(&[0_u8; 0], |_| Ok(())).unwrap().is_empty());
    }

    #[test]
    fn the_first_failure_is_told_and_all_jobs_are_done() {
        let count = AtomicUsize::new(0);
        let failed = side_by_side(&[1, 2, 3, 4], |n| {
            count.fetch_add(1, Ordering::Relaxed);
            if n % 2 == 0 { Err(broken(format!("{n}"))) } else { Ok(()) }
        });
        assert_eq!(failed.unwrap_err().to_string(), "2");
        assert_eq!(count.into_inner(), 4);
    }
}
