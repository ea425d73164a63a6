//! A template of CraftKit: what was acknowledged must be found again. Pure.

use rustc_hash::FxHashMap;
use scenarios::history::Name;

use super::answers::Answers;
use super::audited::{AuditLevel, Judged, KeyReport, Open, Totals};
use super::clock::Interval;
use super::noted::{Asked, Came, RenderId};
use super::operation::{Findings, Found, Placed, QuotaFindings, Role, Told};
use super::overlap::Overlap;
use super::under_way::UnderWay;
use crate::api::Api;

/// The most violations of a kind that are listed for a template.
const LISTED_MAX: usize = 5;

/// What is known of a render.
#[derive(Debug, Default)]
struct Render {
    /// The end and the id of the call that was acknowledged with it.
    acknowledged: Option<(i64, u64)>,
    /// The key that found it; none inside: one without a name.
    found_by: Option<Option<Name>>,
    finished: bool,
    /// The latest poll that did not: its start, its id, and its key.
    missed: Option<Box<(i64, u64, Option<Name>)>>,
}

/// Watches one template.
#[derive(Debug)]
pub(super) struct Template {
    name: String,
    renders: FxHashMap<RenderId, Render>,
    under_way: UnderWay,
    overlap: Overlap,
    answers: Answers,
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
            renders: FxHashMap::default(),
            under_way: UnderWay::default(),
            overlap: Overlap::default(),
            answers: Answers::default(),
            found: Vec::new(),
            twice: 0,
            requests: 0,
            totals: Totals::default(),
        }
    }

    /// Takes what is told of it. Nothing here depends on the order.
    pub(super) fn take(&mut self, told: &Told, settled: i64) {
        let Told { placed, came, .. } = told;
        match came {
            None => self.under_way.begin(placed.clone()),
            Some(came) => {
                self.under_way.end(placed.id);
                self.end(placed, Some(came));
            }
        }
        if self.under_way.is_look_due() {
            self.overlap.settle(self.under_way.first_start(settled));
        }
    }

    fn end(&mut self, placed: &Placed, came: Option<&Came>) {
        match &placed.asked {
            Asked::Render => self.called(placed, came),
            Asked::Poll { id, token } => self.polled(placed, came, id, *token),
            _ => {}
        }
    }

    fn called(&mut self, placed: &Placed, came: Option<&Came>) {
        self.requests += 1;
        self.totals.renders += 1;
        let status = came.and_then(|came| came.status);
        self.answers.count(status);
        let Interval { start, end } = placed.time.seen();
        self.overlap.push(start, end.unwrap_or(start));
        let Some((202, id)) = status.zip(came.and_then(|came| came.id.as_ref())) else { return };
        self.totals.acknowledged += 1;
        let render = self.renders.entry(RenderId::clone(id)).or_default();
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
            render.acknowledged = Some((placed.time.real().end.unwrap_or(i64::MAX), placed.id));
        }
    }

    fn polled(&mut self, placed: &Placed, came: Option<&Came>, id: &RenderId, token: Option<Name>) {
        self.totals.polls += 1;
        let Some(came) = came else { return };
        match came.status {
            Some(200) => {
                let render = self.renders.entry(RenderId::clone(id)).or_default();
                render.found_by = Some(token);
                render.finished |= came.finished;
            }
            Some(404) => {
                let render = self.renders.entry(RenderId::clone(id)).or_default();
                let miss = (placed.time.real().start, placed.id, token);
                if render.missed.as_ref().is_none_or(|known| **known < miss) {
                    render.missed = Some(Box::new(miss));
                }
            }
            _ => {}
        }
    }

    /// All that was found, once all has been told.
    pub(super) fn finish(mut self) -> Findings {
        for placed in self.under_way.give_up(i64::MAX) {
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
                answers: self.answers.into_named(),
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
