//! Secrets: a type that cannot be printed, and the book that finds their values again in anything a target says.

mod spellings;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::{BitOr as _, Range};
use std::sync::OnceLock;

use serde_json::Value;

use self::spellings::spellings_of;

/// The shortest value that is searched for in outputs; shorter ones would match ordinary text.
pub const SECRET_LENGTH_MIN: usize = 8;

/// The longest value (bytes) that fixtures may give out; every spelling of every secret is held in memory.
pub const SECRET_LENGTH_MAX: usize = 1024;

/// The shortest beginning of a secret that is removed where a stored body was cut in the middle of it.
const CUT_PREFIX_MIN: usize = 6;

/// So many bytes at the end of a spelling, and no more than an eighth of it, may be missing where a text breaks off: they could be tried
/// out. With more missing, or where a text goes on, it may as well be an id that begins like the secret.
const MISSING_MAX: usize = 4;

/// What tokens and secrets begin with, which everybody knows.
const PREFIXES: [&str; 2] = ["rk_wh_", "whsec_"];

/// A value that must appear in no output. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value, for sending it to the target and for signing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<secret>")
    }
}

/// Secrets and the stable names that stand for them in every output, such as `<token:d1.2>`.
#[derive(Clone, Default)]
pub struct SecretBook {
    /// Spelling (the value in some encoding) → what is written in its place. Ordered, so that cleaning is deterministic.
    spellings: BTreeMap<String, String>,
}

impl SecretBook {
    /// Adds a secret under a name without brackets, such as `token:d1.2`. Values below [`SECRET_LENGTH_MIN`] are not searched for.
    pub fn add(&mut self, secret: &Secret, name: &str) {
        let value = secret.expose();
        if value.len() < SECRET_LENGTH_MIN {
            return;
        }
        for (encoding, spelling) in spellings_of(value) {
            let place = match encoding {
                "" => format!("<{name}>"),
                other => format!("<{name} as {other}>"),
            };
            self.spellings.entry(spelling).or_insert(place);
        }
        let random = PREFIXES.iter().find_map(|prefix| value.strip_prefix(prefix));
        if let Some(random) = random.filter(|random| random.len() >= SECRET_LENGTH_MIN) {
            self.spellings.entry(random.to_owned()).or_insert(format!("<{name} without its prefix>"));
        }
    }

    /// Takes over the secrets of another book, each name followed by `@owner`; names already known stay as they are.
    pub fn add_all(&mut self, other: &SecretBook, owner: &str) {
        for (spelling, place) in &other.spellings {
            let inner = place.trim_start_matches('<').trim_end_matches('>');
            let named = match inner.split_once(' ') {
                Some((name, encoding)) => format!("<{name}@{owner} {encoding}>"),
                None => format!("<{inner}@{owner}>"),
            };
            self.spellings.entry(spelling.clone()).or_insert(named);
        }
    }

    /// Takes over the secrets of another book under their own names.
    pub fn merge(&mut self, other: &SecretBook) {
        for (spelling, place) in &other.spellings {
            self.spellings.entry(spelling.clone()).or_insert_with(|| place.clone());
        }
    }

    /// True if there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }

    /// Prepares a filter over all secrets known now.
    pub fn filter(&self) -> SecretFilter {
        let spellings: Vec<String> = self.spellings.keys().cloned().collect();
        let mut beginnings = Beginnings::none_of(spellings.len());
        let mut by_beginning = HashMap::<u64, Vec<usize>>::new();
        for (number, spelling) in spellings.iter().enumerate() {
            let beginning = spelling.bytes().take(SECRET_LENGTH_MIN).fold(0, shifted);
            beginnings.add(beginning);
            by_beginning.entry(beginning).or_default().push(number);
        }
        for numbers in by_beginning.values_mut() {
            numbers.sort_by_key(|number| Reverse(spellings[*number].len()));
        }
        let places = self.spellings.values().cloned().collect();
        SecretFilter { beginnings, by_beginning, by_cut: OnceLock::new(), spellings, places }
    }
}

