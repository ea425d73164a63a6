//! A template of CraftKit: what was acknowledged must be found again. Pure.

use std::collections::{BTreeMap, HashMap};

use scenarios::history::{Action, Outcome};

use super::audited::{AuditLevel, Judged, KeyReport, Open, Totals};
use super::operation::{Findings, Found, Placed, QuotaFindings, Role, Told};
use super::overlap::Overlap;
use crate::api::Api;

/// The most violations of a kind that are listed for a template.
const LISTED_MAX: usize = 5;

/// A render's id; nearly always a UUID, which is kept in sixteen bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum RenderId {
    Uuid(u128),
    Text(Box<str>),
}

impl RenderId {
    fn new(id: &str) -> RenderId {
        // The other spellings of a UUID would fall together with this one, and the id is a text to whoever polls.
        match uuid::Uuid::try_parse(id) {
            Ok(uuid) if uuid.hyphenated().to_string() == id => RenderId::Uuid(uuid.as_u128()),
            Ok(_) | Err(_) => RenderId::Text(id.into()),
        }
    }
}

/// What is known of a render.
#[derive(Debug, Default)]
struct Render {
    /// The end and the id of the call that was acknowledged with it.
    acknowledged: Option<(i64, u64)>,
    /// The key that found it, as a number of `Template::names`.
    found_by: Option<u32>,
    finished: bool,
    /// The latest poll that did not: its start, its id, and its key.
    missed: Option<Box<(i64, u64, u32)>>,
}

/// Watches one template.
#[derive(Debug)]
pub(super) struct Template {
    name: String,
    renders: HashMap<RenderId, Render>,
    /// Names of the keys that polls used; number 0 is no name.
    names: Vec<Option<String>>,
    under_way: BTreeMap<(i64, u64), Placed>,
    overlap: Overlap,
    answers: BTreeMap<String, u64>,
    found: Vec<Found>,
    twice: u64,
    requests: u64,
    totals: Totals,
}

impl Template {
    /// A template of which nothing is known.
    pub(super) fn new(name: &str) -> Template {
        Template {
            name: name.to_owned(),
            renders: HashMap::new(),
            names: vec![None],
            under_way: BTreeMap::new(),
            overlap: Overlap::default(),
            answers: BTreeMap::new(),
            found: Vec::new(),
            twice: 0,
            requests: 0,
            totals: Totals::default(),
        }
    }

    /// Takes what is told of it. Nothing here depends on the order.
    pub(super) fn take(&mut self, told: Told, settled: i64) {
        match told {
            Told::Invoked(placed) => {
                self.under_way.insert((placed.seen.start, placed.id), placed);
            }
            Told::Completed(placed, outcome) => {
                self.under_way.remove(&(placed.seen.start, placed.id));
                self.end(&placed, Some(&outcome));
                let first = self.under_way.first_key_value().map_or(i64::MAX, |((start, _), _)| *start);
                self.overlap.settle(settled.min(first));
            }
        }
    }

    fn end(&mut self, placed: &Placed, outcome: Option<&Outcome>) {
        match &placed.invocation.action {
            Action::Render { .. } => self.called(placed, outcome),
            Action::Poll { id, token, .. } => self.polled(placed, outcome, id, token.as_deref()),
            _ => {}
        }
    }

    fn called(&mut self, placed: &Placed, outcome: Option<&Outcome>) {
        self.requests += 1;
        self.totals.renders += 1;
        let status = outcome.and_then(|outcome| outcome.status);
        *self.answers.entry(status.map_or("none".to_owned(), |status| status.to_string())).or_default() += 1;
        let end = placed.seen.end.unwrap_or(placed.seen.start);
        self.overlap.push(placed.seen.start, end);
        let Some((202, id)) = status.zip(outcome.and_then(|outcome| outcome.id.as_deref())) else { return };
        self.totals.acknowledged += 1;
        let render = self.renders.entry(RenderId::new(id)).or_default();
        if let Some((_, first)) = render.acknowledged {
            self.twice += 1;
            if self.twice as usize <= LISTED_MAX {
                self.found.push(Found {
                    rule: "craftkit.hook.id",
                    level: AuditLevel::Should,
                    kind: "same-id-twice",
                    explanation: format!("#{first} and #{} were acknowledged with the same id.", placed.id),
                    proof: true,
                    facts: vec![(first, Role::Shown), (placed.id, Role::Shown)],
                    spans: Vec::new(),
                    on_judged_axis: false,
                    origin: None,
                });
            }
        } else {
            render.acknowledged = Some((placed.real.end.unwrap_or(i64::MAX), placed.id));
        }
    }

