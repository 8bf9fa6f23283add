'use strict';
// The client as a start-up snapshot: `node FLAGS --snapshot-blob BLOB --build-snapshot snapshot.cjs` writes it, and
// `node FLAGS --snapshot-blob BLOB bootstrap.cjs` starts from it. A snapshot brings along what Node.js would otherwise
// load and compile on every start; most of all under a flag such as a heap size, with which it does not use the compiled
// code that it carries for its own modules.
//
// In a snapshot there are only the modules of Node.js itself. So the client's are compiled here from their text, and
// what loads other modules, for the function's code, is made when the snapshot starts.

const { readdirSync, readFileSync } = require('fs');
const Module = require('module');
const path = require('path');
const { startupSnapshot } = require('v8');

// What the client uses, and what that loads at its first use.
for (const name of ['events', 'net', 'stream', 'stream/promises', 'timers', 'url', 'util']) require(name);

const parts = readdirSync(path.join(__dirname, 'mayfly')).map((file) => `mayfly/${path.basename(file, '.cjs')}`);
const compiled = new Map(['bootstrap', ...parts].map((name) => [name, compile(name)]));
// These are there to be loaded from a file.
for (const name of ['mayfly/ahead', 'mayfly/import']) compiled.delete(name);
const modules = new Map();
// The `require` of the folder in which the client lies by then.
let outside;

startupSnapshot.setDeserializeMainFunction(() => {
  // Otherwise the processes that a function forks would start from this snapshot too.
  const flag = process.execArgv.indexOf('--snapshot-blob');
  if (flag >= 0) process.execArgv.splice(flag, 2);
  outside = Module.createRequire(process.argv[1]);
  load('bootstrap');
});

function compile(name) {
  const text = readFileSync(path.join(__dirname, `${name}.cjs`), 'utf8');
  return new Function('module', 'require', `${text}\n//# sourceURL=/var/runtime/${name}.cjs`);
}

function load(name) {
  const known = modules.get(name);
  if (known) return known.exports;
  const module = { exports: {} };
  modules.set(name, module);
  compiled.get(name)(module, requireFor(name));
  return module.exports;
}

/** As seen from a module of the client: the others of it, else whatever there is. */
function requireFor(name) {
  const find = (wanted) => {
    if (Module.isBuiltin(wanted)) return require(wanted);
    if (!wanted.startsWith('.')) return outside(wanted);
    const own = path.join(path.dirname(name), wanted).replace(/\.cjs$/, '');
    return compiled.has(own) ? load(own) : outside(`./${own}.cjs`);
  };
  find.resolve = (wanted, options) => outside.resolve(wanted, options);
  return find;
}
