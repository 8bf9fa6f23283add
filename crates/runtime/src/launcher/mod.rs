//! The launcher: a small process that makes sandboxes, so that the cost of a clone never grows with the server's heap.

/// The whole of the hidden `launcher` command. Its standard input is the server's control socket.
pub fn launcher_main() -> ! {
    std::process::exit(2)
}
