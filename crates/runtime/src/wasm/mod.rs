//! WebAssembly components: a fresh instance for every request.
