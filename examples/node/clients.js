// Ten clients that never pause, each on a kept connection of its own, until nobody listens any more.
// Prints how many of them sent a request and got no answer. The server (SERVER is its pid) gets its TERM
// when each client has sent its second request.
const http = require('http');

const COUNT = 10;
let lost = 0, left = COUNT, sent = 0;

function ask(agent) {
  const request = http.get({ port: process.env.PORT, host: '127.0.0.1', agent }, (response) => {
    let body = '';
    response.on('data', (part) => { body += part; });
    response.on('end', () => (body === 'done\n' ? ask(agent) : leave(1)));
    response.on('error', () => leave(1));
  });
  request.on('error', (error) => leave(error.code === 'ECONNREFUSED' ? 0 : 1));
  request.on('finish', () => {
    sent += 1;
    if (sent === 2 * COUNT) process.kill(Number(process.env.SERVER), 'SIGTERM');
  });
}

function leave(requests) {
  lost += requests;
  left -= 1;
  if (left === 0) console.log(`${lost} of ${COUNT} clients lost a request`);
}

for (let i = 0; i < COUNT; i += 1) ask(new http.Agent({ keepAlive: true, maxSockets: 1 }));
