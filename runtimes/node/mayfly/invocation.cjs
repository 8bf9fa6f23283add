'use strict';
// One event through a handler, whichever of Lambda's ways it answers in: a promise, the callback, or the
// functions `done`, `succeed` and `fail` of the context. The first answer counts. A plain return value does
// not.

const { RuntimeError } = require('./errors.cjs');

const NEVER_SETTLED =
  'The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly ' +
  'caused by a Promise that was never settled. For more information, see ' +
  'https://nodejs.org/docs/latest/api/process.html#exit-codes';

// What to do when the function has nothing left to wait for.
let whenIdle = null;

process.on('beforeExit', () => {
  const idle = whenIdle;
  whenIdle = null;
  if (idle) setImmediate(idle);
});

/** Answers the JSON of the handler's result, or throws what the handler failed with. */
async function run(handler, headers, body) {
  const result = await new Promise((resolve, reject) => start(handler, headers, body, resolve, reject));
  whenIdle = null;
  try {
    return JSON.stringify(result) ?? 'null';
  } catch {
    throw new Error('Unable to stringify response body');
  }
}

/** Does `work`, unless the function has nothing left to wait for before that is done. */
async function untilIdle(work) {
  const idle = new Promise((_, reject) => {
    whenIdle = () => reject(new RuntimeError('NodeJsExit', NEVER_SETTLED));
  });
  try {
    await Promise.race([work, idle]);
  } finally {
    whenIdle = null;
  }
}

function start(handler, headers, body, resolve, reject) {
  let waits = true;
  let finished = false;
  const first =
    (answer) =>
    (...args) => {
      if (!finished) {
        finished = true;
        answer(...args);
      }
    };
  const done = first((error, result) => (isGiven(error) ? reject(error) : resolve(result)));
  const succeed = (result) => done(null, result);
  const fail = (error) => done(isGiven(error) ? error : 'handled');
  const callback = first((error, result) => {
    if (isGiven(error)) reject(error);
    else if (waits) whenIdle = () => resolve(result);
    else resolve(result);
  });
  whenIdle = () => {
    if (handler.constructor?.name === 'AsyncFunction') fail(new RuntimeError('NodeJsExit', NEVER_SETTLED));
    else succeed(null);
  };
  const context = {
    get callbackWaitsForEmptyEventLoop() {
      return waits;
    },
    set callbackWaitsForEmptyEventLoop(value) {
      waits = value;
    },
    done,
    succeed,
    fail,
    ...describe(headers),
  };
  try {
    const result = handler(JSON.parse(body), context, callback);
    if (typeof result?.then === 'function') result.then(succeed, fail);
  } catch (error) {
    fail(error);
  }
}

function isGiven(error) {
  return error !== undefined && error !== null;
}

function describe(headers) {
  const env = process.env;
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parseHeader(headers['lambda-runtime-client-context']),
    identity: parseHeader(headers['lambda-runtime-cognito-identity']),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

/** Header bytes are UTF-8 to their sender and Latin-1 to HTTP. */
function parseHeader(header) {
  return header ? JSON.parse(Buffer.from(header, 'latin1').toString()) : undefined;
}

module.exports = { describe, run, untilIdle };
