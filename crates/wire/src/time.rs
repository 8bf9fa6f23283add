//! The forms that instants have on the wire.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use mayfly_kernel::Time;

fn civil(time: Time) -> DateTime {
    let ms = i64::try_from(time.ms()).unwrap_or(i64::MAX);
    // Beyond the year 9999, where no calendar of jiff goes, the last instant stands for all.
    let stamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    Offset::UTC.to_datetime(stamp)
}

fn from_civil(date: DateTime) -> Option<Time> {
    let stamp = Offset::UTC.to_timestamp(date).ok()?;
    u64::try_from(stamp.as_millisecond()).ok().map(Time::from_ms)
}

/// `2013-05-24T00:00:00.000Z`: S3's bodies.
pub fn iso8601(time: Time) -> String {
    let date = civil(time);
    let (day, clock) = (date.date(), date.time());
    let mut text = String::with_capacity(24);
    let mut digits = |value: i32, count: usize, behind: char| {
        for place in (0..count).rev() {
            let digit = value / 10_i32.pow(u32::try_from(place).unwrap_or(0)) % 10;
            text.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
        }
        text.push(behind);
    };
    digits(day.year().into(), 4, '-');
    digits(day.month().into(), 2, '-');
    digits(day.day().into(), 2, 'T');
    digits(clock.hour().into(), 2, ':');
    digits(clock.minute().into(), 2, ':');
    digits(clock.second().into(), 2, '.');
    digits(clock.millisecond().into(), 3, 'Z');
    text
}

/// Reads RFC 3339 with any offset and any fraction; without an offset the time is UTC.
pub fn parse_iso8601(text: &str) -> Option<Time> {
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(stamp.as_millisecond()).ok().map(Time::from_ms);
    }
    text.parse::<DateTime>().ok().and_then(from_civil)
}

/// `Fri, 24 May 2013 00:00:00 GMT`: headers (RFC 9110, section 5.6.7).
pub fn http_date(time: Time) -> String {
    civil(time).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads the form above, and ISO 8601, which some clients send in its place.
pub fn parse_http_date(text: &str) -> Option<Time> {
    let parsed = DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", text.trim()).ok().and_then(from_civil);
    parsed.or_else(|| parse_iso8601(text))
}

/// `20130524T000000Z`: signatures.
pub fn basic(time: Time) -> String {
    civil(time).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Reads exactly the form above.
pub fn parse_basic(text: &str) -> Option<Time> {
    let shaped = text.len() == 16
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok().and_then(from_civil)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAY: Time = Time::from_ms(1_369_353_600_042);

    #[test]
    fn every_form_is_written_and_read() {
        assert_eq!(iso8601(MAY), "2013-05-24T00:00:00.042Z");
        assert_eq!(http_date(MAY), "Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(basic(MAY), "20130524T000000Z");
        let whole = Time::from_secs(MAY.secs());
        assert_eq!(parse_iso8601("2013-05-24T00:00:00.042Z"), Some(MAY));
        assert_eq!(parse_iso8601("2013-05-24T02:00:00+02:00"), Some(whole));
        assert_eq!(parse_iso8601("2013-05-24T00:00:00"), Some(whole));
        assert_eq!(parse_http_date("Fri, 24 May 2013 00:00:00 GMT"), Some(whole));
        assert_eq!(parse_http_date("2013-05-24T00:00:00Z"), Some(whole));
        assert_eq!(parse_basic("20130524T000000Z"), Some(whole));
    }

    #[test]
    fn other_text_is_no_time() {
        for text in [
            "",
            "20130524",
            "20130524T000000",
            "2013-05-24T00:00:00Z",
            "20131324T000000Z",
            "+0130524T000000Z",
        ] {
            assert_eq!(parse_basic(text), None, "{text}");
        }
        for text in ["", "yesterday", "Fri, 24 May 2013", "1960-01-01T00:00:00Z"] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
        assert_eq!(iso8601(Time::MAX).len(), 24);
    }
}
