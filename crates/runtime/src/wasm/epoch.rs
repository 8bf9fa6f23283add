//! The clock that stops guests: while a guest computes, one thread advances the engine's epoch every
//! millisecond.
//!
//! Compiled code compares the epoch at every loop and function entry. When it has moved, the guest yields to
//! the executor, so that a guest that never waits still leaves its thread to others every millisecond and can
//! be dropped at its deadline. A guest that waits for I/O, or no guest at all, needs no epoch: the thread
//! then parks, and an idle server uses no CPU.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread::{self, Thread};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1);

/// So many ticks without a guest computing, and the thread parks. Waking it is a system call for whoever runs
/// the next guest, so under load it should stay awake in the short gaps between guests.
const QUIET_TICKS: u32 = 20;

/// Owns the thread; dropping it ends the thread.
pub(super) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    /// Guests that are on a processor now.
    computing: AtomicUsize,
    parked: AtomicBool,
    stopped: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Ticker {
    pub(super) fn start(advance: impl Fn() + Send + 'static) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared {
            computing: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let for_thread = Arc::clone(&shared);
        thread::Builder::new().name("wasm-epoch".into()).spawn(move || for_thread.run(&advance))?;
        Ok(Ticker { shared })
    }

    /// `guest`, with epochs passing whenever it computes.
    pub(super) fn watch<F: Future>(&self, guest: F) -> Watched<F> {
        Watched { guest: Box::pin(guest), ticker: Arc::clone(&self.shared) }
    }

    #[cfg(test)]
    fn is_parked(&self) -> bool {
        self.shared.parked.load(Ordering::SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.wake();
    }
}

impl Shared {
    fn run(&self, advance: &dyn Fn()) {
        let _ = self.thread.set(thread::current());
        let mut quiet = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            if quiet < QUIET_TICKS {
                thread::sleep(TICK);
                advance();
                quiet = if self.computing.load(Ordering::SeqCst) == 0 { quiet + 1 } else { 0 };
            } else {
                self.park();
                quiet = 0;
            }
        }
    }

    /// Announces the sleep before it looks for guests once more, as a guest announces itself before it looks
    /// for sleep: whichever comes second sees the other, so no guest computes while this thread sleeps.
    fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        while self.parked.load(Ordering::SeqCst)
            && self.computing.load(Ordering::SeqCst) == 0
            && !self.stopped.load(Ordering::SeqCst)
        {
            thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.parked.load(Ordering::SeqCst)
            && self.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

/// A guest's future; a poll of it is a guest on a processor.
pub(super) struct Watched<F> {
    guest: Pin<Box<F>>,
    ticker: Arc<Shared>,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Watched { guest, ticker } = self.get_mut();
        let _computing = Computing::enter(ticker);
        guest.as_mut().poll(cx)
    }
}

/// Counts itself out also when the guest's host code panics.
struct Computing<'a>(&'a Shared);

impl<'a> Computing<'a> {
    fn enter(shared: &'a Shared) -> Computing<'a> {
        shared.computing.fetch_add(1, Ordering::SeqCst);
        shared.wake();
        Computing(shared)
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.computing.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn it_ticks_for_a_computing_guest_and_parks_without_one() {
        let (ticks, ticked) = mpsc::channel();
        let ticker = Ticker::start(move || ticks.send(()).unwrap_or_default()).unwrap();
        let until_parked = || {
            while !ticker.is_parked() {
                let _ = ticked.recv_timeout(Duration::from_millis(5));
            }
            ticked.try_iter().for_each(drop);
        };
        until_parked();
        assert!(ticked.recv_timeout(Duration::from_millis(30)).is_err(), "it ticks although it is parked");

        let guest = ticker.watch(std::future::poll_fn(|_| {
            for _ in 0..QUIET_TICKS * 2 {
                ticked.recv_timeout(Duration::from_secs(60)).expect("a tick while the guest computes");
            }
            Poll::Ready(())
        }));
        futures_util::FutureExt::now_or_never(guest).expect("the guest never waits");
        until_parked();
    }
}
