//! A quick look at a line that is written as nearly all are: one flat object, known fields of operations only, each once, texts of plain ASCII
//! without escapes.
//!
//! Such lines are read here some ten times faster than by a parser of all of JSON. Whatever looks different in any way is left to that
//! parser, which alone decides what is wrong with a line: nothing is taken here that it would not take, with the same meaning.

/// A field of a line, as a bit; those of numbers come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field(u32);

/// How many fields are numbers.
const NUMBERS: usize = 9;
/// How many fields are texts.
const TEXTS: usize = 8;

impl Field {
    pub(super) const V: Field = Field(0);
    pub(super) const N: Field = Field(1);
    pub(super) const PAGES: Field = Field(2);
    pub(super) const DUE_NS: Field = Field(3);
    pub(super) const START_NS: Field = Field(4);
    pub(super) const END_NS: Field = Field(5);
    pub(super) const SERVER_START_MS: Field = Field(6);
    pub(super) const SERVER_END_MS: Field = Field(7);
    pub(super) const STATUS: Field = Field(8);
    pub(super) const RECORDER: Field = Field(9);
    pub(super) const API: Field = Field(10);
    pub(super) const KEY: Field = Field(11);
    pub(super) const TOKEN: Field = Field(12);
    pub(super) const OP: Field = Field(13);
    pub(super) const ERROR: Field = Field(14);
    pub(super) const ID: Field = Field(15);
    pub(super) const RENDER_STATUS: Field = Field(16);

    /// Whether its values are texts.
    pub(super) fn is_text(self) -> bool {
        self.0 as usize >= NUMBERS
    }

    #[inline]
    const fn bit(self) -> u32 {
        1 << self.0
    }
}

/// Several fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields(u32);

impl Fields {
    /// These fields.
    pub(super) const fn of(fields: &[Field]) -> Fields {
        let (mut bits, mut at) = (0, 0);
        while at < fields.len() {
            bits |= fields[at].bit();
            at += 1;
        }
        Fields(bits)
    }

    /// All fields of either.
    pub(super) const fn and(self, other: Fields) -> Fields {
        Fields(self.0 | other.0)
    }
}

/// Where the value of a field stands in its line: its digits, or its text without quotation marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) field: Field,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Where the fields of a line are noted; kept from line to line, since to make it anew would take as long as to read some of them.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Which fields there are; what is noted of others is of lines before.
    present: u32,
    numbers: [u64; NUMBERS],
    /// From where to where texts go.
    texts: [(usize, usize); TEXTS],
    /// All values in order, after a look at every field.
    places: Vec<Place>,
}

impl Found {
    /// Notes a number.
    #[inline(always)]
    pub(super) fn note_number(&mut self, field: Field, number: u64) {
        self.numbers[field.0 as usize] = number;
    }

    /// Notes a text, from where to where it goes.
    #[inline(always)]
    pub(super) fn note_text(&mut self, field: Field, start: usize, end: usize) {
        self.texts[field.0 as usize - NUMBERS] = (start, end);
    }

    /// Says which fields there are: those with these bits.
    #[inline(always)]
    pub(super) fn has_exactly(&mut self, fields: u32) {
        self.present = fields;
    }

    /// Which fields there are, as bits.
    pub(super) fn fields(&self) -> u32 {
        self.present
    }

    /// The number in a field, if there is one.
    #[inline]
    pub(super) fn number(&self, field: Field) -> Option<u64> {
        (self.present & field.bit() != 0).then(|| self.numbers[field.0 as usize])
    }

    /// All values in order, after [`scan`].
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.places.iter().copied()
    }

    /// Notes that a field is there; none if it is there twice.
    #[inline]
    fn meet(&mut self, field: Field) -> Option<()> {
        let twice = self.present & field.bit() != 0;
        self.present |= field.bit();
        (!twice).then_some(())
    }

    fn take_number(&mut self, field: Field, line: &[u8], at: usize) -> Option<usize> {
        self.meet(field)?;
        let start = skip_blanks(line, at);
        let (number, end) = number(line, start)?;
        self.note_number(field, number);
        self.places.push(Place { field, start, end });
        Some(end)
    }

    fn take_text(&mut self, field: Field, line: &[u8], at: usize) -> Option<usize> {
        self.meet(field)?;
        let (start, end) = text(line, skip_blanks(line, at))?;
        self.note_text(field, start, end);
        self.places.push(Place { field, start, end });
        Some(end + 1)
    }
}

