// A server as many are: it knows nothing of signals, and keeps connections open.
const http = require('http');

http.createServer((request, response) => {
  setTimeout(() => response.end('done\n'), 500);
}).listen(Number(process.env.PORT), '127.0.0.1');
