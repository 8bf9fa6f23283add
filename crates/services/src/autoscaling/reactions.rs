//! What time does: a policy looks at how much is in use, and a scheduled action's time comes.

use super::keys::{ACTIONS, NamedKey, POLICIES, TARGETS, TargetKey, Timer, look_timer, timer_of};
use super::model::{Policy, Target};
use super::targets::PARTS_MAX;
use super::{actions, capacity, scope};
use crate::fabric::{self, Delivery, Record, Target as Goal, Verdict};
use crate::{Cx, cloudwatch};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use std::time::Duration;

const MINUTE_S: u64 = 60;
/// How long after a minute's end its figures have been written down.
const SETTLED: Duration = Duration::from_secs(3);
/// So many minutes must be under the value before less is provisioned …
const IN_MINUTES: usize = 15;
/// … by so much of it.
const IN_MARGIN: f64 = 0.9;

/// Waits for the next look: when the next minute is over and written down.
pub(super) fn wait(cx: &mut Cx<'_>, key: &TargetKey, target: &Target) -> Result<(), Fault> {
    let minute = (cx.now - SETTLED).secs() / MINUTE_S;
    let arn = look_timer(key);
    cx.deliver(Delivery {
        source: arn.to_string(),
        target: Goal::Timer(arn),
        event_type: "aws.application-autoscaling.Look".into(),
        payload: Vec::new(),
        id: Some(target.look.clone()),
        due: Some(Time::from_secs((minute + 1) * MINUTE_S) + SETTLED),
        depth: 0,
        tenant: None,
    })
}

/// A timer's time has come. A delivery that nothing waits for any more ends here.
pub fn fire(cx: &mut Cx<'_>, record: &Record) -> Result<(), Fault> {
    fabric::settle(cx, record.clone(), Verdict::Done)?;
    let Goal::Timer(arn) = record.target()? else {
        return Err(Fault::internal("scale", "the delivery is not a timer's"));
    };
    match timer_of(&arn) {
        Some(Timer::Look(key)) => look(cx, &key, &record.id),
        Some(Timer::Action(key)) => act(cx, &key, &record.id),
        None => Ok(()),
    }
}

fn look(cx: &mut Cx<'_>, key: &TargetKey, delivery: &str) -> Result<(), Fault> {
    let Some(mut target) = TARGETS.get(cx.tx, key)?.filter(|target| target.look == delivery) else {
        return Ok(());
    };
    let policies = POLICIES.scan(cx.tx, Scan::prefix(key, PARTS_MAX))?;
    if policies.is_empty() {
        target.look = String::new();
        TARGETS.put(cx.tx, key, &target);
        return Ok(());
    }
    scale(cx, key, &mut target, &policies)?;
    wait(cx, key, &target)
}

/// What a policy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Out(u32),
    In(u32),
    Stay,
}

/// Of several policies the one that asks for the most decides, and all must agree before anything is given
/// up.
fn scale(
    cx: &mut Cx<'_>,
    key: &TargetKey,
    target: &mut Target,
    policies: &[(NamedKey, Policy)],
) -> Result<(), Fault> {
    let current = capacity::current(cx, key)?;
    if current == 0 {
        return Ok(());
    }
    let used = utilization(cx, key)?;
    let wishes: Vec<(Wish, &NamedKey, &Policy)> =
        policies.iter().map(|(key, policy)| (wish(policy, current, &used), key, policy)).collect();
    let most = |wish: &Wish| match wish {
        Wish::Out(wanted) | Wish::In(wanted) => *wanted,
        Wish::Stay => current,
    };
    let Some((wish, policy_key, policy)) = wishes.iter().max_by_key(|(wish, ..)| most(wish)) else {
        return Ok(());
    };
    let cool = |since: u64, cooldown: Option<u32>| {
        cx.now >= Time::from_ms(since) + Duration::from_secs(cooldown.unwrap_or(0).into())
    };
    let (wanted, out) = match wish {
        Wish::Out(_) if target.no_scaling_out || !cool(target.out_ms, policy.out_cooldown_s) => return Ok(()),
        Wish::In(_)
            if target.no_scaling_in || !cool(target.in_ms.max(target.out_ms), policy.in_cooldown_s) =>
        {
            return Ok(());
        }
        Wish::Out(wanted) => ((*wanted).clamp(target.min, target.max), true),
        Wish::In(wanted) => ((*wanted).clamp(target.min, target.max), false),
        Wish::Stay => return Ok(()),
    };
    if (out && wanted <= current) || (!out && wanted >= current) {
        return Ok(());
    }
    let cause = format!(
        "policy {} keeps utilization at {}: it was {:.2} of {current}",
        policy_key.3,
        policy.value,
        used.first().copied().flatten().unwrap_or_default()
    );
    if capacity::set(cx, key, wanted, cause)? {
        let since = if out { &mut target.out_ms } else { &mut target.in_ms };
        *since = cx.now.ms();
        TARGETS.put(cx.tx, key, target);
    }
    Ok(())
}

