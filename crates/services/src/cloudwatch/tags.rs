//! Tags of alarms.

use super::faults;
use super::keys::{ALARMS, AlarmKey, alarm_of};
use super::model::Alarm;
use crate::Cx;
use crate::tags::{Misfit, Tag, Tagged, Tags};
use mayfly_kernel::{Arn, Fault};

pub(super) struct Row(AlarmKey, Alarm);

impl Tagged for Row {
    type Form = Vec<Tag>;

    fn open(cx: &mut Cx<'_>, text: &str) -> Result<Row, Fault> {
        let arn: Arn = text.parse().map_err(|_| faults::bad_value(format!("Invalid ARN: {text}")))?;
        cx.allow(&arn)?;
        let key = alarm_of(&arn).ok_or_else(|| faults::no_resource(text))?;
        let alarm = ALARMS.get(cx.tx, &key)?.ok_or_else(|| faults::no_resource(text))?;
        Ok(Row(key, alarm))
    }

    fn tags(&mut self) -> &mut Tags {
        &mut self.1.tags
    }

    fn save(self, cx: &mut Cx<'_>) {
        ALARMS.put(cx.tx, &self.0, &self.1);
    }

    fn refusal(_: &Misfit<'_>) -> Fault {
        faults::bad_value("At most 50 tags, their keys of 1 to 128 characters, their values of at most 256.")
    }
}
