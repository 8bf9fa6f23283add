'use strict';
// A platform with nobody behind it, before which a waiting interpreter rehearses what it will do for its function:
// takes an assignment, loads a handler, answers an event. The first time costs most, because all code is compiled
// when it first runs, and nobody waits for it then.

const Module = require('module');
const net = require('net');
const path = require('path');

const EVENT =
  'content-type: application/json\r\nlambda-runtime-aws-request-id: 00000000-0000-0000-0000-000000000000\r\n' +
  'lambda-runtime-deadline-ms: 1000000000000\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n' +
  'lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:none\r\n';

/** Runs `act` with the address of the platform, the folder of the handlers there, and their names. */
async function rehearse(act) {
  const folder = path.join(path.dirname(process.argv[1]), 'rehearsal');
  const variables = { ...process.env, LAMBDA_TASK_ROOT: process.cwd(), MAYFLY_REHEARSAL: '1' };
  const answers = [answer('', JSON.stringify(variables)), answer(EVENT, '{"key": ["value", 1]}'), answer(EVENT, '{}')];
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(answers.shift() ?? answer(EVENT, '{}')));
  });
  try {
    await new Promise((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done));
    await act(`127.0.0.1:${server.address().port}`, folder, ['handler.handler', 'module.handler']);
  } catch {
    // Then the first event costs what it costs.
  } finally {
    server.close();
    delete Module._cache[path.join(folder, 'handler.js')];
  }
}

function answer(headers, body) {
  return `HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;
}

module.exports = { rehearse };
