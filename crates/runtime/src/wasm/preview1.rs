//! WASI preview 1 for commands: the system calls of a core module, served without the detour over a component.
//!
//! What most toolchains call "WASI" is this interface (`wasi_snapshot_preview1`). A command made a component
//! by the usual adapter is four instances whose every string is lifted and lowered again, and the adapter grows
//! the memory at each start, which is two calls of the kernel that every processor has to hear of. Served
//! directly, a command is one instance, and a call is a function.
//!
//! A command has three descriptors and nothing else: no folder is open, so every call that needs a file or a
//! socket answers `badf`, as on a system where nothing is open. Pointers outside of the memory are `fault`.
//!
//! Not here: modules that import anything else; those are adapted ([`compile`](super::compile)).

use super::guest::{Bounded, GuestLimits};
use super::log::LogStream;
use super::memory::{Errno, Failure, Memory};
use super::pipe::{Stdin, Stdout};
use super::poll;
use std::time::{Duration, Instant};
use wasmtime::{AsContextMut as _, Caller, Extern, FuncType, Linker, Val, ValType};
use wasmtime_wasi::I32Exit;

pub(super) const MODULE: &str = "wasi_snapshot_preview1";

/// One read or write moves no more than this, and from no more pieces.
const TRANSFER_BYTES: usize = 64 * 1024;
const PIECES_MAX: u32 = 1024;

const UNKNOWN: u8 = 0;
const RIGHT_TO_READ: u64 = 1 << 1;
const RIGHT_TO_WRITE: u64 = 1 << 6;

/// Calls that need a file, a folder or a socket, with their parameters: `i` of 32 bits, `I` of 64.
const NOTHING_OPEN: [(&str, &str); 28] = [
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_datasync", "i"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_readdir", "iiiIi"),
    ("fd_sync", "i"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
    ("proc_raise", "i"),
];

/// What a running command has.
pub(super) struct Process {
    limits: GuestLimits,
    environment: Environment,
    descriptors: [Option<Descriptor>; 3],
    /// When its own clock was asked first.
    began: Option<Instant>,
    /// Found at the first call.
    memory: Option<wasmtime::Memory>,
}

#[derive(Clone)]
pub(super) enum Descriptor {
    Input(Stdin),
    Output(Stdout),
    Log(LogStream),
}

/// Variables as a C program wants them: `NAME=value`, each with a NUL behind it.
pub(super) struct Environment {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Environment {
    /// With room for the variables of a usual request.
    pub(super) fn new() -> Environment {
        Environment { bytes: Vec::with_capacity(1024), starts: Vec::with_capacity(32) }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.starts.push(self.bytes.len());
        for part in [name, "=", value, "\0"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }
}

impl Process {
    pub(super) fn new(
        limits: GuestLimits,
        environment: Environment,
        stdin: Stdin,
        stdout: Stdout,
        stderr: LogStream,
    ) -> Process {
        let descriptors =
            [Some(Descriptor::Input(stdin)), Some(Descriptor::Output(stdout)), Some(Descriptor::Log(stderr))];
        Process { limits, environment, descriptors, began: None, memory: None }
    }

    pub(super) fn descriptor(&self, fd: u32) -> Result<&Descriptor, Errno> {
        self.descriptors.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::Badf)
    }

