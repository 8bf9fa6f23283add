'use strict';
// What callers and logs learn of a failure, in Lambda's words and shapes.

const { types } = require('util');

/** A failure that Lambda names itself, such as Runtime.HandlerNotFound. */
class RuntimeError extends Error {
  constructor(kind, message, cause) {
    super(message);
    // Not enumerable, as `name` is on every error: it is shown once, as the type.
    Object.defineProperty(this, 'name', { value: `Runtime.${kind}` });
    // The stack that helps is the one that leads into the function's code.
    if (types.isNativeError(cause)) this.stack = `${this.name}: ${cause.stack}`;
  }
}

/** The document that the Runtime API takes. Anything can be thrown, so nothing is believed of it. */
function toDocument(error) {
  try {
    if (isError(error)) {
      return { errorType: error.name, errorMessage: error.message, trace: error.stack.split('\n') };
    }
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage:
        'callback called with Error argument, but there was a problem while retrieving one or more ' +
        'of its message, name, and stack',
    };
  }
}

function isError(value) {
  if (types.isNativeError(value)) return typeof value.stack === 'string';
  return ['name', 'message', 'stack'].every((key) => value?.[key] && typeof value[key] === 'string');
}

/** The JSON of an error with its own members, for the log. */
function toLogText(error) {
  const plain = error instanceof Error ? error : new Error(String(error));
  try {
    return JSON.stringify(plain, (_, value) => (value instanceof Error ? withMembers(value) : value));
  } catch {
    return JSON.stringify(toDocument(plain));
  }
}

function withMembers(error) {
  const members = { errorType: error.name, errorMessage: error.message, code: error.code, ...error };
  if (typeof error.stack === 'string') members.stack = error.stack.split('\n');
  return members;
}

module.exports = { RuntimeError, toDocument, toLogText };
