# shellcheck shell=bash
# Sourced by the steps beside it. Goes to the root of the repository, and lets a slow step skip what
# has already passed.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

step=$(basename "$0")
# What the steps install, and a mark for each pass. Outside the repository: a fresh clone finds it.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/matrix-knock-ci
target=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p "$cache/passed" "$target"
target=$(cd "$target" && pwd)

# A step that asks for a toolchain wants to know whether it is there. rustup must not download it.
export RUSTUP_AUTO_INSTALL=0

# The three sets of features that every check of the library goes through.
# shellcheck disable=SC2034 # used by the steps
feature_sets=("" --no-default-features --all-features)

fail() {
    printf '%s: %s\n' "$step" "$*" >&2
    exit 1
}

# skip_if_passed FILE_OR_FOLDER...
# Ends the step if it has passed on this machine with the same contents of these files, the same
# scripts and the same compiler.
skip_if_passed() {
    local inputs
    inputs=$({
        rustc -vV
        # `tests/*/Cargo.lock` is written by a test run.
        find "$@" ".ci/$step" .ci/common.sh -type f -not -path 'tests/*/Cargo.lock' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum)
    mark=$cache/passed/$step-${inputs%% *}
    if [[ -e $mark ]]; then
        echo "skipped: nothing has changed since it passed (to run it again: rm $mark)"
        exit 0
    fi
}

passed() {
    touch "$mark"
}
