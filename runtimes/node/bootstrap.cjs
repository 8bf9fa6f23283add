'use strict';
// Starts a Node.js function (Node 18 or later): `node bootstrap.cjs`, as the instance's one process.
//
// CommonJS, because an ES module as the entry costs 3 ms more of start-up; the function itself may be either.
// Handlers, errors, the context object and log lines follow the AWS Lambda developer guide, "Building Lambda
// functions with Node.js".
//
// Not here: limits and timeouts. They belong to the sandbox, which sees this process only through its socket,
// its output and its end.

const { Client } = require('./mayfly/client.cjs');
const { patchConsole, logError, setInvocation } = require('./mayfly/console.cjs');
const { RuntimeError, toDocument } = require('./mayfly/errors.cjs');
const { INSTALLED, loadHandler, setModulePaths } = require('./mayfly/handler.cjs');
const { describe, run, untilIdle } = require('./mayfly/invocation.cjs');

// How long a function may load that is loaded for its modules' sake alone.
const LOAD_LIMIT_MS = 30_000;
// What `streamifyResponse` marks a handler with.
const STREAMS = Symbol.for('aws.lambda.runtime.handler.streaming');
let client = new Client(process.env.AWS_LAMBDA_RUNTIME_API);
let phase = 'init';
let requestId;
// The answer under way, if its handler streams.
let stream = null;

// Most functions do not stream, and so do not pay for it.
const awslambda = {
  streamifyResponse: (...args) => require('./mayfly/streaming.cjs').streamifyResponse(...args),
  get HttpResponseStream() {
    return require('./mayfly/streaming.cjs').ResponseStream;
  },
};

async function main() {
  if (process.argv[2] === '--load') return load();
  if (process.argv[2] === '--wait') await takeAssignment();
  compileCache();
  patchConsole();
  process.on('uncaughtException', (error) => end(129, 'Uncaught Exception', error));
  process.on('unhandledRejection', (reason) => {
    const error = new RuntimeError('UnhandledPromiseRejection', String(reason), reason);
    error.reason = reason;
    end(128, 'Unhandled Promise Rejection', error);
  });
  globalThis.awslambda = awslambda;
  setModulePaths();
  let handler;
  try {
    handler = await loadHandler(process.env.LAMBDA_TASK_ROOT ?? '/var/task', process.env._HANDLER ?? '');
  } catch (error) {
    await end(129, 'Uncaught Exception', error);
    return;
  }
  for (;;) {
    await serve(handler);
  }
}

/** Uses the compiled code of the modules where there is some, which Node.js does by itself only at its own start. */
function compileCache() {
  const folder = process.env.NODE_COMPILE_CACHE;
  return folder ? require('module').enableCompileCache?.(folder) : undefined;
}

/** Leaves behind the compiled code of what the function loads, however far that gets. */
async function load() {
  if (!compileCache()) process.exit();
  setTimeout(() => process.exit(), LOAD_LIMIT_MS);
  globalThis.awslambda = awslambda;
  setModulePaths();
  try {
    await loadHandler(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
  } finally {
    process.exit();
  }
}

/** Waits to be told for which function this is; its code is in place by then. */
async function takeAssignment() {
  await require('./mayfly/rehearsal.cjs').rehearse(rehearse);
  let told = false;
  const assignment = client.assignment().finally(() => {
    told = true;
  });
  await require('./mayfly/ahead.cjs').loadAhead(INSTALLED, () => told);
  become(await assignment);
  process.argv.length = 2;
}

/** Goes once through everything up to an answer, before a platform that leads nowhere. */
async function rehearse(address, folder, names) {
  const platform = client;
  client = new Client(address);
  try {
    become(await client.assignment());
    patchConsole();
    setModulePaths();
    for (const name of names) await serve(await loadHandler(folder, name));
  } finally {
    client.close();
    client = platform;
    phase = 'init';
    requestId = undefined;
    setInvocation({});
  }
}

function become(variables) {
  const { env } = process;
  for (const name of Object.keys(env)) if (!(name in variables)) delete env[name];
  // A time zone that is set, even to what it was, has Node.js look through all that there are.
  for (const [name, value] of Object.entries(variables)) if (env[name] !== value) env[name] = value;
  // The folder that was the working directory lies below the code now.
  process.chdir(variables.LAMBDA_TASK_ROOT);
}

async function serve(handler) {
  phase = 'idle';
  const { headers, body } = await client.next();
  requestId = headers['lambda-runtime-aws-request-id'];
  setInvocation(headers);
  setTraceId(headers['lambda-runtime-trace-id']);
  phase = 'running';
  let answer = null;
  try {
    if (handler[STREAMS]) await serveStream(handler, headers, body);
    else answer = await run(handler, headers, body);
  } catch (error) {
    phase = 'answering';
    logError('Invoke Error', error);
    await fail(toDocument(error));
    return;
  }
  phase = 'answering';
  stream = null;
  if (answer !== null) await client.respond(requestId, answer);
}

async function serveStream(handler, headers, body) {
  const { ResponseStream, runStreaming } = require('./mayfly/streaming.cjs');
  const id = requestId;
  stream = new ResponseStream((type) => client.stream(id, type), handler);
  const context = { callbackWaitsForEmptyEventLoop: true, ...describe(headers) };
  await untilIdle(runStreaming(handler, JSON.parse(body), context, stream));
}

/** Tells the platform of a failure, in whichever way is still open. */
async function fail(document) {
  const begun = stream?.begun ? stream : null;
  stream = null;
  if (begun) await begun.fail(document);
  else await client.fail(requestId, document);
}

/** Reports an error that no handler's promise or callback carries, and ends: nothing is certain any more. */
async function end(status, title, error) {
  logError(title, error);
  const reporting = phase;
  phase = 'ending';
  // A second error while the first is on its way must not cut it off.
  if (reporting === 'ending') return;
  try {
    if (reporting === 'init') await client.failInit(toDocument(error));
    if (reporting === 'running') await fail(toDocument(error));
  } finally {
    process.exit(status);
  }
}

function setTraceId(traceId) {
  if (traceId) process.env._X_AMZN_TRACE_ID = traceId;
  else delete process.env._X_AMZN_TRACE_ID;
}

main().catch((error) => {
  logError('The runtime client failed', error);
  process.exit(1);
});
