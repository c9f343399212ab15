# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A small guest: busybox in an initramfs, made without root. It comes in two
# parts, since hull takes several: make_guest makes the lasting one, make_task
# another with what the guest is to do.

# cpio_entry NAME MODE [MAJOR MINOR]: an empty newc entry. cpio itself can pack
# a device node only where one can be made, which takes root.
cpio_entry() {
	local name=$1 length=$((${#1} + 1))
	printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s' \
		0 "$2" 0 0 1 0 0 0 0 "${3:-0}" "${4:-0}" "$length" 0 "$name"
	# The name ends with a zero, header and name together at a multiple of 4.
	head -c $((1 + (4 - (110 + length) % 4) % 4)) /dev/zero
}

guest_init() {
	cat <<'EOF'
#!/bin/busybox sh
# PID 1. All that is particular to a run is in /run-this.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TERM=linux
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /tmp /root /dev/pts
mount -t devpts devpts /dev/pts
hostname guest
[ ! -e /modules/order ] || while read -r module; do insmod "/modules/$module"; done </modules/order
# A console whose driver is a module was not there when the kernel looked for it.
if (: <>/dev/console) 2>/dev/null; then exec <>/dev/console >&0 2>&0; fi
cd /root
. /run-this
poweroff -f
EOF
}

# make_guest FILE [KERNEL MODULE...]: the lasting part, which loads these modules of
# a kernel that scripts/kernel fetched, and has the static programs of the array
# guest_programs in /bin. Written aside, so that FILE is whole.
make_guest() {
	local file=$1 kernel=${2-} tree
	tree=$(mktemp -d "$file.XXXXXX")
	mkdir -p "$tree"/guest/{bin,proc,sys}
	cp "$(command -v busybox)" "$tree/guest/bin/busybox"
	[ -z "${guest_programs[*]-}" ] || cp "${guest_programs[@]}" "$tree/guest/bin"
	guest_init >"$tree/guest/init"
	chmod 755 "$tree/guest/init"
	if [ -n "$kernel" ]; then
		mkdir "$tree/guest/modules"
		copy_modules "$kernel" "$tree/guest/modules/order" "${@:3}"
	fi
	{
		cpio_entry dev $((8#040755))
		cpio_entry dev/console $((8#020600)) 5 1
		(cd "$tree/guest" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet)
	} >"$tree/cpio"
	mv "$tree/cpio" "$file"
	rm -rf "$tree"
}

# make_task FILE: standard input, a shell script, as what the guest is to do
# before it powers off.
make_task() {
	local tree
	tree=$(mktemp -d "$1.XXXXXX")
	cat >"$tree/run-this"
	(cd "$tree" && echo run-this | cpio -o -H newc -R 0:0 --quiet) >"$1"
	rm -rf "$tree"
}
