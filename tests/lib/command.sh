# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For suites of `hull run -- COMMAND`: COMMAND in a fresh machine, with hull's status in
# $status, and what it wrote in $work/out and $work/err. A suite sources it behind
# guest.sh; $kernel is a directory that scripts/kernel made.

# make_guest FILE: as $guest, in the place of what guest.sh makes: busybox under all its names, and
# no init, as hull brings its own.
make_guest() {
	local file=$1 tree
	tree=$(mktemp -d "$file.XXXXXX")
	mkdir -p "$tree"/{bin,dev,proc,sys,tmp,root,etc}
	cp "$(command -v busybox)" "$tree/bin/busybox"
	"$tree/bin/busybox" --install "$tree/bin"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
	(cd "$tree" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet) >"$file"
	chmod 644 "$file"
	rm -rf "$tree"
}

# in_vm ARG...: `hull run` with these; its input comes from $stdin.
in_vm() {
	status=0
	"${as[@]}" timeout -k 5 "$limit" "$hull" run -k "$kernel/vmlinuz" "$@" \
		<"${stdin:-/dev/null}" >"$work/out" 2>"$work/err" || status=$?
}

# start_vm ARG...: as in_vm, but goes on at once: $vmm is the process. Its standard input
# stays open as descriptor 5.
start_vm() {
	rm -f "$work/in"
	mkfifo -m 666 "$work/in"
	: >"$work/out"
	# A shell without job control has its children ignore SIGINT.
	"${as[@]}" env --default-signal=INT,QUIT "$hull" run --timeout "$limit" -k "$kernel/vmlinuz" "$@" \
		<"$work/in" >"$work/out" 2>"$work/err" &
	vmm=$!
	exec 5>"$work/in"
}

# finish_vm: waits for the end of what start_vm began.
finish_vm() {
	status=0
	exec 5>&-
	wait "$vmm" 2>/dev/null || status=$?
}

# until_said PATTERN: until a line of the command's output matches; fails when the machine
# ends before.
until_said() {
	wait_for "$work/out" "$1"
}

# failed_vm TEXT...: like fail, with what command and hull said last.
failed_vm() {
	tail -n 25 "$work/out" | cut -c 1-300 | sed 's/^/#   out: /'
	tail -n 25 "$work/err" | cut -c 1-300 | sed 's/^/#   err: /'
	fail "$@"
}

# ended STATUS: hull ended with this.
ended() {
	[ "$status" = "$1" ] || failed_vm "hull's status is $status instead of $1"
}

# said NAME: what the command wrote to its output as "NAME: value".
said() {
	sed -n "s/^$1: //p" "$work/out" | head -n 1
}

# says NAME VALUE: the command has said so.
says() {
	[ "$(said "$1")" = "$2" ] || failed_vm "$1: '$(said "$1")' instead of '$2'"
}

# silent: hull has said nothing, and no command to its standard error.
silent() {
	[ ! -s "$work/err" ] || failed_vm "there is something on standard error"
}