    fn polled(&mut self, placed: &Placed, outcome: Option<&Outcome>, id: &str, token: Option<&str>) {
        self.totals.polls += 1;
        let name = match self.names.iter().position(|known| known.as_deref() == token) {
            Some(at) => at,
            None => {
                self.names.push(token.map(str::to_owned));
                self.names.len() - 1
            }
        };
        let name = u32::try_from(name).unwrap_or(u32::MAX);
        let Some(outcome) = outcome else { return };
        match outcome.status {
            Some(200) => {
                let render = self.renders.entry(RenderId::new(id)).or_default();
                render.found_by = Some(name);
                let status = outcome.render_status.as_deref();
                render.finished |= matches!(status, Some("succeeded" | "failed"));
            }
            Some(404) => {
                let render = self.renders.entry(RenderId::new(id)).or_default();
                let miss = (placed.real.start, placed.id, name);
                if render.missed.as_ref().is_none_or(|known| **known < miss) {
                    render.missed = Some(Box::new(miss));
                }
            }
            _ => {}
        }
    }

    /// All that was found, once all has been told.
    pub(super) fn finish(mut self) -> Findings {
        for placed in std::mem::take(&mut self.under_way).into_values() {
            self.end(&placed, None);
        }
        let (mut lost, mut unseen, mut unfinished) = (Vec::new(), 0_u64, 0_u64);
        for render in self.renders.values() {
            let Some((end, call)) = render.acknowledged else { continue };
            self.totals.found += u64::from(render.found_by.is_some());
            self.totals.finished += u64::from(render.finished);
            match render.missed.as_deref() {
                // A key that is not the one that found it is somebody else's, who rightly sees nothing.
                Some((start, poll, key)) if *start > end && render.found_by.is_none_or(|by| by == *key) => {
                    lost.push((call, *poll));
                }
                _ => {
                    unseen += u64::from(render.found_by.is_none());
                    unfinished += u64::from(render.found_by.is_some() && !render.finished);
                }
            }
        }
        lost.sort_unstable();
        let count = lost.len();
        let more = if count > 1 { format!(" It is one of {count} on this template.") } else { String::new() };
        self.found.extend(lost.into_iter().take(LISTED_MAX).map(|(call, poll)| Found {
            rule: "craftkit.queue.nothing-lost",
            level: AuditLevel::Must,
            kind: "lost-render",
            explanation: format!(
                "The render that #{call} was acknowledged with was gone when #{poll} asked for it.{more}"
            ),
            proof: true,
            facts: vec![(call, Role::Shown), (poll, Role::Shown)],
            spans: Vec::new(),
            on_judged_axis: false,
            origin: None,
        }));
        let mut open = Vec::new();
        let mut leave_open = |level: AuditLevel, reason: String| {
            open.push(Open { level, api: Api::Craftkit, key: self.name.clone(), about: "renders".to_owned(), reason });
        };
        if unseen > 0 {
            leave_open(AuditLevel::Must, format!("{unseen} acknowledged renders were never found by a poll"));
        }
        if unfinished > 0 {
            leave_open(AuditLevel::Should, format!("{unfinished} acknowledged renders were not polled to their end"));
        }
        let renders = match (count, self.totals.acknowledged, unseen) {
            (1.., ..) => Judged::Inconsistent,
            (_, 0, _) => Judged::NotConcerned,
            (_, _, 1..) => Judged::Inconclusive,
            (0, 1.., 0) => Judged::Consistent,
        };
        Findings {
            report: KeyReport {
                api: Api::Craftkit,
                key: self.name,
                fresh: false,
                requests: self.requests,
                answers: self.answers,
                overlap_max: self.overlap.finish(),
                rate: Judged::NotConcerned,
                quota: Judged::NotConcerned,
                renders,
                revocation: Judged::NotConcerned,
            },
            found: self.found,
            open,
            totals: self.totals,
            quota: QuotaFindings::default(),
        }
    }
}