    /// A clock's time in nanoseconds.
    pub(super) fn time(&mut self, clock: u32) -> Result<u64, Errno> {
        #[expect(clippy::disallowed_methods, reason = "a guest's clock is the machine's")]
        let time = match clock {
            0 => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default(),
            1 => self.began.get_or_insert_with(Instant::now).elapsed(),
            _ => return Err(Errno::Inval),
        };
        Ok(nanoseconds(time))
    }
}

impl Bounded for Process {
    fn limits(&mut self) -> &mut GuestLimits {
        &mut self.limits
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) type Call<'a> = Caller<'a, Process>;

/// The memory and the rest of a calling process.
pub(super) fn parts<'a>(call: &'a mut Call<'_>) -> Result<(Memory<'a>, &'a mut Process), Failure> {
    let memory = match call.data().memory {
        Some(memory) => memory,
        None => {
            let Some(Extern::Memory(memory)) = call.get_export("memory") else {
                return Err(Failure::Trap(wasmtime::Error::msg("the module exports no memory")));
            };
            call.data_mut().memory = Some(memory);
            memory
        }
    };
    let (bytes, process) = memory.data_and_store_mut(call.as_context_mut());
    Ok((Memory(bytes), process))
}

/// What the guest is told of a call.
fn answer(outcome: Result<(), Failure>) -> wasmtime::Result<u32> {
    match outcome {
        Ok(()) => Ok(0),
        Err(Failure::Errno(errno)) => Ok(errno as u32),
        Err(Failure::Trap(error)) => Err(error),
    }
}

/// A call that waits for nothing.
fn at_once(
    call: &mut Call<'_>,
    work: impl FnOnce(&mut Memory<'_>, &mut Process) -> Result<(), Errno>,
) -> wasmtime::Result<u32> {
    let outcome = parts(call).and_then(|(mut memory, process)| Ok(work(&mut memory, process)?));
    answer(outcome)
}

pub(super) fn add_to_linker(linker: &mut Linker<Process>) -> wasmtime::Result<()> {
    add_strings(linker)?;
    add_descriptors(linker)?;
    add_time_and_chance(linker)?;
    for (name, parameters) in NOTHING_OPEN {
        let parameters = parameters.chars().map(|kind| if kind == 'i' { ValType::I32 } else { ValType::I64 });
        let kind = FuncType::new(linker.engine(), parameters, [ValType::I32]);
        linker.func_new(MODULE, name, kind, |_, _, results| {
            results[0] = Val::I32(Errno::Badf as i32);
            Ok(())
        })?;
    }
    linker.func_wrap(MODULE, "proc_exit", |_: Call<'_>, status: i32| -> wasmtime::Result<()> {
        Err(I32Exit(status).into())
    })?;
    Ok(())
}

fn add_strings(linker: &mut Linker<Process>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "args_sizes_get", |mut call: Call<'_>, count: u32, bytes: u32| {
        at_once(&mut call, |memory, _| {
            memory.put_u32(count, 0)?;
            memory.put_u32(bytes, 0)
        })
    })?;
    linker.func_wrap(MODULE, "args_get", |_: Call<'_>, _addresses: u32, _strings: u32| 0_u32)?;
    linker.func_wrap(MODULE, "environ_sizes_get", |mut call: Call<'_>, count: u32, bytes: u32| {
        at_once(&mut call, |memory, process| {
            memory.put_len(count, process.environment.starts.len())?;
            memory.put_len(bytes, process.environment.bytes.len())
        })
    })?;
    linker.func_wrap(MODULE, "environ_get", |mut call: Call<'_>, addresses: u32, strings: u32| {
        at_once(&mut call, |memory, process| {
            let environment = &process.environment;
            memory.put(strings, &environment.bytes)?;
            for (number, start) in (0..).zip(&environment.starts) {
                // The strings have found room in the memory, so their addresses are of 32 bits.
                memory.put_len(Memory::at(addresses, number, 4)?, strings as usize + start)?;
            }
            Ok(())
        })
    })?;
    Ok(())
}

fn add_descriptors(linker: &mut Linker<Process>) -> wasmtime::Result<()> {
    linker.func_wrap_async(MODULE, "fd_write", fd_write)?;
    linker.func_wrap_async(
        MODULE,
        "fd_read",
        |mut call: Call<'_>, (fd, pieces, count, taken): (u32, u32, u32, u32)| {
            Box::new(async move { answer(read(&mut call, fd, pieces, count, taken).await) })
        },
    )?;
    linker.func_wrap(MODULE, "fd_close", |mut call: Call<'_>, fd: u32| {
        at_once(&mut call, |_, process| {
            process.descriptor(fd)?;
            process.descriptors[fd as usize] = None;
            Ok(())
        })
    })?;
    linker.func_wrap(MODULE, "fd_renumber", |mut call: Call<'_>, from: u32, to: u32| {
        at_once(&mut call, |_, process| {
            process.descriptor(to)?;
            process.descriptors[to as usize] = Some(process.descriptor(from)?.clone());
            if from != to {
                process.descriptors[from as usize] = None;
            }
            Ok(())
        })
    })?;
    let unseekable = |mut call: Call<'_>, fd: u32| {
        at_once(&mut call, |_, process| process.descriptor(fd).and(Err(Errno::Spipe)))
    };
    linker.func_wrap(MODULE, "fd_seek", move |call: Call<'_>, fd: u32, _: i64, _: u32, _: u32| {
        unseekable(call, fd)
    })?;
    linker.func_wrap(MODULE, "fd_tell", move |call: Call<'_>, fd: u32, _: u32| unseekable(call, fd))?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |mut call: Call<'_>, fd: u32, stat: u32| {
        at_once(&mut call, |memory, process| {
            let rights = match process.descriptor(fd)? {
                Descriptor::Input(_) => RIGHT_TO_READ,
                Descriptor::Output(_) | Descriptor::Log(_) => RIGHT_TO_WRITE,
            };
            let mut fields = [0; 24];
            fields[0] = UNKNOWN;
            fields[8..16].copy_from_slice(&rights.to_le_bytes());
            fields[16..].copy_from_slice(&rights.to_le_bytes());
            memory.put(stat, &fields)
        })
    })?;
    linker.func_wrap(MODULE, "fd_filestat_get", |mut call: Call<'_>, fd: u32, stat: u32| {
        at_once(&mut call, |memory, process| {
            process.descriptor(fd)?;
            memory.put(stat, &[UNKNOWN; 64])
        })
    })?;
    Ok(())
}

