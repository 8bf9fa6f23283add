'use strict';
// What most functions load first, loaded while an interpreter waits for its function: the parts of Node.js that an SDK
// takes, and the AWS SDK itself where the machine has one. A function sees nothing of it but how long its own start
// takes; one that brings its own SDK gets its own, because modules are known by their paths.

const { readdirSync } = require('fs');
const path = require('path');

const COMMON = ['assert', 'async_hooks', 'child_process', 'crypto', 'dns', 'fs/promises', 'http', 'http2', 'https', 'os'];
const STREAMS = ['perf_hooks', 'querystring', 'stream', 'stream/web', 'string_decoder', 'tls', 'url', 'util', 'zlib'];

/** Loads one module after the other until `due` says that there is something to do. */
async function loadAhead(installed, due) {
  for (const name of [...COMMON, ...STREAMS, ...clients(path.join(installed, '@aws-sdk'))]) {
    try {
      require(name);
    } catch {
      // Whoever needs it is told why it does not load.
    }
    // Lets the event loop turn, so that what has come is heard.
    await new Promise(setImmediate);
    if (due()) return;
  }
}

function clients(folder) {
  try {
    return readdirSync(folder).filter((name) => /^(client|lib)-/.test(name)).map((name) => path.join(folder, name));
  } catch {
    return [];
  }
}

module.exports = { loadAhead };
