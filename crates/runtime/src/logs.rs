//! An instance's log: what it prints and what the platform says about it, as lines, in the order in which
//! they happened.

use crate::extensions::telemetry::{Kind, Telemetry};
use crate::platform::{LogStream, Platform};
use crate::readiness::watched;
use mayfly_kernel::function::{LogFormat, SystemLevel, Version};
use mayfly_kernel::{Clock, Time};
use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

/// A longer line is cut into several.
const LINE_BYTES: usize = 256 * 1024;
/// What a caller may see of an invocation's log.
const TAIL_BYTES: usize = 4096;
/// A pipe holds no more than this, so what was printed before an invocation's end is all within it.
const PIPE_BYTES: usize = 64 * 1024;

/// Where an instance's lines go.
pub(crate) struct Log {
    stream: Arc<Stream>,
    lines: Mutex<Lines>,
    /// Who else hears of what is printed, and whose print it is.
    tap: Option<(Kind, Arc<Telemetry>)>,
}

/// One stream, which several logs may go to.
struct Stream {
    name: String,
    sink: Arc<dyn LogStream>,
    clock: Arc<dyn Clock>,
    /// In JSON, and then only what is at least of this level.
    json: Option<SystemLevel>,
}

#[derive(Default)]
struct Lines {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Of whoever has [begun](Log::begin_tail) one.
    tail: Option<Vec<u8>>,
}

impl Log {
    pub(crate) fn new(
        platform: &dyn Platform,
        clock: Arc<dyn Clock>,
        version: &Version,
        stream: String,
    ) -> Log {
        let json = match version.log_format {
            LogFormat::Text => None,
            LogFormat::Json { system, .. } => Some(system),
        };
        let stream = Stream { sink: platform.log_stream(version, &stream), name: stream, clock, json };
        Log { stream: Arc::new(stream), lines: Mutex::default(), tap: None }
    }

    /// Another log that goes to the same stream: lines and tail are its own.
    pub(crate) fn beside(&self) -> Log {
        Log { stream: self.stream.clone(), lines: Mutex::default(), tap: None }
    }

    /// What is printed goes to telemetry too.
    pub(crate) fn tapped(self, kind: Kind, telemetry: Arc<Telemetry>) -> Log {
        Log { tap: Some((kind, telemetry)), ..self }
    }

    pub(crate) fn stream(&self) -> &str {
        &self.stream.name
    }

    /// A word of the platform about something that is wrong.
    pub(crate) fn say(&self, line: String) {
        match self.stream.json {
            None => self.line(line),
            Some(_) => self.tell(SystemLevel::Warn, "platform.fault", String::new, || line.into()),
        }
    }

    /// A line of the platform's own: as text, or as an object of this kind with this record.
    pub(crate) fn tell(
        &self,
        level: SystemLevel,
        kind: &str,
        text: impl FnOnce() -> String,
        record: impl FnOnce() -> serde_json::Value,
    ) {
        match self.stream.json {
            None => self.line(text()),
            Some(least) if level >= least => {
                let time = stamp(self.stream.clock.now());
                let line = serde_json::json!({ "time": time, "type": kind, "record": record() });
                self.line(line.to_string());
            }
            Some(_) => {}
        }
    }

    /// A whole line, whoever it is of.
    pub(crate) fn line(&self, line: String) {
        let mut lines = self.lines.lock();
        self.finish_line(&mut lines);
        match line.len() <= LINE_BYTES && !line.contains('\r') {
            true => self.pass_on(&mut lines, line),
            false => self.emit(&mut lines, line.as_bytes()),
        }
    }

    /// A line that was printed.
    fn printed(&self, lines: &mut Lines, line: &[u8]) {
        if let Some((kind, telemetry)) = &self.tap {
            telemetry.line(*kind, line);
        }
        self.emit(lines, line);
    }

