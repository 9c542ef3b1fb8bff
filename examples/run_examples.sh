#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every example in a fresh network namespace, with a private Open vSwitch where one is needed, and cleans up whatever
# happens. Usage: run_examples.sh DIRECTORY-OF-PROGRAMS. Status 77: cannot run here. The root namespace is never configured.
set -u
programs=$1
export WEFT_LIBEXEC=${WEFT_LIBEXEC:-$programs/..}  # weft-node, which keeps the network node's dnsmasq running
[ "$(id -u)" = 0 ] || { echo "SKIPPED: the examples need root"; exit 77; }
for tool in ip ovsdb-tool ovsdb-server ovs-vswitchd ovs-appctl; do
    command -v $tool >/dev/null || { echo "SKIPPED: $tool is missing"; exit 77; }
done

# A mount namespace of its own with a private /run: records and named namespaces, the routers' ones included, end with it.
if [ "${WEFT_EXAMPLES_PRIVATE:-}" != yes ]; then
    WEFT_EXAMPLES_PRIVATE=yes exec unshare --mount --propagation private "$0" "$@"
fi
mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/netns || { echo "SKIPPED: cannot mount a private /run"; exit 77; }

work=$(mktemp -d)
ns=
daemons=()
leave() {
    for pid in "${daemons[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null; done
    for pid in "${daemons[@]:-}"; do [ -n "$pid" ] && wait "$pid" 2>/dev/null; done
    daemons=()
    if [ -n "$ns" ]; then
        ip netns delete "$ns-peer" 2>/dev/null
        ip netns delete "$ns" 2>/dev/null
    fi
    ns=
}
trap 'leave; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

enter() {  # a fresh namespace with three NICs; the far end of each is a port of a bridge that stands for the wire
    ns=weft-ex-$$-$1
    ip netns add "$ns" && ip -n "$ns" link set lo up || return 1
    for nic in eth0 eth1 eth2; do
        ip -n "$ns" link add $nic type veth peer name far-$nic && ip -n "$ns" link set far-$nic up || return 1
    done
}

start_switch() {
    rundir=$work/$1
    mkdir -p "$rundir"
    ovsdb-tool create "$rundir/conf.db" "$(schema)" || return 1
    OVS_RUNDIR=$rundir ovsdb-server "$rundir/conf.db" -vconsole:off -vsyslog:off --remote=punix:"$rundir/db.sock" --unixctl="$rundir/ovsdb.ctl" \
        --log-file="$rundir/ovsdb.log" &
    daemons+=($!)
    until [ -S "$rundir/db.sock" ]; do sleep 0.02; done
    OVS_RUNDIR=$rundir ip netns exec "$ns" ovs-vswitchd unix:"$rundir/db.sock" -vconsole:off -vsyslog:off --unixctl="$rundir/vswitchd.ctl" \
        --log-file="$rundir/vswitchd.log" --disable-system &
    daemons+=($!)
    for _ in $(seq 500); do [ -S "$rundir/vswitchd.ctl" ] && break; sleep 0.02; done
}

schema() {
    for at in /usr/share/openvswitch /usr/local/share/openvswitch; do
        [ -f $at/vswitch.ovsschema ] && { echo $at/vswitch.ovsschema; return; }
    done
}

failed=0 ran=0
try() {  # name, arguments
    local name=$1
    shift
    echo "== $name"
    if "$programs/$name" "$@"; then :; else echo "FAILED: $name (status $?)"; failed=$((failed + 1)); fi
    ran=$((ran + 1))
}

for name in add_link addresses routes rules neighbours namespaces sysctl nft_table monitor; do
    enter "$name" || { echo "FAILED: no namespace for $name"; exit 1; }
    try "$name" "$ns"
    leave
done
for name in ovs_bridge flows controller_node network_node compute_node hypervisor_node; do
    enter "$name" && start_switch "$name" || { echo "FAILED: no switch for $name"; exit 1; }
    try "$name" "$ns" "$rundir"
    leave
done
echo "$((ran - failed)) of $ran examples passed"
[ $failed = 0 ]
