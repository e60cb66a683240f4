//! How often one run of each operation allocates: lines `allocations NAME ours peer`.
//!
//! A binary of its own: the allocator that counts would be counted among the instructions, and takes its time.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

#[expect(dead_code, reason = "the other benches take more of it")]
mod operations;

use allocation_counter::measure;
use matrix_knock::Ed25519;
use operations::invite::Invited;
use operations::{ALL, NamedOperation, Size};

fn main() {
    for NamedOperation { name, make } in ALL {
        let operation = make(Size { members: 100, texts: 1_000 });
        let [ours, peer] = [&operation.ours, &operation.peer].map(|side| measure(|| side.run(1)).count_total);
        operation.limit.iter().for_each(|limit| assert!(measure(|| limit.run(1)).count_total == 0, "{name}"));
        println!("allocations {name} {ours} {peer}");
    }
    let of_invite = |entries| {
        let invited = Invited::with_entries(entries);
        let counted = measure(|| drop(invited.sign(&Ed25519, &invited.ours)));
        (counted.count_total, counted.count_current)
    };
    let ((six, kept_of_six), (seven, kept_of_seven)) = (of_invite(6), of_invite(7));
    println!("# for each entry of an `invite_room_state`: {}", seven.abs_diff(six));
    assert_eq!((kept_of_six, kept_of_seven), (0, 0));
}
