# shellcheck shell=bash
# What scripts/setup, scripts/demo and scripts/test share: where the checkout and the target folder
# are, and the cargo options. Sourced, never run.

set -uo pipefail

# The target folder may be given relative to the caller's folder; cargo runs in the checkout.
caller_dir=$PWD
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P) || exit 1
cache_dir=${XDG_CACHE_HOME:-${HOME:?is not set: set HOME to your home folder}/.cache}/sedge

# rustup puts cargo here but changes PATH only for shells started afterwards.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

# A continuous integration run starts from a clean checkout: with the target folder outside of it,
# RocksDB need not be compiled anew each time.
if [[ -z ${CARGO_TARGET_DIR:-} ]]; then
    if [[ ${CI:-} == true ]]; then
        CARGO_TARGET_DIR=$cache_dir/target
    else
        CARGO_TARGET_DIR=$root/target
    fi
elif [[ $CARGO_TARGET_DIR != /* ]]; then
    CARGO_TARGET_DIR=$caller_dir/$CARGO_TARGET_DIR
fi
export CARGO_TARGET_DIR

# One profile and one feature set for every call, so that what one call compiled serves the next.
# Features are those of the whole workspace: never `--package`, which selects fewer of them.
cargo_options=(--release --locked --workspace)

# The program and the examples. The examples are asked for because cargo then counts the development
# dependencies' features in, as it does for tests; else scripts/test would compile crates again.
build_all() {
    (cd -- "$root" && cargo build "${cargo_options[@]}" --bins --examples)
}

# Every build of RocksDB, whatever its profile, leaves one such file, rewritten when it is built again.
rocksdb_builds() {
    if [[ -d $CARGO_TARGET_DIR ]]; then
        find "$CARGO_TARGET_DIR" -path '*/build/librocksdb-sys-*/output' -type f -printf '%T@ %p\n'
    fi
}

say() {
    printf '%s\n' "$*" >&2
}

announce_long_build() {
    if [[ -z $(rocksdb_builds) ]]; then
        say "The first build compiles RocksDB, which takes 10 to 20 minutes; later builds reuse it."
    fi
}

# Whether dotted version $1 is at least $2.
version_at_least() {
    [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}
