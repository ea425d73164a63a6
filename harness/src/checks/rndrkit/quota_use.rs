//! What uses renders up: accepted refreshes, of lists and of whole domains.
//!
//! Whether a refresh is charged when it is accepted or when its pages are rendered, and whether by page or by request, is open. So a
//! domain with three renders left gets three refreshes, each of which costs at least one in every reading and no more than are left
//! before the first, and then a few looks, spread over the settle time, at whether the quota refuses by now.

use serde_json::json;

use super::limit::{Answer, Refusal, in_numbers, is_served, leading};
use super::quota::{MONTHLY, everything, is_refused, refusal, used};
use super::{queued_paths, refresh, text, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Exchange};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[USE];

/// Renders left at the start, and paths known to the domain whose whole is refreshed.
const LEFT: usize = 3;

/// Looks at whether the quota refuses, so few that refreshes and looks stay below the hourly limit.
const LOOKS: u32 = 3;

const USES_UP: &str = "rndrkit.quota.counts-refreshes";
const PER_DOMAIN: &str = "rndrkit.quota.per-domain";

const USE: Check = Check {
    id: "rndrkit/quota/use",
    rules: &[USES_UP, PER_DOMAIN],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_use(g)),
    judge: judge_use,
    sabotages: &[
        Sabotage {
            defect: "does not charge full refreshes",
            turns_red: &[USES_UP],
            apply: |evidence| serve(evidence, "full", "full/look"),
        },
        Sabotage {
            defect: "does not charge lists",
            turns_red: &[USES_UP],
            apply: |evidence| serve(evidence, "list", "list/look"),
        },
        Sabotage {
            defect: "charges the renders of one domain to all",
            turns_red: &[PER_DOMAIN],
            apply: |evidence| evidence.answer("neighbour", 403, &json!({"error": text::QUOTA})),
        },
    ],
};

/// As if nothing had been charged.
fn serve(evidence: &mut Evidence, refreshes: &str, looks: &str) {
    let now = format!("{refreshes}/now");
    let ours = |exchange: &&mut Exchange| [refreshes, &now, looks].contains(&exchange.label.as_str());
    let mut changed = 0;
    for exchange in evidence.exchanges.iter_mut().filter(ours) {
        exchange.response = Some(crate::evidence::Response::json_of(200, &json!({"message": text::QUEUED})));
        changed += 1;
    }
    assert!(changed > 0, "a sabotage names steps that the evidence has");
}

async fn gather_use(g: &mut Gather) -> Result<(), Stop> {
    g.keep_clear_of_month_end().await;
    let few = DomainWish::default().quota(0, LEFT as u64);
    let mut used_up = g.domain(used(MONTHLY)).await?;
    g.send(valid("used-up", &mut used_up)).await;
    let mut neighbour = g.domain(few.clone()).await?;
    let mut list = g.domain(few.clone()).await?;
    while_served(g, LEFT, || valid("list", &mut list)).await;
    look_at_once(g, "list", valid("list/now", &mut list)).await;
    let mut full = g.domain(few.pages(LEFT)).await?;
    let whole = refresh("full", &full.tokens[0], &everything());
    while_served(g, LEFT, || whole.clone()).await;
    // No list: one more of those, and the looks that follow would use the renders up by themselves.
    look_at_once(g, "full", whole.clone().label("full/now")).await;
    if g.world().methods.contains(&Method::DomainInspect) {
        g.inspect_domain("full/queued", &full).await?;
    }
    let settle = g.world().settle;
    let mut open = vec![("list/look", &mut list), ("full/look", &mut full)];
    for (steps, look) in [(["list", "list/now"], "list/look"), (["full", "full/now"], "full/look")] {
        let all_served = steps.iter().all(|step| all_served(g.evidence(), step));
        open.retain(|(label, _)| *label != look || all_served);
    }
    g.rounds(LOOKS, settle, |last| looks(&mut open, last)).await;
    g.send(valid("neighbour", &mut neighbour)).await;
    Ok(())
}

/// Asks whether what was accepted is charged already, before a renderer can have been at work for long.
async fn look_at_once(g: &mut Gather, refreshes: &str, look: Request) {
    if all_served(g.evidence(), refreshes) {
        g.send(look).await;
    }
}

fn all_served(evidence: &Evidence, label: &str) -> bool {
    evidence.step(label).all(|(_, exchange)| is_served(exchange))
}

