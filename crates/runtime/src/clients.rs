//! The language clients, carried in the binary and written out at start.

use std::fs;
use std::io;
use std::path::Path;

macro_rules! client {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../runtimes/", $path)))
    };
}

const CLIENTS: [(&str, &str); 31] = [
    client!("java/src/mayfly/Binder.java"),
    client!("java/src/mayfly/Bootstrap.java"),
    client!("java/src/mayfly/Client.java"),
    client!("java/src/mayfly/Handler.java"),
    client!("java/src/mayfly/InvocationContext.java"),
    client!("java/src/mayfly/Json.java"),
    client!("node/bootstrap.cjs"),
    client!("node/mayfly/ahead.cjs"),
    client!("node/mayfly/client.cjs"),
    client!("node/mayfly/console.cjs"),
    client!("node/mayfly/errors.cjs"),
    client!("node/mayfly/handler.cjs"),
    client!("node/mayfly/import.cjs"),
    client!("node/mayfly/invocation.cjs"),
    client!("node/mayfly/rehearsal.cjs"),
    client!("node/mayfly/streaming.cjs"),
    client!("node/rehearsal/handler.js"),
    client!("node/rehearsal/module.mjs"),
    client!("node/snapshot.cjs"),
    client!("python/bootstrap.py"),
    client!("python/compile.py"),
    client!("python/mayfly_runtime/__init__.py"),
    client!("python/mayfly_runtime/ahead.py"),
    client!("python/mayfly_runtime/client.py"),
    client!("python/mayfly_runtime/codec.py"),
    client!("python/mayfly_runtime/context.py"),
    client!("python/mayfly_runtime/faults.py"),
    client!("python/mayfly_runtime/logs.py"),
    client!("python/mayfly_runtime/rehearsal.py"),
    client!("python/mayfly_runtime/snapshot.py"),
    client!("python/snapshot_restore_py.py"),
];

/// Writes the clients below `dir`, so that an upgraded binary brings its own.
pub(crate) fn install(dir: &Path) -> io::Result<()> {
    for (path, text) in CLIENTS {
        let file = dir.join(path);
        if fs::read_to_string(&file).is_ok_and(|present| present == *text) {
            continue;
        }
        fs::create_dir_all(file.parent().unwrap_or(dir))?;
        fs::write(&file, text)?;
        // What was compiled of an earlier text.
        for compiled in ["java/client.jar", "node/snapshots", "python/mayfly_runtime/__pycache__"] {
            if path.split('/').next() == compiled.split('/').next() {
                let _ =
                    fs::remove_file(dir.join(compiled)).or_else(|_| fs::remove_dir_all(dir.join(compiled)));
            }
        }
    }
    Ok(())
}
