//! Names the limiter that the probe's evidence shows. Pure.
//!
//! First who shares a limit: one connection, one of several processes, one token, one domain, everybody. Then which limiter it is: the
//! one kind that would have given every answer. Several such kinds, or none, are `unknown`, with the facts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::limiter_probe::{APART_MAX, INVALID, NONE_AFTER, SEARCH, domain_of};
use super::models::{Ask, By, Model, Search};
use crate::checks::judge::actual;
use crate::checks::rndrkit::limit::{Answer, Refusal};
use crate::checks::rndrkit::{EDGE_MS, LIMIT, WINDOW_MS};
use crate::evidence::{Evidence, Exchange};
use crate::runner::in_words;

/// A kind of limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// The documented kind: a window that begins with its first request.
    FixedFromFirst,
    /// Windows that begin at the same moments for every domain, whenever its first request came.
    ClockAligned,
    /// Windows one after another from the first request ever.
    GridFromFirstEver,
    /// The requests of the last hour, whenever that is.
    SlidingLog,
    /// This window's requests and a share of the last one's.
    SlidingCounter,
    /// Tokens come back one by one; a leaky bucket used as a meter and GCRA answer the same.
    TokenBucket,
    /// A window within which tokens come back, or which a bucket limits further.
    BucketInsideWindow,
    /// The count is forgotten when nothing comes for minutes.
    ForgetsIdle,
    /// Refusals put the window's end off.
    ExtendedByRefusals,
    /// Served requests put the window's end off.
    ExtendedByServed,
    /// Every request puts the window's end off.
    ExtendedByEvery,
    /// Nothing is refused.
    None,
    /// None of these, or it cannot be told which.
    Unknown,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One domain's.
    Domain,
    /// One token's.
    Token,
    /// Those that come over one connection.
    Connection,
    /// Those that one of several processes receives.
    Process,
    /// Those of different domains.
    Global,
}

/// What is counted besides requests that are served; absent where nothing shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that the limit refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<bool>,
    /// Requests whose body is no refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<bool>,
}

/// The limiter that a target was seen to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Its kind.
    pub observed: Observed,
    /// Requests it serves at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Length of its window; of a bucket, the time until all tokens are back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    /// The window is longer than the first and not longer than the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_between_ms: Option<[u64; 2]>,
    /// Where windows begin: `first-request`, `first-request-ever`, `clock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
    /// How long one token takes to come back, at least and at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill_between_ms: Option<[u64; 2]>,
    /// The count is forgotten after more than the first and not more than the second without requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_between_ms: Option<[u64; 2]>,
    /// Whose requests are counted together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// How many processes were seen to count on their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// What else is counted.
    #[serde(default)]
    pub counts: Counts,
    /// Why no kind is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was seen, whatever it is called.
    #[serde(default)]
    pub facts: Vec<String>,
}

impl Fingerprint {
    /// No kind is named, and why.
    pub fn unknown(reason: impl Into<String>) -> Fingerprint {
        Fingerprint {
            observed: Observed::Unknown,
            limit: None,
            window_ms: None,
            window_between_ms: None,
            anchor: None,
            refill_between_ms: None,
            idle_between_ms: None,
            scope: None,
            processes: None,
            counts: Counts::default(),
            reason: Some(reason.into()),
            facts: Vec::new(),
        }
    }

    /// The limiter in one line.
    pub fn words(&self) -> String {
        let mut parts = vec![self.observed.name()];
        let between = |[over, most]: [u64; 2]| format!("{} to {}", span(over), span(most));
        parts.extend(self.limit.map(|limit| format!("limit {limit}")));
        let window = self.window_ms.map(span).or(self.window_between_ms.map(between));
        parts.extend(window.map(|window| format!("window {window}")));
        parts.extend(self.idle_between_ms.map(|idle| format!("forgotten after {} without requests", between(idle))));
        parts.extend(self.scope.map(|scope| scope.words().to_owned()));
        parts.extend(
            self.counts
                .invalid
                .map(|counted| if counted { "invalid bodies count" } else { "invalid bodies do not count" }.to_owned()),
        );
        parts.extend(self.reason.clone());
        parts.join(", ")
    }
}

impl Observed {
    /// The name in reports.
    pub fn name(self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.as_str().unwrap_or_default().to_owned()
    }
}

impl Scope {
    fn words(self) -> &'static str {
        match self {
            Scope::Domain => "per domain",
            Scope::Token => "per token",
            Scope::Connection => "per connection",
            Scope::Process => "per process",
            Scope::Global => "one for all domains",
        }
    }
}

