# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What suites that boot Linux share: running a guest, looking at what it printed,
# and the loop over the tests. A suite sources scripts/lib.sh and this, defines
# the array `tests` and ends in `run_tests "$@"`.

# shellcheck source=tests/lib/initramfs.sh
. "$root/tests/lib/initramfs.sh"

hull=${HULL:-$root/build/hull}
# How long a boot may take: minutes only where all is emulated and busy.
limit=180

# --- running a guest -------------------------------------------------------

# setup: directories that hull's user can use, and the guest.
setup() {
	work=$(mktemp -d "${TMPDIR:-/tmp}/hull-boot.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir "$work/cache" "$work/run"
	chmod 700 "$work/run"
	as=()
	if [ "$(id -u)" = 0 ]; then
		chown -R 1000:1000 "$work"
		# What is on the way to $work, and /run/user/0, is root's.
		[ -z "${TMPDIR-}" ] || chmod a+x "$TMPDIR"
		as=(setpriv --reuid=1000 --regid=1000 --clear-groups)
		"${as[@]}" "$hull" version >/dev/null 2>&1 || {
			echo "# an ordinary user cannot run $hull here: all tests run as root"
			as=()
		}
	fi
	as+=(env "XDG_RUNTIME_DIR=$work/run" "XDG_CACHE_HOME=$work/cache" "HOME=$work")
	make_guest "$work/guest.cpio" "${guest_modules[@]}"
	chmod 755 "$work"
}

# boot KERNEL [OPTION...]: the script on standard input is what the guest does
# before it powers off. Leaves hull's status in $status, the guest's console in
# $work/console, hull's messages in $work/err. Input comes from $stdin.
boot() {
	local kernel=$1
	shift
	make_task "$work/task.cpio"
	chmod 644 "$work/guest.cpio" "$work/task.cpio"
	status=0
	"${as[@]}" timeout -k 5 "$limit" "$hull" run -k "$kernel/vmlinuz" \
		-i "$work/guest.cpio" -i "$work/task.cpio" "$@" \
		<"${stdin:-/dev/null}" >"$work/raw" 2>"$work/err" || status=$?
	tr -d '\r' <"$work/raw" >"$work/console"
}

fail() {
	printf '# %s\n' "$*"
	return 1
}

# failed_boot TEXT...: like fail, with what the guest and hull said last.
failed_boot() {
	tail -n 25 "$work/console" | sed 's/^/#   /'
	tail -n 15 "$work/err" | sed 's/^/#   /'
	fail "$@"
}

expect_status() {
	[ "$status" = "$1" ] || failed_boot "hull's status is $status instead of $1"
}

# fact NAME: what the guest printed as "NAME: value".
fact() {
	sed -n "s/^$1: //p" "$work/console" | head -n 1
}

same() {
	[ "$2" = "$3" ] || fail "$1: '$2' instead of '$3'"
}

# section NAME: the lines between "begin NAME" and "end NAME".
section() {
	sed -n "/^begin $1\$/,/^end $1\$/p" "$work/console" | sed '1d;$d'
}

# --- the tests -------------------------------------------------------------

# run_tests ARG...: the tests of the array `tests`, "NAME:FUNCTION ARG...", as TAP;
# those with + before the name only with --all. A function that returns 77 was
# skipped and has said why in $skipped.
run_tests() {
	local entry name number=0 failed=0 list='' result
	slow_too='' only=''
	while [ $# -gt 0 ]; do
		case $1 in
		--all) slow_too=1 ;;
		--test) only=${2-}; shift ;;
		--list) list=1 ;;
		-h | --help) usage; exit 0 ;;
		*) usage >&2; exit 2 ;;
		esac
		shift
	done
	if [ -n "$list" ]; then
		printf '%s\n' "${tests[@]%%:*}" | sed 's/^+//'
		exit 0
	fi

	setup
	for entry in "${tests[@]}"; do
		name=${entry%%:*}
		[ -n "$slow_too$only" ] || [ "$name" = "${name#+}" ] || continue
		name=${name#+}
		[ -z "$only" ] || [ "$name" = "$only" ] || continue
		number=$((number + 1)) result=0 skipped=''
		# shellcheck disable=SC2086 # a function and its arguments
		${entry#*:} >"$work/said" || result=$?
		case $result in
		0) printf 'ok %d - %s\n' "$number" "$name" ;;
		77) printf 'ok %d - %s # SKIP %s\n' "$number" "$name" "$skipped" ;;
		*)
			printf 'not ok %d - %s\n' "$number" "$name"
			cat "$work/said"
			failed=1
			;;
		esac
	done
	printf '1..%d\n' "$number"
	exit "$failed"
}

# guest_tools: prints the path of a disk image with fio and mke2fs and what they
# need, made once. Remove it to have it made again.
guest_tools() {
	local image=$root/build/guest/tools.ext4 temp tree program
	if [ ! -e "$image" ]; then
		mkdir -p "$root/build/guest"
		temp=$(mktemp -d "$root/build/guest/new.XXXXXX")
		tree=$temp/tree
		mkdir "$tree"
		for program in fio mke2fs; do
			program=$(command -v "$program")
			cp -L --parents "$program" "$tree"
			ldd "$program" | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t "$tree"
		done
		mkdir -p "$tree/etc"
		mke2fs -q -t ext4 -d "$tree" "$temp/image" $(($(du -sm "$tree" | cut -f 1) * 5 / 4 + 16))M >/dev/null
		mv "$temp/image" "$image"
		rm -rf "$temp"
	fi
	printf '%s\n' "$image"
}

# use_tools: of a guest's task, what makes the tools run that are on the last disk.
use_tools() {
	cat <<'EOF'
mkdir /tools
mount -o ro "$(ls /dev/vd? | tail -n 1)" /tools
for d in /tools/*; do
	d=${d##*/}
	[ -e "/$d" ] || ln -s "/tools/$d" "/$d"
done
# busybox would take its own, whatever PATH says.
for p in /tools/usr/sbin/* /tools/usr/bin/*; do
	eval "${p##*/}() { $p \"\$@\"; }"
done
EOF
}
