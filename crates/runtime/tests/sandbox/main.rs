//! Functions in real sandboxes, through the host's public face: what they see, what stops them, and what they leave.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod life;
mod limits;
mod packages;
mod prewarm;
mod scaling;
mod walls;
mod world;

/// Not a test: the launcher of every other test. The host starts this binary again and names this function alone,
/// with the folder to build roots on as the last argument and its socket as standard input.
///
/// Unlike the real launcher it has a second thread, the test harness's own, which only waits. That thread must have
/// SIGCHLD blocked too, or the signal is lost on it; only a process that is started so has that (see `World`). A thread
/// beside may not enter a user namespace, so these tests need root.
#[test]
#[ignore = "is started by the other tests"]
fn launcher_process() {
    mayfly_runtime::launcher_main();
}
