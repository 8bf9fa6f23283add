//! Tags of scalable targets.

use super::faults;
use super::keys::{TARGETS, TargetKey, target_arn};
use super::model::Target;
use crate::Cx;
use crate::tags::{Misfit, Tagged, Tags};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;

const PAGE: usize = 500;

pub(super) struct Row(TargetKey, Target);

impl Tagged for Row {
    type Form = Tags;

    /// The id is looked for among all: tags are changed seldom, and targets are few.
    fn open(cx: &mut Cx<'_>, text: &str) -> Result<Row, Fault> {
        let arn: Arn = text.parse().map_err(|_| faults::no_resource(text))?;
        cx.allow(&arn)?;
        let place = (cx.caller.account.clone(), cx.caller.region.clone());
        let mut scan = Scan::prefix(&place, PAGE);
        loop {
            let rows = TARGETS.scan(cx.tx, scan)?;
            let Some((last, _)) = rows.last().cloned() else { return Err(faults::no_resource(text)) };
            let found = rows.into_iter().find(|(key, target)| target_arn(key, &target.id) == arn);
            if let Some((key, target)) = found {
                return Ok(Row(key, target));
            }
            scan = Scan::prefix(&place, PAGE).after(&last);
        }
    }

    fn tags(&mut self) -> &mut Tags {
        &mut self.1.tags
    }

    fn save(self, cx: &mut Cx<'_>) {
        TARGETS.put(cx.tx, &self.0, &self.1);
    }

    fn refusal(misfit: &Misfit<'_>) -> Fault {
        match misfit {
            Misfit::Key(_) | Misfit::Value(_) => {
                faults::validation("A tag's key has 1 to 128 characters, its value at most 256.")
            }
            Misfit::Count(_) => faults::too_many_tags(),
        }
    }
}
