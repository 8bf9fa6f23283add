'use strict';
// `import` as a function of its own: it works only in a module that was loaded from a file, and the others may come
// from a snapshot.

module.exports = (specifier) => import(specifier);
