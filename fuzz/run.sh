#!/usr/bin/env bash
# Fuzzes one target without cargo-fuzz, with AddressSanitizer and overflow checks:
#
#     fuzz/run.sh model|arrays|csv [SECONDS]
#
# Starts from tests/corpus; what it finds that is new goes to fuzz/corpus, what fails to
# fuzz/artifacts. Needs a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:?model, arrays or csv}
seconds=${2:-60}
case $target in
    model) seeds=(../tests/corpus/safetensors) ;;
    arrays) seeds=(../tests/corpus/idx ../tests/corpus/npy) ;;
    csv) seeds=(../tests/corpus/csv) ;;
    *) echo "no target $target" >&2; exit 2 ;;
esac
export RUSTC_BOOTSTRAP=1
# What cargo-fuzz passes.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1"
host=x86_64-unknown-linux-gnu
cargo build --release --target $host --bin "$target"
mkdir -p "corpus/$target" artifacts
exec "target/$host/release/$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 \
    -malloc_limit_mb=256 -max_len=65536 -artifact_prefix=artifacts/ "corpus/$target" "${seeds[@]}"
