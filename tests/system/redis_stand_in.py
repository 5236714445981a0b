#!/usr/bin/python3
"""redis_stand_in.py PORT TIME BEFORE AFTER: answers one client as a Redis would whose clock stands at TIME,
and whose LASTSAVE is BEFORE until it is told to SAVE, then AFTER. Numbers are seconds."""
import socketserver
import sys

PORT, TIME, BEFORE, AFTER = map(int, sys.argv[1:])


def bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text), text)


class Redis(socketserver.StreamRequestHandler):
    def words(self):
        count = int(self.rfile.readline()[1:] or 0)
        for _ in range(count):
            yield self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2]

    def handle(self):
        saved = BEFORE
        while words := list(self.words()):
            if words[0] == b"SAVE":
                saved = AFTER
            self.wfile.write({
                b"INFO": bulk(b"rdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:ok\r\n"),
                b"TIME": b"*2\r\n" + bulk(b"%d" % TIME) + bulk(b"0"),
                b"LASTSAVE": b":%d\r\n" % saved,
            }.get(words[0], b"+OK\r\n"))


with socketserver.TCPServer(("127.0.0.1", PORT), Redis) as server:
    print("ready", flush=True)
    server.serve_forever()
