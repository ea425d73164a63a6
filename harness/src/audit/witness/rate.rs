//! The limiter's contradictions: found, named, and put into words.

use std::collections::HashSet;

use super::phrase::length;
use super::smallest::irreducible;
use super::{Phrase, Shape, Witness};
use crate::audit::rate::rules::{NEVER, Spec};
use crate::audit::rate::{self, Decision, Past};
use crate::audit::{Kind, Request, Window};

/// Explains why a history is inconsistent.
pub(crate) fn explain(requests: &[Request], window: &Window, past: &Past) -> Witness {
    let (decision, telling) = rate::decide_and_tell::<Spec>(requests, window, past);
    let Decision::Refuted { by } = decision else { return distant() };
    let telling: Vec<Request> = telling.into_iter().filter(|request| request.start < by).collect();
    let case = Case { window, past, telling: &telling };
    let (facts, until) = case.facts();
    case.smallest(&facts, until)
}

/// A contradiction that what is remembered does not show.
fn distant() -> Witness {
    let words = "The answers contradict each other, but only together with some from further back than are remembered; \
                 judged all at once, the whole history tells which.";
    Witness {
        shape: Shape::Distant,
        facts: Vec::new(),
        context: Vec::new(),
        openings: Vec::new(),
        proof: false,
        parts: Phrase::default().say(words).parts(),
    }
}

/// Whether a request can have counted, and until when.
fn last_instant(request: &Request) -> Option<i64> {
    match request.kind {
        Kind::Counted => Some(request.end),
        Kind::Perhaps { until } => Some(until.unwrap_or(NEVER)),
        Kind::Refused => None,
    }
}

struct Case<'a> {
    window: &'a Window,
    past: &'a Past,
    /// The requests that say something.
    telling: &'a [Request],
}

