//! Tracing a process, as a debugger does: how the keeper moves what was forked from a template into its own
//! sandbox.
//!
//! The code of a function never has a privilege, not even while it moves. What was forked stops at a gate,
//! a system call that the filter hands to the tracer; there the tracer makes it perform other calls, one
//! after the other, by changing its registers, and then lets it go on as if the first had succeeded.
//! Nothing of the function runs between.
//!
//! Written for x86-64 alone; elsewhere [`SUPPORTED`] is false and instances start without templates.
#![expect(
    unsafe_code,
    reason = "ptrace and waitpid of single stops have no safe form here; each says why it holds"
)]

use super::seccomp::GATE;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::time::Instant;

pub(super) const SUPPORTED: bool = cfg!(target_arch = "x86_64");

const EVENT_FORK: i32 = 1;
const EVENT_SECCOMP: i32 = 7;
const EVENT_STOP: i32 = 128;
/// System call stops are told from others (1), children are traced too (2), calls handed to the tracer stop
/// (0x80), and nobody who is traced outlives the tracer (0x100000).
const OPTIONS: libc::c_ulong = 1 | 2 | 0x80 | 0x0010_0000;

/// Why a traced process stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It has just been made.
    Born,
    /// It has made this child, which is traced too.
    Forked(Pid),
    /// It is about to make a call that the filter hands to the tracer.
    Asks,
    /// A call is done.
    Done,
    /// It is about to get this signal.
    Signal(i32),
}

/// A process that is traced from now on, by this process.
pub(super) struct Tracee {
    pub(super) pid: Pid,
}

