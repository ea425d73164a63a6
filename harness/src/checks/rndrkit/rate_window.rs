//! The window of the hourly limit: where it begins, how long it lasts, what follows it.
//!
//! Five domains, each asked in a pattern of its own at a few moments that all share:
//!
//! ```text
//! minutes  0          5       60−   60+        65−            120+   125+
//! spent    ten, 429   429     429   one
//! silent   ten                      ten
//! late     one                nine  ten
//! offset              ten, 429                 429
//! next     one                                 ten, 429       429    one
//! ```
//!
//! Two windows that begin five minutes apart contain every phase of the clock's hour between them, so a limiter that goes by the clock
//! resets one of them early. A sliding limiter remembers the nine late requests, one that refusals extend the 429 just before the
//! edge, and one that counts in hours from the very first request resets `next` at 120 minutes.

use super::limit::{
    Answer, Measured, all_inconclusive, count_served, find_limit, in_numbers, is_served, leading, measured,
};
use super::limit::{surely_after, surely_before};
use super::{EDGE_MS, WINDOW_MS, text, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, RuleJudge, Seen, actual};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{ClockKind, Evidence, Exchange};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;
use serde_json::json;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[WINDOW];

/// How long (ms) before an edge the requests of that moment begin: time for them to be answered by a slow machine.
const MARGIN_MS: u64 = 10_000;

/// How much later (ms) than the other windows that of `offset` begins.
const OFFSET_MS: u64 = 300_000;

/// Just before a window's end.
const BEFORE_END: u64 = WINDOW_MS - MARGIN_MS;

/// Just after a window's end.
const AFTER_END: u64 = WINDOW_MS + EDGE_MS;

/// Just after the second of two whole windows in a row.
const AFTER_TWO: u64 = 2 * WINDOW_MS + EDGE_MS;

/// The domains, in the order of their creation.
const DOMAINS: usize = 5;
const SPENT: usize = 0;
const SILENT: usize = 1;
const LATE: usize = 2;
const OFFSET: usize = 3;
const NEXT: usize = 4;

