//! A future that is polled again at once when it has woken itself.
//!
//! An HTTP connection does so for each request with a body: whoever reads the body wakes the connection, and is a part
//! of it. The executor puts a task that wakes itself behind all others and wakes another thread to help with the heap
//! of work that it takes that for, which costs more than the request.

use parking_lot::Mutex;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future that never rests must let others run at some time.
const MOST: usize = 8;

const RESTS: u8 = 0;
const IS_POLLED: u8 = 1;
const WOKEN: u8 = 2;

/// Stands between a future and its task.
#[derive(Default)]
struct Relay {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Wake for Relay {
    fn wake(self: Arc<Relay>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Relay>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == RESTS
            && let Some(task) = &*self.task.lock()
        {
            task.wake_by_ref();
        }
    }
}

impl Relay {
    fn of(&self, task: &Waker) {
        let mut known = self.task.lock();
        if !known.as_ref().is_some_and(|known| known.will_wake(task)) {
            *known = Some(task.clone());
        }
    }
}

/// Runs a future to its end.
pub async fn promptly<T>(future: impl Future<Output = T>) -> T {
    let relay = Arc::new(Relay::default());
    let waker = Waker::from(relay.clone());
    let mut future = pin!(future);
    poll_fn(|task| {
        relay.of(task.waker());
        for _ in 0..MOST {
            // What has woken it before this is seen by this poll.
            relay.state.store(IS_POLLED, Ordering::Release);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            let rests = (Ordering::AcqRel, Ordering::Acquire);
            if relay.state.compare_exchange(IS_POLLED, RESTS, rests.0, rests.1).is_ok() {
                return Poll::Pending;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Wakes itself so many times before it rests.
    fn restless(mut times: usize, polls: Arc<AtomicUsize>) -> impl Future<Output = ()> {
        poll_fn(move |task| {
            polls.fetch_add(1, Ordering::Relaxed);
            if times > 0 {
                times -= 1;
                task.waker().wake_by_ref();
            }
            Poll::Pending
        })
    }

    #[test]
    fn what_wakes_itself_is_polled_at_once_but_not_for_ever() {
        for (times, polled, woken) in [(0, 1, 0), (3, 4, 0), (100, MOST, 1)] {
            let (count, polls) = (Arc::<Count>::default(), Arc::<AtomicUsize>::default());
            let waker = Waker::from(count.clone());
            let mut future = pin!(promptly(restless(times, polls.clone())));
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(polls.load(Ordering::Relaxed), polled);
            assert_eq!(count.0.load(Ordering::Relaxed), woken);
        }
    }

    #[test]
    fn what_others_wake_is_polled_by_its_task() {
        let count = Arc::<Count>::default();
        let waker = Waker::from(count.clone());
        let (send, receive) = tokio::sync::oneshot::channel();
        let mut future = pin!(promptly(receive));
        let mut task = Context::from_waker(&waker);
        assert!(future.as_mut().poll(&mut task).is_pending());
        send.send(7).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(future.as_mut().poll(&mut task), Poll::Ready(Ok(7)));
    }
}
