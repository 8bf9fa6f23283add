//! What the platform writes around an invocation: the START, END and REPORT lines, in AWS's words.

use mayfly_kernel::Time;
use mayfly_kernel::function::{Report, Version};

pub(crate) fn start_line(request_id: &str, version: &Version) -> String {
    format!("START RequestId: {request_id} Version: {}", version.label)
}

pub(crate) fn end_line(request_id: &str) -> String {
    format!("END RequestId: {request_id}")
}

/// How an invocation ended, as far as its REPORT line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Done,
    Timeout,
    Failed,
}

pub(crate) fn report_line(request_id: &str, version: &Version, report: &Report, status: Status) -> String {
    let init = report.init_us.map(|us| format!("Init Duration: {} ms\t", hundredths(us)));
    let status = match status {
        Status::Done => "",
        Status::Timeout => "Status: timeout\t",
        Status::Failed => "Status: error\t",
    };
    format!(
        "REPORT RequestId: {request_id}\tDuration: {} ms\tBilled Duration: {} ms\tMemory Size: {} MB\t\
         Max Memory Used: {} MB\t{}{status}",
        hundredths(report.duration_us),
        report.duration_us.div_ceil(1000),
        version.memory_mib,
        report.max_memory_bytes.div_ceil(1024 * 1024),
        init.unwrap_or_default(),
    )
}

/// The line of a timeout: `2026-01-31T12:00:00.000Z ID Task timed out after 3.00 seconds`.
pub(crate) fn event_line(at: Time, request_id: &str, text: &str) -> String {
    let at = i64::try_from(at.ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3} {request_id} {text}", at.unwrap_or_default())
}

/// `YYYY/MM/DD/[label]<32 hex digits>`
pub(crate) fn stream_name(at: Time, label: &str, unique: &str) -> String {
    let at = i64::try_from(at.ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{}/[{label}]{unique}", at.unwrap_or_default().strftime("%Y/%m/%d"))
}

fn hundredths(us: u64) -> String {
    let hundredths = us.div_ceil(10);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_aws_writes_them() {
        let at = Time::from_ms(1_700_000_000_123);
        assert_eq!(event_line(at, "id", "x"), "2023-11-14T22:13:20.123Z id x");
        assert_eq!(stream_name(at, "$LATEST", "ab"), "2023/11/14/[$LATEST]ab");
        assert_eq!(hundredths(1_234), "1.24");
        assert_eq!(hundredths(12_340), "12.34");
    }
}
