//! Each decision of the search, replaced by a defect: the small histories notice every one.
//!
//! Three defects are left out because they change no verdict: a past that may begin earlier than it can matter, refusals that
//! are kept although they say nothing new, and a comparison of pasts that ignores when a window opened (no history is known
//! for which that is wrong, among some hundred thousand; the proof that comparing is right needs it nevertheless).

use std::cell::Cell;
use std::panic::catch_unwind;

use hookproof::audit::rate::rules::{Merits, NEVER, Role, Rules, Spec};
use hookproof::audit::rate::{self, Decision, Past};
use hookproof::audit::{Kind, Start};

use crate::dice::Dice;
use crate::instances::{self, Instance};

/// Histories within which a defect must show.
const INSTANCES: u64 = 30_000;

/// The verdict by these rules; none if the schedule explains nothing.
fn is_consistent<R: Rules>(instance: &Instance, start: Start) -> Option<bool> {
    let Instance { requests, window } = instance;
    match rate::decide::<R>(requests, window, &Past::of(requests, start)) {
        Decision::Explained(schedule) => rate::replay(requests, window, start, &schedule).ok().map(|()| true),
        Decision::Refuted { .. } => Some(false),
        Decision::Open(_) => None,
    }
}

macro_rules! faults {
    ($($name:ident => fn $rule:ident($($argument:ident: $type:ty),*) -> $result:ty { $body:expr })*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Fault {
            $($name,)*
        }

        const FAULTS: &[Fault] = &[$(Fault::$name),*];

        $(
            #[expect(non_snake_case, reason = "named as the fault is")]
            fn $name($($argument: $type),*) -> $result {
                $body
            }
        )*
    };
}

faults! {
    LeastUrgentFirst => fn urgency(end: i64) -> i64 { -end }
    HoldsOneMore => fn capacity(limit: usize) -> usize { limit + 1 }
    FullOneEarly => fn capacity(limit: usize) -> usize { limit - 1 }
    NeverExplains => fn explained(_full: bool, before: i64, _end: i64) -> i64 { before }
    AlwaysExplains => fn explained(_full: bool, _before: i64, end: i64) -> i64 { end }
    DueFillsAfterRefusal => fn fills_before(role: Role, start: i64, refused: i64) -> bool {
        role == Role::Due || start <= refused
    }
    OptionalFillsAfterRefusal => fn fills_before(role: Role, start: i64, refused: i64) -> bool {
        role == Role::Optional || start <= refused
    }
    UnknownFillsAfterRefusal => fn fills_before(role: Role, start: i64, refused: i64) -> bool {
        role == Role::Unknown || start <= refused
    }
    NobodyFillsAtRefusal => fn fills_before(_role: Role, start: i64, refused: i64) -> bool { start < refused }
    UnknownCountsTooLate => fn still_counts(_until: i64, _opening: i64) -> bool { true }
    UnknownMissesItsLastInstant => fn still_counts(until: i64, opening: i64) -> bool { until > opening }
    UnknownCountsTwice => fn counts_once() -> bool { false }
    WindowIncludesItsEnd => fn next_opening(start: i64, shortest: i64) -> i64 { start.saturating_add(shortest + 1) }
    WindowOneShort => fn next_opening(start: i64, shortest: i64) -> i64 { start.saturating_add(shortest - 1) }
    WindowOneLong => fn last_end(start: i64, longest: i64) -> i64 { start.saturating_add(longest + 1) }
    WindowMissesItsLastInstant => fn last_end(start: i64, longest: i64) -> i64 { start.saturating_add(longest - 1) }
    WindowsOverlap => fn end(last_end: i64, _next: i64) -> i64 { last_end }
    NobodyOpens => fn opens_with_a_request() -> bool { false }
    UnknownNeverOpens => fn unknown_opens() -> bool { false }
    OpensAsEarlyAsItCan => fn opens_late() -> bool { false }
    ServesAllItCan => fn least_taken(room: usize) -> usize { room }
    ForgetsWhoIsPending => fn is_forced(_end: i64, _after: i64) -> bool { true }
    IgnoresLastRefusals => fn can_wait(next: i64, refused: i64) -> bool { next == NEVER || next <= refused }
    RefusalEndsBeforeNext => fn can_wait(next: i64, refused: i64) -> bool { next < refused }
    CellsIgnoreStarts => fn cuts(_start: i64, end: i64) -> [i64; 2] { [end.saturating_add(1); 2] }
    CellsIgnoreEnds => fn cuts(start: i64, _end: i64) -> [i64; 2] { [start + 1; 2] }
    PrefersExplainingLess => fn dominates(better: &Merits<'_>, worse: &Merits<'_>) -> bool {
        better.explained <= worse.explained
            && Spec::dominates(&Merits { explained: worse.explained, ..*better }, worse)
    }
    IgnoresWhatIsExplained => fn dominates(better: &Merits<'_>, worse: &Merits<'_>) -> bool {
        Spec::dominates(&Merits { explained: worse.explained, ..*better }, worse)
    }
    IgnoresWhoWasUsed => fn dominates(better: &Merits<'_>, worse: &Merits<'_>) -> bool {
        Spec::dominates(&Merits { used: worse.used, ..*better }, worse)
    }
    JoinsPastsWhereUnknownEnds => fn separates(_kind: Kind) -> bool { false }
    JoinsPastsThatChoseOthers => fn stays_chosen(_reach: usize, _at: usize) -> bool { true }
    JoinsPastsThatExplainMore => fn explains_alike(_one: i64, _other: i64) -> bool { true }
    OpensFirstOrLastOnly => fn opens_by(at: i64, last: i64) -> bool { at == last }
    OpensAfterItsLast => fn opens_by(_at: i64, _last: i64) -> bool { true }
    DropsRefusals => fn says_nothing_new(_end: i64, _later: i64) -> bool { true }
    JoinsRefusalsOfTwoWindows => fn can_refill(_limit: usize, _able: usize) -> bool { false }
    JoinsRefusalsAroundAFullWindow => fn can_refill(limit: usize, able: usize) -> bool { able > limit }
    PastBeginsTooLate => fn unseen_from(since: i64, longest: i64) -> i64 { since - longest + 2 }
}

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// The rules with the thread's fault. One type for all, since each type would compile the search anew.
struct Faulty;

