#!/usr/bin/env bash
# Instructions by callgrind and allocations by a counting allocator, for one run of each operation of the bench `peers`:
#
#     instructions NAME ours peer
#     allocations NAME ours peer
#
# Each side runs so many times in a process of its own, counted within `Side::run` only; the loop around them is a few instructions for
# each. Lines that start with `#` are for people. Needs valgrind. Usage: benches/count.sh
set -euo pipefail
cd "$(dirname "$0")/.."

binary() {
    cargo bench --bench "$1" --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"name":"'"$1"'".*"executable":"\([^"]*\)".*/\1/p'
}

count=$(binary count)
allocations=$(binary allocations)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# collected NAME SIDE REPETITIONS MEMBERS
collected() {
    valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*operations*Side*run*' \
        --callgrind-out-file="$scratch/out" "$count" "$@" 2>&1 | sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
}

# instructions NAME SIDE REPETITIONS [MEMBERS]: of one run, rounded
instructions() {
    local all
    all=$(collected "$1" "$2" "$3" "${4:-100}")
    echo $(((all + $3 / 2) / $3))
}

echo '# event/id and handshake/... hash: under valgrind there are no instructions of the processor for that, and on both sides the'
echo '# substitutes for them would be most of what is counted. They have no line for instructions.'
for name in auth/knock/plain auth/knock/compiled auth/accept/plain_500 auth/accept/compiled_500 auth/decline/plain_500 \
    auth/decline/compiled_500 stripped/lookup; do
    echo "instructions $name $(instructions "$name" ours 1000) $(instructions "$name" peer 300)"
done
# One run goes over 1,000 texts.
echo "instructions stripped/raw_texts $(instructions stripped/raw_texts ours 20) $(instructions stripped/raw_texts peer 20)"
for name in 'auth/knock/plain, contents read each time' 'auth/knock/compiled, contents read each time' \
    'auth/accept/compiled_500, contents read each time' 'auth/knock/plain, our look-up for both' 'stripped/lookup, from texts'; do
    echo "# $name: $(instructions "$name" ours 1000) $(instructions "$name" peer 300)"
done
"$allocations"
# In each process the hash map of the state has a seed of its own, and now and then two keys look alike at first: the mean of 64.
for name in 'auth/knock/plain, of 64 strangers' 'auth/knock/compiled, of 64 strangers'; do
    few=$(instructions "$name" ours 20 100)
    many=$(instructions "$name" ours 20 1000000)
    echo "# members, $name: 100 $((few / 64)) 1000000 $((many / 64))"
done
