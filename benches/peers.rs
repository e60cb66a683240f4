//! Our speed beside the peer's (ruma) and the machine's limits, in one process.
//!
//! For each operation the sides take turns for a number of rounds, and of each the fastest round counts: what else runs on the machine
//! can only slow a round down. At the end stands one line for each figure, a plain decimal: `ratio NAME ours/peer` and `limit NAME
//! ours/limit`. Lines that start with `#` are for people. With `--test` every side runs once on small inputs.
//!
//! What the sides do stands in `operations`; there is also checked that they come to the same results.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

#[expect(dead_code, reason = "the other benches take more of it")]
mod operations;

use std::time::{Duration, Instant};

use operations::{ALL, NamedOperation, Operation, Side, Size, VARIANTS};

/// How long a side works in one round, if it can be done in this time at all.
const ROUND: Duration = Duration::from_millis(10);
/// How long the rounds of one operation may take, and the fewest and the most of them.
const BUDGET: Duration = Duration::from_secs(4);
const ROUNDS: (u32, u32) = (7, 60);

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let texts = std::env::var("MATRIX_KNOCK_BENCH_EVENTS").ok().and_then(|events| events.parse().ok());
    let size = match is_test {
        true => Size { members: 10, texts: texts.unwrap_or(1_000) },
        false => Size { members: 1_000, texts: texts.unwrap_or(100_000) },
    };
    let (mut ratios, mut limits) = (Vec::new(), Vec::new());
    println!("# {:58} {:>14} {:>14} {:>14}", "nanoseconds, the fastest round", "ours", "peer", "limit");
    for NamedOperation { name, make } in ALL {
        let times = Times::measure(&make(size), is_test);
        times.print(name);
        ratios.push(format!("ratio {name} {:.5}", times.ratio()));
        limits.extend(times.to_limit().map(|limit| format!("limit {name} {limit:.5}")));
    }
    for NamedOperation { name, make } in VARIANTS {
        let times = Times::measure(&make(size), is_test);
        times.print(name);
        let limit = times.to_limit().map(|limit| format!(", limit {limit:.5}")).unwrap_or_default();
        println!("#   ratio {:.5}{limit}", times.ratio());
    }
    for line in ratios.into_iter().chain(limits) {
        println!("{line}");
    }
}

/// The time that each side takes, in seconds.
struct Times {
    ours: f64,
    peer: f64,
    limit: Option<f64>,
}

impl Times {
    fn measure(operation: &Operation, is_test: bool) -> Self {
        let sides: Vec<&Side> = [&operation.ours, &operation.peer].into_iter().chain(&operation.limit).collect();
        let repetitions: Vec<u32> =
            sides.iter().map(|side| if is_test { 1 } else { repetitions_for(ROUND, side) }).collect();
        let mut fastest = vec![f64::INFINITY; sides.len()];
        let start = now();
        for round in 0..if is_test { 1 } else { ROUNDS.1 } {
            if round >= ROUNDS.0 && start.elapsed() > BUDGET {
                break;
            }
            for ((side, repetitions), fastest) in sides.iter().zip(&repetitions).zip(&mut fastest) {
                let took = time(side, *repetitions).as_secs_f64() / f64::from(*repetitions);
                *fastest = fastest.min(took);
            }
        }
        let mut fastest = fastest.into_iter();
        Self { ours: fastest.next().unwrap(), peer: fastest.next().unwrap(), limit: fastest.next() }
    }

    fn ratio(&self) -> f64 {
        self.ours / self.peer
    }

    fn to_limit(&self) -> Option<f64> {
        self.limit.map(|limit| self.ours / limit)
    }

    fn print(&self, name: &str) {
        let [ours, peer] = [self.ours, self.peer].map(|seconds| seconds * 1e9);
        let limit = self.limit.map(|seconds| format!("{:.1}", seconds * 1e9)).unwrap_or_default();
        println!("# {name:58} {ours:14.1} {peer:14.1} {limit:>14}");
    }
}

/// How many repetitions take that long.
fn repetitions_for(duration: Duration, side: &Side) -> u32 {
    let mut repetitions = 1_u32;
    while time(side, repetitions) < duration {
        repetitions = repetitions.saturating_mul(2);
    }
    repetitions
}

fn time(side: &Side, repetitions: u32) -> Duration {
    let start = now();
    side.run(repetitions.into());
    start.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn now() -> Instant {
    Instant::now()
}
