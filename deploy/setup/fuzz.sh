#!/usr/bin/env bash
# fuzz.sh [SECONDS]: builds every fuzz target of every crate with coverage and the address sanitizer, and runs each for so
# long, as many at a time as there are processors. What cargo-fuzz does, without it and without a nightly: the pinned
# toolchain carries both, behind a switch that its makers keep for themselves, and nothing but these targets is built with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
host=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-stack-depth"

run() { # FOLDER NAME: one target, for its time; what it printed is shown when it is over
	local folder=$1 name=$2 rc=0
	local found=$out/corpus/$name log=$out/$name.log
	# what is found on the way is kept beside the build, the seeds are only read
	mkdir -p "$found" "$folder/corpus/$name" "$folder/artifacts/$name"
	"$out/$host/debug/$name" -max_total_time="$seconds" -rss_limit_mb=4096 -max_len=4096 -print_final_stats=1 \
		-artifact_prefix="$folder/artifacts/$name/" "$found" "$folder/corpus/$name" >"$log" 2>&1 || rc=$?
	printf '\n== %s of %s, %s s: %s\n' "$name" "$folder" "$seconds" "$([ $rc = 0 ] && echo 'nothing found' || echo FOUND)"
	if [ $rc = 0 ]; then grep '^stat::' "$log"; else tail -n 60 "$log"; fi
	return $rc
}

command -v c++ >/dev/null || { echo "libFuzzer is C++: install a compiler for it (g++)" >&2; exit 1; }
began=$SECONDS
cargo build --locked --manifest-path deploy/setup/fuzz/Cargo.toml --target "$host" --target-dir "$out"
echo "== built in $((SECONDS - began)) s"
export -f run
export seconds host out
git ls-files -- '*/fuzz_targets/*.rs' | while read -r source; do
	printf '%s %s\n' "${source%/fuzz_targets/*}" "$(basename "$source" .rs)"
done | xargs -P "$(nproc)" -L 1 bash -c 'run "$@"' run