fn add_time_and_chance(linker: &mut Linker<Process>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "clock_res_get", |mut call: Call<'_>, clock: u32, resolution: u32| {
        at_once(&mut call, |memory, process| {
            process.time(clock)?;
            memory.put_u64(resolution, 1)
        })
    })?;
    linker.func_wrap(MODULE, "clock_time_get", |mut call: Call<'_>, clock: u32, _: i64, time: u32| {
        at_once(&mut call, |memory, process| memory.put_u64(time, process.time(clock)?))
    })?;
    linker.func_wrap_async(MODULE, "random_get", |mut call: Call<'_>, (at, len): (u32, u32)| {
        Box::new(async move { answer(random(&mut call, at, len).await) })
    })?;
    linker.func_wrap_async(MODULE, "sched_yield", |_: Call<'_>, (): ()| {
        Box::new(async {
            tokio::task::yield_now().await;
            0_u32
        })
    })?;
    linker.func_wrap_async(
        MODULE,
        "poll_oneoff",
        |mut call: Call<'_>, (wanted, events, count, happened): (u32, u32, u32, u32)| {
            Box::new(async move { answer(poll::oneoff(&mut call, wanted, events, count, happened).await) })
        },
    )?;
    Ok(())
}

/// What there is room for is written before there is a future: most guests never wait to write.
fn fd_write<'a>(
    mut call: Call<'a>,
    (fd, pieces, count, written): (u32, u32, u32, u32),
) -> Box<dyn Future<Output = wasmtime::Result<u32>> + Send + 'a> {
    match write(&mut call, fd, pieces, count, written) {
        Ok(Written::Now) => Box::new(std::future::ready(Ok(0))),
        Err(failure) => Box::new(std::future::ready(answer(Err(failure)))),
        Ok(Written::NoRoom(mut full)) => Box::new(async move {
            loop {
                std::future::poll_fn(|cx| full.poll_room(cx)).await;
                match write(&mut call, fd, pieces, count, written) {
                    Ok(Written::NoRoom(still)) => full = still,
                    Ok(Written::Now) => return Ok(0),
                    Err(failure) => return answer(Err(failure)),
                }
            }
        }),
    }
}

enum Written {
    Now,
    /// Not a byte, because there is no room.
    NoRoom(Stdout),
}

/// Writes what there is room for, at least a byte of it.
fn write(call: &mut Call<'_>, fd: u32, pieces: u32, count: u32, written: u32) -> Result<Written, Failure> {
    let (mut memory, process) = parts(call)?;
    let descriptor = process.descriptor(fd)?;
    let room = match descriptor {
        Descriptor::Input(_) => return Err(Errno::Badf.into()),
        Descriptor::Log(_) => TRANSFER_BYTES,
        Descriptor::Output(stdout) => match stdout.room().ok_or(Errno::Pipe)? {
            0 => return Ok(Written::NoRoom(stdout.clone())),
            room => room.min(TRANSFER_BYTES),
        },
    };
    let mut left = room;
    for number in 0..within(count)? {
        let piece = memory.piece(pieces, number)?;
        let piece = &piece[..piece.len().min(left)];
        left -= piece.len();
        match descriptor {
            Descriptor::Output(stdout) => stdout.put(piece),
            Descriptor::Log(log) => log.put(piece),
            Descriptor::Input(_) => {}
        }
    }
    memory.put_len(written, room - left)?;
    Ok(Written::Now)
}

/// Reads into the first piece that holds anything, and waits until there is something to read.
async fn read(call: &mut Call<'_>, fd: u32, pieces: u32, count: u32, taken: u32) -> Result<(), Failure> {
    let (stdin, at, len) = {
        let (memory, process) = parts(call)?;
        let Descriptor::Input(stdin) = process.descriptor(fd)? else { return Err(Errno::Badf.into()) };
        let mut place = (0, 0);
        for number in 0..within(count)? {
            place = memory.place(pieces, number)?;
            if place.1 > 0 {
                break;
            }
        }
        (stdin.clone(), place.0, place.1)
    };
    let bytes = match len {
        0 => bytes::Bytes::new(),
        len => stdin.next(TRANSFER_BYTES.min(len as usize)).await.map_err(|_| Errno::Io)?,
    };
    let (mut memory, _) = parts(call)?;
    memory.put(at, &bytes)?;
    Ok(memory.put_len(taken, bytes.len())?)
}

fn within(count: u32) -> Result<u32, Errno> {
    if count > PIECES_MAX { Err(Errno::Inval) } else { Ok(count) }
}

/// A guest may ask for gigabytes, and others shall run meanwhile.
async fn random(call: &mut Call<'_>, at: u32, len: u32) -> Result<(), Failure> {
    let mut done = 0;
    loop {
        let (mut memory, _) = parts(call)?;
        let whole = memory.slice(at, len as usize)?;
        let end = whole.len().min(done + TRANSFER_BYTES);
        fill(&mut whole[done..end])?;
        if end == whole.len() {
            return Ok(());
        }
        done = end;
        tokio::task::yield_now().await;
    }
}

fn fill(mut bytes: &mut [u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        // SAFETY: the kernel writes at most so many bytes there, and they are ours.
        #[expect(unsafe_code, reason = "nothing safe that is linked in asks the kernel for randomness")]
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        let got = usize::try_from(got).map_err(|_| Errno::Io)?;
        bytes = &mut bytes[got..];
    }
    Ok(())
}
