#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# proj_one/vm2 without libvirt: QEMU run by the tap's user opens the tap that weft made, and boots from the network. Further
# arguments go to QEMU. vnet_hdr=off because a switch in user space carries no unfinished checksums; on the kernel's leave it out.
exec qemu-system-x86_64 -m 64 -display none -boot n \
    -netdev tap,id=net0,ifname=tapa14722ce-e8,script=no,downscript=no,vnet_hdr=off \
    -device virtio-net-pci,netdev=net0,mac=02:77:65:66:74:12 "$@"
