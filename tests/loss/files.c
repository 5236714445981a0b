/* What the servers of the rows read: programs, pages, a certificate. */
#include "loss.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char flask_app[] = "import logging, sys, time\n"
                                "from flask import Flask\n"
                                "from werkzeug.serving import WSGIRequestHandler\n"
                                "WSGIRequestHandler.protocol_version = sys.argv[2]\n"
                                "logging.getLogger('werkzeug').setLevel(logging.ERROR)\n"
                                "app = Flask('app')\n"
                                "@app.route('/')\n"
                                "def page():\n"
                                "    time.sleep(0.05)\n"
                                "    return 'a page\\n' * 100\n"
                                "app.run(port=int(sys.argv[1]))\n";

static const char node_app[] = "const http = require('http');\n"
                               "http.createServer((request, response) => {\n"
                               "  setTimeout(() => response.end('a page\\n'.repeat(100)), 20);\n"
                               "}).listen(Number(process.argv[2]), '127.0.0.1');\n";

static const char node_secure[] =
    "const https = require('https'), fs = require('fs'), folder = process.argv[3];\n"
    "const options = { key: fs.readFileSync(folder + '/key.pem'),\n"
    "                  cert: fs.readFileSync(folder + '/cert.pem') };\n"
    "const delay = Number(process.argv[4] || 20);\n"
    "https.createServer(options, (request, response) => {\n"
    "  setTimeout(() => response.end('a page\\n'.repeat(100)), delay);\n"
    "}).listen(Number(process.argv[2]), '127.0.0.1');\n";

#define PYTHON_TLS                                                                                 \
    "import ssl, sys\n"                                                                            \
    "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"                                          \
    "context.load_cert_chain(sys.argv[2] + '/cert.pem', sys.argv[2] + '/key.pem')\n"               \
    "body = b'a page\\n' * 100\n"                                                                  \
    "head = b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body)\n"

static const char python_secure[] =
    PYTHON_TLS "import time\n"
               "from http.server import *\n"
               "class Page(BaseHTTPRequestHandler):\n"
               "    protocol_version = 'HTTP/1.1'\n"
               "    def do_GET(self):\n"
               "        time.sleep(0.02)\n"
               "        self.send_response(200)\n"
               "        self.send_header('Content-Length', str(len(body)))\n"
               "        self.end_headers()\n"
               "        self.wfile.write(body)\n"
               "    def log_message(self, *words):\n"
               "        pass\n"
               "server = ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Page)\n"
               "server.socket = context.wrap_socket(server.socket, server_side=True)\n"
               "server.serve_forever()\n";

static const char asyncio_secure[] =
    PYTHON_TLS "import asyncio\n"
               "delay = float(sys.argv[3]) if len(sys.argv) > 3 else 0.02\n"
               "async def serve(reader, writer):\n"
               "    try:\n"
               "        while await reader.readuntil(b'\\r\\n\\r\\n'):\n"
               "            await asyncio.sleep(delay)\n"
               "            writer.write(head + body)\n"
               "            await writer.drain()\n"
               "    except (asyncio.IncompleteReadError, ConnectionError):\n"
               "        writer.close()\n"
               "async def main():\n"
               "    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]),\n"
               "                                        ssl=context)\n"
               "    await server.serve_forever()\n"
               "asyncio.run(main())\n";

static FILE *create(const struct loss_place *place, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", place->directory, name);
    return fopen(path, "w");
}

static bool put(const struct loss_place *place, const char *name, const char *text, int times)
{
    FILE *file = create(place, name);
    if (file == NULL)
        return false;
    for (int i = 0; i < times; i++)
        fputs(text, file);
    return fclose(file) == 0;
}

static void make_certificate(const struct loss_place *place)
{
    char command[2048];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "
             "-subj /CN=localhost "
             "-keyout '%s/key.pem' -out '%s/cert.pem' >/dev/null 2>&1",
             place->directory, place->directory);
    if (system(command) != 0) /* NOLINT(cert-env33-c) */
        fprintf(stderr, "no certificate: openssl failed\n");
}

bool loss_prepare(const struct loss_place *place)
{
    char path[512];
    snprintf(path, sizeof path, "%s/www", place->directory);
    mkdir(path, 0755);
    chmod(place->directory, 0755); /* for servers that become somebody else */
    make_certificate(place);
    return put(place, "app.py", flask_app, 1) && put(place, "app.js", node_app, 1) &&
           put(place, "secure.js", node_secure, 1) && put(place, "secure.py", python_secure, 1) &&
           put(place, "secure_asyncio.py", asyncio_secure, 1) &&
           put(place, "www/index.html", "a page of a hundred bytes\n", 4) &&
           put(place, "www/large", "a line of a large file\n", 20000);
}