/// When the sends of a stage begin: counted from the first exchange of a step.
enum Moment {
    /// At once.
    Now,
    /// About then, not later than need be.
    Until(&'static str, u64),
    /// Surely not before.
    After(&'static str, u64),
}

/// How many requests are sent.
#[derive(Clone, Copy)]
enum Amount {
    /// Until one is not served, and some more at once to confirm it.
    UntilRefused,
    /// As many as the limit was found to be, less this.
    LimitLess(usize),
    /// One.
    One,
}

/// Requests for one domain, under one label.
struct Send {
    domain: usize,
    label: &'static str,
    amount: Amount,
}

const fn send(domain: usize, label: &'static str, amount: Amount) -> Send {
    Send { domain, label, amount }
}

/// The whole check. The first step finds the limit; without one nothing else is sent.
const STAGES: &[(Moment, &[Send])] = &[
    (
        Moment::Now,
        &[
            send(SPENT, "spent/fill", Amount::UntilRefused),
            send(SILENT, "silent/fill", Amount::LimitLess(0)),
            send(LATE, "late/first", Amount::One),
            send(NEXT, "next/first", Amount::One),
        ],
    ),
    (
        Moment::Until("spent/fill", OFFSET_MS),
        &[send(SPENT, "spent/early", Amount::One), send(OFFSET, "offset/fill", Amount::UntilRefused)],
    ),
    (
        Moment::Until("spent/fill", BEFORE_END),
        &[send(SPENT, "spent/before", Amount::One), send(LATE, "late/rest", Amount::LimitLess(1))],
    ),
    (
        Moment::After("next/first", AFTER_END),
        &[
            send(SPENT, "spent/after", Amount::One),
            send(SILENT, "silent/after", Amount::LimitLess(0)),
            send(LATE, "late/after", Amount::LimitLess(0)),
        ],
    ),
    (
        Moment::Until("offset/fill", BEFORE_END),
        &[send(OFFSET, "offset/before", Amount::One), send(NEXT, "next/fill", Amount::UntilRefused)],
    ),
    (Moment::After("next/first", AFTER_TWO), &[send(NEXT, "next/grid", Amount::One)]),
    (Moment::After("next/fill", AFTER_END), &[send(NEXT, "next/after", Amount::One)]),
];

/// What passes of the target's time from the first stage to the last.
const PASSING_MS: u64 = OFFSET_MS + BEFORE_END + AFTER_END;

const ANCHORED: &str = "rndrkit.rate.window-anchored";
const NOT_SLIDING: &str = "rndrkit.rate.window-not-sliding";
const NOT_EXTENDED: &str = "rndrkit.rate.window-not-extended";
const REANCHORS: &str = "rndrkit.rate.window-reanchors";

const WINDOW: Check = Check {
    id: "rndrkit/rate/window",
    rules: &[ANCHORED, NOT_SLIDING, NOT_EXTENDED, REANCHORS],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]).passing(PASSING_MS),
    gather: |g| Box::pin(gather_window(g)),
    judge: judge_window,
    sabotages: &[
        Sabotage {
            defect: "begins its windows with the hours of the clock",
            turns_red: &[ANCHORED],
            apply: |evidence| serve(evidence, &["spent/before"]),
        },
        Sabotage {
            defect: "begins its windows with the hours of the clock, one of which began with the first request",
            turns_red: &[ANCHORED],
            apply: |evidence| serve(evidence, &["offset/before", "next/grid"]),
        },
        Sabotage {
            defect: "has windows of 59 minutes",
            turns_red: &[ANCHORED],
            apply: |evidence| {
                serve(evidence, &["spent/before", "offset/before"]);
                refuse(evidence, "late/after", 1);
            },
        },
        Sabotage {
            defect: "has windows of 61 minutes",
            turns_red: &[ANCHORED],
            apply: |evidence| {
                for step in ["spent/after", "silent/after", "late/after", "next/after"] {
                    refuse(evidence, step, 0);
                }
            },
        },
        Sabotage {
            defect: "gives one request back every six minutes",
            turns_red: &[ANCHORED],
            apply: |evidence| {
                serve(evidence, &["spent/before", "offset/before", "next/grid"]);
                refuse(evidence, "late/after", 1);
            },
        },
        Sabotage {
            defect: "forgets a domain that is idle for half an hour",
            turns_red: &[ANCHORED],
            apply: |evidence| serve(evidence, &["spent/before", "offset/before", "next/grid"]),
        },
        Sabotage {
            defect: "counts the requests of the last hour, whenever that is",
            turns_red: &[NOT_SLIDING],
            apply: |evidence| refuse(evidence, "late/after", 1),
        },
        Sabotage {
            defect: "gives back half of the requests when the window ends",
            turns_red: &[NOT_SLIDING],
            apply: |evidence| {
                for step in ["silent/after", "late/after"] {
                    refuse(evidence, step, 5);
                }
            },
        },
        Sabotage {
            defect: "begins the hour anew with every refusal",
            turns_red: &[NOT_EXTENDED],
            apply: |evidence| {
                for step in ["spent/after", "next/after"] {
                    refuse(evidence, step, 0);
                }
            },
        },
        Sabotage {
            defect: "begins the hour anew with every request",
            turns_red: &[NOT_EXTENDED],
            apply: |evidence| {
                for step in ["spent/after", "late/after", "next/after"] {
                    refuse(evidence, step, 0);
                }
            },
        },
        Sabotage {
            defect: "begins windows at whole hours after the first request of all",
            turns_red: &[REANCHORS],
            apply: |evidence| serve(evidence, &["next/grid"]),
        },
        Sabotage {
            defect: "lets the second window last longer than the first",
            turns_red: &[REANCHORS],
            apply: |evidence| refuse(evidence, "next/after", 0),
        },
        Sabotage {
            defect: "takes what a window left unused into the next",
            turns_red: &[REANCHORS],
            apply: |evidence| {
                let refused = evidence.step("next/fill").last().expect("the step ends in a refusal").1.clone();
                serve(evidence, &["next/fill"]);
                evidence.exchanges.push(refused);
            },
        },
    ],
};

