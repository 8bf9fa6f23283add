//! `poll_oneoff`: waiting for time to pass, for input, or for room for output, whichever comes first.

use super::memory::{Errno, Failure, Memory};
use super::pipe::{Stdin, Stdout};
use super::preview1::{Call, Descriptor, Process, parts};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// So many things may be waited for at once.
const WANTED_MAX: u32 = 4096;

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;
/// A clock's time is meant as it is, not from now on.
const ABSOLUTE: u16 = 1;

struct Wanted {
    userdata: u64,
    kind: u8,
    what: What,
}

enum What {
    /// `None`: later than anything.
    Time(Option<Instant>),
    Input(Stdin),
    Room(Stdout),
    /// Happened as soon as it was asked for.
    Done(Result<(), Errno>),
}

impl Wanted {
    fn read(memory: &Memory<'_>, process: &mut Process, at: u32) -> Result<Wanted, Errno> {
        let field = |offset| Memory::at(at, offset, 1);
        let userdata = memory.u64(at)?;
        let [kind, ..] = memory.u16(field(8)?)?.to_le_bytes();
        let subject = memory.u32(field(16)?)?;
        let what = match kind {
            0 => {
                let (time, flags) = (memory.u64(field(24)?)?, memory.u16(field(40)?)?);
                match process.time(subject) {
                    Err(errno) => What::Done(Err(errno)),
                    Ok(now) => {
                        let wait = if flags & ABSOLUTE == 0 { time } else { time.saturating_sub(now) };
                        What::Time(Instant::now().checked_add(Duration::from_nanos(wait)))
                    }
                }
            }
            1 | 2 => match (kind, process.descriptor(subject)) {
                (1, Ok(Descriptor::Input(stdin))) => What::Input(stdin.clone()),
                (2, Ok(Descriptor::Output(stdout))) => What::Room(stdout.clone()),
                (2, Ok(Descriptor::Log(_))) => What::Done(Ok(())),
                _ => What::Done(Err(Errno::Badf)),
            },
            _ => return Err(Errno::Inval),
        };
        Ok(Wanted { userdata, kind, what })
    }

    /// The event, if it has happened.
    fn poll(&self, cx: &mut Context<'_>, now: Instant) -> Option<[u8; EVENT_BYTES as usize]> {
        let (errno, bytes) = match &self.what {
            What::Time(None) => return None,
            What::Time(Some(at)) if *at > now => return None,
            What::Input(stdin) if stdin.poll_ready(cx).is_pending() => return None,
            What::Room(stdout) if stdout.poll_room(cx).is_pending() => return None,
            What::Done(Err(errno)) => (*errno as u16, 0),
            What::Time(_) => (0, 0),
            What::Input(_) | What::Room(_) | What::Done(Ok(())) => (0, 1_u64),
        };
        let mut event = [0; EVENT_BYTES as usize];
        event[..8].copy_from_slice(&self.userdata.to_le_bytes());
        event[8..10].copy_from_slice(&errno.to_le_bytes());
        event[10] = self.kind;
        event[16..24].copy_from_slice(&bytes.to_le_bytes());
        Some(event)
    }
}

pub(super) async fn oneoff(
    call: &mut Call<'_>,
    wanted_at: u32,
    events_at: u32,
    count: u32,
    happened_at: u32,
) -> Result<(), Failure> {
    if !(1..=WANTED_MAX).contains(&count) {
        return Err(Errno::Inval.into());
    }
    let wanted = {
        let (mut memory, process) = parts(call)?;
        memory.slice(events_at, (count * EVENT_BYTES) as usize)?;
        let read =
            |number| Wanted::read(&memory, &mut *process, Memory::at(wanted_at, number, SUBSCRIPTION_BYTES)?);
        (0..count).map(read).collect::<Result<Vec<_>, Errno>>()?
    };
    let times = wanted.iter().filter_map(|one| if let What::Time(at) = one.what { at } else { None });
    let alarm = async {
        match times.min() {
            Some(first) => tokio::time::sleep_until(first).await,
            None => std::future::pending().await,
        }
    };
    let mut alarm = pin!(alarm);
    let mut rung = false;
    let happened: Vec<_> = std::future::poll_fn(|cx| {
        rung = rung || alarm.as_mut().poll(cx).is_ready();
        let now = Instant::now();
        let happened: Vec<_> = wanted.iter().filter_map(|one| one.poll(cx, now)).collect();
        if happened.is_empty() { Poll::Pending } else { Poll::Ready(happened) }
    })
    .await;
    let (mut memory, _) = parts(call)?;
    for (number, event) in (0..).zip(&happened) {
        memory.put(Memory::at(events_at, number, EVENT_BYTES)?, event)?;
    }
    Ok(memory.put_len(happened_at, happened.len())?)
}