async fn while_served(g: &mut Gather, count: usize, mut next: impl FnMut() -> Request) {
    for _ in 0..count {
        let sent = g.send(next()).await;
        if !is_served(&sent) {
            return;
        }
    }
}

/// A list of one path for each domain that has not been refused yet. A list also where full refreshes are to be charged: whether the
/// quota refuses those is the concern of another rule.
fn looks(open: &mut Vec<(&'static str, &mut Domain)>, last: &[Exchange]) -> Vec<Request> {
    open.retain(|(label, _)| last.iter().filter(|exchange| exchange.label == *label).all(is_served));
    open.iter_mut().map(|(label, domain)| valid(label, domain)).collect()
}

/// Whether accepted refreshes were seen to use renders up.
enum Charged {
    Yes,
    No,
    Unknown(String),
}

fn charged(series: &[Seen<'_>], refusal: Refusal<'_>) -> Charged {
    let accepted = leading(series);
    match series.get(accepted) {
        _ if accepted == 0 => Charged::Unknown(format!("no refresh was accepted: {}", in_numbers(series))),
        None => Charged::No,
        Some(seen) => match refusal.read(seen.exchange) {
            Answer::Refused => Charged::Yes,
            Answer::Served | Answer::Unclear => Charged::Unknown(actual(seen.exchange)),
        },
    }
}

/// True if the refusal came right after what used the renders up, sooner than most renderers are done.
fn is_charged_at_once(series: &[Seen<'_>]) -> bool {
    const SOON_NS: u64 = 250_000_000;
    let accepted = leading(series);
    let (Some(last), Some(refused)) = (accepted.checked_sub(1).and_then(|at| series.get(at)), series.get(accepted))
    else {
        return false;
    };
    accepted <= LEFT && refused.exchange.end_ns.saturating_sub(last.exchange.start_ns) < SOON_NS
}

fn judge_use(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let refusal = refusal(&judge, "used-up");
    let enforced = is_refused(&judge, "used-up", refusal);
    let list = [judge.all("list"), judge.all("list/now"), judge.all("list/look")].concat();
    let full = [judge.all("full"), judge.all("full/now"), judge.all("full/look")].concat();
    let (list_charged, full_charged) = (charged(&list, refusal), charged(&full, refusal));
    let known = queued_paths(evidence, "full/queued").is_none_or(|paths| !paths.is_empty());
    let kinds = [("lists", &list, &list_charged, &full, true), ("full refreshes", &full, &full_charged, &list, known)];
    for (what, series, own, other, known) in kinds {
        // What is charged once rendered may take longer for one kind than for the other.
        let other_at_once = matches!(charged(other, refusal), Charged::Yes) && is_charged_at_once(other);
        let rule = judge
            .rule(USES_UP)
            .provided(enforced, "a domain with no renders left was not refused for that")
            .provided(known, "a full refresh queued nothing, so there was nothing to charge");
        let expected = format!("the quota's refusal once {what} have used the {LEFT} renders up");
        let found = format!("{what}: {}", in_numbers(series));
        let at = series.get(leading(series)).or(series.last()).map(|seen| seen.at);
        match own {
            Charged::Yes => rule.that(true, expected, found, at),
            Charged::Unknown(why) => rule.inconclusive(why.as_str()),
            Charged::No if other_at_once => rule.that(false, expected, found, at),
            Charged::No => rule.inconclusive(format!("nothing was charged while the suite waited; {found}")),
        }
    }
    judge_neighbour(&mut judge, refusal, matches!(list_charged, Charged::Yes));
    judge.findings()
}

fn judge_neighbour(judge: &mut Judge<'_>, refusal: Refusal<'_>, used_up: bool) {
    let neighbour = judge.one("neighbour");
    let rule = judge.rule(PER_DOMAIN).provided(used_up, "no other domain's renders were used up");
    let expected = format!("a request served for a domain with {LEFT} renders, after another has used up as many");
    match neighbour.map(|seen| (seen, refusal.read(seen.exchange))) {
        None => rule.inconclusive("the step `neighbour` was not sent"),
        Some((seen, Answer::Unclear)) => rule.inconclusive(actual(seen.exchange)),
        Some((seen, answer)) => rule.that(answer == Answer::Served, expected, actual(seen.exchange), Some(seen.at)),
    }
}
