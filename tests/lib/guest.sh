# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What suites that boot Linux share: running a guest, looking at what it printed,
# and the loop over the tests. A suite sources scripts/lib.sh and this, defines
# the array `tests` and ends in `run_tests "$@"`.

# shellcheck source=tests/lib/initramfs.sh
. "$root/tests/lib/initramfs.sh"

hull=${HULL:-$root/build/hull}
# How long a boot may take, in seconds: minutes only where all is emulated and busy.
limit=${HULL_LIMIT:-180}

# --- running a guest -------------------------------------------------------

# setup: directories that hull's user can use, and the guest in $guest.
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
	guest=$work/guest.cpio
	make_guest "$guest" "${guest_modules[@]}"
	chmod 755 "$work"
}

# boot KERNEL [OPTION...]: the script on standard input is what the guest does
# before it powers off. Leaves hull's status in $status, the guest's console in
# $work/console, hull's messages in $work/err. Input comes from $stdin.
boot() {
	local kernel=$1
	shift
	make_task "$work/task.cpio"
	chmod 644 "$guest" "$work/task.cpio"
	status=0
	"${as[@]}" timeout -k 5 "$limit" "$hull" run -k "$kernel/vmlinuz" \
		-i "$guest" -i "$work/task.cpio" "$@" \
		<"${stdin:-/dev/null}" >"$work/raw" 2>"$work/err" || status=$?
	tr -d '\r' <"$work/raw" >"$work/console"
}

# start_boot KERNEL OPTION...: as boot, but goes on at once: $vmm is the process. Its
# standard input stays open as descriptor 5.
start_boot() {
	local kernel=$1
	shift
	make_task "$work/task.cpio"
	chmod 644 "$guest" "$work/task.cpio"
	rm -f "$work/in"
	mkfifo -m 666 "$work/in"
	: >"$work/raw"
	"${as[@]}" "$hull" run --timeout "$limit" -k "$kernel/vmlinuz" -i "$guest" -i "$work/task.cpio" "$@" \
		<"$work/in" >"$work/raw" 2>"$work/err" &
	vmm=$!
	exec 5>"$work/in"
}

# wait_for FILE PATTERN: until a line of FILE matches; fails when the VMM ends before.
wait_for() {
	until grep -q "$2" "$1"; do
		kill -0 "$vmm" 2>/dev/null || return
		sleep 0.1
	done
}

# finish_boot: waits for the end; what start_boot began is as after boot.
finish_boot() {
	status=0
	wait "$vmm" 2>/dev/null || status=$?
	exec 5>&-
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
# skipped and has said why in $skipped. What one said that went well is shown with HULL_TEST_TIMES in the environment.
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
		0)
			printf 'ok %d - %s\n' "$number" "$name"
			[ -z "${HULL_TEST_TIMES-}" ] || cat "$work/said"
			;;
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

# guest_program NAME: prints the path of the static program of tests/lib/NAME.c, made when it is
# not there or older than its source.
guest_program() {
	local program=$root/build/guest/$1
	if [ ! "$program" -nt "$root/tests/lib/$1.c" ]; then
		mkdir -p "$root/build/guest"
		cc -O2 -static -D_GNU_SOURCE -o "$program.new" "$root/tests/lib/$1.c" && mv "$program.new" "$program"
	fi
	printf '%s\n' "$program"
}

guest_peer() {
	guest_program peer
}

# new_tap [OPTION...]: $tap, or tap77, for hull's user, with the host's end up, 192.168.77.1.
new_tap() {
	local name=${tap:-tap77}
	[ "$(id -u)" = 0 ] || { skipped="TAP devices are made by root"; return 77; }
	ip link del "$name" 2>/dev/null || true
	ip tuntap add mode tap user 1000 name "$name" vnet_hdr "$@" &&
		ip addr add 192.168.77.1/24 dev "$name" && ip link set "$name" up
}

# guest_tools: prints the path of a disk image with fio, mke2fs, iperf3 and what they
# need, made when it is not there or older than this file.
guest_tools() {
	local image=$root/build/guest/tools.ext4 temp tree program
	if [ ! "$image" -nt "$root/tests/lib/guest.sh" ]; then
		mkdir -p "$root/build/guest"
		temp=$(mktemp -d "$root/build/guest/new.XXXXXX")
		tree=$temp/tree
		mkdir "$tree"
		for program in fio mke2fs iperf3; do
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

# guest_debian: prints the path of a disk image with a small Debian and its systemd, which
# runs the script on /dev/vdb once it is up. Made once, by root and with minutes of
# patience; nothing is printed when it cannot be.
guest_debian() {
	local image=$root/build/guest/debian.ext4 temp tree
	if [ ! -e "$image" ]; then
		[ "$(id -u)" = 0 ] || return 0
		mkdir -p "$root/build/guest"
		temp=$(mktemp -d "$root/build/guest/new.XXXXXX")
		tree=$temp/tree
		debootstrap --variant=minbase --include=systemd-sysv,udev,dbus bookworm "$tree" >&2 || {
			rm -rf "$temp"
			return 0
		}
		rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
		cat >"$tree/etc/systemd/system/task.service" <<'EOF'
[Unit]
Description=What this guest is to do
After=multi-user.target
[Service]
ExecStart=/bin/sh /dev/vdb
StandardOutput=tty
TTYPath=/dev/console
[Install]
WantedBy=multi-user.target
EOF
		ln -s ../task.service "$tree/etc/systemd/system/multi-user.target.wants/task.service"
		mke2fs -q -t ext4 -d "$tree" "$temp/image" 1G >/dev/null
		mv "$temp/image" "$image"
		rm -rf "$temp"
	fi
	printf '%s\n' "$image"
}
