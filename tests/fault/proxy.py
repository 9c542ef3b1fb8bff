# SPDX-License-Identifier: Apache-2.0
"""Run on a node: stands between weft and ovsdb-server, in a run directory of its own, and spoils what the server says.
    proxy.py FOLDER MODE N      MODE: pass, drop (connection closed instead of message N), half (closed after half of it), drop+ and half+
                                (message N and all that follow), delay (N ms before each), bytes (one at a time)
How many messages there were stands in FOLDER/count."""
import glob
import json
import os
import socket
import sys
import threading
import time

folder, mode, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
real = "/run/openvswitch"
os.makedirs(folder, exist_ok=True)
for old in os.listdir(folder):
    os.unlink(os.path.join(folder, old))
for control in glob.glob(real + "/ovs-vswitchd.*.ctl"):
    os.symlink(control, os.path.join(folder, os.path.basename(control)))
for bridge in ("br-int", "br-tun", "br-ex", "br-eth1", "br-eth2"):
    for kind in ("mgmt", "snoop"):
        os.symlink(f"{real}/{bridge}.{kind}", f"{folder}/{bridge}.{kind}")
lock, met = threading.Lock(), 0


def shut(*sockets):
    for s in sockets:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def requests(client, server):
    try:
        while data := client.recv(65536):
            server.sendall(data)
    except OSError:
        pass
    shut(client, server)


def one_by_one(data):
    for i in range(len(data)):
        yield data[i:i + 1]


def answers(client, server):
    global met
    text, decode = "", json.JSONDecoder().raw_decode
    try:
        while data := server.recv(1 << 20):
            text += data.decode()
            while text:
                try:
                    end = decode(text)[1]
                except ValueError:
                    break
                message, text = text[:end].encode(), text[end:].lstrip()
                with lock:
                    met += 1
                    n = met
                    with open(folder + "/count", "w") as count:
                        count.write(str(met))
                if mode.rstrip("+") in ("drop", "half") and (n == number or (mode.endswith("+") and n > number)):
                    if mode.startswith("half"):
                        client.sendall(message[:len(message) // 2])
                        time.sleep(0.02)
                    return shut(client, server)
                if mode == "delay":
                    time.sleep(number / 1000)
                for part in one_by_one(message) if mode == "bytes" else [message]:
                    client.sendall(part)
    except OSError:
        pass
    shut(client, server)


listener = socket.socket(socket.AF_UNIX)
listener.bind(folder + "/db.sock")
listener.listen(16)
print("ready", flush=True)
while True:
    client = listener.accept()[0]
    server = socket.socket(socket.AF_UNIX)
    server.connect(real + "/db.sock")
    for work in (requests, answers):
        threading.Thread(target=work, args=(client, server), daemon=True).start()