impl Case<'_> {
    /// Whether these facts alone contradict each other. Requests that start after `until`, or cannot count after `after`, do
    /// not matter to them.
    fn contradicts(&self, facts: &[Request], until: i64, after: i64) -> bool {
        let known: HashSet<u64> = facts.iter().map(|fact| fact.n).collect();
        let others = self.telling.iter().filter_map(|request| {
            let last = last_instant(request)?;
            let matters = request.start <= until
                && last > after
                && !(request.kind == Kind::Counted && known.contains(&request.n));
            let kind = Kind::Perhaps { until: (last < NEVER).then_some(last) };
            matters.then_some(Request { kind, ..*request })
        });
        let history: Vec<Request> = facts.iter().copied().chain(others).collect();
        matches!(rate::decide::<Spec>(&history, self.window, self.past), Decision::Refuted { .. })
    }

    /// The facts between the last instant before which none is needed, and the first at which the contradiction shows.
    fn facts(&self) -> (Vec<Request>, i64) {
        let all: Vec<Request> =
            self.telling.iter().filter(|request| !matches!(request.kind, Kind::Perhaps { .. })).copied().collect();
        let mut ends: Vec<i64> = all.iter().map(|fact| fact.end).collect();
        ends.sort_unstable();
        ends.dedup();
        let up_to = |end: i64| all.iter().filter(|fact| fact.end <= end).copied().collect::<Vec<Request>>();
        let shows = ends.partition_point(|end| !self.contradicts(&up_to(*end), *end, i64::MIN));
        let until = ends.get(shows).copied().unwrap_or(NEVER);
        let facts = up_to(until);
        let mut starts: Vec<i64> = facts.iter().map(|fact| fact.start).collect();
        starts.sort_unstable();
        starts.dedup();
        let from = |start: i64| facts.iter().filter(|fact| fact.start >= start).copied().collect::<Vec<Request>>();
        let needed = starts.partition_point(|start| self.contradicts(&from(*start), until, self.horizon(*start)));
        let first = starts.get(needed.saturating_sub(1)).copied().unwrap_or(i64::MIN);
        (from(first), until)
    }

    /// What counted up to here cannot share a window with anything that starts at `start` or later.
    fn horizon(&self, start: i64) -> i64 {
        start.saturating_sub(self.window.longest)
    }

    /// The smallest explanation found; of several, one that proves itself.
    fn smallest(&self, facts: &[Request], until: i64) -> Witness {
        let after = self.horizon(facts.iter().map(|fact| fact.start).min().unwrap_or(i64::MIN));
        let contradicts = |facts: &[Request]| self.contradicts(facts, until, after);
        // Nothing shows before `until`, so a single fact that suffices ends there.
        let single = facts.iter().find(|fact| fact.end == until && contradicts(&[**fact]));
        if let Some(single) = single {
            return self.describe(vec![*single], until);
        }
        let (mut counted, mut refused): (Vec<Request>, Vec<Request>) =
            facts.iter().partition(|fact| fact.kind == Kind::Counted);
        counted.sort_by_key(|fact| std::cmp::Reverse(fact.start));
        refused.sort_by_key(|fact| std::cmp::Reverse(fact.end));
        let orders = if contradicts(&counted) {
            // Whoever opened their window need not be among them, but with it they prove themselves.
            let first = counted.last().map_or(i64::MIN, |fact| self.horizon(fact.start));
            let mut wider: Vec<Request> = self.telling.to_vec();
            wider.retain(|fact| fact.kind == Kind::Counted && fact.start >= first && fact.end <= until);
            let earliest_first: Vec<Request> = counted.iter().rev().copied().collect();
            vec![counted, earliest_first, wider]
        } else {
            let mut by_end = facts.to_vec();
            by_end.sort_by_key(|fact| std::cmp::Reverse(fact.end));
            let mut by_start = facts.to_vec();
            by_start.sort_by_key(|fact| fact.start);
            vec![[&refused[..], &counted].concat(), [&counted[..], &refused].concat(), by_end, by_start]
        };
        let refusals = |witness: &Witness| witness.facts.iter().filter(|fact| fact.kind == Kind::Refused).count();
        let candidates = orders.iter().map(|order| self.describe(irreducible(order, &contradicts), until));
        let smallest = candidates.min_by_key(|witness| (witness.facts.len(), refusals(witness), !witness.proof));
        smallest.unwrap_or_else(distant)
    }

    fn describe(&self, mut facts: Vec<Request>, until: i64) -> Witness {
        facts.sort_by_key(|fact| (fact.start, fact.end));
        let first = facts.first().map_or(i64::MIN, |fact| fact.start);
        let around = |request: &&Request| {
            let counts = last_instant(request).is_some_and(|last| last > self.horizon(first));
            counts && request.start <= until && facts.iter().all(|fact| fact.n != request.n)
        };
        let context: Vec<Request> = self.telling.iter().filter(around).copied().collect();
        let told = self.tell(&facts, &context);
        let Told { shape, phrase, proof, openings } = told;
        Witness { shape, facts, context, openings, proof, parts: phrase.parts() }
    }

    fn tell(&self, facts: &[Request], context: &[Request]) -> Told {
        let (counted, refused): (Vec<Request>, Vec<Request>) =
            facts.iter().partition(|fact| fact.kind == Kind::Counted);
        match (&counted[..], &refused[..]) {
            ([], [refusal]) => self.needless(refusal),
            (_, []) => self.over_admission(&counted, context),
            ([served], [refusal]) if served.start > refusal.end => self.late(refusal, served),
            ([], [one, other]) => self.two(one, other),
            (_, [refusal]) if counted.iter().any(|served| served.start > refusal.end) => {
                let words = "The refusal needs a window that is full and still open; with the others where they must be, \
                             those served after it fall into that window, or into one that cannot be placed.";
                Told { shape: Shape::LateRefusal, phrase: list(facts).say(words), proof: false, openings: Vec::new() }
            }
            _ => {
                let words =
                    "With those served where they must be, no placement of windows has a full one at each refusal.";
                Told { shape: Shape::Mixed, phrase: list(facts).say(words), proof: false, openings: Vec::new() }
            }
        }
    }

    fn needless(&self, refusal: &Request) -> Told {
        let openings = Openings::of(self, refusal, i64::MIN, NEVER);
        let most = openings.most();
        let phrase = Phrase::default()
            .say("Request ")
            .request(refusal)
            .say(format!(
                " was refused, although at most {most} {} can have counted before it in any window that ",
                requests(most)
            ))
            .say(format!("could contain it; {} fill a window.{}", self.window.limit, self.reservation(openings.from)));
        Told { shape: Shape::NeedlessRefusal, phrase, proof: most < self.window.limit, openings: openings.ranges() }
    }

    fn over_admission(&self, counted: &[Request], context: &[Request]) -> Told {
        let Window { limit, shortest, longest } = *self.window;
        let first = counted.iter().map(|fact| fact.start).min().unwrap_or_default();
        let last = counted.iter().map(|fact| fact.end).max().unwrap_or_default();
        let count = counted.len() as u64;
        let before = |request: &&Request| {
            request.start < first && last_instant(request).is_some_and(|end| end > first - longest)
        };
        let openers = context.iter().filter(before).count() as u64 + self.unseen(first);
        let phrase = Phrase::default()
            .say(format!("{count} requests were served: "))
            .requests(counted)
            .say(format!(". Their whole intervals lie within {}", length(last - first)));
        let within = last - first < shortest;
        let shape = Shape::OverAdmission;
        if count == limit + 1 && within && openers == 0 {
            let phrase = phrase
                .say(format!(
                    ", less than a window's {}, and nobody can have counted in the {} before ",
                    length(shortest),
                    length(longest)
                ))
                .at(first)
                .say(". So whoever opened the window did so then or later, and it had not ended by ")
                .at(last)
                .say(format!(": it contains all {count}; the limit is {limit}."));
            return Told { shape, phrase, proof: true, openings: vec![(first, last)] };
        }
        if count == 2 * limit + 1 && within {
            let words = format!(
                ", less than a window's {}. No more than two windows meet such a stretch, and two serve {} at most.",
                length(shortest),
                2 * limit
            );
            return Told { shape, phrase: phrase.say(words), proof: true, openings: Vec::new() };
        }
        let whoever = match openers {
            0 => String::new(),
            1 => ", whether or not the one request under way before them opened one".to_owned(),
            _ => format!(", whichever of {openers} earlier requests opened one"),
        };
        let words = format!("; every placement of windows has more than {limit} of them in one window{whoever}.");
        Told { shape, phrase: phrase.say(words), proof: false, openings: Vec::new() }
    }

    fn late(&self, refusal: &Request, served: &Request) -> Told {
        let Window { limit, shortest, longest } = *self.window;
        let (from, to) = (refusal.start - longest + 1, served.end - shortest);
        let openings = Openings::of(self, refusal, from, to);
        let (most, openers) = (openings.most(), openings.openers());
        let phrase = list(&[*refusal, *served])
            .say(format!("#{} was served after the refusal, so the full window had ended by ", served.n))
            .at(served.end)
            .say(": it must have opened between ")
            .at(from)
            .say(" and ")
            .at(to)
            .say(". ");
        let phrase = match (openers, most < limit) {
            (0, _) => phrase.say("No request was under way then."),
            (_, true) => phrase.say(format!(
                "Whichever of {openers} {} under way then opened it, at most {most} can have counted in it before the \
                 refusal; {limit} fill a window.",
                requests(openers)
            )),
            (_, false) => phrase.say(format!(
                "{openers} {} under way then can have opened it, but none leads to a placement of all others.",
                requests(openers)
            )),
        };
        let phrase = phrase.say(self.reservation(openings.from));
        Told { shape: Shape::LateRefusal, phrase, proof: most < limit, openings: openings.ranges() }
    }

    fn two(&self, one: &Request, other: &Request) -> Told {
        let Window { limit, shortest, longest } = *self.window;
        let shape = Shape::TwoRefusals;
        let phrase = list(&[*one, *other]);
        if one.end >= other.start {
            let words = "No placement of windows has a full one at each.";
            return Told { shape, phrase: phrase.say(words), proof: false, openings: Vec::new() };
        }
        let common = Openings::of(self, one, other.start - longest + 1, one.end);
        let mut phrase = phrase.say("One window for both would have opened after ").at(other.start - longest).say(
            format!(", and at most {} can have counted in it before #{}; {limit} fill a window.", common.most(), one.n),
        );
        let mut proof = common.most() < limit;
        let mut ranges = common.ranges();
        if let Some(earliest) = Openings::of(self, one, i64::MIN, NEVER).earliest_full(limit) {
            let second = Openings::of(self, other, earliest + shortest, other.end);
            phrase = phrase
                .say(" If there were two, the first opened at ")
                .at(earliest)
                .say(" or later, so the second at ")
                .at(earliest + shortest)
                .say(format!(" or later, and at most {} can have counted in that before #{}.", second.most(), other.n));
            proof &= second.most() < limit;
            ranges.extend(second.ranges());
        }
        Told { shape, phrase: phrase.say(self.reservation(common.from)), proof, openings: ranges }
    }

    /// How many requests from before the history may have counted in a window that is still open at `instant`.
    fn unseen(&self, instant: i64) -> u64 {
        match self.past {
            Past::Unseen(since) if *since > self.horizon(instant) => self.window.limit,
            _ => 0,
        }
    }

    /// What must be said of a count in windows that may have opened at `from`.
    fn reservation(&self, from: i64) -> &'static str {
        match self.past {
            Past::Unseen(since) if *since >= from => {
                " Those that may have counted before the history began are among them."
            }
            _ => "",
        }
    }
}

