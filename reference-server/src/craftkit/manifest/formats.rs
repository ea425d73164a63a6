//! Single values: what each data type takes, and what it turns them into.
//!
//! A value is kept exactly as sent unless its type is a number or a boolean and it came as a
//! string. Messages never quote the value, so their length does not depend on the input.

use jiff::civil;
use serde_json::{Number, Value};
use url::Url;

use super::{DataType, kind_of};

/// Longest e-mail address that fits an SMTP path (RFC 5321 section 4.5.3.1.3, less its brackets).
const MAX_EMAIL_BYTES: usize = 254;

/// Longest part before the `@` (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_PART_BYTES: usize = 64;

/// Longest label of a host name (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Finest fraction of a second taken: nanoseconds.
const MAX_FRACTION_DIGITS: usize = 9;

/// The value as it is stored, or the message of the issue.
pub(super) fn read(data_type: DataType, value: &Value) -> Result<Value, String> {
    match data_type {
        DataType::Number | DataType::Currency => read_number(value),
        DataType::Boolean => read_boolean(value),
        DataType::Text | DataType::LongText => read_string(value, |_| true, ""),
        DataType::Date => read_string(value, is_date, "Invalid date"),
        DataType::DateTime => read_string(value, is_date_time, "Invalid datetime"),
        DataType::Image | DataType::Url => read_string(value, is_web_url, "Invalid url"),
        DataType::Email => read_string(value, is_email, "Invalid email"),
    }
}

/// The message for a value of another type than the expected one.
pub(super) fn wrong_type(expected: &str, value: &Value) -> String {
    format!("Expected {expected}, received {}", kind_of(value))
}

fn read_string(value: &Value, fits: impl Fn(&str) -> bool, otherwise: &str) -> Result<Value, String> {
    match value {
        Value::String(text) if fits(text) => Ok(value.clone()),
        Value::String(_) => Err(otherwise.to_owned()),
        _ => Err(wrong_type("string", value)),
    }
}

fn read_boolean(value: &Value) -> Result<Value, String> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) if text == "true" => Ok(Value::Bool(true)),
        Value::String(text) if text == "false" => Ok(Value::Bool(false)),
        _ => Err(wrong_type("boolean", value)),
    }
}

fn read_number(value: &Value) -> Result<Value, String> {
    let number = match value {
        // Finite already, unless a crate elsewhere in the build turns on numbers of any size.
        Value::Number(number) => number.as_f64().is_some_and(f64::is_finite).then(|| number.clone()),
        Value::String(text) => numeric(text),
        _ => None,
    };
    number.map(Value::Number).ok_or_else(|| wrong_type("number", value))
}

/// The number a string spells in decimal notation.
///
/// Narrower than what JavaScript's `Number()` takes: the empty string, surrounding space,
/// hexadecimal and `Infinity` spell no number.
fn numeric(text: &str) -> Option<Number> {
    // Integers stay integers, so that "5" is stored as 5 and not as 5.0.
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    // The parser also takes names such as `inf`, and turns what is too large into infinity; a
    // JSON number is finite.
    Number::from_f64(text.parse().ok()?)
}

/// A calendar date. A time may follow, because that is how JavaScript writes a `Date` as JSON.
fn is_date(text: &str) -> bool {
    is_calendar_date(text) || is_date_time(text)
}

fn is_date_time(text: &str) -> bool {
    text.split_once('T').is_some_and(|(date, time)| is_calendar_date(date) && is_time(time))
}

fn is_calendar_date(text: &str) -> bool {
    // The calendar's parser takes more spellings than the extended format with four-digit years.
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    shape && text.parse::<civil::Date>().is_ok()
}

/// A time of day, with seconds or without, in UTC, at an offset or with neither said.
fn is_time(text: &str) -> bool {
    if let Some(clock) = text.strip_suffix('Z') {
        return is_clock_time(clock);
    }
    match text.rfind(['+', '-']) {
        Some(sign) => is_clock_time(&text[..sign]) && is_offset(&text[sign + 1..]),
        None => is_clock_time(text),
    }
}

fn is_clock_time(text: &str) -> bool {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let mut parts = clock.split(':');
    let hour = parts.next().is_some_and(|hour| is_two_digits(hour, 24));
    let minute = parts.next().is_some_and(|minute| is_two_digits(minute, 60));
    let second = parts.next();
    let fraction_fits = match fraction {
        None => true,
        Some(digits) => {
            second.is_some()
                && (1..=MAX_FRACTION_DIGITS).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
    };
    let second_fits = second.is_none_or(|second| is_two_digits(second, 60));
    hour && minute && second_fits && fraction_fits && parts.next().is_none()
}

/// `02:00`, or `0200` as `strftime` writes it.
fn is_offset(text: &str) -> bool {
    let parts = text.split_once(':').or_else(|| text.split_at_checked(2));
    parts.is_some_and(|(hour, minute)| is_two_digits(hour, 24) && is_two_digits(minute, 60))
}

fn is_two_digits(text: &str, below: u8) -> bool {
    text.len() == 2
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u8>().is_ok_and(|number| number < below)
}

fn is_web_url(text: &str) -> bool {
    // The parser mends what browsers mend: it trims, drops line breaks and supplies slashes. A
    // stored value is used as it is, so it has to be whole already.
    let bare = text.trim() == text && !text.chars().any(char::is_control);
    let authority = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let host_follows = authority.is_some_and(|rest| !rest.starts_with(['/', '\\']));
    bare && host_follows && Url::parse(text).is_ok()
}

/// The unquoted addresses of RFC 5321 in ASCII, with a host name of at least two labels.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    text.len() <= MAX_EMAIL_BYTES && is_local_part(local) && is_mail_domain(domain)
}

fn is_local_part(text: &str) -> bool {
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.len() <= MAX_LOCAL_PART_BYTES && text.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
}

fn is_mail_domain(text: &str) -> bool {
    let Some((_, top)) = text.rsplit_once('.') else {
        return false;
    };
    // No top-level domain is a number; this keeps addresses such as `a@127.0.0.1` out.
    let top_fits = top.len() >= 2 && top.bytes().any(|byte| byte.is_ascii_alphabetic());
    top_fits && text.split('.').all(is_host_label)
}

fn is_host_label(text: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests;
