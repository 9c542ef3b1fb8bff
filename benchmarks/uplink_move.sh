#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is lost and what comes twice of pings at 1 kHz, into the host and out of it, while its NIC with address and default route becomes a port of a
# bridge, and a port no longer: of an Open vSwitch bridge (userspace datapath) in a lab of plan 1, and of a hypervisor's Linux bridge.
# One millisecond per ping lost. Usage: uplink_move.sh [RUNS]; needs root, Open vSwitch and build/bin/weft (script/build).
# Exits with 1, after it printed all, where the worst run lost more than 20 or any ping came twice.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
weft=${WEFT:-$here/../build/bin/weft}
runs=${1:-7}
target=20
missed=0
files=$(mktemp -d)
lab=bup$$
host=bup$$h peer=bup$$p
cp "$here/../examples/fabrics/grizzly.yaml" "$files/"
cat >"$files/hypervisor.yaml" <<END
version: 1
name: bup$$
networks: { external: { cidr: 192.168.100.0/24 } }
overlay: { type: gre, ids: 1-1000 }
nodes: { server: { roles: [hypervisor], nics: { eth2: { network: external } }, bridges: { br0: [eth2] } } }
END
finish() {
    "$weft" lab down "$lab" >/dev/null 2>&1 || true
    "$weft" remove --fabric "$lab" --node server --netns "$host" --ovs-rundir "$files" >/dev/null 2>&1 || true
    ip netns del "$host" 2>/dev/null || true
    ip netns del "$peer" 2>/dev/null || true
    rm -rf "$files" "/run/weft/lock.$host"
}
trap finish EXIT

pings=3000
# Both pings run, the change happens in their middle; each adds a line "lost twice" to its file.
changed() { # NAME COMMAND…
    local name=$1 pids=()
    shift
    for way in inwards outwards; do
        { "$way" ping -n -q -i 0.001 -c $pings -W 1 "$(target_of "$way")" || true; } >"$files/ping-$way" 2>&1 &
        pids+=($!)
    done
    sleep 1
    "$@" >/dev/null 2>&1
    wait "${pids[@]}"
    for way in inwards outwards; do
        awk '/packets transmitted/ {twice = 0; for (i = 1; i < NF; i++) {if ($i == "received," || $i ~ /^received/) got = $(i - 1); if ($(i + 1) ~ /^duplicates/) twice = substr($i, 2)}
             print $1 - got, twice}' "$files/ping-$way" >>"$files/$name-$way"
    done
}
target_of() { [ "$1" = inwards ] && echo 192.168.100.52 || echo 192.168.100.1; }
told() { # NAME TEXT
    for way in inwards outwards; do
        sort -n "$files/$1-$way" | awk -v what="$2" -v way="$way" -v runs="$runs" -v target="$target" '{lost[NR] = $1; if ($2 > twice) twice = $2}
            END {printf "uplink move, %s, pings %s, %d runs: lost median %d, worst %d (target %d), twice %d\n", what, way, NR, lost[int((NR + 1) / 2)], lost[NR], target, twice
                 exit NR < runs || lost[NR] > target || twice > 0}' || missed=1
    done
}

on() { "$weft" lab exec "$lab/$1" -- "${@:2}"; }
inwards() { on lan1 "$@"; }
outwards() { on network "$@"; }
"$weft" lab up "$files/grizzly.yaml" --name "$lab" >/dev/null 2>&1
on network "$weft" remove --fabric grizzly --node network >/dev/null
on network ip address add 192.168.100.52/24 dev eth2
on network ip route add default via 192.168.100.1 dev eth2
for ((i = 0; i < runs; i++)); do
    changed ovs-to on network "$weft" apply "$files/grizzly.yaml" --node network
    changed ovs-back on network "$weft" remove --fabric grizzly --node network
done
on network ip -br address show dev eth2 | grep -q 192.168.100.52/24  # or nothing was measured
"$weft" lab down "$lab" >/dev/null
told ovs-to "into an Open vSwitch bridge"
told ovs-back "out of an Open vSwitch bridge"

inwards() { ip netns exec "$peer" "$@"; }
outwards() { ip netns exec "$host" "$@"; }
ip netns add "$host"
ip netns add "$peer"
ip -n "$host" link add eth2 type veth peer name eth2 netns "$peer"
for space in "$host" "$peer"; do ip -n "$space" link set eth2 up; done
ip -n "$peer" address add 192.168.100.1/24 dev eth2
ip -n "$host" address add 192.168.100.52/24 dev eth2
ip -n "$host" route add default via 192.168.100.1 dev eth2
for ((i = 0; i < runs; i++)); do
    changed linux-to "$weft" apply "$files/hypervisor.yaml" --node server --netns "$host" --ovs-rundir "$files"
    changed linux-back "$weft" remove --fabric "$lab" --node server --netns "$host" --ovs-rundir "$files"
done
ip -n "$host" -br address show dev eth2 | grep -q 192.168.100.52/24
told linux-to "into a Linux bridge"
told linux-back "out of a Linux bridge"
exit $missed
