'use strict';
// Handlers that stream: `awslambda.streamifyResponse`, and the stream that they write their answer to.
//
// The contract is the developer guide's page "Response streaming for Lambda functions"; the symbols are those
// by which Lambda's own runtime and its libraries know such a handler. A stream whose handler fails ends in
// trailers that say so, because its head has left already.

const { Writable } = require('stream');
const { finished } = require('stream/promises');

const STREAMS = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const HTTP = 'application/vnd.awslambda.http-integration-response';

function streamifyResponse(handler, options) {
  handler[STREAMS] = 'response';
  const mark = Number.parseInt(options?.highWaterMark, 10);
  if (mark >= 0) handler[HIGH_WATER_MARK] = mark;
  return handler;
}

/** The answer of one invocation. Nothing leaves before the first write: until then the type may be chosen. */
class ResponseStream extends Writable {
  #open;
  #upload = null;
  #type = 'application/octet-stream';

  constructor(open, handler) {
    super({ highWaterMark: handler[HIGH_WATER_MARK] });
    this.#open = open;
  }

  /** Gives an HTTP answer its status and headers, before the body that is written to the stream. */
  static from(stream, prelude) {
    stream.setContentType(HTTP);
    const text = JSON.stringify(prelude);
    stream._onBeforeFirstWrite = (write) => {
      write(text);
      write(new Uint8Array(8));
    };
    return stream;
  }

  setContentType(type) {
    if (!this.#upload) this.#type = type;
  }

  get begun() {
    return this.#upload !== null;
  }

  _write(chunk, encoding, callback) {
    this.#begin().write(chunk, callback);
  }

  _final(callback) {
    this.#begin()
      .end()
      .then(() => callback(), callback);
  }

  /** Ends a stream that has begun and cannot be whole. */
  fail(document) {
    return this.#upload.end(document);
  }

  #begin() {
    if (!this.#upload) {
      this.#upload = this.#open(this.#type);
      this._onBeforeFirstWrite?.((chunk) => this.#upload.write(Buffer.from(chunk), () => {}));
    }
    return this.#upload;
  }
}

/** Runs one event through the handler; comes back when both it and its stream have ended. */
async function runStreaming(handler, event, context, stream) {
  const result = Promise.resolve(handler(event, stream, context)).then((value) => {
    if (value !== undefined) console.warn('Streaming handlers ignore return values.');
  });
  await Promise.all([result, finished(stream, { readable: false })]);
}

module.exports = { ResponseStream, runStreaming, streamifyResponse };