/// Answers all requests of these steps as served.
fn serve(evidence: &mut Evidence, labels: &[&str]) {
    for label in labels {
        evidence.answer(label, Api::Rndrkit.accepted_status(), &json!({"message": text::QUEUED}));
    }
}

/// Answers all requests of a step but the first ones with the limit's refusal.
fn refuse(evidence: &mut Evidence, label: &str, served_first: usize) {
    let mut number = 0;
    evidence.edit(label, |exchange| {
        if number >= served_first {
            let refusal = json!({"error": text::RATE});
            exchange.response = Some(crate::evidence::Response::json_of(429, &refusal));
        }
        number += 1;
    });
}

async fn gather_window(g: &mut Gather) -> Result<(), Stop> {
    let mut domains: Vec<Domain> = Vec::new();
    for _ in 0..DOMAINS {
        domains.push(g.domain(DomainWish::default()).await?);
    }
    let mut limit = 0;
    for (moment, sends) in STAGES {
        match *moment {
            Moment::Now => {}
            Moment::Until(step, ms) => {
                let Some(first) = first_of(g.evidence(), step) else { return Ok(()) };
                let ms = if ms == BEFORE_END { ms - taken_ms(g, &first) } else { ms };
                g.wait_until(&first, ms).await?;
            }
            Moment::After(step, ms) => {
                let Some(first) = first_of(g.evidence(), step) else { return Ok(()) };
                g.wait_after(&first, ms).await?;
            }
        }
        for Send { domain, label, amount } in *sends {
            let Some(domain) = domains.get_mut(*domain) else { continue };
            let sent = send_amount(g, domain, label, *amount, limit).await;
            if limit == 0 {
                // Nothing was served, or everything: there is no window to look at.
                let refused = sent.last().is_some_and(|last| !is_served(last));
                limit = sent.len().saturating_sub(1);
                if limit == 0 || !refused {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// What a driven clock may have moved by itself since an exchange (ms): as much as real time, if the target is slow enough for that to
/// use the margin up.
fn taken_ms(g: &Gather, since: &Exchange) -> u64 {
    const NS_PER_MS: u64 = 1_000_000;
    const QUICK_MS: u64 = MARGIN_MS / 4;
    let now_ms = u64::try_from(g.world().began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let taken_ms = now_ms.saturating_sub(since.start_ns / NS_PER_MS).min(BEFORE_END / 2);
    // A real clock has moved as much as it shows.
    if g.evidence().clock == ClockKind::System || taken_ms < QUICK_MS { 0 } else { taken_ms }
}

async fn send_amount(g: &mut Gather, domain: &mut Domain, label: &str, amount: Amount, limit: usize) -> Vec<Exchange> {
    let count = match amount {
        Amount::UntilRefused => return find_limit(g, label, domain).await,
        Amount::LimitLess(less) => limit.saturating_sub(less),
        Amount::One => 1,
    };
    let mut sent = Vec::new();
    for _ in 0..count {
        sent.push(g.send(valid(label, domain)).await);
    }
    sent
}

fn first_of(evidence: &Evidence, step: &str) -> Option<Exchange> {
    evidence.step(step).next().map(|(_, exchange)| exchange.clone())
}

fn judge_window(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let limit = measured(&judge, "spent/fill");
    let mut windows = match limit {
        Ok(limit) => Windows { judge, limit, doubt: None, raised: None },
        Err(why) => {
            all_inconclusive(&mut judge, WINDOW.rules, &why);
            return judge.findings();
        }
    };
    // Where one domain's requests are at the cost of another's, nothing is known of the windows of either.
    if leading(&windows.judge.all("silent/fill")) == 0 {
        let why = "not even the first request for a second domain was served";
        all_inconclusive(&mut windows.judge, WINDOW.rules, why);
        return windows.judge.findings();
    }
    windows.judge_anchored();
    windows.judge_not_extended();
    windows.judge_not_sliding();
    windows.judge_reanchors();
    windows.judge.findings()
}

/// What is asked of the requests of a step.
struct Asked<'s> {
    rule: &'static str,
    /// The step with the first request of the window in question.
    window: &'s str,
    step: &'s str,
    /// How each of its requests must have been answered.
    answer: Answer,
    /// The same in words.
    expected: &'s str,
}

struct Windows<'a> {
    judge: Judge<'a>,
    limit: Measured<'a>,
    /// Why nothing follows for the rule at hand: something simpler about the windows is not sure.
    doubt: Option<String>,
    /// The same for the rules after it.
    raised: Option<String>,
}

impl<'a> Windows<'a> {
    /// A window lasts one hour from its first request: two that begin at different times are not over just before it ends, and one
    /// in which nothing was refused is over just after.
    fn judge_anchored(&mut self) {
        let windows = [("spent/fill", "spent/early"), ("spent/fill", "spent/before"), ("offset/fill", "offset/before")];
        for (window, step) in windows {
            let expected = "no further request served until an hour after the window's first request";
            let asked = Asked { rule: ANCHORED, window, step, answer: Answer::Refused, expected };
            let provided = [
                (self.is_spent(window), "the window was not seen to be used up"),
                (self.is_before(window, step), "it may have come after the window's end"),
            ];
            self.ask(&asked, usize::MAX, &provided);
        }
        let (window, step) = ("silent/fill", "silent/after");
        let expected = "requests served again once an hour has passed since the window's first request";
        let asked = Asked { rule: ANCHORED, window, step, answer: Answer::Served, expected };
        let provided = [
            (self.are_served(window), "the requests of the window were not all served"),
            (self.is_after(window, step, WINDOW_MS), "it may have come before the window's end"),
        ];
        // How many of them are served is the concern of another rule.
        self.ask(&asked, 1, &provided);
    }

    /// The same window with refusals in it, the last of them just before its end, is over as soon.
    fn judge_not_extended(&mut self) {
        self.next_rule();
        let (window, step) = ("spent/fill", "spent/after");
        let expected = "a request served once the hour is over, although others were refused in it";
        let asked = Asked { rule: NOT_EXTENDED, window, step, answer: Answer::Served, expected };
        let over = self.is_after(window, step, WINDOW_MS);
        self.ask(&asked, usize::MAX, &[(over, "it may have come before the window's end")]);
    }

    /// However late the requests of the old window came, all are there again.
    fn judge_not_sliding(&mut self) {
        self.next_rule();
        let late = self.are_served("late/first") && self.are_served("late/rest");
        let late = late && self.is_before("late/first", "late/rest");
        for (window, step, filled) in [("silent/fill", "silent/after", true), ("late/first", "late/after", late)] {
            let expected = format!("all {} requests served at once when the window is over", self.limit.served);
            let asked = Asked { rule: NOT_SLIDING, window, step, answer: Answer::Served, expected: &expected };
            let provided = [
                (filled, "the old window's requests were not all served in it"),
                (self.is_after(window, step, WINDOW_MS), "it may have come before the old window's end"),
            ];
            self.ask(&asked, usize::MAX, &provided);
        }
    }

    /// A window that begins well after the last one ended is a whole window from there: not cut short where an hour begins that is
    /// counted from the first window, and over one hour after its own first request.
    fn judge_reanchors(&mut self) {
        self.next_rule();
        let fill = self.judge.all("next/fill");
        let over = self.is_after("next/first", "next/fill", WINDOW_MS);
        let is_refused = |seen: &Seen<'_>| self.limit.refusal.read(seen.exchange) == Answer::Refused;
        // Where the first that was not served was not refused, either, nobody knows whether it counted.
        let spent = fill.get(leading(&fill)).is_some_and(is_refused) && fill.last().is_some_and(is_refused);
        let whole = leading(&fill) == self.limit.served;
        let beyond = leading(&fill) > self.limit.served;
        let found = in_numbers(&fill);
        let at = fill.get(leading(&fill)).or(fill.last()).map(|seen| seen.at);
        let rule = self.rule(REANCHORS).provided(over, "it may have begun before the first window's end");
        if spent || beyond {
            let expected = "the next window serving as many requests as the first";
            rule.that(whole, expected, found, at);
        } else {
            rule.inconclusive(format!("the next window was not seen to be used up: {found}"));
        }
        let (window, step) = ("next/fill", "next/grid");
        let expected = "no further request served where a window would end that began an hour after the first";
        let asked = Asked { rule: REANCHORS, window, step, answer: Answer::Refused, expected };
        let provided = [
            (whole && spent, "the next window was not seen to be used up"),
            (self.is_before(window, step), "it may have come after the window's end"),
            (self.is_after("next/first", step, 2 * WINDOW_MS), "it may have come before the second hour's end"),
        ];
        self.ask(&asked, usize::MAX, &provided);
        let step = "next/after";
        let expected = "a request served once an hour has passed since the next window's first request";
        let asked = Asked { rule: REANCHORS, window, step, answer: Answer::Served, expected };
        self.ask(&asked, usize::MAX, &[(self.is_after(window, step, WINDOW_MS), "it may have come too early")]);
    }

    /// What was not sure so far makes the rules from here on unsure.
    fn next_rule(&mut self) {
        self.doubt = self.raised.clone();
    }

    fn rule(&mut self, rule: &'static str) -> RuleJudge<'_, 'a> {
        let doubt = self.doubt.clone();
        self.judge.rule(rule).provided(doubt.is_none(), doubt.unwrap_or_default())
    }

    /// Judges the first requests of a step, `count` at most; unless all is as asked, doubts the rules that come after.
    fn ask(&mut self, asked: &Asked<'_>, count: usize, provided: &[(bool, &str)]) {
        let mut seen = self.judge.all(asked.step);
        seen.truncate(count);
        let refusal = self.limit.refusal;
        let wrong = seen.iter().find(|seen| refusal.read(seen.exchange) != asked.answer).copied();
        let sure = !seen.is_empty() && wrong.is_none() && provided.iter().all(|(holds, _)| *holds);
        if !sure {
            self.raised.get_or_insert(format!("that cannot be told while {} is not seen to hold", asked.rule));
        }
        let found = self.found(asked, &seen);
        let rule = provided.iter().fold(self.rule(asked.rule), |rule, (holds, why)| rule.provided(*holds, *why));
        match wrong.map(|seen| refusal.read(seen.exchange)) {
            _ if seen.is_empty() => rule.inconclusive(format!("the step `{}` was not sent", asked.step)),
            Some(Answer::Unclear) => rule.inconclusive(format!("a request was neither served nor limited: {found}")),
            Some(_) | None => {
                let at = wrong.or(seen.first().copied()).map(|seen| seen.at);
                rule.that(wrong.is_none(), asked.expected, found, at);
            }
        }
    }

    /// What came, and how long after the window's first request.
    fn found(&self, asked: &Asked<'_>, seen: &[Seen<'_>]) -> String {
        let answers = match seen {
            [only] => actual(only.exchange),
            several => in_numbers(several),
        };
        let elapsed = self.judge.one(asked.window).zip(seen.first());
        match elapsed.map(|(first, later)| self.judge.evidence().elapsed_ms(first.exchange, later.exchange)) {
            Some((least, _)) => format!("{answers}, {} s after the window's first request", least / 1000),
            None => answers,
        }
    }

    /// True if a series ended in the limit's refusal, something served before.
    fn is_spent(&self, step: &str) -> bool {
        let series = self.judge.all(step);
        let refused = series.last().is_some_and(|last| self.limit.refusal.read(last.exchange) == Answer::Refused);
        refused && leading(&series) > 0
    }

    fn are_served(&self, step: &str) -> bool {
        let series = self.judge.all(step);
        !series.is_empty() && count_served(&series) == series.len()
    }

    fn is_before(&self, window: &str, step: &str) -> bool {
        self.each(window, step, |evidence, first, later| surely_before(evidence, first, later, WINDOW_MS))
    }

    fn is_after(&self, window: &str, step: &str, ms: u64) -> bool {
        self.each(window, step, |evidence, first, later| surely_after(evidence, first, later, ms))
    }

    fn each(&self, window: &str, step: &str, holds: impl Fn(&Evidence, &Exchange, &Exchange) -> bool) -> bool {
        let Some(first) = self.judge.one(window) else { return false };
        let steps = self.judge.all(step);
        steps.iter().all(|later| holds(self.judge.evidence(), first.exchange, later.exchange))
    }
}

#[cfg(test)]
mod tests;