/// A line with its fields. Texts are ASCII.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'l, 'f> {
    bytes: &'l [u8],
    found: &'f Found,
}

impl<'l, 'f> Line<'l, 'f> {
    /// A line in which this was found.
    pub(super) fn new(bytes: &'l [u8], found: &'f Found) -> Line<'l, 'f> {
        Line { bytes, found }
    }

    /// Whether it has no fields but these.
    #[inline]
    pub(super) fn has_only(&self, fields: Fields) -> bool {
        self.found.present & !fields.0 == 0
    }

    /// The number in a field, if there is one.
    #[inline]
    pub(super) fn number(&self, field: Field) -> Option<u64> {
        self.found.number(field)
    }

    /// The text in a field, if there is one.
    #[inline]
    pub(super) fn text(&self, field: Field) -> Option<&'l [u8]> {
        let (start, end) = self.found.texts[field.0 as usize - NUMBERS];
        (self.found.present & field.bit() != 0).then(|| &self.bytes[start..end])
    }
}

/// Reads a line; none if it is not plain enough.
///
/// Fields may stand in any order; in that in which recorders write them, one look at each that may follow finds them all.
pub(super) fn scan(bytes: &[u8], found: &mut Found) -> Option<()> {
    found.present = 0;
    found.places.clear();
    read_fields(bytes.trim_ascii_end(), found)
}

fn read_fields(line: &[u8], found: &mut Found) -> Option<()> {
    if line.first() != Some(&b'{') {
        return None;
    }
    let mut at = skip_blanks(line, 1);
    loop {
        let before = at;
        macro_rules! fields {
            ($($take:ident $field:ident $name:literal,)*) => {
                $(if const { Named::new(concat!("\"", $name, "\":").as_bytes()) }.is_at(line, at) {
                    let end = found.$take(Field::$field, line, at + $name.len() + "\"\":".len())?;
                    let end = skip_blanks(line, end);
                    match line.get(end)? {
                        b',' => at = skip_blanks(line, end + 1),
                        b'}' if end + 1 == line.len() => return Some(()),
                        _ => return None,
                    }
                })*
            };
        }
        fields! {
            take_number V "v",
            take_number N "n",
            take_text RECORDER "recorder",
            take_text API "api",
            take_text KEY "key",
            take_text TOKEN "token",
            take_text OP "op",
            take_number PAGES "pages",
            take_number DUE_NS "due_ns",
            take_number START_NS "start_ns",
            take_number END_NS "end_ns",
            take_number SERVER_START_MS "server_start_ms",
            take_number SERVER_END_MS "server_end_ms",
            take_number STATUS "status",
            take_text ERROR "error",
            take_text ID "id",
            take_text RENDER_STATUS "render_status",
        }
        if at == before {
            return None;
        }
    }
}

/// How many bytes are looked at together.
const WORD: usize = size_of::<u64>();

/// A word of which each byte is this.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; WORD])
}

/// Eight bytes, the first one lowest; zeros behind the end.
#[inline(always)]
fn word(line: &[u8], at: usize) -> u64 {
    match line.get(at..).and_then(<[u8]>::first_chunk) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_word(line, at),
    }
}

#[cold]
fn last_word(line: &[u8], at: usize) -> u64 {
    let rest = line.get(at..).unwrap_or_default();
    rest.iter().rev().fold(0, |word, byte| word << u8::BITS | u64::from(*byte))
}

/// A field's name in quotation marks, with its colon. Nearly all that are another are told by their first word.
struct Named {
    name: &'static [u8],
    first: u64,
    /// Which bytes of the first word are the name's.
    mask: u64,
}

