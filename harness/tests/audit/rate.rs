//! The limiter's judge against brute force.

use std::collections::BTreeMap;

use hookproof::audit::rate::rules::Spec;
use hookproof::audit::rate::{self, Decision, Monitor, Past};
use hookproof::audit::{Kind, Request, Shape, Start, Verdict, Window, Witness};

use crate::dice::Dice;
use crate::instances::{self, Instance};
use crate::oracle;

/// Histories that are judged.
const INSTANCES: u64 = 100_000;

/// Histories that are also streamed, in random order and steps; it takes longer.
const STREAMED: u64 = 30_000;

/// Requests in the largest of them.
const REQUESTS_MAX: i64 = 10;

/// What a history is judged as; a schedule is replayed on the way.
#[track_caller]
fn is_consistent(instance: &Instance, start: Start) -> bool {
    let Instance { requests, window } = instance;
    match rate::decide::<Spec>(requests, window, &Past::of(requests, start)) {
        Decision::Explained(schedule) => {
            assert_eq!(rate::replay(requests, window, start, &schedule), Ok(()), "{instance:#?} {schedule:#?}");
            true
        }
        Decision::Refuted { .. } => false,
        Decision::Open(reason) => panic!("{reason}: {instance:#?}"),
    }
}

/// What a monitor says that gets the requests in any order that the promises allow.
fn is_consistent_streamed(instance: &Instance, start: Start, dice: &mut Dice) -> bool {
    let mut waiting = instance.requests.clone();
    dice.shuffle(&mut waiting);
    let mut monitor = Monitor::new(instance.window, start);
    monitor.work_at_once();
    while let Some(request) = waiting.pop() {
        monitor.push(request);
        if dice.chance(0.5) {
            let earliest = waiting.iter().map(|request| request.start).min().unwrap_or(i64::MAX);
            monitor.settle(earliest - dice.range(0, 2));
        }
    }
    match monitor.finish() {
        Verdict::Consistent(schedule) => {
            assert_eq!(rate::replay(&instance.requests, &instance.window, start, &schedule), Ok(()), "{instance:#?}");
            true
        }
        Verdict::Inconsistent(_) => false,
        Verdict::Inconclusive(reason) => panic!("{reason}: {instance:#?}"),
    }
}

#[test]
fn a_hundred_thousand_small_histories_are_judged_as_by_brute_force() {
    let (mut inconsistent, mut chosen) = (0, 0);
    for seed in 0..INSTANCES {
        let mut dice = Dice::new(seed);
        let instance = instances::small(&mut dice, REQUESTS_MAX);
        let expected = oracle::is_consistent(&instance.requests, &instance.window);
        assert_eq!(is_consistent(&instance, Start::Fresh), expected, "{seed}: {instance:#?}");
        inconsistent += u64::from(!expected);
        chosen += u64::from(is_explained_by_choice(&instance, Start::Fresh, expected, &mut dice));
    }
    // Both answers must be tried often, and so must both ways to the first.
    assert!((INSTANCES / 5..INSTANCES / 3).contains(&inconsistent), "{inconsistent} of {INSTANCES} are inconsistent");
    let consistent = INSTANCES - inconsistent;
    assert!((consistent / 2..consistent * 9 / 10).contains(&chosen), "{chosen} of {consistent} needed no search");
}

/// Whether a schedule can be chosen without a search, which must then be one; what is said by way of it must be as expected.
#[track_caller]
fn is_explained_by_choice(instance: &Instance, start: Start, expected: bool, dice: &mut Dice) -> bool {
    let mut requests = instance.requests.clone();
    dice.shuffle(&mut requests);
    let chosen = rate::choose(&requests, &instance.window);
    for schedule in chosen.iter().chain(&rate::choose(&instance.requests, &instance.window)) {
        assert_eq!(rate::replay(&requests, &instance.window, start, schedule), Ok(()), "{requests:#?} {schedule:#?}");
    }
    assert_eq!(rate::is_explained(&requests, &instance.window, start), expected, "{instance:#?}");
    let mut monitor = Monitor::new(instance.window, start);
    requests.iter().for_each(|request| monitor.push(*request));
    assert_eq!(monitor.is_explained(), expected, "{instance:#?}");
    chosen.is_some()
}

/// Each instant of opening followed by itself, this is given up.
#[test]
fn requests_longer_than_two_windows_are_judged_to_the_end() {
    const REQUESTS: u64 = 1_600;
    const WINDOW: Window = Window { limit: 10, shortest: 3_598, longest: 3_602 };
    // Nine in a window, so that hardly a refusal tells when one was full.
    const GAP: i64 = WINDOW.longest / 9;
    let mut dice = Dice::new(7);
    let (mut now, mut end, mut served) = (0, 0, 0);
    let requests = (0..REQUESTS).map(|n| {
        now += dice.range(GAP / 2, GAP + GAP / 2);
        if now >= end {
            (end, served) = (now + 3_600, 0);
        }
        let kind = if served < WINDOW.limit { Kind::Counted } else { Kind::Refused };
        served += u64::from(kind == Kind::Counted);
        Request { n, start: now - dice.range(0, 10 * GAP), end: now + dice.range(0, 10 * GAP), kind }
    });
    let instance = Instance { requests: requests.collect(), window: WINDOW };
    assert!(is_consistent(&instance, Start::Fresh), "a correct server");
}

