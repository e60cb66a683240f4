//! Work within bounds of memory.

use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};

/// What the work gives; it may hold and make so much, in bytes and in allocations, and not more.
/// The time is printed for whoever reads.
#[expect(clippy::expect_used, reason = "a test that cannot be set up fails")]
pub(crate) fn within<T>(what: &str, bytes: u64, count: u64, work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let mut took = Duration::ZERO;
    let AllocationInfo { bytes_max, count_total, .. } = measure(|| {
        #[expect(clippy::disallowed_methods, reason = "a figure for the reader, not for an assertion")]
        let begin = std::time::Instant::now();
        result = Some(work());
        took = begin.elapsed();
    });
    println!("{what}: {bytes_max} bytes at most, {count_total} allocations, {took:?}");
    assert!(bytes_max <= bytes, "{what}: {bytes_max} bytes, more than {bytes}");
    assert!(count_total <= count, "{what}: {count_total} allocations, more than {count}");
    result.expect("a result")
}