impl Named {
    const fn new(name: &'static [u8]) -> Named {
        let (mut first, mut mask, mut at) = (0, 0, 0);
        while at < name.len() && at < WORD {
            first |= (name[at] as u64) << (8 * at);
            mask |= 0xff << (8 * at);
            at += 1;
        }
        Named { name, first, mask }
    }

    /// Whether it stands here.
    #[inline(always)]
    fn is_at(&self, line: &[u8], at: usize) -> bool {
        word(line, at) & self.mask == self.first && (self.name.len() <= WORD || line[at..].starts_with(self.name))
    }
}

/// Where the space ends that JSON allows between its parts, within a line.
#[inline(always)]
fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = line.get(at) {
        at += 1;
    }
    at
}

/// The whole number that stands here, and where it ends; none if it is one that JSON does not know, or one that may not fit.
#[inline(always)]
pub(super) fn number(line: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = word(line, at);
    let (value, digits) = leading_digits(first);
    if digits == WORD {
        return long_number(line, at, value);
    }
    let leading_zero = digits > 1 && first as u8 == b'0';
    (digits > 0 && !leading_zero).then_some((value, at + digits))
}

/// The same, if its first word, with this value, has nothing but digits.
#[inline]
fn long_number(line: &[u8], at: usize, first: u64) -> Option<(u64, usize)> {
    const POWERS: [u64; WORD + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    /// Numbers of two words and so many digits fit.
    const MORE_MAX: usize = 3;
    let (next, more) = leading_digits(word(line, at + WORD));
    let (mut value, mut digits) = (first * POWERS[more] + next, WORD + more);
    if more == WORD {
        let (last, more) = leading_digits(word(line, at + digits));
        if more > MORE_MAX {
            return None;
        }
        (value, digits) = (value * POWERS[more] + last, digits + more);
    }
    (line[at] != b'0').then_some((value, at + digits))
}

/// The number that the digits tell with which a word begins, and how many digits these are.
#[inline(always)]
fn leading_digits(word: u64) -> (u64, usize) {
    let high = each(0xf0);
    // A digit is 0x30 to 0x39: its high half is 3, and stays 3 if 6 is added. What is carried over from a byte that is no digit
    // changes those behind it only.
    let other = (word ^ each(0x30) | word.wrapping_add(each(6)) ^ each(0x30)) & high;
    let count = other.trailing_zeros() / u8::BITS;
    // Zeros in front, which are the low bytes, make eight digits of fewer. In two steps, since none may be left.
    let half = u64::BITS / 2 - u8::BITS / 2 * count;
    let eight = word << half << half & each(0x0f);
    // Neighbours are joined: digits to pairs, pairs to fours, fours to eight.
    let pairs = eight.wrapping_mul(10 * 256 + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 * 65_536 + 1) >> 16 & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000 * 4_294_967_296 + 1) >> 32, count as usize)
}

/// From where to where the text goes that stands here in quotation marks; none if it holds anything but plain ASCII.
#[inline]
fn text(line: &[u8], at: usize) -> Option<(usize, usize)> {
    if line.get(at) != Some(&b'"') {
        return None;
    }
    text_end(line, at + 1).map(|end| (at + 1, end))
}

/// Where the text ends that begins here, at its quotation mark; none if it holds anything but plain ASCII.
#[inline]
pub(super) fn text_end(line: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    while has_no_odd_byte(line.get(end..).unwrap_or_default()) {
        end += LONG;
    }
    loop {
        let odd = odd_bytes(word(line, end));
        if odd != 0 {
            end += (odd.trailing_zeros() / u8::BITS) as usize;
            return (line.get(end) == Some(&b'"')).then_some(end);
        }
        end += WORD;
    }
}

/// How many bytes are looked at together where texts are long.
const LONG: usize = 2 * WORD;