/// What a contradiction is called, and how it is told.
struct Told {
    shape: Shape,
    phrase: Phrase,
    proof: bool,
    openings: Vec<(i64, i64)>,
}

fn requests(count: u64) -> &'static str {
    if count == 1 { "request" } else { "requests" }
}

fn list(facts: &[Request]) -> Phrase {
    let head =
        format!("These {} answers contradict each other, whatever happened to all other requests: ", facts.len());
    let phrase = facts.iter().enumerate().fold(Phrase::default().say(head), |phrase, (index, fact)| {
        let phrase = if index > 0 { phrase.say("; ") } else { phrase };
        phrase.request(fact).say(if fact.kind == Kind::Counted { " was served" } else { " was refused" })
    });
    phrase.say(". ")
}

/// How a window can have opened that contains a refusal.
struct Openings<'a> {
    case: &'a Case<'a>,
    refusal: Request,
    /// Requests that can have counted in it before the refusal: first and last instant.
    able: Vec<(i64, i64)>,
    from: i64,
    to: i64,
}

impl<'a> Openings<'a> {
    /// The window contains the refusal and opens at an instant from `from` to `to`.
    fn of(case: &'a Case<'a>, refusal: &Request, from: i64, to: i64) -> Openings<'a> {
        let longest = case.window.longest;
        let (from, to) = (from.max(refusal.start - longest + 1), to.min(refusal.end));
        let unseen = match case.past {
            Past::Unseen(since) => {
                vec![(since - longest + 1, *since); usize::try_from(case.window.limit).unwrap_or(usize::MAX)]
            }
            Past::Empty => Vec::new(),
        };
        let seen = case.telling.iter().filter_map(|request| Some((request.start, last_instant(request)?)));
        let able = seen.chain(unseen).filter(|(start, last)| *last >= from && *start <= refusal.end).collect();
        Openings { case, refusal: *refusal, able, from, to }
    }

    /// Instants at which it can have opened such that no other has more requests that can have counted.
    fn instants(&self) -> Vec<i64> {
        let firsts = self.able.iter().map(|(start, _)| (*start).max(self.from));
        let lasts = self.able.iter().map(|(_, last)| (*last).min(self.to));
        let mut instants: Vec<i64> = firsts.chain(lasts).collect();
        instants.sort_unstable();
        instants.dedup();
        let opened = |at: i64| self.able.iter().any(|(start, last)| *start <= at && at <= *last);
        instants.retain(|at| (self.from..=self.to).contains(at) && opened(*at));
        instants
    }

    /// How many can have counted by the refusal's end in a window that opened at `at`.
    fn count(&self, at: i64) -> u64 {
        let last = self.refusal.end.min(at + self.case.window.longest - 1);
        self.able.iter().filter(|(start, end)| *end >= at && *start <= last).count() as u64
    }

    fn most(&self) -> u64 {
        self.instants().into_iter().map(|at| self.count(at)).max().unwrap_or(0)
    }

    fn earliest_full(&self, limit: u64) -> Option<i64> {
        self.instants().into_iter().find(|at| self.count(*at) >= limit)
    }

    fn openers(&self) -> u64 {
        self.able.iter().filter(|(start, last)| *start <= self.to && *last >= self.from).count() as u64
    }

    /// The stretches in which it can have opened, joined where they meet.
    fn ranges(&self) -> Vec<(i64, i64)> {
        let clipped = self.able.iter().map(|(start, last)| ((*start).max(self.from), (*last).min(self.to)));
        let mut stretches: Vec<(i64, i64)> = clipped.filter(|(first, last)| first <= last).collect();
        stretches.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for (first, last) in stretches {
            match joined.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        joined
    }
}
