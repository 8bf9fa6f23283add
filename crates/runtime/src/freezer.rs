//! Stands an idle instance still, so that it costs no processor time whatever its threads would like to do.
//!
//! The function's code notices as little as on AWS: time has passed. What waits for it, a kill included,
//! happens when it is thawed, so everything that ends an instance thaws it.

use crate::launcher::protocol::{Freeze, GroupVersion};
use parking_lot::Mutex;

pub(crate) struct Freezer {
    freeze: Freeze,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// How much is under way that wants the instance to run, although it has no work.
    held: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Working,
    Resting,
    /// To be frozen as soon as nothing is under way any more.
    Due,
    Frozen,
}

impl Freezer {
    pub(crate) fn new(freeze: Freeze) -> Freezer {
        Freezer { freeze, state: Mutex::new(State { stage: Stage::Working, held: 0 }) }
    }

    /// The instance has nothing to do; it may be frozen from now on.
    pub(crate) fn rest(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Working {
            state.stage = Stage::Resting;
        }
    }

    /// Freezes the instance, unless it has got work meanwhile; if something is under way, after that.
    pub(crate) fn freeze(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Resting {
            state.stage = Stage::Due;
            self.freeze_if_due(&mut state);
        }
    }

    fn freeze_if_due(&self, state: &mut State) {
        if state.stage != Stage::Due || state.held > 0 {
            return;
        }
        match self.freeze.write(true) {
            Ok(()) => state.stage = Stage::Frozen,
            Err(error) => tracing::warn!(%error, "cannot freeze an instance"),
        }
    }

    /// Something is under way.
    pub(crate) fn hold(&self) {
        self.state.lock().held += 1;
    }

    /// So much of what was under way is over.
    pub(crate) fn release(&self, count: usize) {
        let mut state = self.state.lock();
        state.held = state.held.saturating_sub(count);
        self.freeze_if_due(&mut state);
    }

    /// The instance is about to work. When this returns, it runs.
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Frozen
            && let Err(error) = self.freeze.write(false)
        {
            // Its group is gone, and with it the instance; whoever wants to use it will notice that.
            tracing::debug!(%error, "cannot thaw an instance");
        }
        state.stage = Stage::Working;
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.state.lock().stage == Stage::Frozen
    }
}

impl Freeze {
    /// Asks the kernel to freeze or to thaw everything in the group.
    pub(crate) fn write(&self, frozen: bool) -> std::io::Result<()> {
        let (file, text) = match (self.version, frozen) {
            (GroupVersion::V1, true) => ("freezer.state", "FROZEN"),
            (GroupVersion::V1, false) => ("freezer.state", "THAWED"),
            (GroupVersion::V2, true) => ("cgroup.freeze", "1"),
            (GroupVersion::V2, false) => ("cgroup.freeze", "0"),
        };
        std::fs::write(self.folder.join(file), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_puts_the_freezing_off_until_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let freeze = Freeze { version: GroupVersion::V2, folder: folder.path().to_owned() };
        let freezer = Freezer::new(freeze);
        freezer.hold();
        freezer.hold();
        freezer.rest();
        freezer.freeze();
        freezer.release(1);
        assert!(!freezer.is_frozen());
        freezer.release(1);
        assert!(freezer.is_frozen());
        assert_eq!(std::fs::read_to_string(folder.path().join("cgroup.freeze")).unwrap(), "1");
        // Work that comes meanwhile goes before.
        freezer.wake();
        freezer.hold();
        freezer.rest();
        freezer.freeze();
        freezer.wake();
        freezer.release(1);
        assert!(!freezer.is_frozen());
    }
}
