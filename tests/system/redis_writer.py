#!/usr/bin/python3
"""redis_writer.py PORT: sets one key after the other, and writes into "acknowledged" how many were
acknowledged. Ends when the server does, or holds it up for long."""
import os
import socket
import sys

server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
server.settimeout(60)
count = 0
with open("acknowledged", "w", encoding="utf-8") as acknowledged:
    try:
        while True:
            server.sendall(b"SET w:%d x\r\n" % (count + 1))
            answer = server.recv(64)
            if answer != b"+OK\r\n":
                break
            count += 1
            os.pwrite(acknowledged.fileno(), b"%d" % count, 0)
            if count == 1000:
                print("ready", flush=True)
    except OSError:
        pass
