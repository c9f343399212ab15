# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What tests/fuzz/run and scripts/fuzz share: building fuzzers and running one.
# Source it after scripts/lib.sh.

build=$root/build/fuzz
kept=$root/build/fuzz-found # inputs that made a fuzzer fail

# all_fuzzers: the names that meson.build lists.
all_fuzzers() {
	sed -n '/^fuzzers = \[/,/\]/p' "$root/tests/fuzz/meson.build" | grep -o "'[a-z_]*'" | tr -d "'"
}

# make_fuzzers NAME...: builds these.
make_fuzzers() {
	[ -e "$build/build.ninja" ] ||
		CC=clang meson setup "$build" "$root" -Dfuzz=true -Dwerror=true \
			-Db_sanitize=address,undefined -Db_lundef=false || return
	ninja -C "$build" "${@/#/tests/fuzz/fuzz_}"
}

# run_fuzzer NAME FOUND OPTION...: one fuzzer with its corpus and its dictionary. Inputs
# that reach something new go to the directory FOUND, those that fail to $kept.
run_fuzzer() {
	local name=$1 from=("$2") options=()
	shift 2
	mkdir -p "$kept"
	[ ! -d "$root/tests/fuzz/corpus/$name" ] || from+=("$root/tests/fuzz/corpus/$name")
	[ ! -e "$root/tests/fuzz/dict/$name" ] || options+=(-dict="$root/tests/fuzz/dict/$name")
	"$build/tests/fuzz/fuzz_$name" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$kept/$name-" "${options[@]}" "$@" "${from[@]}"
}
