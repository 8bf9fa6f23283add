'use strict';
// Finds the function that `_HANDLER` names: `file.function`, `folder/file.function`, `file.object.function`.

const { existsSync, readFileSync, statSync } = require('fs');
const Module = require('module');
const path = require('path');
const { pathToFileURL } = require('url');
const { RuntimeError } = require('./errors.cjs');

// What the machine has for all functions, as `npm install --global` puts it.
const INSTALLED = path.resolve(process.execPath, '../../lib/node_modules');

/** Where modules are looked for beside the function's own: its layers, then what the machine has. */
function setModulePaths() {
  const major = process.versions.node.split('.')[0];
  process.env.NODE_PATH = [
    process.env.NODE_PATH,
    `/opt/nodejs/node${major}/node_modules`,
    '/opt/nodejs/node_modules',
    '/opt/nodejs',
    INSTALLED,
  ]
    .filter(Boolean)
    .join(':');
  // Node reads NODE_PATH once, before this file; this is its way to be told of a change.
  Module._initPaths();
}

async function loadHandler(root, name) {
  if (name.includes('..')) {
    const advice = 'Use absolute paths when specifying root directories in handler names.';
    throw new RuntimeError('MalformedHandlerName', `'${name}' is not a valid handler name. ${advice}`);
  }
  const parts = /^([^.]*)\.(.+)$/.exec(path.basename(name));
  if (!parts) throw new RuntimeError('MalformedHandlerName', 'Bad handler');
  const [, file, members] = parts;
  const folder = path.resolve(root, path.dirname(name));
  const loaded = await loadModule(folder, file);
  const handler = members.split('.').reduce((value, key) => value?.[key], loaded);
  if (!handler) throw new RuntimeError('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw new RuntimeError('HandlerNotFound', `${name} is not a function`);
  return handler;
}

async function loadModule(folder, file) {
  try {
    const base = path.join(folder, file);
    for (const [extension, load] of loaders(folder)) {
      if (isFile(base + extension)) return await load(base + extension);
    }
    return require(require.resolve(file, { paths: [folder] }));
  } catch (error) {
    if (error instanceof SyntaxError) throw new RuntimeError('UserCodeSyntaxError', String(error), error);
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      throw new RuntimeError('ImportModuleError', String(error), error);
    }
    throw error;
  }
}

function loaders(folder) {
  const own = isModuleFolder(folder) ? importFile : require;
  const order = [
    ['', require],
    ['.js', own],
    ['.mjs', importFile],
    ['.cjs', require],
  ];
  if (process.features.typescript) order.push(['.ts', own], ['.mts', importFile], ['.cts', require]);
  return order;
}

function isFile(candidate) {
  return statSync(candidate, { throwIfNoEntry: false })?.isFile() ?? false;
}

function importFile(file) {
  return require('./import.cjs')(pathToFileURL(file));
}

/** Whether `.js` files in the folder are ES modules: the nearest package.json says so. */
function isModuleFolder(folder) {
  if (folder.endsWith('/node_modules')) return false;
  const manifest = path.join(folder, 'package.json');
  if (existsSync(manifest)) {
    try {
      return JSON.parse(readFileSync(manifest, 'utf8')).type === 'module';
    } catch (error) {
      console.warn(
        `${manifest} cannot be read, it will be ignored for ES module detection purposes.`,
        error,
      );
      return false;
    }
  }
  return folder !== '/' && isModuleFolder(path.dirname(folder));
}

module.exports = { INSTALLED, loadHandler, setModulePaths };
