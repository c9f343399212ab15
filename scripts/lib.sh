# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What hull's scripts share. Source it after `set -euo pipefail`; it sets $root
# to the top of the tree and defines the functions below.

# An ordinary user's PATH need not have what lies in sbin.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit "${die_status:-1}"
}

note() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# packages_of GROUP...: the package names of these groups, one a line.
packages_of() {
	local group
	for group; do
		sed -n "s/^$group: *//p" "$root/scripts/packages"
	done | tr -s ' ' '\n' | sort -u
}

# missing_packages NAME...: those that are not installed, one a line.
missing_packages() {
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
		sed -n 's/^installed //p' | sort -u |
		comm -23 <(printf '%s\n' "$@" | sort -u) -
}

# run_as_root COMMAND...: as root, or through sudo if it does not ask.
run_as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		sudo -n "$@"
	else
		return 1
	fi
}

# apt COMMAND...: apt-get without questions, quiet unless it fails.
apt() {
	local log
	log=$(mktemp)
	if run_as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y "$@" >"$log" 2>&1; then
		rm -f "$log"
	else
		tail -n 15 "$log" >&2
		rm -f "$log"
		return 1
	fi
}

# need_packages GROUP...: see to it that the packages of these groups are
# installed. Runs nothing when they are; package lists are only updated when
# those at hand do not do.
need_packages() {
	local wanted missing
	command -v dpkg-query >/dev/null || {
		note "not a Debian system: see scripts/packages for what is needed"
		return 0
	}
	mapfile -t wanted < <(packages_of "$@")
	[ ${#wanted[@]} -gt 0 ] || die "scripts/packages has no group '$*'"
	mapfile -t missing < <(missing_packages "${wanted[@]}")
	[ ${#missing[@]} -gt 0 ] || return 0
	run_as_root true 2>/dev/null ||
		die "missing packages; as root: apt-get install --no-install-recommends ${missing[*]}"
	note "installing ${#missing[@]} packages: ${missing[*]}"
	apt install --no-install-recommends "${missing[@]}" 2>/dev/null && return
	apt update || note "apt-get update failed; trying with the lists at hand"
	apt install --no-install-recommends "${missing[@]}" ||
		die "cannot install: ${missing[*]}"
}

# can_run_kvm: can /dev/kvm here run stock kernels? A KVM on a CPU that shows
# neither VMX nor SVM (page-table-based ones inside other VMs) opens as well,
# but runs only guests made for it.
can_run_kvm() {
	grep -qwE 'vmx|svm' /proc/cpuinfo && [ -r /dev/kvm ] && [ -w /dev/kvm ]
}

# copy_modules KERNEL LIST-FILE NAME...: modules of a kernel that scripts/kernel
# fetched, with what they depend on, into the directory of LIST-FILE, unpacked. The
# list is in the order of loading; a module that is in the directory already is
# not listed again.
copy_modules() {
	local kernel=$1 list=$2 dir version path name depends
	dir=$(dirname "$list")
	read -r version <"$kernel/version"
	shift 2
	depends=$(modprobe -S "$version" -d "$kernel" -a --show-depends "$@") ||
		die "the kernel lacks a module of: $*"
	while read -r _ path _; do
		name=$(basename "$path")
		name=${name%%.ko*}.ko
		[ ! -e "$dir/$name" ] || continue
		case $path in
		*.ko) cp "$path" "$dir/$name" ;;
		*.xz) xz -dc "$path" >"$dir/$name" ;;
		*.zst) zstd -qdc "$path" >"$dir/$name" ;;
		*.gz) gzip -dc "$path" >"$dir/$name" ;;
		esac
		printf '%s\n' "$name"
	done < <(grep '^insmod' <<<"$depends") >"$list"
}

# vmlinux BZIMAGE OUT: the ELF image inside. QEMU enters it directly, which spares
# an emulated CPU the 4.5 G instructions of decompressing it.
vmlinux() {
	local setup offset length magic start codec
	setup=$(od -An -tu1 -j 497 -N 1 "$1")
	offset=$(od -An -tu4 -j 584 -N 4 "$1")
	length=$(od -An -tu4 -j 588 -N 4 "$1")
	start=$(((setup + 1) * 512 + offset))
	magic=$(od -An -tx1 -j "$start" -N 4 "$1" | tr -d ' ')
	case $magic in
	fd377a58) codec=(xz -dc) ;;
	28b52ffd) codec=(zstd -dc) ;;
	02214c18) codec=(lz4 -dc) ;;
	1f8b*) codec=(gzip -dc) ;;
	*) die "$1: payload of an unknown kind ($magic)" ;;
	esac
	# The last four bytes are the size; gzip's own trailer has it already.
	case $magic in
	1f8b*) ;;
	*) length=$((length - 4)) ;;
	esac
	# dd, not head: exact amounts of a file, without a broken pipe.
	dd if="$1" bs=64K iflag=skip_bytes,count_bytes skip="$start" count="$length" \
		status=none | "${codec[@]}" >"$2"
}
