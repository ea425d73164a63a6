//! The ways in which a target may spell a secret that it repeats. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::SECRET_LENGTH_MIN;

/// Every spelling of a value that is searched for, in either case of its letters, with the encoding's name (empty for the plain value).
pub(super) fn spellings_of(value: &str) -> Vec<(&'static str, String)> {
    let bytes = value.as_bytes();
    let mut spellings = vec![
        ("", value.to_owned()),
        ("hex", hex::encode(bytes)),
        ("percent", percent(bytes, |byte| !byte.is_ascii_alphanumeric())),
        ("percent", percent(bytes, |byte| !(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)))),
        ("percent", percent(bytes, |_| true)),
        ("escapes", unicode_escaped(value)),
        ("escapes", json_escaped(value)),
        ("escapes", json_escaped(value).replace('/', "\\/")),
        ("escapes", escaped_for_html(value)),
        // In the command line that repeats a request.
        ("escapes", value.replace('\'', r"'\''")),
        // UTF-16 without its first or last zero: either order of bytes.
        ("UTF-16", with_zeros_between(value)),
    ];
    for shift in 0..3 {
        spellings.push(("base64", base64_core(bytes, shift, |padded| STANDARD_NO_PAD.encode(padded))));
        spellings.push(("base64", base64_core(bytes, shift, |padded| URL_SAFE_NO_PAD.encode(padded))));
    }
    spellings.retain(|(_, spelling)| spelling.len() >= SECRET_LENGTH_MIN);
    spellings
}

fn percent(bytes: &[u8], escaped: impl Fn(u8) -> bool) -> String {
    let mut spelled = String::with_capacity(3 * bytes.len());
    for byte in bytes {
        if escaped(*byte) {
            spelled.push('%');
            spelled.extend([byte >> 4, byte & 0xf].map(|digit| char::from(DIGITS[usize::from(digit)])));
        } else {
            spelled.push(char::from(*byte));
        }
    }
    spelled
}

/// Either case of them is found.
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

fn unicode_escaped(value: &str) -> String {
    let mut spelled = String::with_capacity(6 * value.len());
    for unit in value.encode_utf16() {
        spelled.push_str("\\u");
        spelled.extend([12, 8, 4, 0].map(|shift| char::from(DIGITS[usize::from(unit >> shift & 0xf)])));
    }
    spelled
}

fn with_zeros_between(value: &str) -> String {
    let mut spelled = String::with_capacity(2 * value.len());
    for (number, character) in value.chars().enumerate() {
        if number > 0 {
            spelled.push('\0');
        }
        spelled.push(character);
    }
    spelled
}

fn json_escaped(value: &str) -> String {
    let quoted = Value::String(value.to_owned()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn escaped_for_html(value: &str) -> String {
    let entities = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];
    entities.iter().fold(value.to_owned(), |text, (character, entity)| text.replace(*character, entity))
}

/// The part of a value's base64 that does not depend on what stands around it, `shift` bytes (0 to 2) after a boundary.
fn base64_core(bytes: &[u8], shift: usize, encode: impl Fn(&[u8]) -> String) -> String {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(bytes);
    let encoded = encode(&padded);
    // `shift` bytes fill the first ceil(8 * shift / 6) characters at least in part; the last character is in part the next byte's.
    let skipped = (8 * shift).div_ceil(6);
    let whole = padded.len() * 8 / 6;
    encoded[skipped..whole].to_owned()
}
