//! Tags of topics.

use super::faults;
use super::keys::TOPICS;
use super::topics::{Opened, find, read_arn};
use crate::Cx;
use crate::tags::{Misfit, Tag, Tagged, Tags};
use mayfly_kernel::Fault;

impl Tagged for Opened {
    type Form = Vec<Tag>;

    fn open(cx: &mut Cx<'_>, arn: &str) -> Result<Opened, Fault> {
        let arn = read_arn(arn, "ResourceArn")?;
        cx.allow(&arn)?;
        find(cx, &arn)?.ok_or_else(faults::no_resource)
    }

    fn tags(&mut self) -> &mut Tags {
        &mut self.record.tags
    }

    fn save(self, cx: &mut Cx<'_>) {
        TOPICS.put(cx.tx, &self.key, &self.record);
    }

    fn refusal(misfit: &Misfit<'_>) -> Fault {
        match misfit {
            Misfit::Key(_) | Misfit::Value(_) => faults::invalid("Tags Reason: a key or value is not valid"),
            Misfit::Count(_) => faults::too_many_tags(),
        }
    }
}
