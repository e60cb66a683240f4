#!/usr/bin/env bash
# Instructions by callgrind for one run of the decisions of the bench `decision`: `instructions NAME ours ruma`. Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$(cargo bench --bench decision --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"name":"decision".*"executable":"\([^"]*\)".*/\1/p')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# instructions NAME SIDE: of one run, rounded
instructions() {
    local all
    all=$(valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*Side*run*' \
        --callgrind-out-file="$scratch/out" "$binary" count "$1" "$2" 300 2>&1 | sed -n 's/.*Collected : *\([0-9]*\).*/\1/p')
    echo $(((all + 150) / 300))
}

for name in knock knock/one_look_up knock/unread knock/compiled accept accept/one_look_up decline accept_500; do
    echo "instructions $name $(instructions "$name" ours) $(instructions "$name" ruma)"
done
