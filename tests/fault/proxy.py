# SPDX-License-Identifier: Apache-2.0
"""Run on a node: stands between weft and ovsdb-server, in a run directory of its own, and spoils what the server says.
    proxy.py FOLDER MODE N      MODE: pass, drop (connection closed instead of message N), half (closed after half of it), drop+ and half+
                                (message N and all that follow), delay (N ms before each), bytes (one at a time), conflict (takes one
                                name more: another writer replaces that port and its interface before each of the first N transactions
                                that rely on a row)
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
lock, met, conflicts = threading.Lock(), 0, 0


def shut(*sockets):
    for s in sockets:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def parts(source):
    """The JSON values that come, each as text."""
    text, decode = "", json.JSONDecoder().raw_decode
    while data := source.recv(1 << 20):
        text += data.decode()
        while text:
            try:
                end = decode(text)[1]
            except ValueError:
                break
            yield text[:end].encode()
            text = text[end:].lstrip()


def replace(port):
    """A port and its interface in new rows with the same values, in one transaction."""
    other = socket.socket(socket.AF_UNIX)
    other.connect(real + "/db.sock")

    def transact(*operations):
        other.sendall(json.dumps({"method": "transact", "params": ["Open_vSwitch", *operations], "id": 0}).encode())
        answer = json.loads(next(parts(other)))
        assert not answer["error"] and not any(row.get("error") for row in answer["result"]), answer
        return [row.get("rows") for row in answer["result"]]

    named = [["name", "==", port]]
    columns = {"Interface": ["name", "type", "options", "external_ids", "other_config", "mtu_request", "ofport_request"],
               "Port": ["name", "tag", "trunks", "vlan_mode", "external_ids", "other_config"]}
    selected = transact(*({"op": "select", "table": table, "where": named, "columns": [*names, "_uuid"]} for table, names in columns.items()))
    (interface,), (old,) = selected
    (bridge,), = transact({"op": "select", "table": "Bridge", "where": [["ports", "includes", old["_uuid"]]], "columns": ["_uuid"]})
    values = {**old, "interfaces": ["named-uuid", "interface"]}
    for row in (values, interface):
        row.pop("_uuid")
    here = [["_uuid", "==", bridge["_uuid"]]]
    transact({"op": "mutate", "table": "Bridge", "where": here, "mutations": [["ports", "delete", old["_uuid"]]]},
             {"op": "insert", "table": "Interface", "row": interface, "uuid-name": "interface"},
             {"op": "insert", "table": "Port", "row": values, "uuid-name": "port"},
             {"op": "mutate", "table": "Bridge", "where": here, "mutations": [["ports", "insert", ["named-uuid", "port"]]]})
    other.close()


def relies_on_a_row(message):
    asked = json.loads(message)
    operations = asked.get("params", [])[1:] if asked.get("method") == "transact" else []
    return any(o["op"] == "wait" and o["columns"] == ["name"] for o in operations)


def requests(client, server):
    global conflicts
    try:
        for message in parts(client):
            if mode == "conflict" and relies_on_a_row(message):
                with lock:
                    conflicts += 1
                    print(f"relies on a row, {conflicts}", flush=True)
                    if conflicts <= number:
                        replace(sys.argv[4])
            server.sendall(message)
    except OSError:
        pass
    shut(client, server)


def one_by_one(data):
    for i in range(len(data)):
        yield data[i:i + 1]


def answers(client, server):
    global met
    try:
        for message in parts(server):
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