/// Names the limiter.
pub fn classify(evidence: &Evidence) -> Fingerprint {
    let mut fingerprint = match Looked::read(evidence) {
        Ok(looked) => looked.name(),
        Err(why) => Fingerprint::unknown(why),
    };
    fingerprint.facts = facts(evidence);
    fingerprint
}

/// A valid request as the limiter answered it.
struct Sent<'a> {
    label: &'a str,
    token: String,
    at: [u64; 2],
    served: bool,
}

struct Looked<'a> {
    sent: Vec<Sent<'a>>,
    /// Served before the first refusal; `None` without one.
    limit: Option<usize>,
    invalid_unserved: bool,
}

fn served_of(answers: &[bool]) -> usize {
    answers.iter().filter(|served| **served).count()
}

/// Steps whose requests are no refresh.
fn is_invalid(label: &str) -> bool {
    label.ends_with("/invalid")
}

impl<'a> Looked<'a> {
    fn read(evidence: &'a Evidence) -> Result<Looked<'a>, String> {
        let search: Vec<&Exchange> = evidence.step(SEARCH).map(|(_, exchange)| exchange).collect();
        let Some(first) = search.first() else {
            return Err("the requests that find the limit were not sent".to_owned());
        };
        let refusal = refusal(&search);
        let mut sent = Vec::new();
        for exchange in &evidence.exchanges {
            let took_ms = exchange.end_ns.saturating_sub(exchange.start_ns) / 1_000_000;
            if took_ms > EDGE_MS {
                return Err(format!("an answer took {took_ms} ms, so the moments are not sure"));
            }
            if is_invalid(&exchange.label) {
                continue;
            }
            let served = match refusal.read(exchange) {
                Answer::Served => true,
                Answer::Refused => false,
                Answer::Unclear => {
                    let found = actual(exchange);
                    return Err(format!("a request was neither served nor refused by the limit: {found}"));
                }
            };
            let (least, greatest) = evidence.elapsed_ms(first, exchange);
            sent.push(Sent { label: &exchange.label, token: token_of(exchange), at: [least, greatest], served });
        }
        let served = search.iter().take_while(|exchange| is_success(exchange)).count();
        let limit = (served < search.len()).then_some(served);
        let invalid = evidence.exchanges.iter().filter(|exchange| is_invalid(&exchange.label));
        Ok(Looked { sent, limit, invalid_unserved: !invalid.into_iter().any(is_success) })
    }

    fn name(&self) -> Fingerprint {
        let Some(limit) = self.limit else { return self.without_limit() };
        let (scope, processes) = match self.scope(limit) {
            Ok(found) => found,
            Err(why) => return Fingerprint::unknown(why),
        };
        let mut fingerprint = match scope {
            Scope::Global => Fingerprint::unknown("requests of others spend it, so its window cannot be seen"),
            Scope::Domain | Scope::Token | Scope::Connection | Scope::Process => self.kind(limit, scope),
        };
        fingerprint.limit = match scope {
            // What one process serves, even where requests for one domain went to several.
            Scope::Process => processes.map(|processes| served_of(&self.apart()) as u64 / processes),
            Scope::Domain | Scope::Token | Scope::Connection => Some(limit as u64),
            Scope::Global => None,
        };
        fingerprint.scope = Some(scope);
        fingerprint.processes = processes;
        if matches!(scope, Scope::Domain | Scope::Token) {
            fingerprint.counts.invalid = self.counts_invalid(limit);
        }
        fingerprint
    }

    fn without_limit(&self) -> Fingerprint {
        if self.sent.iter().filter(|sent| sent.label == SEARCH).count() < NONE_AFTER {
            return Fingerprint::unknown("the limit was not looked for to the end");
        }
        if self.sent.iter().any(|sent| !sent.served) {
            return Fingerprint::unknown(format!("{NONE_AFTER} requests for one domain were served, others refused"));
        }
        Fingerprint { observed: Observed::None, reason: None, ..Fingerprint::unknown("") }
    }

    /// Who shares a limit, and how many processes there are if each has its own.
    fn scope(&self, limit: usize) -> Result<(Scope, Option<u64>), String> {
        let apart = self.apart();
        let served = served_of(&apart);
        if served >= APART_MAX {
            return Ok((Scope::Connection, None));
        }
        let mut first: BTreeMap<&str, bool> = BTreeMap::new();
        for sent in &self.sent {
            first.entry(domain_of(sent.label)).or_insert(sent.served);
        }
        // A limit that many domains share refuses some of them before they were served anything.
        let refused_fresh = first.values().filter(|served| !**served).count();
        if refused_fresh > 0 {
            let any = self.sent.iter().any(|sent| sent.served);
            let others = refused_fresh > 1 && any;
            return others.then_some((Scope::Global, None)).ok_or_else(|| match any {
                true => "a fresh domain was refused its first request".to_owned(),
                false => "no request was served at all".to_owned(),
            });
        }
        // Where each request may go to another process, the first refusal comes some time after the tenth request.
        let each = if limit >= LIMIT && served.is_multiple_of(LIMIT) { LIMIT } else { limit };
        if apart.last() == Some(&false) && served > limit && served >= 2 * each && served.is_multiple_of(each) {
            return Ok((Scope::Process, Some((served / each) as u64)));
        }
        let other = self.sent.iter().find(|sent| sent.label == "tokens/other");
        Ok((if other.is_some_and(|sent| sent.served) { Scope::Token } else { Scope::Domain }, None))
    }

    /// What became of the requests over connections of their own.
    fn apart(&self) -> Vec<bool> {
        self.of_domain("apart").map(|sent| sent.served).collect()
    }

    fn of_domain<'s>(&'s self, domain: &'s str) -> impl Iterator<Item = &'s Sent<'a>> + 's {
        self.sent.iter().filter(move |sent| domain_of(sent.label) == domain)
    }

    /// The one kind that explains every answer of this scope.
    fn kind(&self, limit: usize, scope: Scope) -> Fingerprint {
        let asks = self.asks(scope);
        let mut served: BTreeMap<usize, usize> = BTreeMap::new();
        for ask in asks.iter().filter(|ask| ask.served) {
            *served.entry(ask.key).or_default() += 1;
        }
        if served.values().all(|served| *served <= limit) {
            return Fingerprint::unknown("what was used up was never seen to come back");
        }
        let search = Search::new(asks, limit as u64);
        let found = search.explaining();
        let kinds: BTreeSet<Observed> = found.iter().map(|model| model.kind()).collect();
        match kinds.iter().copied().collect::<Vec<Observed>>()[..] {
            [] => Fingerprint::unknown("no kind of limiter explains every answer"),
            [kind] => described(kind, &found, &search, limit as u64),
            _ => {
                let names: Vec<String> = kinds.iter().map(|kind| kind.name()).collect();
                Fingerprint::unknown(format!("several kinds explain every answer: {}", names.join(", ")))
            }
        }
    }

    fn asks(&self, scope: Scope) -> Vec<Ask> {
        let own_connections = matches!(scope, Scope::Connection | Scope::Process);
        let counted = self.sent.iter().filter(|sent| {
            // What invalid bodies cost is a question of its own, and other connections are none of this one's.
            let domain = domain_of(sent.label);
            domain != "invalid" && !(own_connections && domain == "apart")
        });
        let mut keys: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut asks = Vec::new();
        for sent in counted {
            let key = match scope {
                Scope::Token => (domain_of(sent.label), sent.token.as_str()),
                Scope::Domain | Scope::Connection | Scope::Process | Scope::Global => (domain_of(sent.label), ""),
            };
            let next = keys.len();
            asks.push(Ask { key: *keys.entry(key).or_insert(next), at: sent.at, served: sent.served });
        }
        asks
    }

    fn counts_invalid(&self, limit: usize) -> Option<bool> {
        let fill = self.of_domain("invalid").filter(|sent| sent.served).count();
        match limit.checked_sub(fill) {
            Some(0) if self.invalid_unserved => Some(false),
            Some(INVALID) if self.invalid_unserved => Some(true),
            Some(_) | None => None,
        }
    }
}

/// A named limiter with all that the models which explain it have in common.
fn described(kind: Observed, found: &[Model], search: &Search, limit: u64) -> Fingerprint {
    let range = |values: Vec<u64>| Some([*values.iter().min()?, *values.iter().max()?]);
    let mut fingerprint = Fingerprint { observed: kind, reason: None, ..Fingerprint::unknown("") };
    fingerprint.anchor = match kind {
        Observed::FixedFromFirst | Observed::BucketInsideWindow | Observed::ForgetsIdle => Some("first-request"),
        Observed::GridFromFirstEver => Some("first-request-ever"),
        Observed::ClockAligned => Some("clock"),
        _ => None,
    }
    .map(str::to_owned);
    if found.iter().any(|model| model.window() == Some(WINDOW_MS)) {
        fingerprint.window_ms = Some(WINDOW_MS);
    }
    let windows = found.iter().flat_map(|model| search.windows_of(*model));
    let bounds: Vec<(u64, Option<u64>)> = windows.map(|window| search.bounds(window)).collect();
    let least = bounds.iter().map(|(over, _)| *over).min();
    let most = bounds.iter().map(|(_, most)| *most).max().flatten();
    fingerprint.window_between_ms = least.zip(most).map(|(over, most)| [over, most]);
    fingerprint.refill_between_ms = range(found.iter().filter_map(|model| model.refill()).collect());
    if let Some([least, most]) = fingerprint.refill_between_ms
        && kind == Observed::TokenBucket
    {
        let hour = WINDOW_MS / limit;
        fingerprint.window_ms = (least..=most).contains(&hour).then_some(WINDOW_MS);
        fingerprint.window_between_ms = Some([least * limit, most * limit]);
    }
    let idle = found.iter().filter_map(|model| model.idle()).map(|idle| search.bounds(idle));
    let idle: Vec<u64> = idle.flat_map(|(over, most)| [Some(over), most]).flatten().collect();
    fingerprint.idle_between_ms = range(idle);
    let refused: BTreeSet<Option<bool>> = found.iter().map(|model| model.counts_refused()).collect();
    fingerprint.counts.refused = if refused.len() == 1 { refused.first().copied().flatten() } else { None };
    fingerprint
}

impl Model {
    fn kind(self) -> Observed {
        match self {
            Model::Fixed { .. } => Observed::FixedFromFirst,
            Model::Clock { .. } => Observed::ClockAligned,
            Model::Grid { .. } => Observed::GridFromFirstEver,
            Model::Log { .. } => Observed::SlidingLog,
            Model::Counter { .. } => Observed::SlidingCounter,
            Model::Bucket { .. } => Observed::TokenBucket,
            Model::Draining { .. } | Model::Both { .. } => Observed::BucketInsideWindow,
            Model::Forgets { .. } => Observed::ForgetsIdle,
            Model::Extended { by: By::Refused, .. } => Observed::ExtendedByRefusals,
            Model::Extended { by: By::Served, .. } => Observed::ExtendedByServed,
            Model::Extended { by: By::Every, .. } => Observed::ExtendedByEvery,
        }
    }

