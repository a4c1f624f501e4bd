#!/usr/bin/env bash
# Installs what the real-client scenarios need and this machine lacks, where it may: as root on a system with apt-get.
# Elsewhere it names what is missing; the scenarios that need it are then skipped, and counted.
set -eu
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# program:package
needs="cc:gcc redis-server:redis-server dockerd:docker.io containerd:containerd runc:runc skopeo:skopeo podman:podman
  debootstrap:debootstrap ip:iproute2 mount:mount"

programs="" packages=""
for need in $needs; do
	if ! command -v "${need%%:*}" >/dev/null 2>&1; then
		programs="$programs ${need%%:*}"
		packages="$packages ${need##*:}"
	fi
done
case " $packages " in *" gcc "*) packages="$packages libc6-dev" ;; esac # the race detector links C
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "setup: missing, and not installed without root and apt-get:$programs" >&2
	exit 0
fi
echo "setup: installing$packages" >&2
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } >/tmp/winnow-setup.$$ 2>&1; then
	tail -n 20 /tmp/winnow-setup.$$ >&2
	echo "setup: apt-get did not install all of:$packages" >&2
fi
rm -f /tmp/winnow-setup.$$
