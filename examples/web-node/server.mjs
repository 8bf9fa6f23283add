// An ordinary HTTP server, as it would run anywhere: it listens on $PORT and knows nothing of functions.

import http from 'node:http';

let served = 0;

const server = http.createServer((request, response) => {
  served += 1;
  if (request.url.split('?')[0].endsWith('/ticks')) {
    ticks(response);
    return;
  }
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`${request.method} ${request.url}: request ${served} of this instance\n`);
});

/** A response that takes a second, line by line, to see that it streams. */
async function ticks(response) {
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  for (let tick = 1; tick <= 5 && !response.destroyed; tick += 1) {
    response.write(`tick ${tick}\n`);
    await new Promise((done) => setTimeout(done, 200));
  }
  response.end();
}

server.listen(Number(process.env.PORT), () => console.log('listening on', server.address().port));