fn ptrace(request: libc::c_uint, pid: Pid, address: libc::c_ulong, data: libc::c_ulong) -> io::Result<()> {
    // SAFETY: every caller passes numbers, or the address of a value that lives longer than the call and
    // has the type that the request writes or reads. What it changes is another process.
    let done = unsafe { libc::ptrace(request, pid.as_raw(), address, data) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn gone() -> io::Error {
    io::Error::from_raw_os_error(libc::ESRCH)
}

fn unexpected() -> io::Error {
    io::Error::from_raw_os_error(libc::EPROTO)
}

impl Tracee {
    /// Begins to trace a process, which runs on.
    pub(super) fn seize(pid: Pid) -> io::Result<Tracee> {
        ptrace(libc::PTRACE_SEIZE, pid, 0, OPTIONS)?;
        Ok(Tracee { pid })
    }

    /// Lets it run until the next stop.
    pub(super) fn go_on(&self, signal: i32) -> io::Result<()> {
        ptrace(libc::PTRACE_CONT, self.pid, 0, libc::c_ulong::from(signal.unsigned_abs()))
    }

    /// Traces it no more. Works only while it stands.
    pub(super) fn let_go(self) -> io::Result<()> {
        ptrace(libc::PTRACE_DETACH, self.pid, 0, 0)
    }

    /// Waits for a stop; signals for it are passed on meanwhile.
    pub(super) fn until(
        &self,
        wanted: impl Fn(Stop) -> bool,
        signals: &SignalFd,
        by: Instant,
    ) -> io::Result<Stop> {
        loop {
            match self.next(signals, by)? {
                stop if wanted(stop) => return Ok(stop),
                Stop::Signal(signal) => self.go_on(signal)?,
                Stop::Born | Stop::Forked(_) | Stop::Asks | Stop::Done => return Err(unexpected()),
            }
        }
    }

    fn next(&self, signals: &SignalFd, by: Instant) -> io::Result<Stop> {
        loop {
            if let Some(status) = self.status()? {
                return self.stop_of(status);
            }
            let left = by.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut ready = [PollFd::new(signals, PollFlags::IN)];
            if poll(&mut ready, Some(&left))? == 0 {
                return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
            }
            // Others may have ended too: whoever traces looks after them all when it is done.
            signals.read_signal()?;
        }
    }

    fn status(&self) -> io::Result<Option<i32>> {
        let mut status = 0;
        // SAFETY: `status` is valid for the call to write to.
        match unsafe { libc::waitpid(self.pid.as_raw(), &raw mut status, libc::WNOHANG | libc::__WALL) } {
            0 => Ok(None),
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(Some(status)),
        }
    }

    fn stop_of(&self, status: i32) -> io::Result<Stop> {
        if !libc::WIFSTOPPED(status) {
            return Err(gone());
        }
        match (status >> 16, libc::WSTOPSIG(status)) {
            (EVENT_FORK, _) => {
                let mut child: libc::c_ulong = 0;
                ptrace(libc::PTRACE_GETEVENTMSG, self.pid, 0, (&raw mut child).addr() as libc::c_ulong)?;
                Ok(Stop::Forked(Pid::from_raw(i32::try_from(child).map_err(io::Error::other)?)))
            }
            (EVENT_SECCOMP, _) => Ok(Stop::Asks),
            (EVENT_STOP, _) => Ok(Stop::Born),
            (0, signal) if signal == libc::SIGTRAP | 0x80 => Ok(Stop::Done),
            (0, signal) => Ok(Stop::Signal(signal)),
            _ => Err(unexpected()),
        }
    }

    /// Adopts a child that was told of, once it stands.
    pub(super) fn born(pid: Pid, signals: &SignalFd, by: Instant) -> io::Result<Tracee> {
        let child = Tracee { pid };
        child.until(|stop| stop == Stop::Born, signals, by)?;
        Ok(child)
    }
}

/// A process that stands at its gate, and does what it is told to.
#[cfg(target_arch = "x86_64")]
pub(super) struct Driven<'a> {
    tracee: &'a Tracee,
    signals: &'a SignalFd,
    by: Instant,
    /// As they were when it came to the gate.
    gate: libc::user_regs_struct,
}

#[cfg(target_arch = "x86_64")]
impl<'a> Driven<'a> {
    /// Waits until the process is at its gate.
    pub(super) fn at_gate(tracee: &'a Tracee, signals: &'a SignalFd, by: Instant) -> io::Result<Driven<'a>> {
        tracee.until(|stop| stop == Stop::Asks, signals, by)?;
        let gate = registers(tracee.pid)?;
        let is_gate = i64::try_from(gate.orig_rax) == Ok(libc::SYS_fadvise64)
            && u32::try_from(gate.r10 & 0xffff_ffff) == Ok(GATE.unsigned_abs());
        if is_gate { Ok(Driven { tracee, signals, by, gate }) } else { Err(unexpected()) }
    }

    /// The number that came with the gate.
    pub(super) fn number(&self) -> u64 {
        self.gate.rsi
    }

    /// Makes it perform a call, and stands at the gate again.
    pub(super) fn call(&self, number: libc::c_long, arguments: [u64; 5]) -> io::Result<()> {
        let number = u64::try_from(number).map_err(io::Error::other)?;
        let [rdi, rsi, rdx, r10, r8] = arguments;
        let call = libc::user_regs_struct { orig_rax: number, rdi, rsi, rdx, r10, r8, ..self.gate };
        set_registers(self.tracee.pid, &call)?;
        ptrace(libc::PTRACE_SYSCALL, self.tracee.pid, 0, 0)?;
        self.tracee.until(|stop| stop == Stop::Done, self.signals, self.by)?;
        let result = registers(self.tracee.pid)?.rax.cast_signed();
        self.back_to_gate()?;
        match i32::try_from(-result) {
            Ok(errno) if errno > 0 => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }

    fn back_to_gate(&self) -> io::Result<()> {
        // Back before the instruction, which is two bytes long; there is no call that could be restarted.
        let again = libc::user_regs_struct {
            rip: self.gate.rip - 2,
            rax: self.gate.orig_rax,
            orig_rax: u64::MAX,
            ..self.gate
        };
        set_registers(self.tracee.pid, &again)?;
        self.tracee.go_on(0)?;
        self.tracee.until(|stop| stop == Stop::Asks, self.signals, self.by).map(drop)
    }

    /// Makes it run a piece of code that ends in a trap and touches registers alone, and stands at the gate again.
    /// For what takes many calls: each by itself would be two stops.
    pub(super) fn run(&self, code: &[u64]) -> io::Result<()> {
        let (pid, place) = (self.tracee.pid, self.gate.rip);
        let words = || (place..).step_by(8).zip(code);
        let covered = words().map(|(address, _)| peek(pid, address)).collect::<io::Result<Vec<_>>>()?;
        for (address, word) in words() {
            ptrace(libc::PTRACE_POKEDATA, pid, address, *word)?;
        }
        // A number that is none skips the call.
        let start = libc::user_regs_struct { rip: place, orig_rax: u64::MAX, ..self.gate };
        set_registers(pid, &start)?;
        self.tracee.go_on(0)?;
        self.tracee.until(|stop| stop == Stop::Signal(libc::SIGTRAP), self.signals, self.by)?;
        for ((address, _), word) in words().zip(covered) {
            ptrace(libc::PTRACE_POKEDATA, pid, address, word)?;
        }
        self.back_to_gate()
    }

    /// Writes words into its memory, below what its stack holds; where they are.
    pub(super) fn lay_down(&self, words: &[u64]) -> io::Result<u64> {
        // Below the red zone.
        let place = (self.gate.rsp - 512) & !15;
        for (address, word) in (place..).step_by(8).zip(words) {
            ptrace(libc::PTRACE_POKEDATA, self.tracee.pid, address, *word)?;
        }
        Ok(place)
    }

    /// Lets it go through the gate, as if that had been an ordinary call.
    pub(super) fn pass(self) -> io::Result<()> {
        // A number that is none skips the call.
        let passed = libc::user_regs_struct { orig_rax: u64::MAX, rax: 0, ..self.gate };
        set_registers(self.tracee.pid, &passed)?;
        self.tracee.go_on(0)
    }
}

/// The word at an address.
#[cfg(target_arch = "x86_64")]
fn peek(pid: Pid, address: u64) -> io::Result<u64> {
    let mut word: libc::c_ulong = 0;
    // The call itself, unlike the library's, writes what it finds to where its last argument says.
    let place = (&raw mut word).addr();
    // SAFETY: `word` is valid for the call to write to.
    let done = unsafe {
        libc::syscall(
            libc::SYS_ptrace,
            libc::PTRACE_PEEKDATA,
            libc::c_long::from(pid.as_raw()),
            address,
            place,
        )
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(word) }
}

#[cfg(target_arch = "x86_64")]
fn registers(pid: Pid) -> io::Result<libc::user_regs_struct> {
    // SAFETY: the structure holds numbers alone, for which zero is a value.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    ptrace(libc::PTRACE_GETREGS, pid, 0, (&raw mut registers).addr() as libc::c_ulong)?;
    Ok(registers)
}

#[cfg(target_arch = "x86_64")]
fn set_registers(pid: Pid, registers: &libc::user_regs_struct) -> io::Result<()> {
    ptrace(libc::PTRACE_SETREGS, pid, 0, (&raw const *registers).addr() as libc::c_ulong)
}

/// Elsewhere nobody is driven.
#[cfg(not(target_arch = "x86_64"))]
pub(super) struct Driven<'a>(&'a Tracee);

#[cfg(not(target_arch = "x86_64"))]
impl<'a> Driven<'a> {
    pub(super) fn at_gate(_: &'a Tracee, _: &'a SignalFd, _: Instant) -> io::Result<Driven<'a>> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    pub(super) fn number(&self) -> u64 {
        0
    }

    pub(super) fn call(&self, _: libc::c_long, _: [u64; 5]) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    pub(super) fn run(&self, _: &[u64]) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    pub(super) fn lay_down(&self, _: &[u64]) -> io::Result<u64> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    pub(super) fn pass(self) -> io::Result<()> {
        self.0.go_on(0)
    }
}
