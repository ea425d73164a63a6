//! Names of keys and tokens, which come again in line after line, as numbers.

use std::num::NonZeroU32;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// A name of a key or a token, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(NonZeroU32);

impl Name {
    /// Its place among all: 0 for the first name that was met, then 1, and so on.
    #[inline]
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// So many names are found by a glance at their text, at most.
const GLANCES: usize = 1024;

/// All names met so far.
#[derive(Debug, Default)]
pub struct Names {
    /// By text. As bytes, since these are what is looked up.
    known: FxHashMap<Arc<[u8]>, Name>,
    texts: Vec<Arc<str>>,
    /// The last names that looked so at a [`glance`].
    glanced: Vec<Option<Name>>,
}

impl Names {
    /// The number of a name; a new one for a new name.
    pub fn number(&mut self, text: &str) -> Name {
        self.known.get(text.as_bytes()).copied().unwrap_or_else(|| self.add(text))
    }

    /// The number of a name whose text is in UTF-8; none if it is not.
    pub(super) fn number_of_bytes(&mut self, bytes: &[u8]) -> Option<Name> {
        let glance = glance(bytes);
        if let Some(Some(name)) = self.glanced.get(glance)
            && self.text(*name).as_bytes() == bytes
        {
            return Some(*name);
        }
        let known = self.known.get(bytes).copied();
        let name = known.or_else(|| str::from_utf8(bytes).ok().map(|text| self.add(text)));
        self.glanced.resize(GLANCES, None);
        self.glanced[glance] = name;
        name
    }

    /// The text of a name that these names have numbered.
    #[inline]
    pub fn text(&self, name: Name) -> &str {
        &self.texts[name.index()]
    }

    fn add(&mut self, text: &str) -> Name {
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        let count = u32::try_from(self.texts.len()).ok().and_then(NonZeroU32::new);
        let name = Name(count.expect("memory ends long before four billion names"));
        self.known.insert(text.into(), name);
        name
    }
}

/// A number below [`GLANCES`] that the length of a text and its first and last bytes give.
#[inline]
fn glance(bytes: &[u8]) -> usize {
    /// An odd number with its bits well spread.
    const MIXER: u64 = 0x9E37_79B9_7F4A_7C15;
    let first = bytes.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
    let last = bytes.last_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
    let mixed = (first.wrapping_mul(MIXER) ^ last).wrapping_add(bytes.len() as u64).wrapping_mul(MIXER);
    (mixed >> (u64::BITS - GLANCES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_however_it_is_told() {
        let mut names = Names::default();
        let (one, other) = (names.number("d1"), names.number("d2"));
        assert_eq!((one.index(), other.index()), (0, 1));
        assert_eq!((names.number("d1"), names.number_of_bytes(b"d2")), (one, Some(other)));
        assert_eq!((names.text(one), names.text(other)), ("d1", "d2"));
        assert_eq!(names.number_of_bytes(b"\xff"), None);
    }

    #[test]
    fn names_that_look_alike_at_a_glance_are_told_apart() {
        let mut names = Names::default();
        // More than there are glances, and many of the same first and last bytes.
        let text = |at: usize| format!("some-shop-{}{}.example.com", at, "x".repeat(at % 3));
        let numbers: Vec<Option<Name>> = (0..5_000).map(|at| names.number_of_bytes(text(at).as_bytes())).collect();
        for (at, number) in numbers.iter().enumerate() {
            assert_eq!(number.map(Name::index), Some(at));
            assert_eq!(names.number_of_bytes(text(at).as_bytes()), *number);
            assert_eq!(Some(names.number(&text(at))), *number);
        }
    }
}
