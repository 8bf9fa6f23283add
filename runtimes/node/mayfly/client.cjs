'use strict';
// The Runtime API over one kept connection. `net` alone starts 5 ms sooner than `http`, and the platform's
// server always sends a Content-Length, so that is the only framing understood here.
//
// The socket keeps the event loop alive only while an answer is awaited: in between, an empty event loop
// means that the function has nothing more to do, which is what callbackWaitsForEmptyEventLoop asks about.

const net = require('net');

const HEAD_END = Buffer.from('\r\n\r\n');
const TRAILER_LINES = 20;
const TRAILER_TEXT = 2048;

class Client {
  #host;
  #port;
  #address;
  #socket = null;
  #waiting = null;
  // The event that a result was answered with.
  #ahead = null;

  constructor(address) {
    const colon = address.lastIndexOf(':');
    this.#address = address;
    this.#host = address.slice(0, colon);
    this.#port = Number(address.slice(colon + 1));
  }

  /** Lets go of the connection. */
  close() {
    this.#socket?.destroy();
    this.#socket = null;
  }

  /** Waits for the next event: its headers, names in lower case, and its bytes. */
  async next() {
    const ahead = this.#ahead;
    this.#ahead = null;
    const answer = ahead ?? (await this.#exchange('GET', 'invocation/next', '', null));
    if (answer.status !== 200) {
      throw new Error(`The platform answered ${answer.status} to a request for an event: ${answer.body}`);
    }
    return answer;
  }

  /** Waits for the environment of the function that this process is to become. */
  async assignment() {
    const answer = await this.#exchange('GET', 'assignment', '', null);
    if (answer.status !== 200) {
      throw new Error(`The platform answered ${answer.status} to a request for an assignment: ${answer.body}`);
    }
    return JSON.parse(answer.body);
  }

  /** Hands a result in; the platform may take its time, and answer with the next event. */
  async respond(requestId, json) {
    const headers = 'Content-Type: application/json\r\nMayfly-Next: wait\r\n';
    const answer = await this.#post(`invocation/${requestId}/response`, headers, json);
    if (answer.status === 200) this.#ahead = answer;
  }

  fail(requestId, document) {
    return this.#post(`invocation/${requestId}/error`, errorHeaders(document), JSON.stringify(document));
  }

  /**
   * Begins an answer of unknown length: `write` pieces of it, then `end` it, with a document if it failed.
   * Between its pieces it keeps the event loop alive no more than the function itself does.
   */
  stream(requestId, contentType) {
    const headers =
      `Content-Type: ${contentType}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n` +
      'Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type, ' +
      'Lambda-Runtime-Function-Error-Body\r\n';
    const path = `invocation/${requestId}/response`;
    const answer = this.#attempt(this.#head('POST', path, headers), null);
    // Whoever ends the stream hears of it; until then it is no unhandled rejection.
    answer.catch(() => {});
    this.#socket.unref();
    const send = (pieces, done) => {
      const socket = this.#socket;
      if (!socket) return done(new Error('the platform closed the connection'));
      socket.cork();
      pieces.forEach((piece, index) => socket.write(piece, index === pieces.length - 1 ? done : undefined));
      socket.uncork();
    };
    return {
      write: (chunk, done) => {
        // A chunk of no length would be the end.
        if (chunk.length === 0) return done();
        send([`${chunk.length.toString(16)}\r\n`, chunk, '\r\n'], done);
      },
      end: async (document) => {
        this.#socket?.ref();
        send([`0\r\n${document ? errorTrailers(document) : ''}\r\n`], () => {});
        complain(path, await answer);
      },
    };
  }

  failInit(document) {
    return this.#post('init/error', errorHeaders(document), JSON.stringify(document));
  }

  async #post(path, headers, text) {
    const body = Buffer.from(text);
    const length = `Content-Length: ${body.length}\r\n`;
    const answer = await this.#exchange('POST', path, headers + length, body);
    complain(path, answer);
    return answer;
  }

  #head(method, path, headers) {
    const agent = `mayfly-node/${process.versions.node}`;
    return (
      `${method} /2018-06-01/runtime/${path} HTTP/1.1\r\nHost: ${this.#address}\r\n` +
      `User-Agent: ${agent}\r\n${headers}\r\n`
    );
  }

  async #exchange(method, path, headers, body) {
    const head = this.#head(method, path, headers);
    const kept = this.#socket !== null;
    try {
      return await this.#attempt(head, body);
    } catch (error) {
      if (!kept) throw error;
    }
    // The platform may have closed a connection that lay idle; a fresh one decides.
    return this.#attempt(head, body);
  }

  #attempt(head, body) {
    return new Promise((resolve, reject) => {
      this.#socket ??= this.#connect();
      this.#waiting = { resolve, reject, chunks: [], size: 0, answer: null };
      this.#socket.ref();
      this.#socket.cork();
      this.#socket.write(head, 'latin1');
      if (body) this.#socket.write(body);
      this.#socket.uncork();
    });
  }

  #connect() {
    const socket = net.connect({ host: this.#host, port: this.#port, noDelay: true });
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', () => {}); // 'close' follows and says all there is to say.
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#settle((waiting) => waiting.reject(new Error('the platform closed the connection')));
    });
    return socket;
  }

  #receive(chunk) {
    const waiting = this.#waiting;
    if (!waiting) return;
    waiting.chunks.push(chunk);
    waiting.size += chunk.length;
    if (!waiting.answer) {
      const data = Buffer.concat(waiting.chunks);
      const end = data.indexOf(HEAD_END);
      if (end < 0) return;
      waiting.answer = parseHead(data.toString('latin1', 0, end));
      waiting.start = end + HEAD_END.length;
      waiting.chunks = [data];
    }
    const { answer, start } = waiting;
    const length = Number(answer.headers['content-length'] ?? 0);
    if (waiting.size < start + length) return;
    answer.body = Buffer.concat(waiting.chunks).subarray(start, start + length);
    if (answer.headers.connection?.toLowerCase() === 'close') {
      this.#socket.destroy();
      this.#socket = null;
    }
    this.#settle(() => waiting.resolve(answer));
  }

  #settle(how) {
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#socket?.unref();
    if (waiting) how(waiting);
  }
}

function parseHead(text) {
  const [first, ...lines] = text.split('\r\n');
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(first.split(' ')[1]), headers, body: null };
}

function complain(path, answer) {
  // 413 says that the result is too large, and the platform has already told the caller so.
  if (answer.status >= 300 && answer.status !== 413) {
    console.error(`The platform answered ${answer.status} to ${path}: ${answer.body}`);
  }
}

function errorHeaders(document) {
  return `Content-Type: application/json\r\n${errorType(document)}`;
}

function errorType(document) {
  // A class name may hold any letter, a header may not.
  const kind = String(document.errorType).replace(/[^\x20-\x7e]/g, '?');
  return `Lambda-Runtime-Function-Error-Type: ${kind}\r\n`;
}

/** Trailers have a limited size, and what says least is the end of a stack. */
function errorTrailers(document) {
  const told = { ...document, trace: document.trace?.slice(0, TRAILER_LINES) };
  told.errorMessage = String(told.errorMessage).slice(0, TRAILER_TEXT);
  const body = Buffer.from(JSON.stringify(told)).toString('base64');
  return `${errorType(document)}Lambda-Runtime-Function-Error-Body: ${body}\r\n`;
}

module.exports = { Client };
