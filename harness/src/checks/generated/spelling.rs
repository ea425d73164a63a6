//! The same JSON in other bytes, and other bytes. Pure.

use serde_json::Value;

/// White space that JSON allows between its tokens.
const SPACES: [&str; 5] = ["", " ", "\n", "\t", "\r\n  "];

/// The value with its keys in another order and with white space, as the number says.
pub(super) fn spelled(value: &Value, number: usize) -> String {
    let mut text = String::new();
    let mut turn = number;
    write(value, number, &mut turn, &mut text);
    let compact = value.to_string();
    if text == compact {
        text.push('\n');
    }
    text
}

fn write(value: &Value, number: usize, turn: &mut usize, text: &mut String) {
    let mut space = |text: &mut String| {
        *turn = turn.wrapping_mul(31).wrapping_add(7);
        text.push_str(SPACES[*turn / 3 % SPACES.len()]);
    };
    match value {
        Value::Object(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            if !keys.is_empty() {
                let turned = number % keys.len();
                keys.rotate_left(turned);
            }
            if number.is_multiple_of(2) {
                keys.reverse();
            }
            text.push('{');
            for (place, key) in keys.into_iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                space(text);
                text.push_str(&Value::from(key.as_str()).to_string());
                space(text);
                text.push(':');
                let mut inner = number.wrapping_add(place);
                write(&entries[key], number, &mut inner, text);
                space(text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                space(text);
                let mut inner = number.wrapping_add(place);
                write(item, number, &mut inner, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// The text with one of its plain characters replaced by another one, chosen by the number.
pub(super) fn flipped(text: &str, number: usize) -> String {
    let plain: Vec<usize> =
        text.char_indices().filter(|(_, found)| found.is_ascii_graphic()).map(|(at, _)| at).collect();
    let Some(at) = plain.get(number % plain.len().max(1)) else { return format!("{text} ") };
    let replacement = if text[*at..].starts_with('7') { '8' } else { '7' };
    format!("{}{replacement}{}", &text[..*at], &text[at + 1..])
}

/// The text with the first two neighbouring characters that differ exchanged.
pub(super) fn exchanged(text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if let Some(at) = characters.windows(2).position(|pair| pair[0] != pair[1]) {
        characters.swap(at, at + 1);
    }
    characters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_spelling_says_the_same_in_other_bytes() {
        let value = json!({"b": [1, {"d": "x y", "c": null}], "a": {"z": true, "y": "\"q\""}});
        let mut spellings = std::collections::BTreeSet::new();
        for number in 0..50 {
            let text = spelled(&value, number);
            assert_eq!(serde_json::from_str::<Value>(&text).ok().as_ref(), Some(&value), "{text}");
            assert_ne!(text, value.to_string());
            spellings.insert(text);
        }
        assert!(spellings.len() > 10, "{spellings:?}");
    }

    #[test]
    fn a_flipped_text_differs_in_one_character() {
        let text = r#"{"title":"naïve 7"}"#;
        for number in 0..40 {
            let other = flipped(text, number);
            let differing = text.chars().zip(other.chars()).filter(|(one, two)| one != two).count();
            assert_eq!((differing, other.len()), (1, text.len()), "{other}");
        }
    }
}