    fn window(self) -> Option<u64> {
        match self {
            Model::Fixed { window }
            | Model::Clock { window, .. }
            | Model::Grid { window }
            | Model::Log { window, .. }
            | Model::Extended { window, .. } => Some(window),
            Model::Counter { .. } | Model::Draining { .. } | Model::Both { .. } | Model::Forgets { .. } => {
                Some(WINDOW_MS)
            }
            Model::Bucket { .. } => None,
        }
    }

    fn refill(self) -> Option<u64> {
        match self {
            Model::Bucket { refill, .. } | Model::Draining { refill } | Model::Both { refill } => Some(refill),
            _ => None,
        }
    }

    fn idle(self) -> Option<u64> {
        match self {
            Model::Forgets { idle } => Some(idle),
            _ => None,
        }
    }

    fn counts_refused(self) -> Option<bool> {
        match self {
            Model::Log { all, .. } | Model::Counter { all, .. } => Some(all),
            Model::Bucket { .. } => Some(false),
            _ => None,
        }
    }
}

/// How the target says that the limit is met: below the documented limit only in the documented words, since anything else may come
/// from something in front of it.
fn refusal<'a>(search: &[&'a Exchange]) -> Refusal<'a> {
    let served = search.iter().take_while(|exchange| is_success(exchange)).count();
    let own = search.get(served).and_then(|exchange| exchange.response.as_ref());
    match own {
        Some(own) if served >= LIMIT => Refusal::rate().or_like(own),
        Some(_) | None => Refusal::rate(),
    }
}