#[test]
fn a_monitor_says_what_the_whole_history_says() {
    let mut inconsistent = 0;
    for seed in 0..STREAMED {
        let mut dice = Dice::new(seed);
        let instance = instances::small(&mut dice, REQUESTS_MAX);
        let start = if dice.chance(0.7) { Start::Fresh } else { Start::Unknown };
        let expected = is_consistent(&instance, start);
        assert_eq!(is_consistent_streamed(&instance, start, &mut dice), expected, "{seed}: {start:?} {instance:#?}");
        inconsistent += u64::from(!expected);
    }
    assert!(inconsistent > STREAMED / 6, "{inconsistent} of {STREAMED} are inconsistent");
}

/// Whether some state of the limiter before the first request explains the history: every end and count of an open window.
fn is_consistent_from_any_state(instance: &Instance) -> bool {
    let Instance { requests, window } = instance;
    let first = requests.iter().map(|request| request.start).min().unwrap();
    let exact = Window { longest: window.shortest, ..*window };
    assert_eq!(exact, *window, "an open window's end is enumerated for exact windows only");
    let open = |end: i64, count: u64| {
        let start = end - window.shortest;
        let before = (0..count).map(|n| Request { n: 1_000 + n, start, end: start, kind: Kind::Counted });
        oracle::is_consistent(&requests.iter().copied().chain(before).collect::<Vec<Request>>(), window)
    };
    oracle::is_consistent(requests, window)
        || (first + 1..=first + window.shortest).any(|end| (1..=window.limit).any(|count| open(end, count)))
}

#[test]
fn an_unknown_beginning_is_every_beginning() {
    let (mut judged, mut inconsistent) = (0, 0);
    for seed in 0..15_000 {
        let mut dice = Dice::new(seed);
        let mut instance = instances::small(&mut dice, 8);
        instance.window.longest = instance.window.shortest;
        // What came before is forgotten.
        let forgotten = dice.range(0, 12);
        instance.requests.retain(|request| request.start >= forgotten);
        if instance.requests.is_empty() {
            continue;
        }
        let expected = is_consistent_from_any_state(&instance);
        assert_eq!(is_consistent(&instance, Start::Unknown), expected, "{seed}: {instance:#?}");
        is_explained_by_choice(&instance, Start::Unknown, expected, &mut dice);
        judged += 1;
        inconsistent += u64::from(!expected);
    }
    assert!(judged > 6_000 && inconsistent > 300, "{inconsistent} of {judged} are inconsistent");
}

/// Whether these answers contradict each other when nothing is known of any other.
fn contradict(instance: &Instance, facts: &[&Request]) -> bool {
    let is_fact = |request: &Request| facts.iter().any(|fact| fact.n == request.n);
    let loosened = instance.requests.iter().filter_map(|request| match request.kind {
        _ if is_fact(request) => Some(*request),
        Kind::Refused => None,
        Kind::Counted => Some(Request { kind: Kind::Perhaps { until: Some(request.end) }, ..*request }),
        Kind::Perhaps { .. } => Some(*request),
    });
    !oracle::is_consistent(&loosened.collect::<Vec<Request>>(), &instance.window)
}

#[test]
fn a_witness_contradicts_itself_and_needs_all_of_its_facts() {
    let mut shapes: BTreeMap<Shape, (u64, u64)> = BTreeMap::new();
    for seed in 0..12_000 {
        let instance = instances::small(&mut Dice::new(seed), REQUESTS_MAX);
        let Verdict::Inconsistent(witness) = rate::judge(&instance.requests, &instance.window, Start::Fresh) else {
            continue;
        };
        let facts: Vec<&Request> = witness.facts.iter().collect();
        assert!(facts.iter().all(|fact| instance.requests.contains(fact)), "{seed}: {witness:#?}");
        assert!(contradict(&instance, &facts), "{seed}: {instance:#?} {witness:#?}");
        for left_out in 0..facts.len() {
            let mut fewer = facts.clone();
            fewer.remove(left_out);
            assert!(
                !contradict(&instance, &fewer),
                "{seed}: fact {left_out} is not needed: {instance:#?} {witness:#?}"
            );
        }
        let (all, proofs) = shapes.entry(witness.shape).or_default();
        *all += 1;
        *proofs += u64::from(witness.proof);
    }
    let common = [Shape::NeedlessRefusal, Shape::OverAdmission, Shape::LateRefusal, Shape::TwoRefusals, Shape::Mixed];
    assert!(common.iter().all(|shape| shapes.get(shape).is_some_and(|(all, _)| *all > 20)), "{shapes:?}");
    let (needless, proved) = shapes[&Shape::NeedlessRefusal];
    assert_eq!(needless, proved, "a needless refusal is proved by a count");
}

#[test]
fn a_monitors_witness_is_one_of_the_whole_history() {
    let mut explained = 0;
    for seed in 0..6_000 {
        let mut dice = Dice::new(seed);
        let instance = instances::small(&mut dice, REQUESTS_MAX);
        let mut monitor = Monitor::new(instance.window, Start::Fresh);
        instance.requests.iter().for_each(|request| monitor.push(*request));
        if let Verdict::Inconsistent(Witness { facts, .. }) = monitor.finish() {
            assert!(
                contradict(&instance, &facts.iter().collect::<Vec<&Request>>()),
                "{seed}: {instance:#?} {facts:#?}"
            );
            explained += 1;
        }
    }
    assert!(explained > 1_000, "{explained} were explained");
}
