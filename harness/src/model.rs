//! The contract as a small machine: what may be answered to one request after another. Pure.
//!
//! It is fed with what was done and answered, in order, and says which answers were acceptable. Where the documents leave something
//! open it follows every possibility at once: what a refusal costs, which of two errors wins, on which side of a window's very end a
//! request fell. So an implementation that chose otherwise is never wrong here, and one that is wrong contradicts every possibility.

mod hooks;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::evidence::{ClockKind, Exchange};

pub use hooks::{HookModel, Hooked, Sent};

/// Requests that a domain may make in a window.
const LIMIT: u32 = 10;
/// Length of a window, in milliseconds.
const WINDOW_MS: u64 = 3_600_000;
/// Nearer to a window's end than this (ms), either side is possible.
const EDGE_MS: u64 = 2_000;

/// When a request was decided on, as far as anyone outside knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// How far the suite had moved the target's clock, in milliseconds.
    pub advanced_ms: u64,
    /// Real nanoseconds, before the request was sent.
    pub start_ns: u64,
    /// Real nanoseconds, after the answer had come.
    pub end_ns: u64,
}

impl Moment {
    /// The moment of an exchange.
    pub fn of(exchange: &Exchange) -> Moment {
        Moment { advanced_ms: exchange.advanced_ms, start_ns: exchange.start_ns, end_ns: exchange.end_ns }
    }

    /// Least and greatest time (ms of the target's clock) from this moment to a later one.
    fn elapsed_ms(self, later: Moment, clock: ClockKind) -> (u64, u64) {
        const NS_PER_MS: u64 = 1_000_000;
        let least = later.start_ns.saturating_sub(self.end_ns) / NS_PER_MS;
        let greatest = later.end_ns.saturating_sub(self.start_ns).div_ceil(NS_PER_MS);
        let advanced = later.advanced_ms.saturating_sub(self.advanced_ms);
        match clock {
            ClockKind::System => (least, greatest),
            ClockKind::Manual => (advanced, advanced + greatest),
        }
    }
}

/// Something that was changed through a fixture. For a while the target may still answer as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fact {
    now: bool,
    before: bool,
}

impl Fact {
    const NO: Fact = Fact { now: false, before: false };

    fn set(&mut self, now: bool) {
        if now != self.now {
            *self = Fact { now, before: self.now };
        }
    }

    /// Whether it surely holds, and whether it possibly does.
    fn holds(self, seeing: Seeing) -> (bool, bool) {
        match seeing {
            Seeing::Settled => (self.now, self.now),
            Seeing::Unsettled => (self.now && self.before, self.now || self.before),
        }
    }
}

/// Whether a target has had its time to see the last changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeing {
    /// It has.
    Settled,
    /// It may still answer as before.
    Unsettled,
}

/// What was acceptable where something else came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unacceptable<E> {
    /// Answers that would have been.
    pub acceptable: BTreeSet<E>,
    /// What surely stood against the request.
    pub against: BTreeSet<E>,
}

/// Errors that surely apply, and errors that possibly do.
struct Conditions<E> {
    sure: BTreeSet<E>,
    possible: BTreeSet<E>,
}

impl<E: Copy + Ord> Conditions<E> {
    fn none() -> Conditions<E> {
        Conditions { sure: BTreeSet::new(), possible: BTreeSet::new() }
    }

    fn add(&mut self, error: E, (sure, possible): (bool, bool)) {
        if sure {
            self.sure.insert(error);
        }
        if possible {
            self.possible.insert(error);
        }
    }

    /// True for an error that may apply, and for `success` where none must.
    fn allow(&self, answer: E, success: E) -> bool {
        if answer == success { self.sure.is_empty() } else { self.possible.contains(&answer) }
    }

    fn acceptable(&self, success: E) -> BTreeSet<E> {
        let mut answers = self.possible.clone();
        if self.sure.is_empty() {
            answers.insert(success);
        }
        answers
    }
}

/// An answer to a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refreshed {
    /// 200.
    Served,
    /// 400.
    Invalid,
    /// 401.
    Unauthorized,
    /// 403, the domain is deactivated.
    Inactive,
    /// 403, the plan does not include webhooks.
    PlanTooSmall,
    /// 403, the quota is used up.
    QuotaReached,
    /// 429.
    Limited,
    /// Anything else.
    Other,
}

