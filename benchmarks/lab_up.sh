#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `weft lab up` of plan 1 against the same lab made by a shell script, node after node and with its nodes in parallel.
# Interleaved, medians, in one run. Usage: lab_up.sh [RUNS]; needs root and build/bin/weft (script/build).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
weft=${WEFT:-$here/../build/bin/weft}
runs=${1:-7}
# The script's VMs have static addresses and its network node serves none, so that ours must not either.
files=$(mktemp -d)
file=$files/grizzly.yaml
sed -e 's/^lab:.*/&\n  addresses: static/' -e 's/{ cidr: 50\./{ dhcp: false, cidr: 50./' "$here/../examples/fabrics/grizzly.yaml" >"$file"
grep -q 'addresses: static' "$file" && grep -q 'dhcp: false' "$file"
lab=bench$$
shell=bsh$$
trap 'rm -rf "$files"; "$weft" lab down "$lab" >/dev/null 2>&1 || true; "$here/peers/lab_by_shell.sh" down "$shell" >/dev/null 2>&1 || true' EXIT

took() { # command…: milliseconds. The kernel goes on deleting the last lab's namespaces after `down`, which must slow none of the three.
    sleep 0.5
    local start=$EPOCHREALTIME end
    "$@" >/dev/null 2>&1
    end=$EPOCHREALTIME
    echo $(((${end/./} - ${start/./}) / 1000))
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

ours=() serial=() parallel=()
for ((i = 0; i < runs; i++)); do
    ours+=("$(took "$weft" lab up "$file" --name "$lab")")
    "$weft" lab down "$lab" >/dev/null
    serial+=("$(took "$here/peers/lab_by_shell.sh" up "$shell")")
    "$here/peers/lab_by_shell.sh" down "$shell" >/dev/null
    parallel+=("$(took "$here/peers/lab_by_shell.sh" up-parallel "$shell")")
    "$here/peers/lab_by_shell.sh" down "$shell" >/dev/null
done
o=$(printf '%s\n' "${ours[@]}" | median)
s=$(printf '%s\n' "${serial[@]}" | median)
p=$(printf '%s\n' "${parallel[@]}" | median)
echo "lab up, plan 1, $runs runs, medians: weft $o ms, shell node after node $s ms, shell nodes in parallel $p ms"
awk -v o="$o" -v s="$s" -v p="$p" 'BEGIN {printf "ratios: %.2f node after node (target 3), %.2f in parallel (target 1.5)\n", s / o, p / o}'
