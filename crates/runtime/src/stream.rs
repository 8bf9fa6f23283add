//! An answer that leaves piece by piece: the pipe from a runtime to whoever reads its answer.
//!
//! The pipe holds a few pieces, so a slow reader makes the function wait and costs no memory; the function's
//! own timeout ends that. A reader that goes away ends the delivery and not the function, which runs on and
//! writes into nothing, as on AWS.

use bytes::Bytes;
use mayfly_kernel::function::{Outcome, Refusal};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Pieces that wait for a slow reader before the function is made to.
const PIECES: usize = 4;

type Run = JoinHandle<Result<Outcome, Refusal>>;

/// The writing end.
pub(crate) struct Sink {
    begun: Mutex<Option<oneshot::Sender<String>>>,
    pieces: mpsc::Sender<Bytes>,
}

impl Sink {
    /// The answer has a head now, with the media type of what follows.
    pub(crate) fn begin(&self, content_type: &str) {
        if let Some(begun) = self.begun.lock().take() {
            let _ = begun.send(content_type.to_owned());
        }
    }

    /// Waits until there is room. Once nobody reads any more, everything is taken and nothing is kept.
    pub(crate) async fn send(&self, piece: Bytes) {
        if !piece.is_empty() {
            let _ = self.pieces.send(piece).await;
        }
    }
}

/// The reading end, before anything is known of the answer.
pub(crate) struct Source {
    begun: oneshot::Receiver<String>,
    pieces: mpsc::Receiver<Bytes>,
}

pub(crate) fn pipe() -> (Sink, Source) {
    let (begun_sender, begun) = oneshot::channel();
    let (sender, pieces) = mpsc::channel(PIECES);
    (Sink { begun: Mutex::new(Some(begun_sender)), pieces: sender }, Source { begun, pieces })
}

impl Source {
    /// Waits until the answer of `run` begins, or until there will be none.
    pub(crate) async fn answer(self, run: Run) -> Result<Answer, Refusal> {
        let Source { begun, pieces } = self;
        match begun.await {
            Ok(content_type) => Ok(Answer { content_type: Some(content_type), pieces, end: End::Open(run) }),
            Err(_) => {
                let outcome = ended(run.await)?;
                Ok(Answer { content_type: None, pieces, end: End::Reached(Ok(outcome)) })
            }
        }
    }
}

/// The answer of an invocation while it arrives.
#[derive(Debug)]
pub struct Answer {
    /// The media type that the runtime gave it; `None` if the invocation ended without any answer.
    pub content_type: Option<String>,
    pieces: mpsc::Receiver<Bytes>,
    end: End,
}

#[derive(Debug)]
enum End {
    Open(Run),
    Reached(Result<Outcome, Refusal>),
}

impl Answer {
    /// The next piece; `None` after the last one, when [`outcome`](Answer::outcome) says how it ended.
    pub async fn piece(&mut self) -> Option<Bytes> {
        loop {
            match &mut self.end {
                End::Reached(_) => return self.pieces.try_recv().ok(),
                End::Open(run) => {
                    let run = tokio::select! {
                        biased;
                        piece = self.pieces.recv() => match piece {
                            Some(piece) => return Some(piece),
                            None => run.await,
                        },
                        run = &mut *run => run,
                    };
                    self.end = End::Reached(ended(run));
                }
            }
        }
    }

    /// What the invocation came to, its end awaited. What of the answer was not read is lost.
    pub async fn outcome(self) -> Result<Outcome, Refusal> {
        match self.end {
            End::Reached(outcome) => outcome,
            End::Open(run) => {
                drop(self.pieces);
                ended(run.await)
            }
        }
    }
}

fn ended(run: Result<Result<Outcome, Refusal>, tokio::task::JoinError>) -> Result<Outcome, Refusal> {
    run.unwrap_or_else(|failed| Err(Refusal::Unrunnable(failed.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_makes_the_writer_wait_and_one_that_is_gone_does_not() {
        let (sink, source) = pipe();
        let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = written.clone();
        let run = tokio::spawn(async move {
            sink.begin("text/plain");
            for _ in 0..100 {
                sink.send(Bytes::from_static(b"piece")).await;
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            Ok(Outcome { result: Ok(Vec::new()), log_tail: Vec::new(), report: Default::default() })
        });
        let mut answer = source.answer(run).await.unwrap();
        assert_eq!(answer.content_type.as_deref(), Some("text/plain"));
        answer.piece().await.unwrap();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(written.load(std::sync::atomic::Ordering::SeqCst) <= PIECES + 2, "the writer waits");
        assert!(answer.outcome().await.unwrap().result.is_ok(), "and runs on when nobody reads any more");
        assert_eq!(written.load(std::sync::atomic::Ordering::SeqCst), 100);
    }
}