/// Whether a text goes on with so many bytes as they stand.
#[inline(always)]
fn has_no_odd_byte(bytes: &[u8]) -> bool {
    // Byte by byte, which becomes a few instructions for all of them; beyond ASCII bytes are negative.
    let is_odd = |byte: u8| (byte.cast_signed() < 0x20) | (byte == b'"') | (byte == b'\\');
    let Some(chunk) = bytes.first_chunk::<LONG>() else { return false };
    chunk.iter().fold(0, |any, byte| any | u8::from(is_odd(*byte))) == 0
}

/// Marks bytes with their highest bit that a text does not go on with as they stand. The lowest mark is right; above it, others may be
/// marked, too.
#[inline(always)]
fn odd_bytes(word: u64) -> u64 {
    // The highest bit of a difference is set where the byte is less, or higher than ASCII, which is odd anyway.
    let is = |byte: u8| (word ^ each(byte)).wrapping_sub(each(1));
    (word | word.wrapping_sub(each(b' ')) | is(b'"') | is(b'\\')) & each(0x80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a plain look at each byte finds.
    fn plain_text(line: &[u8]) -> Option<(usize, usize)> {
        let is_plain = |byte: u8| matches!(byte, b' '..=0x7f) && byte != b'"' && byte != b'\\';
        let length = line[1..].iter().position(|byte| !is_plain(*byte))?;
        (line[1 + length] == b'"').then_some((1, 1 + length))
    }

    proptest! {
        #[test]
        fn words_of_text_say_what_its_bytes_say(start in "[ -~]{0,30}", odd in prop::collection::vec(any::<u8>(), 0..4), end in "[ -~]{0,30}") {
            let line = [b"\"", start.as_bytes(), &odd, end.as_bytes()].concat();
            prop_assert_eq!(text(&line, 0), plain_text(&line));
        }

        #[test]
        fn numbers_are_those_that_the_standard_library_reads(digits in "[0-9]{0,22}", after in "[,}. e]{0,9}") {
            let (whole, line) = (digits.parse::<u64>().ok(), format!("x{digits}{after}"));
            let canonical = digits == "0" || !digits.starts_with('0');
            let expected = whole.filter(|_| canonical && digits.len() <= 19).map(|whole| (whole, 1 + digits.len()));
            prop_assert_eq!(number(line.as_bytes(), 1), expected);
        }

        #[test]
        fn a_word_says_what_its_first_digits_say(digits in "[0-9]{0,8}", after in any::<[u8; 8]>()) {
            let bytes = [digits.as_bytes(), &after].concat();
            let chunk: &[u8; 8] = bytes.first_chunk().unwrap();
            let count = chunk.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let value = str::from_utf8(&chunk[..count]).unwrap().parse().unwrap_or(0);
            prop_assert_eq!(leading_digits(u64::from_le_bytes(*chunk)), (value, count));
        }
    }

    #[track_caller]
    fn check(line: &str, is_plain: bool) {
        assert_eq!(scan(line.as_bytes(), &mut Found::default()).is_some(), is_plain, "{line}");
    }

    #[test]
    fn only_plain_lines_are_taken() {
        check(r#"{"v":1,"n":3,"end_ns":9,"status":200}"#, true);
        check("{ \"v\": 1, \"n\": 3, \"end_ns\": 9 }\r", true);
        check(r#"{"v":1,"error":"é"}"#, false);
        check(r#"{"v":1,"error":"\u00e9"}"#, false);
        check(r#"{"v":1,"v":1}"#, false);
        check(r#"{"v":1,"pages":null}"#, false);
        check(r#"{"v":1,"n":1.0}"#, false);
        check(r#"{"v":1,"n":-1}"#, false);
        check(r#"{"v":01}"#, false);
        check(r#"{"v":1,}"#, false);
        check(r#"{"v":1}}"#, false);
        check(r#"{"v":1"#, false);
        check(r#"{"v":1,"header":true}"#, false);
        check("{}", false);
        check("", false);
        check(r#"{"v""#, false);
        check(r#"{"status":200,"n":3,"v":1}"#, true);
        check(r#"{"server_start_ms":1,"server_end_ms":2,"render_status":"failed","due_ns":3}"#, true);
        check(r#"{"server_stars_ms":1}"#, false);
    }
}
