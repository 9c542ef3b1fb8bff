# SPDX-License-Identifier: Apache-2.0
"""Run on a node: stands between weft and the OpenFlow side of ovs-vswitchd, in a run directory of its own, and cuts a connection at a commit.
    openflow_proxy.py FOLDER MODE N      MODE: pass, before (the Nth commit of a bundle never gets to the switch), after (the switch has done it, and
                                         the reply gets lost), half (only half of the reply comes through)
How many commits there were stands in FOLDER/count."""
import glob
import os
import socket
import struct
import sys
import threading

folder, mode, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
real = "/run/openvswitch"
bridges = ("br-int", "br-tun", "br-ex", "br-eth1", "br-eth2")
os.makedirs(folder, exist_ok=True)
for old in os.listdir(folder):
    os.unlink(os.path.join(folder, old))
for way in [*glob.glob(real + "/ovs-vswitchd.*.ctl"), real + "/db.sock", *(f"{real}/{bridge}.snoop" for bridge in bridges)]:
    os.symlink(way, os.path.join(folder, os.path.basename(way)))
lock, met = threading.Lock(), 0
COMMIT, COMMITTED = 4, 5


def shut(*sockets):
    for s in sockets:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def messages(source):
    data = b""
    while more := source.recv(65536):
        data += more
        while len(data) >= 8 and len(data) >= (size := struct.unpack("!H", data[2:4])[0]):
            yield data[:size]
            data = data[size:]


def control_of(message):
    """What a message of a bundle is about: of OpenFlow 1.4 one of its own, of 1.3 one of the ONF's extension."""
    if message[:2] == b"\5\x21" and len(message) >= 16:
        return struct.unpack("!H", message[12:14])[0]
    if message[:2] == b"\4\4" and message[8:16] == struct.pack("!II", 0x4f4e4600, 2300) and len(message) >= 24:
        return struct.unpack("!H", message[20:22])[0]
    return None


def serve(client, bridge):
    switch, chosen = socket.socket(socket.AF_UNIX), threading.Event()
    try:
        switch.connect(f"{real}/{bridge}.mgmt")
    except OSError:
        return client.close()

    def requests():
        global met
        try:
            for message in messages(client):
                if control_of(message) == COMMIT:
                    with lock:
                        met += 1
                        if met == number and mode != "pass":
                            chosen.set()
                        with open(folder + "/count", "w") as count:
                            count.write(str(met))
                    if chosen.is_set() and mode == "before":
                        break
                switch.sendall(message)
        except OSError:
            pass
        shut(client, switch)

    def answers():
        try:
            for message in messages(switch):
                if chosen.is_set() and control_of(message) == COMMITTED:
                    client.sendall(message[:len(message) // 2] if mode == "half" else b"")
                    break
                client.sendall(message)
        except OSError:
            pass
        shut(client, switch)

    threading.Thread(target=requests, daemon=True).start()
    threading.Thread(target=answers, daemon=True).start()


def listen(bridge):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/{bridge}.mgmt")
    listener.listen(16)
    while True:
        serve(listener.accept()[0], bridge)


for bridge in bridges:
    threading.Thread(target=listen, args=(bridge,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