impl Refreshed {
    const FORBIDDEN: [Refreshed; 3] = [Refreshed::Inactive, Refreshed::PlanTooSmall, Refreshed::QuotaReached];

    /// An answer by its status. Which of the three a 403 is, its text says; the texts have rules of their own, so any will do.
    fn all_of(status: u16) -> Vec<Refreshed> {
        match status {
            200..=299 => vec![Refreshed::Served],
            400 => vec![Refreshed::Invalid],
            401 => vec![Refreshed::Unauthorized],
            403 => Refreshed::FORBIDDEN.to_vec(),
            429 => vec![Refreshed::Limited],
            _ => vec![Refreshed::Other],
        }
    }
}

/// What a refresh asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// One page.
    Page,
    /// The whole domain.
    All,
    /// `{}`.
    Nothing,
    /// A list without a valid path.
    NoPath,
    /// One page, with a token that was never issued.
    UnknownToken,
}

impl Ask {
    fn is_invalid(self) -> bool {
        matches!(self, Ask::Nothing | Ask::NoPath)
    }
}

/// A way of counting that the contract rules out. A history that only such a way explains shows which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// As documented.
    Documented,
    /// Requests that ask for nothing are free.
    BodiesFree,
    /// Requests without a valid path are free.
    PathsFree,
    /// Each token has ten requests of its own.
    PerToken,
    /// A refused request puts the reset off.
    Extended,
}

/// One possible state of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: Option<Moment>,
    count: u32,
}

impl Window {
    const UNUSED: Window = Window { from: None, count: 0 };

    /// The states in which a request at this moment may find it.
    fn found(self, at: Moment, clock: ClockKind) -> Vec<Window> {
        let Some(from) = self.from else { return vec![self] };
        let (least, greatest) = from.elapsed_ms(at, clock);
        let mut found = Vec::new();
        if least < WINDOW_MS + EDGE_MS {
            found.push(self);
        }
        if greatest + EDGE_MS > WINDOW_MS {
            found.push(Window::UNUSED);
        }
        found
    }

    fn counted(self, at: Moment) -> Window {
        Window { from: self.from.or(Some(at)), count: (self.count + 1).min(LIMIT) }
    }
}

/// A domain's side of the contract.
#[derive(Clone, Debug)]
struct Domain {
    revoked: Vec<Fact>,
    inactive: Fact,
    too_small: Fact,
    exhausted: Fact,
    /// The month may have ended since.
    quota_unsure: bool,
    /// What the window may be; one list for each token only where tokens are counted apart.
    windows: Vec<Vec<Window>>,
}

/// RndrKit's side of the contract.
#[derive(Clone, Debug)]
pub struct RefreshModel {
    clock: ClockKind,
    counting: Counting,
    domains: Vec<Domain>,
}

impl RefreshModel {
    /// New domains that may do everything, each with as many tokens.
    pub fn new(clock: ClockKind, counting: Counting, domains: usize, tokens: usize) -> RefreshModel {
        let domain = Domain {
            revoked: vec![Fact::NO; tokens],
            inactive: Fact::NO,
            too_small: Fact::NO,
            exhausted: Fact::NO,
            quota_unsure: false,
            windows: vec![vec![Window::UNUSED]; tokens],
        };
        RefreshModel { clock, counting, domains: vec![domain; domains] }
    }

    /// A token was revoked.
    pub fn revoke(&mut self, domain: usize, token: usize) {
        self.domains[domain].revoked[token].set(true);
    }

    /// True if a token of the domain was revoked.
    pub fn has_revoked(&self, domain: usize) -> bool {
        self.domains[domain].revoked.iter().any(|revoked| revoked.now)
    }

    /// The domain has another plan.
    pub fn set_plan(&mut self, domain: usize, includes_webhooks: bool) {
        self.domains[domain].too_small.set(!includes_webhooks);
    }

    /// The domain was deactivated.
    pub fn deactivate(&mut self, domain: usize) {
        self.domains[domain].inactive.set(true);
    }

    /// The domain's quota is used up.
    pub fn exhaust(&mut self, domain: usize) {
        self.domains[domain].exhausted.set(true);
        self.domains[domain].quota_unsure = false;
    }

    /// The target's clock was moved.
    pub fn pass(&mut self) {
        self.domains.iter_mut().for_each(|domain| domain.quota_unsure = true);
    }

