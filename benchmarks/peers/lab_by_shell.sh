#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The plan-1 lab made with ip, ovs-vsctl, ovs-ofctl and nft: the peer of `weft lab up`. Batched wherever the tool can
# (ip -batch, one ovs-vsctl call a node, ovs-ofctl bundles, nft -f). Nodes are network namespaces with an Open vSwitch each.
# Usage: lab_by_shell.sh up|up-parallel|down PREFIX. It makes namespaces PREFIX-* only and removes them with `down`.
set -eu
verb=$1
p=$2
run=/run/$p

node_ns() { echo "$p-$1"; }

start_ovs() { # node
    local d=$run/$1
    mkdir -p "$d"
    ovsdb-tool create "$d/conf.db" /usr/share/openvswitch/vswitch.ovsschema
    OVS_RUNDIR=$d ip netns exec "$(node_ns "$1")" ovsdb-server "$d/conf.db" --remote=punix:"$d/db.sock" --unixctl="$d/db.ctl" \
        --pidfile="$d/db.pid" --log-file="$d/db.log" --detach --no-chdir -vconsole:off
    ovs-vsctl --db=unix:"$d/db.sock" --no-wait init
    OVS_RUNDIR=$d ip netns exec "$(node_ns "$1")" ovs-vswitchd unix:"$d/db.sock" --disable-system --unixctl="$d/vs.ctl" \
        --pidfile="$d/vs.pid" --log-file="$d/vs.log" --detach --no-chdir -vconsole:off
}

guard() { # node device…: the host stack must not see the frames of a port of the userspace datapath
    local n=$1 text="table netdev guard {"$'\n' d
    shift
    for d in "$@"; do text+=" chain in-$d { type filter hook ingress device $d priority -300; policy drop; }"$'\n'; done
    echo "$text}" | ip netns exec "$(node_ns "$n")" nft -f -
}

tunnel_flows() { # tunnel ports…: the pipeline of tables 0 2 3 10 20 22 for networks 1 to 3 (local VLAN = id)
    local port flood
    echo "table=0,priority=1,in_port=patch-int,actions=goto_table:2"
    for port in "$@"; do echo "table=0,priority=1,in_port=$port,actions=goto_table:3"; done
    echo "table=0,priority=0,actions=drop"
    echo "table=2,priority=0,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,actions=goto_table:20"
    echo "table=2,priority=0,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=goto_table:22"
    for id in 1 2 3; do echo "table=3,priority=1,tun_id=$id,actions=push_vlan:0x8100,set_field:$((4096 + id))->vlan_vid,goto_table:10"; done
    echo "table=3,priority=0,actions=drop"
    echo "table=10,priority=1,actions=learn(table=20,hard_timeout=300,priority=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[]),output:patch-int"
    echo "table=20,priority=0,actions=goto_table:22"
    flood=$(printf ',output:%s' "$@")
    for id in 1 2 3; do echo "table=22,priority=1,dl_vlan=$id,actions=pop_vlan,set_field:$id->tun_id$flood"; done
    echo "table=22,priority=0,actions=drop"
}

