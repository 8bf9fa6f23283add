//! What a guest prints, cut into lines for the function's log.

use parking_lot::Mutex;
use std::sync::Arc;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Takes one line, without its end. Must not block.
pub type LogSink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// CloudWatch Logs takes events of up to 256 KiB (PutLogEvents); a longer line becomes several.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// How much a guest may write before it has to ask again.
const WRITE_BYTES: usize = 64 * 1024;

/// A standard stream that goes to the log. All handles of one guest's stream share the unfinished line.
#[derive(Clone)]
pub(super) struct LogStream(Arc<Lines>);

struct Lines {
    sink: LogSink,
    unfinished: Mutex<Vec<u8>>,
}

impl LogStream {
    pub(super) fn new(sink: LogSink) -> LogStream {
        LogStream(Arc::new(Lines { sink, unfinished: Mutex::new(Vec::new()) }))
    }

    pub(super) fn put(&self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

impl Lines {
    fn write(&self, mut bytes: &[u8]) {
        let mut unfinished = self.unfinished.lock();
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if unfinished.is_empty() {
                self.emit(line);
            } else {
                unfinished.extend_from_slice(line);
                self.emit(&unfinished);
                unfinished.clear();
            }
            bytes = rest;
        }
        unfinished.extend_from_slice(bytes);
        if unfinished.len() >= LINE_BYTES_MAX {
            self.emit(&unfinished);
            unfinished.clear();
        }
    }

    fn emit(&self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            (self.sink)(line);
        }
        for piece in line.chunks(LINE_BYTES_MAX) {
            (self.sink)(piece);
        }
    }
}

/// A guest may end, or be stopped, in the middle of a line.
impl Drop for Lines {
    fn drop(&mut self) {
        let unfinished = std::mem::take(self.unfinished.get_mut());
        if !unfinished.is_empty() {
            self.emit(&unfinished);
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    // Asked for by WASI 0.3 alone, which the linker does not offer.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.0.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(writes: &[&[u8]]) -> Vec<String> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let stream = LogStream::new(Arc::new(move |line| {
            keep.lock().push(String::from_utf8_lossy(line).into_owned())
        }));
        for write in writes {
            stream.clone().write(bytes::Bytes::copy_from_slice(write)).unwrap();
        }
        drop(stream);
        std::mem::take(&mut seen.lock())
    }

    #[test]
    fn lines_are_whole_however_they_are_written() {
        assert_eq!(lines_of(&[b"a\nb", b"c\r\n", b"\n", b"end"]), ["a", "bc", "", "end"]);
        assert!(lines_of(&[]).is_empty());
    }

    #[test]
    fn an_endless_line_is_cut() {
        let long = vec![b'x'; LINE_BYTES_MAX + 10];
        let lens: Vec<usize> = lines_of(&[&long, b"y\n"]).iter().map(String::len).collect();
        assert_eq!(lens, [LINE_BYTES_MAX, 10, 1]);
    }
}
