//! One side of one operation, so many times: for callgrind, which `count.sh` calls. `count NAME ours|peer REPETITIONS [MEMBERS]`.
//!
//! Without a name of an operation each side of each runs once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark, not a library")]

#[expect(dead_code, reason = "the other benches take more of it")]
mod operations;

use operations::{ALL, NamedOperation, Size, VARIANTS};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, side, repetitions, members) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [name, side, repetitions] => (*name, *side, repetitions.parse().unwrap(), 100),
        [name, side, repetitions, members] => (*name, *side, repetitions.parse().unwrap(), members.parse().unwrap()),
        _ => ("", "both", 1, 10),
    };
    for NamedOperation { make, .. } in
        ALL.into_iter().chain(VARIANTS).filter(|operation| name.is_empty() || operation.name == name)
    {
        let operation = make(Size { members, texts: 1_000 });
        match side {
            "ours" => operation.ours.run(repetitions),
            "peer" => operation.peer.run(repetitions),
            "both" => {
                operation.ours.run(repetitions);
                operation.peer.run(repetitions);
                operation.limit.iter().for_each(|limit| limit.run(repetitions));
            }
            other => panic!("no side `{other}`"),
        }
    }
}