    /// Takes in what the function printed.
    pub(crate) fn take_in(&self, mut bytes: &[u8]) {
        let mut lines = self.lines.lock();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if lines.partial.is_empty() {
                self.printed(&mut lines, line);
            } else {
                lines.partial.extend_from_slice(line);
                self.finish_line(&mut lines);
            }
        }
        lines.partial.extend_from_slice(bytes);
        if lines.partial.len() >= LINE_BYTES {
            self.finish_line(&mut lines);
        }
    }

    /// Begins a new tail: the log of one invocation.
    pub(crate) fn begin_tail(&self) {
        self.lines.lock().tail.get_or_insert_default().clear();
    }

    /// The last 4 KiB since [`Log::begin_tail`].
    pub(crate) fn tail(&self) -> Vec<u8> {
        let lines = self.lines.lock();
        let tail = lines.tail.as_deref().unwrap_or_default();
        tail[tail.len().saturating_sub(TAIL_BYTES)..].to_vec()
    }

    fn finish_line(&self, lines: &mut Lines) {
        if !lines.partial.is_empty() {
            let line = std::mem::take(&mut lines.partial);
            self.printed(lines, &line);
        }
    }

    /// A carriage return within a line is a line break of the same event: so a traceback stays together.
    fn emit(&self, lines: &mut Lines, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let broken: Vec<u8>;
        let line = if line.contains(&b'\r') {
            broken = line.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect();
            &broken[..]
        } else {
            line
        };
        for part in line.chunks(LINE_BYTES).chain(line.is_empty().then_some(line)) {
            self.pass_on(lines, String::from_utf8_lossy(part).into_owned());
        }
    }

    fn pass_on(&self, lines: &mut Lines, line: String) {
        if let Some(tail) = &mut lines.tail {
            tail.extend_from_slice(&line.as_bytes()[line.len().saturating_sub(TAIL_BYTES)..]);
            tail.push(b'\n');
            if tail.len() > 4 * TAIL_BYTES {
                let surplus = tail.len() - TAIL_BYTES;
                tail.drain(..surplus);
            }
        }
        self.stream.sink.line(self.stream.clock.now(), line);
    }
}

/// `2026-01-01T00:00:00.000Z`
pub(crate) fn stamp(now: Time) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(now.ms()).unwrap_or(0)).unwrap_or_default();
    format!("{at:.3}")
}

/// The reading end of a sandbox's standard output and error.
pub(crate) struct LogPipe {
    pipe: AsyncFd<OwnedFd>,
    pub(crate) log: Arc<Log>,
    /// One reader at a time, or lines would be torn.
    reading: Mutex<()>,
}

impl LogPipe {
    pub(crate) fn new(pipe: OwnedFd, log: Arc<Log>) -> io::Result<LogPipe> {
        Ok(LogPipe { pipe: watched(pipe)?, log, reading: Mutex::new(()) })
    }

    /// Reads until the sandbox is gone.
    pub(crate) async fn run(self: Arc<LogPipe>) {
        while let Ok(mut ready) = self.pipe.readable().await {
            match self.drain() {
                Ok(Drained::Empty) => ready.clear_ready(),
                Ok(Drained::More) => tokio::task::yield_now().await,
                Ok(Drained::Closed) | Err(_) => return,
            }
        }
    }

    /// Takes in what has been printed by now. What a function printed before it answered is in the pipe when
    /// the answer arrives, so that an end line written after this follows it.
    pub(crate) fn drain(&self) -> io::Result<Drained> {
        let _one = self.reading.lock();
        // Not cleared: most reads find nothing.
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut taken = 0;
        while taken < PIPE_BYTES {
            match rustix::io::read(self.pipe.get_ref(), &mut buffer) {
                Ok(([], _)) => return Ok(Drained::Closed),
                Ok((read, _)) => {
                    self.log.take_in(read);
                    taken += read.len();
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(Drained::Empty),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Drained::More)
    }
}

pub(crate) enum Drained {
    Empty,
    More,
    Closed,
}
