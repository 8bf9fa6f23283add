//! Tags of groups; schedules have none.

use super::faults;
use super::groups;
use super::keys::{GROUPS, GroupKey, group_arn};
use super::model::Group;
use crate::Cx;
use crate::tags::{Misfit, Tag, Tagged, Tags};
use mayfly_kernel::Fault;

pub(super) struct Row(GroupKey, Group);

impl Tagged for Row {
    type Form = Vec<Tag>;

    fn open(cx: &mut Cx<'_>, arn: &str) -> Result<Row, Fault> {
        let name = arn.split_once(":schedule-group/").map(|(_, name)| name);
        let name = name.ok_or_else(|| faults::validation(format!("Invalid resource ARN: {arn}")))?;
        let key = groups::key(cx, name);
        cx.allow(&group_arn(&key))?;
        let group = groups::find(cx, &key)?;
        Ok(Row(key, group))
    }

    fn tags(&mut self) -> &mut Tags {
        &mut self.1.tags
    }

    fn save(self, cx: &mut Cx<'_>) {
        GROUPS.put(cx.tx, &self.0, &self.1);
    }

    fn refusal(_: &Misfit<'_>) -> Fault {
        faults::validation("At most 50 tags, their keys of 1 to 128 characters, their values of at most 256.")
    }
}
