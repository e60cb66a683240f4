#!/usr/bin/env bash
# What a server takes in with this crate, beside the peer (ruma-state-res and ruma-signatures, with what their callers need):
#
#     ratio crates     how many crates it depends on (`cargo tree -e normal`: with those of the macros, without build scripts)
#     ratio build_time a clean release build of a minimal binary (`footprint/*.rs`, the same work)
#     ratio size       of that binary, stripped
#
# Both with default features, the versions of Cargo.lock, and the default release profile. Lines that start with `#` are for people.
# Usage: benches/footprint.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# scratch_crate NAME DEPENDENCY...
scratch_crate() {
    local folder=$scratch/$1
    mkdir -p "$folder/src"
    cp "$root/benches/footprint/$1.rs" "$folder/src/main.rs"
    cp "$root/Cargo.lock" "$folder/Cargo.lock"
    {
        printf '[package]\nname = "footprint-%s"\nversion = "0.0.0"\nedition = "2024"\n\n' "$1"
        printf '[profile.release]\nstrip = true\n\n[workspace]\n\n[dependencies]\n'
        shift
        printf '%s\n' "$@"
    } >"$folder/Cargo.toml"
    (cd "$folder" && cargo fetch >/dev/null 2>&1)
}

# Without the scratch crate itself.
crates() {
    (cd "$scratch/$1" && cargo tree -e normal --prefix none --no-dedupe) | grep -v '^footprint-' | sort -u | grep -c .
}

# In milliseconds.
build_time() {
    local start end
    start=$(date +%s%N)
    (cd "$scratch/$1" && CARGO_TARGET_DIR=$scratch/$1/target cargo build --release --quiet)
    end=$(date +%s%N)
    echo $(((end - start) / 1000000))
}

size() {
    stat -c %s "$scratch/$1/target/release/footprint-$1"
}

# ratio NAME UNIT OURS PEERS
ratio() {
    echo "# $1: $3 and $4 $2"
    lines+="$(awk -v name="$1" -v ours="$3" -v peer="$4" 'BEGIN { printf "ratio %s %.4f", name, ours / peer }')"$'\n'
}

lines=
scratch_crate ours "matrix-knock = { path = \"$root\" }"
scratch_crate peer 'ruma-common = "0.20"' 'ruma-events = "0.35"' 'ruma-signatures = "0.22"' 'ruma-state-res = "0.18"' \
    'serde = { version = "1.0", features = ["derive"] }' 'serde_json = { version = "1.0", features = ["raw_value"] }'
ratio crates crates "$(crates ours)" "$(crates peer)"
ratio build_time ms "$(build_time ours)" "$(build_time peer)"
ratio size bytes "$(size ours)" "$(size peer)"
printf %s "$lines"
