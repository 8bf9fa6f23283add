'use strict';
// `console` in Lambda's format: time, request id, level and message with tabs between, or one JSON object a
// line with AWS_LAMBDA_LOG_FORMAT=JSON. AWS_LAMBDA_LOG_LEVEL silences the levels below it.
//
// Lines are written synchronously, so none is lost when the process is killed at its timeout or calls
// process.exit. A message of several lines is one log event: its inner lines end in a carriage return.

const { writeSync } = require('fs');
const { format } = require('util');
const { toLogText } = require('./errors.cjs');

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];

// Known when the console is patched: before that there may be no environment yet.
let asJson = false;
let requestId;
let tenantId;

/** The invocation under way, by its headers; none before the first. */
function setInvocation(headers) {
  requestId = headers['lambda-runtime-aws-request-id'];
  tenantId = headers['lambda-runtime-aws-tenant-id'];
}

function patchConsole() {
  asJson = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === 'JSON';
  const least = Math.max(0, LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()));
  const record = asJson ? jsonRecord : textRecord;
  LEVELS.forEach((level, rank) => {
    console[level.toLowerCase()] = rank < least ? () => {} : (...args) => writeLine(record(level, args));
  });
  console.log = console.info;
}

/** Logs an error that ended an invocation or the process. */
function logError(title, error) {
  if (asJson) console.error(error instanceof Error ? error : new Error(String(error)));
  else console.error(title, '\t' + toLogText(error));
}

function textRecord(level, args) {
  return `${new Date().toISOString()}\t${requestId}\t${level}\t${format(...args)}`;
}

function jsonRecord(level, args) {
  const record = { timestamp: new Date().toISOString(), level, requestId, tenantId };
  if (args.length === 1) {
    record.message = args[0];
    try {
      return JSON.stringify(record, (_, value) => (value instanceof Error ? errorMembers(value) : value));
    } catch {
      // A circular object or a BigInt: its text is better than nothing.
    }
  }
  record.message = format(...args);
  const error = args.find((arg) => arg instanceof Error);
  return JSON.stringify(error ? { ...record, ...errorMembers(error) } : record);
}

function errorMembers(error) {
  const stackTrace = typeof error.stack === 'string' ? error.stack.split('\n') : [];
  return { errorType: error.name, errorMessage: error.message, stackTrace, ...error };
}

function writeLine(text) {
  let rest = Buffer.from(text.replaceAll('\n', '\r') + '\n');
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (error.code !== 'EAGAIN') return;
      // The pipe is full and somebody made it non-blocking: give its reader a moment.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

module.exports = { patchConsole, logError, setInvocation };
