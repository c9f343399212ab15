# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For suites of snapshots: machines that run in the background with hull's agent, by name. A suite
# sources it behind guest.sh and command.sh.

# warm NAME ARG...: `hull run --agent` with these, until its agent answers.
warm() {
	local name=$1
	shift
	"${as[@]}" "$hull" run --timeout "$limit" --name "$name" --agent -k "$kernel/vmlinuz" -i "$guest" "$@" \
		</dev/null >"$work/$name.out" 2>"$work/$name.err" &
	answers "$name" $!
}

# restore NAME DIR ARG...: `hull restore` of it, until its agent answers.
restore() {
	local name=$1 dir=$2
	shift 2
	"${as[@]}" "$hull" restore --timeout "$limit" --name "$name" "$@" "$dir" \
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

# clock_is_right NAME: its wall clock is the host's, but for what it takes to ask. The guest tells whole
# seconds.
clock_is_right() {
	local before after then
	before=$(date +%s)
	inside "$1" date +%s || failed_vm "$1 does not tell the time" || return
	after=$(date +%s)
	then=$(cat "$work/out")
	[ "$then" -ge "$before" ] && [ "$then" -le "$after" ] ||
		fail "the clock of $1 says $then, which is not between $before and $after"
}

# vm WORD...: `hull` with these, its status in $status.
vm() {
	status=0
	"${as[@]}" timeout "$limit" "$hull" "$@" <"${stdin:-/dev/null}" >"$work/out" 2>"$work/err" || status=$?
	return "$status"
}
