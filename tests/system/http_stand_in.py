#!/usr/bin/python3
"""A real HTTP server that stands in for what hooks talk to.

http_stand_in.py PORT|PATH [CERTIFICATE KEY [CLIENT-CA]]

It keeps a register of services as Consul's agent does, writes each request into the file "requests"
as one JSON line, and answers:

    PUT /v1/agent/service/deregister/ID    takes ID out of the register (the file "register")
    /status/NNN                            that status, with a body that says why
    /redirect                              to /status/200
    /flaky                                 503 the first time, then 200
    /private                               401 unless "Authorization" is what the file "who" has
    /slow                                  nothing, for ever
"""
import http.server
import json
import os
import socket
import ssl
import sys
import threading

LOCK = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    flaky = 0

    def log_message(self, *unused):
        pass

    def answer(self, status, text="", headers=()):
        body = text.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def note(self, body):
        certificate = getattr(self.connection, "getpeercert", lambda: None)()
        client = dict(pair for part in (certificate or {}).get("subject", ()) for pair in part)
        with LOCK, open("requests", "a", encoding="utf-8") as requests:
            requests.write(json.dumps({
                "method": self.command, "path": self.path, "body": body,
                "headers": dict(self.headers.items()), "client": client.get("commonName"),
            }, sort_keys=True) + "\n")

    def deregister(self, service):
        with LOCK:
            with open("register", encoding="utf-8") as register:
                services = register.read().split()
            if service not in services:
                return self.answer(404, f'Unknown service ID "{service}"')
            services.remove(service)
            with open("register.new", "w", encoding="utf-8") as register:
                register.write("".join(s + "\n" for s in services))
            os.rename("register.new", "register")
        return self.answer(200)

    def serve(self):
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length or 0)).decode("utf-8", "backslashreplace")
        self.note(body)
        path = self.path.split("?")[0]
        if self.command == "PUT" and length is None:
            return self.answer(411, "a PUT says how long it is")
        if self.command == "PUT" and path.startswith("/v1/agent/service/deregister/"):
            return self.deregister(path.rsplit("/", 1)[1])
        if self.command == "PUT" and path.startswith("/v1/kv/"):
            return self.answer(200, "true")
        if path.startswith("/status/"):
            return self.answer(int(path[8:]), "because\nI say so")
        if path == "/redirect":
            return self.answer(302, headers=[("Location", "/status/200")])
        if path == "/flaky":
            Handler.flaky += 1
            return self.answer(503 if Handler.flaky == 1 else 200)
        if path == "/private":
            with open("who", encoding="utf-8") as who:
                right = self.headers.get("Authorization") == who.read().strip()
            return self.answer(200 if right else 401)
        if path == "/slow":
            threading.Event().wait()
        return self.answer(404, "no such page")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve


class UnixServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


class Quiet(Handler):
    def address_string(self):
        return "unix"


def main():
    where, tls = sys.argv[1], sys.argv[2:]
    if where.startswith("/"):
        server = UnixServer(where, Quiet)
    else:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(where)), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls[0], tls[1])
        if len(tls) > 2:
            context.load_verify_locations(tls[2])
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


main()