/// The last [`SECRET_LENGTH_MIN`] bytes, in lower case, with one more.
fn shifted(last: u64, byte: u8) -> u64 {
    const _: () = assert!(SECRET_LENGTH_MIN == size_of::<u64>());
    last << 8 | u64::from(byte.to_ascii_lowercase())
}

/// Tells almost all beginnings that nothing begins with from the others, at little cost for each byte of a text.
struct Beginnings(Vec<u64>);

impl Beginnings {
    /// None yet, with room for as many.
    fn none_of(many: usize) -> Beginnings {
        /// So few of these bits are set that hardly any other beginning meets one.
        const BITS_EACH: usize = 32;
        const WORDS_MIN: usize = 1024;
        let words = (many * BITS_EACH / u64::BITS as usize).max(WORDS_MIN).next_power_of_two();
        Beginnings(vec![0; words])
    }

    fn place(&self, beginning: u64) -> (usize, u64) {
        /// Odd, with its bits spread: what decides in the product are all bits of the beginning.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let bits = self.0.len().ilog2() + u64::BITS.ilog2();
        let hash = beginning.wrapping_mul(SPREAD) >> (u64::BITS - bits);
        let word = usize::try_from(hash / u64::from(u64::BITS)).expect("there are not so many words");
        (word, 1 << (hash % u64::from(u64::BITS)))
    }

    fn add(&mut self, beginning: u64) {
        let (word, bit) = self.place(beginning);
        self.0[word] |= bit;
    }

    fn may_hold(&self, beginning: u64) -> bool {
        let (word, bit) = self.place(beginning);
        self.0[word] & bit != 0
    }
}

/// Replaces every secret of a book in texts and JSON values.
///
/// A filter is made for every check and used for a few texts, so it costs little to make: an automaton over all spellings would take
/// longer than the check.
pub struct SecretFilter {
    beginnings: Beginnings,
    /// The numbers of spellings by their beginning in lower case, the longest first.
    by_beginning: HashMap<u64, Vec<usize>>,
    /// The same by as much of it as a cut must leave; only bodies that are cut need it.
    by_cut: OnceLock<HashMap<u64, Vec<usize>>>,
    spellings: Vec<String>,
    places: Vec<String>,
}

impl SecretFilter {
    /// The text with each secret replaced by its name.
    pub fn text(&self, text: &str) -> String {
        let cleaned = self.bytes(text.as_bytes());
        String::from_utf8(cleaned).expect("whole characters were replaced by whole characters")
    }

