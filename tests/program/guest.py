# SPDX-License-Identifier: Apache-2.0
"""A guest on a tap: opens the device as the user it runs as, asks DHCP for its address and sends one echo request to its gateway.
Usage: guest.py TAP MAC. Prints what it saw as JSON; ends with 13 when it may not open the device. It plays no part in weft."""
import fcntl
import json
import os
import select
import socket
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
BROADCAST = b"\xff" * 6
SECONDS = 5


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, target, protocol, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, source, target)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def dhcp(mac, kind, options=b""):
    body = struct.pack("!BBBBIHH16s16s", 1, 1, 6, 0, 0x77656674, 0, 0x8000, b"", mac) + b"\0" * 192
    body += b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body  # a checksum of 0 is none
    return BROADCAST + mac + b"\x08\x00" + ipv4(b"\0" * 4, b"\xff" * 4, 17, udp)


def options_of(frame):
    at, found = 14 + 20 + 8 + 240, {}
    while at < len(frame) and frame[at] != 255:
        if frame[at]:
            found[frame[at]] = frame[at + 2:at + 2 + frame[at + 1]]
            at += 1 + frame[at + 1]
        at += 1
    return found


class Guest:
    def __init__(self, tap, mac):
        self.mac = mac
        self.fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI))

    def ask(self, frame, fits):
        """Sends the frame until one comes that fits; None after the time is over."""
        end, again = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            if time.monotonic() >= again:
                os.write(self.fd, frame)
                again = time.monotonic() + 0.3
            if select.select([self.fd], [], [], 0.05)[0]:
                seen = os.read(self.fd, 4096)
                if fits(seen):
                    return seen
        return None

    def lease(self):
        def answers(kind):
            return lambda f: f[12:14] == b"\x08\x00" and f[23] == 17 and f[34:38] == b"\x00\x43\x00\x44" and options_of(f).get(53) == bytes([kind])
        offer = self.ask(dhcp(self.mac, 1), answers(2))
        if offer is None:
            return None
        wanted = b"\x32\x04" + offer[58:62] + b"\x36\x04" + options_of(offer)[54]
        ack = self.ask(dhcp(self.mac, 3, wanted), answers(5))
        return ack and (ack[58:62], options_of(ack))

    def resolve(self, own, target):
        arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, self.mac, own, b"\0" * 6, target)
        seen = self.ask(BROADCAST + self.mac + b"\x08\x06" + arp, lambda f: f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" and f[28:32] == target)
        return seen and seen[22:28]

    def ping(self, own, target, target_mac):
        icmp = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"weft" * 8
        icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
        frame = target_mac + self.mac + b"\x08\x00" + ipv4(own, target, 1, icmp)
        return self.ask(frame, lambda f: f[12:14] == b"\x08\x00" and f[23] == 1 and f[34] == 0 and f[26:30] == target) is not None


def main(tap, mac):
    mac = bytes.fromhex(mac.replace(":", ""))
    try:
        guest = Guest(tap, mac)
    except PermissionError:
        return 13
    said = {"uid": os.getuid(), "address": None, "gateway": None, "pinged": False}
    lease = guest.lease()
    if lease:
        own, gateway = lease[0], lease[1][3]
        said |= {"address": socket.inet_ntoa(own), "gateway": socket.inet_ntoa(gateway), "mtu": int.from_bytes(lease[1].get(26, b""), "big")}
        router = guest.resolve(own, gateway)
        said["pinged"] = router is not None and guest.ping(own, gateway, router)
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
