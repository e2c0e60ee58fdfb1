#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The first process of a cluster's sandbox: lays out the namespaces that it finds itself in, says "ready" on standard
# output, and then reaps what its programs orphan (bash does so while it waits). Its end is the end of all of them.
set -o errexit -o nounset -o pipefail

files=$1

mount --make-rshared /

# Programs of the node have some of these places built in; here each is the cluster's own directory. Each becomes a
# sharing group of its own, or the pods' mounts would show a second time under the directory's true path.
for place in var/lib/kubelet var/lib/containerd var/lib/cni var/log/pods var/log/containers run/containerd run/dbus; do
    mkdir -p "$files/$place" "/$place"
    mount --bind "$files/$place" "/$place"
    mount --make-private "/$place"
    mount --make-shared "/$place"
done

# The kubelet sets these for the whole machine unless it finds them as it wants them.
while read -r setting wanted; do
    stand_in=$files/sysctl/$setting
    mkdir -p "$(dirname "$stand_in")"
    printf '%s\n' "$wanted" >"$stand_in"
    mount --bind "$stand_in" "/proc/sys/$setting"
done <<'SETTINGS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SETTINGS

ip link set lo up
printf '1\n' >/proc/sys/net/ipv4/ip_forward

echo ready
exec >&2
sleep infinity &
wait