    /// Takes an answer in, and says what surely stood against the request.
    ///
    /// # Errors
    /// [`Unacceptable`] if nothing possible leads to it; the model is then as before.
    pub fn answered(
        &mut self,
        (domain, token, ask): (usize, usize, Ask),
        status: u16,
        at: Moment,
        seeing: Seeing,
    ) -> Result<BTreeSet<Refreshed>, Unacceptable<Refreshed>> {
        let counting = self.counting;
        let place = if counting == Counting::PerToken { token } else { 0 };
        let state = &self.domains[domain];
        let (mut after, mut acceptable) = (Vec::new(), BTreeSet::new());
        let mut against: Option<BTreeSet<Refreshed>> = None;
        for window in state.windows[place].iter().flat_map(|window| window.found(at, self.clock)) {
            let conditions = state.conditions(token, ask, window, seeing);
            acceptable.extend(conditions.acceptable(Refreshed::Served));
            against = Some(match against {
                Some(known) => known.intersection(&conditions.sure).copied().collect(),
                None => conditions.sure.clone(),
            });
            let allowed = |answer: &Refreshed| conditions.allow(*answer, Refreshed::Served);
            if let Some(answer) = Refreshed::all_of(status).into_iter().find(allowed) {
                after.extend(costs(&conditions, ask, answer, counting).into_iter().map(|cost| cost.of(window, at)));
            }
        }
        if after.is_empty() {
            return Err(Unacceptable { acceptable, against: against.unwrap_or_default() });
        }
        self.domains[domain].windows[place] = distinct(after);
        Ok(against.unwrap_or_default())
    }
}

fn distinct(windows: Vec<Window>) -> Vec<Window> {
    let mut kept: Vec<Window> = Vec::new();
    for window in windows {
        if !kept.contains(&window) {
            kept.push(window);
        }
    }
    kept
}

impl Domain {
    fn conditions(&self, token: usize, ask: Ask, window: Window, seeing: Seeing) -> Conditions<Refreshed> {
        let mut conditions = Conditions::none();
        let unknown = ask == Ask::UnknownToken;
        let revoked = self.revoked[token].holds(seeing);
        conditions.add(Refreshed::Unauthorized, (unknown || revoked.0, unknown || revoked.1));
        if unknown {
            // Whose request it is, nobody can tell.
            return conditions;
        }
        conditions.add(Refreshed::Inactive, self.inactive.holds(seeing));
        conditions.add(Refreshed::PlanTooSmall, self.too_small.holds(seeing));
        let exhausted = self.exhausted.holds(seeing);
        conditions.add(Refreshed::QuotaReached, (exhausted.0 && !self.quota_unsure, exhausted.1));
        let limited = window.count >= LIMIT;
        conditions.add(Refreshed::Limited, (limited, limited));
        conditions.add(Refreshed::Invalid, (ask.is_invalid(), ask.is_invalid()));
        conditions
    }
}

/// What an answered request does to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    Nothing,
    One,
    /// The window begins, if there is none, and is as empty as before.
    Begin,
    /// The window begins again, as full as it is.
    Reset,
}

impl Cost {
    fn of(self, window: Window, at: Moment) -> Window {
        match self {
            Cost::Nothing => window,
            Cost::One => window.counted(at),
            Cost::Begin => Window { from: window.from.or(Some(at)), ..window },
            Cost::Reset => Window { from: Some(at), ..window },
        }
    }
}

/// What an answer may have cost.
fn costs(conditions: &Conditions<Refreshed>, ask: Ask, answer: Refreshed, counting: Counting) -> Vec<Cost> {
    if ask == Ask::UnknownToken {
        return vec![Cost::Nothing];
    }
    let others = conditions.possible.iter().any(|error| !matches!(error, Refreshed::Invalid | Refreshed::Limited));
    let free = match counting {
        Counting::BodiesFree => ask == Ask::Nothing,
        Counting::PathsFree => ask == Ask::NoPath,
        Counting::Documented | Counting::PerToken | Counting::Extended => false,
    };
    match answer {
        Refreshed::Limited if counting == Counting::Extended => vec![Cost::Reset],
        Refreshed::Limited => vec![Cost::Nothing],
        Refreshed::Served => vec![Cost::One],
        Refreshed::Invalid if free => vec![Cost::Nothing],
        Refreshed::Invalid if !others => vec![Cost::One],
        _ => vec![Cost::Nothing, Cost::Begin, Cost::One],
    }
}

#[cfg(test)]
mod tests;