    /// As [`SecretFilter::text`], for bytes that are no text.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut cleaned = Vec::with_capacity(bytes.len());
        let mut from = 0;
        while let Some((found, number)) = self.first(bytes, from) {
            cleaned.extend_from_slice(&bytes[from..found.start]);
            cleaned.extend_from_slice(self.place(number, &bytes[found.clone()]).as_bytes());
            from = found.end;
        }
        cleaned.extend_from_slice(&bytes[from..]);
        cleaned
    }

    /// Replaces each secret in a text by its name; true if there was one.
    pub fn clean(&self, text: &mut String) -> bool {
        let found = self.first(text.as_bytes(), 0).is_some();
        if found {
            *text = self.text(text);
        }
        found
    }

    /// As [`SecretFilter::clean`] in each string of a JSON value, keys included.
    pub fn clean_value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.clean(text),
            Value::Array(items) => items.iter_mut().map(|item| self.clean_value(item)).fold(false, bool::bitor),
            Value::Object(entries) if entries.keys().any(|key| self.first(key.as_bytes(), 0).is_some()) => {
                *value = self.value(value);
                true
            }
            Value::Object(entries) => entries.values_mut().map(|item| self.clean_value(item)).fold(false, bool::bitor),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// Where the first spelling stands from a place on, or a beginning of one that gives too much of it away, and its number; of several
    /// that begin there the one with most.
    fn first(&self, bytes: &[u8], from: usize) -> Option<(Range<usize>, usize)> {
        let mut beginning = 0;
        for (end, byte) in bytes.iter().enumerate().skip(from) {
            beginning = shifted(beginning, *byte);
            let read = end + 1 - from;
            if read < SECRET_LENGTH_MIN || !self.beginnings.may_hold(beginning) {
                continue;
            }
            let start = end + 1 - SECRET_LENGTH_MIN;
            let rest = &bytes[start..];
            let said = |number: &usize| {
                let spelling = self.spellings[*number].as_bytes();
                let length =
                    rest.iter().zip(spelling).take_while(|(one, other)| one.eq_ignore_ascii_case(other)).count();
                let missing = spelling.len() - length;
                let goes_on = rest.get(length).is_some_and(|byte| goes_on(*byte));
                let cut = missing <= MISSING_MAX.min(spelling.len() / 8) && !goes_on;
                (missing == 0 || cut).then(|| (self.whole_characters(*number, length), *number))
            };
            // Of equals the first: it is the whole of the shorter one.
            let most = |best: (usize, usize), next: (usize, usize)| if next.0 > best.0 { next } else { best };
            let numbers = self.by_beginning.get(&beginning).into_iter().flatten();
            if let Some((length, number)) = numbers.rev().filter_map(said).reduce(most) {
                return Some((start..start + length, number));
            }
        }
        None
    }

    /// As much of a beginning of a spelling as is whole characters.
    fn whole_characters(&self, number: usize, length: usize) -> usize {
        self.spellings[number].floor_char_boundary(length)
    }

    /// What is written in place of what was found: the name, and that it was not all of the value, or in other letters than its own.
    fn place(&self, pattern: usize, said: &[u8]) -> Cow<'_, str> {
        let (spelling, place) = (&self.spellings[pattern], &self.places[pattern]);
        let plain = !place.contains(' ');
        if said.len() < spelling.len() {
            // How much it was is said, so that different texts stay different but for their case.
            Cow::Owned(format!("{} cut to {}>", place.trim_end_matches('>'), said.len()))
        } else if plain && spelling.as_bytes() != said {
            Cow::Owned(format!("{} in another case>", place.trim_end_matches('>')))
        } else {
            Cow::Borrowed(place)
        }
    }

    /// The beginning of a longer text: secrets replaced, and one that was cut at the end removed.
    pub fn beginning(&self, text: &str) -> String {
        let mut cleaned = self.text(text);
        if let Some(cut) = self.cut(cleaned.as_bytes()) {
            // A character of several bytes may have been cut, too: its replacement mark says nothing.
            cleaned.truncate(cleaned.floor_char_boundary(cut));
        }
        cleaned
    }

    /// Where the longest beginning of a spelling stands that ends with the text, if one does.
    fn cut(&self, text: &[u8]) -> Option<usize> {
        let by_cut = self.by_cut.get_or_init(|| {
            let mut by_cut = HashMap::<u64, Vec<usize>>::new();
            for (number, spelling) in self.spellings.iter().enumerate() {
                by_cut.entry(spelling.bytes().take(CUT_PREFIX_MIN).fold(0, shifted)).or_default().push(number);
            }
            by_cut
        });
        (0..=text.len().checked_sub(CUT_PREFIX_MIN)?).find(|start| {
            let end = &text[*start..];
            let is_cut = |number: &usize| {
                let beginning = self.spellings[*number].as_bytes().get(..end.len());
                beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(end))
            };
            let beginning = end.iter().copied().take(CUT_PREFIX_MIN).fold(0, shifted);
            by_cut.get(&beginning).is_some_and(|numbers| numbers.iter().any(is_cut))
        })
    }

    /// A JSON value with each string, keys included, filtered.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect()),
            Value::Object(entries) => {
                Value::Object(entries.iter().map(|(key, item)| (self.text(key), self.value(item))).collect())
            }
            other => other.clone(),
        }
    }
}