switch() { # node local_ip remote_ip…
    local n=$1 me=$2 d=$run/$1 args tunnels=() ip hex
    shift 2
    args="-- --may-exist add-br br-eth1 -- set bridge br-eth1 datapath_type=netdev other_config:hwaddr=$(ip -n "$(node_ns "$n")" -br link show eth1 | awk '{print $3}')
          -- add-port br-eth1 eth1
          -- add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure protocols=OpenFlow10,OpenFlow13,OpenFlow14
          -- add-br br-tun -- set bridge br-tun datapath_type=netdev fail_mode=secure protocols=OpenFlow10,OpenFlow13,OpenFlow14
          -- add-port br-int patch-tun -- set interface patch-tun type=patch options:peer=patch-int
          -- add-port br-tun patch-int -- set interface patch-int type=patch options:peer=patch-tun"
    for ip in "$@"; do
        hex=$(printf 'gre-%02x%02x%02x%02x' ${ip//./ })
        tunnels+=("$hex")
        args+=" -- add-port br-tun $hex -- set interface $hex type=gre options:remote_ip=$ip options:local_ip=$me options:key=flow options:df_default=true"
    done
    ovs-vsctl --db=unix:"$d/db.sock" $args ${extra_ports:-}
    ip -n "$(node_ns "$n")" -batch - <<END
link set br-eth1 up
addr add $me/24 dev br-eth1
END
    tunnel_flows "${tunnels[@]}" | ovs-ofctl -O OpenFlow14 --bundle add-flows unix:"$d/br-tun.mgmt" - 2>/dev/null ||
        tunnel_flows "${tunnels[@]}" | OVS_RUNDIR=$d ovs-ofctl -O OpenFlow14 --bundle add-flows br-tun -
    printf 'table=0,priority=65535,dl_vlan=4095,actions=drop\ntable=0,priority=0,actions=goto_table:60\ntable=23,priority=0,actions=drop\ntable=60,priority=1,actions=NORMAL\n' |
        OVS_RUNDIR=$d ovs-ofctl -O OpenFlow14 --bundle add-flows br-int -
}

controller() {
    ip -n "$(node_ns controller)" -batch - <<END
addr add 10.10.10.51/24 dev eth0
addr add 192.168.100.51/24 dev eth1
route add default via 192.168.100.1
END
    echo 'table inet guard { chain forward { type filter hook forward priority 0; policy drop; }
    }' | ip netns exec "$(node_ns controller)" nft -f -
}

compute() { # name number vm:tag:address:gateway…
    local n=$1 i=$2 vm name tag address gateway ns
    shift 2
    ns=$(node_ns "$n")
    start_ovs "$n"
    extra_ports=""
    local taps=(eth1)
    for vm in "$@"; do
        IFS=: read -r name tag address gateway <<<"$vm"
        taps+=("tap-$name")
        extra_ports+=" -- add-port br-int tap-$name tag=$tag -- set interface tap-$name external_ids:iface-id=$name"
        ip -n "$ns" link add "tap-$name" mtu 1458 type veth peer name eth0 mtu 1458 netns "$(node_ns "$name")"
    done
    guard "$n" "${taps[@]}"
    ip -n "$ns" -batch - <<END
addr add 10.10.10.5$i/24 dev eth0
$(for t in "${taps[@]}"; do echo "link set $t up"; done)
END
    local others=()
    for x in 52 53 54; do [ "$x" = "5$i" ] || others+=("10.20.20.$x"); done
    switch "$n" "10.20.20.5$i" "${others[@]}"
    for vm in "$@"; do
        IFS=: read -r name tag address gateway <<<"$vm"
        ip netns exec "$(node_ns "$name")" ethtool -K eth0 tx off >/dev/null
        ip -n "$(node_ns "$name")" -batch - <<END
link set lo up
link set eth0 up
addr add $address/24 dev eth0
route add default via $gateway
END
    done
}

network() {
    local n=network ns r i=0
    ns=$(node_ns network)
    start_ovs network
    local taps=(eth1 eth2)
    extra_ports="-- add-br br-ex -- set bridge br-ex datapath_type=netdev -- add-port br-ex eth2"
    # router: number, external address, internal ports (tag:gateway), floating pairs
    for r in "1 192.168.100.102 1:50.50.1.1,2:50.50.2.1 192.168.100.103=50.50.1.11,192.168.100.104=50.50.1.12" "2 192.168.100.105 3:50.50.1.1 192.168.100.106=50.50.1.11"; do
        set -- $r
        local rn=$p-qrouter$1 nat="" batch="" pair snat=""
        ip netns add "$rn"
        ip -n "$ns" link add "tapqg$1" type veth peer name "qg-$1" netns "$rn"
        taps+=("tapqg$1")
        extra_ports+=" -- add-port br-ex tapqg$1"
        batch="addr add $2/24 dev qg-$1"$'\n'"link set qg-$1 up"$'\n'"link set lo up"$'\n'"route add default via 192.168.100.1"
        for port in ${3//,/ }; do
            i=$((i + 1))
            ip -n "$ns" link add "tapqr$i" mtu 1458 type veth peer name "qr-$i" mtu 1458 netns "$rn"
            taps+=("tapqr$i")
            extra_ports+=" -- add-port br-int tapqr$i tag=${port%%:*}"
            batch="link set qr-$i up"$'\n'"addr add ${port#*:}/24 dev qr-$i"$'\n'"$batch"
            ip netns exec "$rn" ethtool -K "qr-$i" tx off >/dev/null
        done
        ip netns exec "$rn" ethtool -K "qg-$1" tx off >/dev/null
        for pair in ${4//,/ }; do
            batch+=$'\n'"addr add ${pair%=*}/32 dev qg-$1"
            nat+="ip daddr ${pair%=*} dnat to ${pair#*=}; "
            snat+="ip saddr ${pair#*=} snat to ${pair%=*}; "
        done
        ip -n "$rn" -batch - <<<"$batch"
        ip netns exec "$rn" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
        ip netns exec "$rn" nft -f - <<END
table ip nat {
 chain prerouting { type nat hook prerouting priority dstnat; $nat }
 chain output { type nat hook output priority -100; $nat }
 chain outside { type filter hook prerouting priority mangle; iifname "qg-$1" meta mark set 0x2; }
 chain postrouting { type nat hook postrouting priority srcnat; oifname != "qg-$1" ct status & dnat == 0 accept; $snat
  oifname "qg-$1" snat to $2; meta mark & 0xffff != 0x2 ct status & dnat != 0 snat to $2; }
}
END
    done
    guard network "${taps[@]}"
    ip -n "$ns" -batch - <<END
addr add 10.10.10.52/24 dev eth0
$(for t in "${taps[@]}"; do echo "link set $t up"; done)
END
    switch network 10.20.20.52 10.20.20.53 10.20.20.54
}

up() { # parallel?
    mkdir -p "$run"
    local n cable c=$p-cables
    ip -batch - <<END
$(for n in cables controller network compute1 compute2 router lan1 internet1 vm1 vm2 vm3 vm4; do echo "netns add $p-$n"; done)
END
    ip -n "$c" -batch - <<END
$(for n in mgmt vmc ext inet; do echo "link add $n type bridge"; echo "link set $n up"; done)
END
    # node:nic:bridge
    for cable in controller:eth0:mgmt controller:eth1:ext network:eth0:mgmt network:eth1:vmc network:eth2:ext compute1:eth0:mgmt \
        compute1:eth1:vmc compute2:eth0:mgmt compute2:eth1:vmc router:eth0:ext router:eth1:inet lan1:eth0:ext internet1:eth0:inet; do
        IFS=: read -r n nic bridge <<<"$cable"
        echo "link add $n-$nic master $bridge type veth peer name $nic netns $p-$n"
        echo "link set $n-$nic up"
    done | ip -n "$c" -batch -
    for n in controller network compute1 compute2 router lan1 internet1; do
        ip -n "$p-$n" -batch - <<END
link set lo up
$(for nic in $(ip -n "$p-$n" -br link | awk -F'[@ ]' '/^eth/ {print $1}'); do echo "link set $nic up"; done)
END
        for nic in $(ip -n "$p-$n" -br link | awk -F'[@ ]' '/^eth/ {print $1}'); do ip netns exec "$p-$n" ethtool -K "$nic" tx off >/dev/null; done
    done
    ip -n "$p-router" -batch - <<END
addr add 192.168.100.1/24 dev eth0
addr add 203.0.113.1/24 dev eth1
END
    ip netns exec "$p-router" sysctl -qw net.ipv4.ip_forward=1
    echo 'table ip lab { chain post { type nat hook postrouting priority srcnat; oifname "eth1" masquerade; }
        chain passing { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "eth0" accept; }
    }' |
        ip netns exec "$p-router" nft -f -
    ip -n "$p-lan1" -batch - <<<"addr add 192.168.100.200/24 dev eth0"$'\n'"route add default via 192.168.100.1"
    ip -n "$p-internet1" -batch - <<<"addr add 203.0.113.10/24 dev eth0"$'\n'"route add default via 203.0.113.1"
    if [ "${1:-}" = parallel ]; then
        controller & network & compute compute1 3 vm1:1:50.50.1.11:50.50.1.1 vm4:3:50.50.1.11:50.50.1.1 &
        compute compute2 4 vm2:1:50.50.1.12:50.50.1.1 vm3:2:50.50.2.11:50.50.2.1 &
        wait
    else
        controller
        network
        compute compute1 3 vm1:1:50.50.1.11:50.50.1.1 vm4:3:50.50.1.11:50.50.1.1
        compute compute2 4 vm2:1:50.50.1.12:50.50.1.1 vm3:2:50.50.2.11:50.50.2.1
    fi
}

down() {
    local f n
    for f in "$run"/*/*.pid; do [ -e "$f" ] && kill -9 "$(cat "$f")" 2>/dev/null || true; done
    for n in $(ip netns list | awk '{print $1}' | grep "^$p-" || true); do ip netns delete "$n"; done
    rm -rf "$run"
}

case $verb in
    up) up ;;
    up-parallel) up parallel ;;
    down) down ;;
    *) echo "usage: $0 up|up-parallel|down PREFIX" >&2; exit 2 ;;
esac