macro_rules! with_faults {
    ($(fn $rule:ident($($argument:ident: $type:ty),*) -> $result:ty { $($fault:ident)* })*) => {
        impl Rules for Faulty {
            $(fn $rule($($argument: $type),*) -> $result {
                let rule: fn($($type),*) -> $result = match FAULT.get() {
                    $(Some(Fault::$fault) => $fault,)*
                    _ => Spec::$rule,
                };
                rule($($argument),*)
            })*
        }
    };
}

with_faults! {
    fn cuts(start: i64, end: i64) -> [i64; 2] { CellsIgnoreStarts CellsIgnoreEnds }
    fn next_opening(start: i64, shortest: i64) -> i64 { WindowIncludesItsEnd WindowOneShort }
    fn last_end(start: i64, longest: i64) -> i64 { WindowOneLong WindowMissesItsLastInstant }
    fn end(last_end: i64, next: i64) -> i64 { WindowsOverlap }
    fn capacity(limit: usize) -> usize { HoldsOneMore FullOneEarly }
    fn urgency(end: i64) -> i64 { LeastUrgentFirst }
    fn least_taken(room: usize) -> usize { ServesAllItCan }
    fn fills_before(role: Role, start: i64, refused: i64) -> bool {
        DueFillsAfterRefusal OptionalFillsAfterRefusal UnknownFillsAfterRefusal NobodyFillsAtRefusal
    }
    fn still_counts(until: i64, opening: i64) -> bool { UnknownCountsTooLate UnknownMissesItsLastInstant }
    fn can_wait(next: i64, refused: i64) -> bool { IgnoresLastRefusals RefusalEndsBeforeNext }
    fn explained(full: bool, before: i64, end: i64) -> i64 { NeverExplains AlwaysExplains }
    fn opens_with_a_request() -> bool { NobodyOpens }
    fn unknown_opens() -> bool { UnknownNeverOpens }
    fn counts_once() -> bool { UnknownCountsTwice }
    fn opens_late() -> bool { OpensAsEarlyAsItCan }
    fn is_forced(end: i64, after: i64) -> bool { ForgetsWhoIsPending }
    fn dominates(better: &Merits<'_>, worse: &Merits<'_>) -> bool {
        PrefersExplainingLess IgnoresWhatIsExplained IgnoresWhoWasUsed
    }
    fn separates(kind: Kind) -> bool { JoinsPastsWhereUnknownEnds }
    fn stays_chosen(reach: usize, at: usize) -> bool { JoinsPastsThatChoseOthers }
    fn explains_alike(one: i64, other: i64) -> bool { JoinsPastsThatExplainMore }
    fn opens_by(at: i64, last: i64) -> bool { OpensFirstOrLastOnly OpensAfterItsLast }
    fn says_nothing_new(end: i64, later: i64) -> bool { DropsRefusals }
    fn can_refill(limit: usize, able: usize) -> bool { JoinsRefusalsOfTwoWindows JoinsRefusalsAroundAFullWindow }
    fn unseen_from(since: i64, longest: i64) -> i64 { PastBeginsTooLate }
}

#[test]
fn every_defect_of_the_search_is_noticed() {
    let mut unnoticed = FAULTS.to_vec();
    for seed in 0..INSTANCES {
        if unnoticed.is_empty() {
            break;
        }
        let mut dice = Dice::new(seed);
        let instance = instances::small(&mut dice, 10);
        let start = if dice.chance(0.8) { Start::Fresh } else { Start::Unknown };
        // Other tests hold this against brute force.
        let expected = is_consistent::<Spec>(&instance, start);
        unnoticed.retain(|fault| {
            FAULT.set(Some(*fault));
            let found = catch_unwind(|| is_consistent::<Faulty>(&instance, start));
            FAULT.set(None);
            found.ok().flatten() == expected
        });
    }
    assert!(unnoticed.is_empty(), "no history of {INSTANCES} shows these defects: {unnoticed:?}");
}

#[test]
fn rules_without_a_fault_are_the_rules() {
    for seed in 0..1_000 {
        let instance = instances::small(&mut Dice::new(seed), 10);
        let expected = is_consistent::<Spec>(&instance, Start::Fresh);
        assert_eq!(is_consistent::<Faulty>(&instance, Start::Fresh), expected, "{seed}: {instance:#?}");
    }
}
