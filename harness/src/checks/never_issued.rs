//! Tokens that nobody was given, in the form of one that somebody was.

use rand::{Rng, RngExt as _};
use uuid::Uuid;

/// A value of a live token's form that was never issued: every letter and digit drawn anew, but for a prefix and, in a UUID, the
/// digits that say which kind of UUID it is.
pub(super) fn never_issued(rng: &mut impl Rng, live: &str) -> String {
    const DRAWS_MAX: usize = 8;
    let drawn = (0..DRAWS_MAX).map(|_| drawn(rng, live)).find(|drawn| drawn != live);
    drawn.unwrap_or_else(|| format!("{live}-never-issued"))
}

fn drawn(rng: &mut impl Rng, live: &str) -> String {
    /// Positions of the version's and the variant's digit in a hyphenated UUID, RFC 9562 section 4.
    const KINDS: [usize; 2] = [14, 19];
    let is_uuid = Uuid::try_parse(live).is_ok();
    let kept = if is_uuid { 0 } else { prefix(live) };
    let drawn = live.char_indices().map(|(at, character)| match character {
        _ if at < kept || (is_uuid && KINDS.contains(&at)) => character,
        other => drawn_anew(rng, other),
    });
    drawn.collect()
}

/// Another letter or digit of the same kind: a token of hexadecimal digits stays one.
pub(super) fn drawn_anew(rng: &mut impl Rng, character: char) -> char {
    match character {
        'a'..='f' => rng.random_range('a'..='f'),
        'g'..='z' => rng.random_range('a'..='z'),
        'A'..='F' => rng.random_range('A'..='F'),
        'G'..='Z' => rng.random_range('A'..='Z'),
        '0'..='9' => rng.random_range('0'..='9'),
        other => other,
    }
}

/// Length of what all tokens of an implementation may begin with: up to an underscore, or a few letters up to any other mark.
fn prefix(live: &str) -> usize {
    /// A mark that comes later separates one random part from another.
    const LETTERS_MAX: usize = 6;
    // With little after it, the underscore is itself part of the random text.
    let underscore = live.rfind('_').map(|at| at + 1).filter(|kept| 2 * kept <= live.len());
    let mark = || {
        let at = live.find(|character: char| !character.is_ascii_alphabetic())?;
        let is_mark = live.as_bytes()[at].is_ascii_punctuation();
        (is_mark && at <= LETTERS_MAX && 2 * (at + 1) <= live.len()).then_some(at + 1)
    };
    underscore.or_else(mark).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[track_caller]
    fn check(live: &str, kept: &str) {
        let mut rng = StdRng::seed_from_u64(1);
        let drawn = never_issued(&mut rng, live);
        assert_eq!(drawn.len(), live.len());
        assert!(drawn.starts_with(kept), "{drawn}");
        let alike = live.chars().zip(drawn.chars()).skip(kept.len()).filter(|(one, other)| one == other).count();
        assert!(2 * alike < live.len(), "{live} became {drawn}");
        let kind = |character: char| (character.is_ascii_digit(), character.is_lowercase(), character.is_uppercase());
        assert!(live.chars().zip(drawn.chars()).all(|(one, other)| kind(one) == kind(other)), "{drawn}");
    }

    #[test]
    fn a_token_keeps_its_form_and_nothing_else() {
        check("rk_wh_0123456789abcdef0123456789abcdef", "rk_wh_");
        check("hook-001", "");
        check("whk.4370ec7d8811~d94d9e1eeb5d1c2d85bdfbea9e42523e", "whk.");
        check("GgHhIiJjKkLlMm_NnOoPpQq", "");
        check("4370ec7d.8811d94d9e1eeb5d1c2d85bd", "");
        check("0b7e1c9a-3f5d-4c2e-9a1b-7d6e5f4c3b2a", "");
    }

    #[test]
    fn a_uuid_stays_a_uuid_of_its_kind() {
        let drawn = never_issued(&mut StdRng::seed_from_u64(1), "0b7e1c9a-3f5d-4c2e-9a1b-7d6e5f4c3b2a");
        assert_eq!(Uuid::try_parse(&drawn).unwrap().get_version_num(), 4);
    }
}