fn is_success(exchange: &Exchange) -> bool {
    crate::checks::rndrkit::limit::is_served(exchange)
}

fn token_of(exchange: &Exchange) -> String {
    let header = exchange.request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    header.map(|(_, value)| value.clone()).unwrap_or_default()
}

/// How many of each step were served, in the order of the steps.
fn facts(evidence: &Evidence) -> Vec<String> {
    let mut steps: Vec<&str> = Vec::new();
    for exchange in &evidence.exchanges {
        if !steps.contains(&exchange.label.as_str()) {
            steps.push(&exchange.label);
        }
    }
    let Some(first) = evidence.exchanges.first() else { return Vec::new() };
    let fact = |step: &&str| {
        let seen: Vec<&Exchange> = evidence.step(step).map(|(_, exchange)| exchange).collect();
        let served = seen.iter().filter(|exchange| is_success(exchange)).count();
        let (after, _) = seen.first().map(|exchange| evidence.elapsed_ms(first, exchange)).unwrap_or_default();
        format!("{step}, after {}: {served} of {} served", span(after / 1000 * 1000), seen.len())
    };
    steps.iter().map(fact).collect()
}

fn span(ms: u64) -> String {
    in_words(std::time::Duration::from_millis(ms))
}

#[cfg(test)]
mod tests;
