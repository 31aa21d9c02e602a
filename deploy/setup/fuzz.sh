#!/usr/bin/env bash
# fuzz.sh [SECONDS]: builds every fuzz target of every crate with coverage and the address sanitizer, and runs each for so
# long. What cargo-fuzz does, without it: a nightly toolchain and a C++ compiler are enough.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-stack-depth"
for manifest in $(git ls-files -- '*fuzz/Cargo.toml'); do
	(
		cd "$(dirname "$manifest")"
		out=${CARGO_TARGET_DIR:-target}
		cargo +nightly build --locked --target "$host" --target-dir "$out"
		for source in fuzz_targets/*.rs; do
			name=$(basename "$source" .rs)
			# what is found on the way is kept beside the build, the seeds are only read
			mkdir -p "$out/corpus/$name" "corpus/$name" "artifacts/$name"
			printf '\n== %s of %s, %s s\n' "$name" "$(dirname "$manifest")" "$seconds"
			"$out/$host/debug/$name" -max_total_time="$seconds" -rss_limit_mb=4096 -max_len=4096 -print_final_stats=1 \
				-artifact_prefix="artifacts/$name/" "$out/corpus/$name" "corpus/$name"
		done
	)
done
