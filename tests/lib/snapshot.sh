# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For suites of snapshots: machines that run in the background with hull's agent, by name. A suite
# sources it behind guest.sh and command.sh.

# warm NAME ARG...: `hull run --agent` with these, until its agent answers.
warm() {
	local name=$1
	shift
	"${as[@]}" "$hull" run --timeout $((4 * limit)) --name "$name" --agent -k "$kernel/vmlinuz" -i "$guest" "$@" \
		</dev/null >"$work/$name.out" 2>"$work/$name.err" &
	answers "$name" $!
}

# restore NAME DIR ARG...: `hull restore` of it, until its agent answers.
restore() {
	local name=$1 dir=$2
	shift 2
	"${as[@]}" "$hull" restore --timeout $((4 * limit)) --name "$name" "$@" "$dir" \
		</dev/null >"$work/$name.out" 2>"$work/$name.err" &
	answers "$name" $!
}

# answers NAME PID: waits for the machine's agent.
answers() {
	local name=$1 pid=$2
	until inside "$name" true; do
		if ! kill -0 "$pid" 2>/dev/null; then
			tail -n 25 "$work/$name.out" "$work/$name.err" | cut -c 1-300 | sed 's/^/#   /'
			fail "$name has ended"
			return
		fi
		sleep 0.1
	done
}

# inside NAME COMMAND...: `hull exec`, with its output in $work/out.
inside() {
	local name=$1
	shift
	"${as[@]}" timeout "$limit" "$hull" exec "$name" -- "$@" </dev/null >"$work/out" 2>"$work/err"
}

# save NAME DIR ARG...: `hull snapshot`.
save() {
	local name=$1 dir=$2
	shift 2
	"${as[@]}" timeout "$limit" "$hull" snapshot "$@" "$name" "$dir" >"$work/out" 2>"$work/err" ||
		failed_vm "no snapshot of $name"
}

# end NAME: at once.
end() {
	"${as[@]}" "$hull" stop --force "$1" >"$work/out" 2>"$work/err" || failed_vm "$1 does not end"
}

# give NAME PROGRAM: puts the static program of tests/lib/PROGRAM.c into the guest, as /PROGRAM.
give() {
	local file
	file=$(guest_program "$2")
	"${as[@]}" "$hull" exec "$1" -- sh -c "cat >/$2 && chmod 755 /$2" <"$file" >"$work/out" 2>"$work/err" ||
		failed_vm "$1 takes no files"
}

# clock_of NAME: how far the wall clock of a guest that has /now is ahead of the host's, in ms: from $low to $high, as it
# takes a while to ask.
clock_of() {
	local before after then ms=1000000
	before=$(date +%s%N)
	inside "$1" /now || failed_vm "$1 does not tell the time" || return
	after=$(date +%s%N)
	then=$(cat "$work/out")
	low=$(((then - after) / ms)) high=$(((then - before) / ms))
	echo "# the clock of $1 is $low to $high ms ahead"
}

# clock_before NAME: of a machine that was never saved. Until its kernel uses kvm-clock it loses time, on a slow host
# seconds: that is not a snapshot's.
clock_before() {
	clock_of "$1" || return
	low_before=$low high_before=$high
}

# clock_is_right NAME: it is what it was, within 50 ms.
clock_is_right() {
	clock_of "$1" || return
	[ $((low - 50)) -le "$high_before" ] && [ $((high + 50)) -ge "$low_before" ] ||
		fail "the clock of $1 has gone wrong: before it was $low_before to $high_before ms ahead"
}

# vm WORD...: `hull` with these, its status in $status.
vm() {
	status=0
	"${as[@]}" timeout "$limit" "$hull" "$@" <"${stdin:-/dev/null}" >"$work/out" 2>"$work/err" || status=$?
	return "$status"
}
