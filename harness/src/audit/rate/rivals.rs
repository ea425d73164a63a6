//! Which of the states that are born in one cell are worth following.

use super::known::Span;
use super::rules::{Merits, Rules};
use super::state::State;
use super::step::Candidate;

/// An odd number with its bits well spread.
const MIXER: u64 = 0x9E37_79B9_7F4A_7C15;

/// What it takes to compare states, kept so that its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// How many each leaves that must be served in the coming window, and a digest of the others.
    marks: Vec<(usize, u64)>,
    /// The ends of those that each leaves and that need not be, one's after the other's, and where they begin.
    ends: Vec<i64>,
    begin: Vec<usize>,
    left: Vec<Span>,
    order: Vec<usize>,
    best: Vec<usize>,
    kept: Vec<bool>,
}

impl Rivals {
    /// Keeps the best of those that can be compared; gives how many comparisons that took.
    pub(super) fn keep_the_best<R: Rules>(&mut self, born: &mut Vec<Candidate>, states: &[State]) -> u64 {
        if !are_any(born) {
            return 0;
        }
        self.look_at::<R>(born, states);
        let Rivals { marks, ends, begin, order, best, kept, .. } = self;
        // What two must share to be compared. Equal digests are no proof, but bring those together that do.
        let place = |index: usize| (marks[index], &ends[begin[index]..begin[index + 1]]);
        order.clear();
        order.extend(0..born.len());
        // Of two equally good ones, one that goes on is the better: it costs nothing.
        let key = |index: usize| (marks[index], born[index].extends.is_none(), index);
        order.sort_unstable_by_key(|index| key(*index));
        best.clear();
        kept.clear();
        kept.resize(born.len(), true);
        let mut work = 0;
        for index in order.iter().copied() {
            if best.first().is_some_and(|first| place(*first) != place(index)) {
                best.clear();
            }
            work += best.len() as u64;
            let merits = merits(&born[index], states);
            if best.iter().any(|better| R::dominates(&self::merits(&born[*better], states), &merits)) {
                kept[index] = false;
                continue;
            }
            best.retain(|worse| {
                kept[*worse] = !R::dominates(&merits, &self::merits(&born[*worse], states));
                kept[*worse]
            });
            best.push(index);
        }
        let mut kept = kept.iter().copied();
        born.retain(|_| kept.next().unwrap_or(true));
        work
    }

    fn look_at<R: Rules>(&mut self, born: &[Candidate], states: &[State]) {
        self.marks.clear();
        self.ends.clear();
        self.begin.clear();
        self.begin.push(0);
        for one in born {
            self.left.clear();
            states[one.parent].leave::<R>(&one.choice, &mut self.left);
            let mut digest = 0;
            self.ends.extend(self.left[one.forced..].iter().map(|span| {
                digest = (u64::rotate_left(digest, 5) ^ span.end.cast_unsigned()).wrapping_mul(MIXER);
                span.end
            }));
            self.marks.push((one.forced, digest));
            self.begin.push(self.ends.len());
        }
    }
}

/// Whether two of these can have the same to serve: one state's choices differ in how many they leave, unless somebody in
/// particular opened the window or unknown requests are used.
fn are_any(born: &[Candidate]) -> bool {
    let Some(first) = born.first() else { return false };
    let special = |one: &Candidate| one.choice.opener.is_some() || !one.choice.unknown.is_empty();
    born.len() > 1 && born.iter().any(|one| one.parent != first.parent || special(one))
}

fn merits<'a>(candidate: &'a Candidate, states: &'a [State]) -> Merits<'a> {
    let used = candidate.used.as_deref().unwrap_or(&states[candidate.parent].used);
    Merits { from: candidate.from, explained: candidate.explained, used: &used.until }
}