/// What was in use at most in each of the last minutes, the newest first; none where nothing is known.
fn utilization(cx: &Cx<'_>, key: &TargetKey) -> Result<Vec<Option<f64>>, Fault> {
    let Some(named) = scope::parts(&key.2) else { return Ok(Vec::new()) };
    let end = (cx.now - SETTLED).secs() / MINUTE_S * MINUTE_S;
    cloudwatch::provisioned_utilization(cx, named, end, IN_MINUTES)
}

fn wish(policy: &Policy, current: u32, used: &[Option<f64>]) -> Wish {
    let needed = |used: f64| {
        let wanted = (f64::from(current) * used / policy.value - 1e-9).ceil().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and a u32's tenfold"
        )]
        let wanted = wanted.min(f64::from(u32::MAX)) as u32;
        wanted
    };
    let Some(Some(last)) = used.first().copied() else { return Wish::Stay };
    if last > policy.value {
        return Wish::Out(needed(last));
    }
    let under = |used: &Option<f64>| used.is_some_and(|used| used < policy.value * IN_MARGIN);
    match !policy.never_in && used.len() >= IN_MINUTES && used.iter().all(under) {
        true => Wish::In(needed(used.iter().flatten().copied().fold(0.0, f64::max))),
        false => Wish::Stay,
    }
}

fn act(cx: &mut Cx<'_>, key: &NamedKey, delivery: &str) -> Result<(), Fault> {
    let Some(mut action) = ACTIONS.get(cx.tx, key)? else { return Ok(()) };
    let Some(waiting) = action.waiting.take().filter(|waiting| waiting.delivery == delivery) else {
        return Ok(());
    };
    let target_key = (key.0.clone(), key.1.clone(), key.2.clone());
    if let Some(mut target) = TARGETS.get(cx.tx, &target_key)?.filter(|target| !target.no_schedules) {
        target.min = action.min.unwrap_or(target.min);
        target.max = action.max.unwrap_or(target.max);
        // An action that names one of the two may come past the other, which then follows it.
        if action.min.is_none() {
            target.min = target.min.min(target.max);
        }
        target.max = target.max.max(target.min);
        TARGETS.put(cx.tx, &target_key, &target);
        capacity::into_range(cx, &target_key, &target)?;
    }
    let at = Time::from_ms(waiting.due_ms);
    // A rate goes on from its own time, unless that is over already.
    let following = match actions::next(&action, at) {
        Some(time) if time <= cx.now => actions::next(&action, cx.now),
        following => following,
    };
    actions::wait(cx, key, &mut action, following)?;
    ACTIONS.put(cx.tx, key, &action);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_asks_for_what_its_value_says() {
        let policy = Policy { value: 0.7, ..Policy::default() };
        assert_eq!(wish(&policy, 10, &[Some(0.7)]), Wish::Stay);
        assert_eq!(wish(&policy, 10, &[Some(1.0)]), Wish::Out(15));
        assert_eq!(wish(&policy, 10, &[None, Some(1.0)]), Wish::Stay);
        assert_eq!(wish(&policy, 10, &[Some(0.1); 14]), Wish::Stay);
        assert_eq!(wish(&policy, 10, &[Some(0.1); 15]), Wish::In(2));
        assert_eq!(wish(&policy, 10, &[Some(0.0); 15]), Wish::In(1));
        let never = Policy { never_in: true, ..policy };
        assert_eq!(wish(&never, 10, &[Some(0.1); 15]), Wish::Stay);
    }
}