/// True if a token or an id may go on with this byte.
fn goes_on(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    const VALUE: &str = "rk_wh_s3cret/With+odd\"chars";

    fn filter() -> SecretFilter {
        let mut book = SecretBook::default();
        book.add(&Secret::new(VALUE), "token:d1.1");
        book.filter()
    }

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        assert_eq!(format!("{:?}", Secret::new(VALUE)), "<secret>");
    }

    #[test]
    fn every_encoding_of_a_secret_is_replaced() {
        let all_percent: String = VALUE.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let spelled = [
            VALUE.to_owned(),
            hex::encode(VALUE),
            hex::encode_upper(VALUE),
            all_percent,
            Value::String(VALUE.to_owned()).to_string(),
            url::form_urlencoded::byte_serialize(VALUE.as_bytes()).collect(),
            base64::engine::general_purpose::STANDARD.encode(format!("Basic:{VALUE}:x")),
            base64::engine::general_purpose::STANDARD.encode(format!("u:{VALUE}")),
            base64::engine::general_purpose::URL_SAFE.encode(format!("user:{VALUE}!!")),
        ];
        for spelling in spelled {
            let cleaned = filter().text(&format!("before {spelling} after"));
            assert!(cleaned.contains("<token:d1.1"), "not found in {spelling}: {cleaned}");
            assert!(!cleaned.contains("s3cret"), "{cleaned}");
        }
    }

    #[test]
    fn either_case_is_found_and_said() {
        assert_eq!(filter().text(&VALUE.to_uppercase()), "<token:d1.1 in another case>");
        assert_eq!(
            filter().bytes(&[&[0xff], VALUE.as_bytes()].concat()),
            [&[0xff], b"<token:d1.1>".as_slice()].concat()
        );
    }

    #[test]
    fn two_bytes_a_character_hide_nothing() {
        let wide: String = VALUE.chars().flat_map(|character| [character, '\0']).collect();
        assert_eq!(filter().text(&wide), "<token:d1.1 as UTF-16>\0");
    }

    #[test]
    fn a_secret_cut_in_two_leaves_no_beginning() {
        let cleaned = filter().beginning(&format!("{{\"echo\":\"{}", &VALUE[..14]));
        assert_eq!(cleaned, "{\"echo\":\"");
    }

    #[test]
    fn of_several_secrets_that_a_cut_may_have_met_the_longest_beginning_goes() {
        let mut book = SecretBook::default();
        for (value, name) in [("abcdefgh-1", "one"), ("xabcdefgh-2", "two"), ("fgh-12345", "three")] {
            book.add(&Secret::new(value), name);
        }
        let filter = book.filter();
        let check = |text: &str, expected: &str| assert_eq!(filter.beginning(text), expected);
        check("said: xABCDEF", "said: ");
        check("said: abcdef", "said: ");
        check("said: xABCDEFgh-", "said: <two cut to 10>");
        check("said: ybcdefgh-12", "said: ybcde");
        check("said: abcde", "said: abcde");
        check("said: abcdefgh-1", "said: <one>");
        check("é", "é");
        check("", "");
    }

    #[test]
    fn of_secrets_that_begin_alike_the_longest_is_found_and_the_first_in_a_text_wins() {
        let mut book = SecretBook::default();
        book.add(&Secret::new("alike-alike"), "short");
        book.add(&Secret::new("alike-alike-longer"), "long");
        book.add(&Secret::new("ike-alike-lon"), "inner");
        let filter = book.filter();
        let check = |text: &str, expected: &str| assert_eq!(filter.text(text), expected);
        check("alike-alike-longer", "<long>");
        check("alike-alike-longed", "<short>-longed");
        check("alike-alike-longe", "<long cut to 17>");
        check("alike-alike-alike-alikeé", "<short>-<short>é");
        check("like-alike-longer", "l<inner>ger");
        check("é", "é");
    }

    #[test]
    fn most_of_a_secret_is_as_good_as_all_of_it() {
        let mut book = SecretBook::default();
        book.add(&Secret::new("rk_wh_0123456789abcdefghij"), "token:d1.1");
        book.add(&Secret::new("hinter-den-Bäumen-ß"), "secret:t1");
        let filter = book.filter();
        let check = |text: &str, expected: &str| assert_eq!(filter.text(text), expected);
        check("/rk_wh_0123456789abcdefghi", "/<token:d1.1 cut to 25>");
        check("RK_WH_0123456789abcdefgh \"", "<token:d1.1 cut to 24> \"");
        check("rk_wh_0123456789abcdefg!", "<token:d1.1 cut to 23>!");
        check("rk_wh_0123456789abcdef!", "rk_wh_0123456789abcdef!");
        check("hinter-den-Bäumen-", "<secret:t1 cut to 19>");
        // Where the text goes on it is another one.
        check("rk_wh_0123456789abcdefghi0", "rk_wh_0123456789abcdefghi0");
        check("rk_wh_0123456789abcdefghi-", "rk_wh_0123456789abcdefghi-");
        check(&hex::encode("rk_wh_0123456789abcdefghi"), "<token:d1.1 as hex cut to 50>");
        check("no token 0123456789ABCDEFGHIJ", "no token <token:d1.1 without its prefix>");
        check("0123456789abcdefghi", "<token:d1.1 without its prefix cut to 19>");
        check("hinter-den-Bäumen-à", "hinter-den-Bäumen-à");
    }

    #[test]
    fn an_id_that_begins_like_a_secret_is_no_secret() {
        let mut book = SecretBook::default();
        // Two UUIDs of version 7, made one after the other, and one that is followed by a secret.
        book.add(&Secret::new("019aa8f5-1c00-7000-8a3b-2c00e66f0916"), "inbound-token:t1");
        book.add(&Secret::new("019aa8f5-1c00-7000-8a3b-2c00e66f0917.0123456789"), "token:d1.1");
        let filter = book.filter();
        let check = |text: &str, expected: &str| assert_eq!(filter.text(text), expected);
        check("/019aa8f5-1c00-7000-8a3b-2c00e66f0918/", "/019aa8f5-1c00-7000-8a3b-2c00e66f0918/");
        check("/019aa8f5-1c00-7000-8a3b-2c00e66f0917/", "/019aa8f5-1c00-7000-8a3b-2c00e66f0917/");
        check("/019aa8f5-1c00-7000-8a3b-2c00e66f0916/", "/<inbound-token:t1>/");
        check("é", "é");
    }

    #[test]
    fn keys_of_objects_are_cleaned_too() {
        let check = |mut value: Value, expected: Value| {
            assert_eq!(filter().value(&value), expected);
            assert_eq!(filter().clean_value(&mut value), expected.to_string().contains('<'));
            assert_eq!(value, expected);
        };
        check(serde_json::json!({ VALUE: [VALUE] }), serde_json::json!({ "<token:d1.1>": ["<token:d1.1>"] }));
        check(serde_json::json!({"a": [1, {"b": VALUE}]}), serde_json::json!({"a": [1, {"b": "<token:d1.1>"}]}));
        check(serde_json::json!({"a": [VALUE, "b"]}), serde_json::json!({"a": ["<token:d1.1>", "b"]}));
        check(serde_json::json!({"a": [null, "b"]}), serde_json::json!({"a": [null, "b"]}));
    }

    #[test]
    fn secrets_of_another_check_carry_its_name() {
        let mut other = SecretBook::default();
        other.add(&Secret::new(VALUE), "token:d1.1");
        let mut book = SecretBook::default();
        book.add_all(&other, "rate/ten");
        assert_eq!(book.filter().text(VALUE), "<token:d1.1@rate/ten>");
        assert_eq!(book.filter().text(&hex::encode(VALUE)), "<token:d1.1@rate/ten as hex>");
    }
}
