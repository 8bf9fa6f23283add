//! Turns: who loses against others waits for those who lost over the same row, so that they do not make each
//! other lose for ever.
//!
//! Losers over different rows do not wait for each other: each row has a lane, which it shares with few others.
//! Who keeps losing, over one row and then another, goes alone at last. Nobody waits for a lane while in one,
//! so there is no knot.

use mayfly_store::Over;
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

const LANES: u64 = 256;
/// Who has lost this often goes alone.
const LOSSES_BEFORE_ALONE: u32 = 8;

pub(crate) struct Turns {
    lanes: Vec<Mutex<()>>,
    /// Read by all who are in a lane, written by who goes alone.
    alone: RwLock<()>,
}

/// Held for as long as it lasts.
pub(crate) enum Turn<'a> {
    InLane { lane: usize, _lane: MutexGuard<'a, ()>, _beside: RwLockReadGuard<'a, ()> },
    Alone { _alone: RwLockWriteGuard<'a, ()> },
}

impl Turns {
    pub(crate) fn new() -> Turns {
        Turns { lanes: (0..LANES).map(|_| Mutex::new(())).collect(), alone: RwLock::new(()) }
    }

    /// The turn of who has lost so many times, the last time over this row.
    pub(crate) async fn after<'a>(&'a self, held: Option<Turn<'a>>, losses: u32, over: Over) -> Turn<'a> {
        let lane = usize::try_from(over.0 % LANES).unwrap_or(0);
        match held {
            Some(Turn::Alone { _alone }) => return Turn::Alone { _alone },
            Some(Turn::InLane { lane: own, _lane, _beside })
                if own == lane && losses < LOSSES_BEFORE_ALONE =>
            {
                return Turn::InLane { lane, _lane, _beside };
            }
            // Before the next wait, or two of them would wait for each other.
            other => drop(other),
        }
        if losses >= LOSSES_BEFORE_ALONE {
            return Turn::Alone { _alone: self.alone.write().await };
        }
        // The lane first: who waits for it holds up nobody who goes alone.
        let _lane = self.lanes[lane].lock().await;
        Turn::InLane { lane, _lane, _beside: self.alone.read().await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn waits<T>(turn: impl Future<Output = T>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), turn).await.is_err()
    }

    #[tokio::test]
    async fn losers_over_one_row_take_turns_and_others_do_not_wait() {
        let turns = Turns::new();
        let first = turns.after(None, 2, Over(1)).await;
        assert!(waits(turns.after(None, 2, Over(1))).await);
        let other = turns.after(None, 2, Over(2)).await;
        // The same row again keeps its lane, another row lets go of it.
        let first = turns.after(Some(first), 3, Over(1)).await;
        assert!(waits(turns.after(None, 2, Over(1))).await);
        let moved = turns.after(Some(first), 4, Over(3)).await;
        let next = turns.after(None, 2, Over(1)).await;
        assert!(waits(turns.after(Some(moved), LOSSES_BEFORE_ALONE, Over(3))).await);
        drop((other, next));
        let alone = turns.after(None, LOSSES_BEFORE_ALONE, Over(3)).await;
        assert!(waits(turns.after(None, 2, Over(4))).await);
        let alone = turns.after(Some(alone), LOSSES_BEFORE_ALONE + 1, Over(5)).await;
        drop(alone);
        turns.after(None, 2, Over(4)).await;
    }
}
