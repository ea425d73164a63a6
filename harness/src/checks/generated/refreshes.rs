//! Generated interleavings of refreshes with what happens to domains, held against the model of the contract.

use proptest::prelude::Strategy;
use serde_json::{Value, json};

use super::patience::Patience;
use super::refresh_steps::{self, DOMAINS, Plan, Sequence, Step, TOKENS};
use super::rounds;
use super::trial::{Property, gather, judge, turn_one};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, outcome};
use crate::checks::never_issued::never_issued;
use crate::checks::rndrkit::auth::UNAUTHORIZED;
use crate::checks::rndrkit::{offers, refresh, text};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{ClockKind, Evidence, Exchange, Response};
use crate::gather::{Domain, DomainWish, Gather, Stop, Token};
use crate::model::{Ask, Counting, Moment, RefreshModel, Refreshed, Seeing, Unacceptable};
use crate::secret::Secret;
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// Known paths of a domain: more than a sequence can name.
const PAGES: usize = 150;
/// One sequence is generated for so many cases of the run.
const CASES_EACH: u32 = 4;
const HOUR_MIN: u64 = 60;

const TEN: &str = "rndrkit.rate.ten-per-hour";
const BODIES: &str = "rndrkit.rate.counts-invalid-body";
const PATHS: &str = "rndrkit.rate.counts-invalid-paths";
const EXTENDED: &str = "rndrkit.rate.window-not-extended";
const ANCHORED: &str = "rndrkit.rate.window-anchored";
const REVOKED: &str = "rndrkit.auth.token-revoked";
const UNKNOWN: &str = "rndrkit.auth.token-unknown";
const INACTIVE: &str = "rndrkit.domain.inactive";
const STARTER: &str = "rndrkit.plan.starter";
const PRO: &str = "rndrkit.plan.pro";
const QUOTA: &str = "rndrkit.quota.reached";
const SERVED: &str = "rndrkit.selective.accepted";
const OBJECT: &str = "rndrkit.body.empty-object";
const NO_PATH: &str = "rndrkit.paths.none-valid";

/// The check.
pub(super) const REFRESHES: Check = Check {
    id: Refreshes::CHECK,
    rules: &[
        REVOKED, UNKNOWN, SERVED, OBJECT, NO_PATH, INACTIVE, STARTER, PRO, TEN, BODIES, PATHS, ANCHORED, EXTENDED,
        QUOTA,
    ],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]).generated().alone(),
    gather: |g| Box::pin(gather_interleavings(g)),
    judge: |evidence| judge::<Refreshes>(&REFRESHES, evidence),
    sabotages: &[
        Sabotage { defect: "serves an eleventh request", turns_red: &[TEN], apply: |seen| turn(seen, 429, 200, TEN) },
        Sabotage { defect: "does not count `{}`", turns_red: &[BODIES], apply: |seen| turn(seen, 429, 200, BODIES) },
        Sabotage {
            defect: "does not count lists without a path",
            turns_red: &[PATHS],
            apply: |seen| turn(seen, 429, 200, PATHS),
        },
        Sabotage {
            defect: "keeps a window for more than an hour",
            turns_red: &[ANCHORED],
            apply: |seen| turn(seen, 200, 429, ANCHORED),
        },
        Sabotage {
            defect: "begins the hour again with a refusal",
            turns_red: &[EXTENDED],
            apply: |seen| turn(seen, 200, 429, EXTENDED),
        },
        Sabotage {
            defect: "revokes all tokens with one",
            turns_red: &[REVOKED],
            apply: |seen| turn(seen, 200, 401, REVOKED),
        },
        Sabotage { defect: "knows every token", turns_red: &[UNKNOWN], apply: |seen| turn(seen, 401, 200, UNKNOWN) },
        Sabotage { defect: "fails now and then", turns_red: &[SERVED], apply: |seen| turn(seen, 200, 500, SERVED) },
        Sabotage { defect: "refreshes for `{}`", turns_red: &[OBJECT], apply: |seen| turn(seen, 400, 200, OBJECT) },
        Sabotage {
            defect: "refreshes for no path",
            turns_red: &[NO_PATH],
            apply: |seen| turn(seen, 400, 200, NO_PATH),
        },
        Sabotage {
            defect: "serves an inactive domain",
            turns_red: &[INACTIVE],
            apply: |seen| turn(seen, 403, 200, INACTIVE),
        },
        Sabotage {
            defect: "serves the plan Starter",
            turns_red: &[STARTER],
            apply: |seen| turn(seen, 403, 200, STARTER),
        },
        Sabotage { defect: "serves the plan Pro", turns_red: &[PRO], apply: |seen| turn(seen, 403, 200, PRO) },
        Sabotage { defect: "forgets the quota", turns_red: &[QUOTA], apply: |seen| turn(seen, 403, 200, QUOTA) },
    ],
};

fn turn(evidence: &mut Evidence, from: u16, to: u16, rule: &str) {
    let turned = Response::json_of(to, &json!({"message": text::QUEUED, "error": text::RATE, "pagesQueued": 1}));
    turn_one::<Refreshes>(&REFRESHES, evidence, from, &turned, rule);
}

/// What holds for every sequence of refreshes.
pub(super) struct Refreshes;

impl Property for Refreshes {
    type Case = Sequence;

    const CHECK: &'static str = "rndrkit/generated/interleavings";

    fn share(cases: u32) -> u32 {
        cases.div_ceil(CASES_EACH)
    }

    fn strategy() -> impl Strategy<Value = Sequence> {
        refresh_steps::sequence()
    }

    async fn try_cases(g: &mut Gather, cases: &[(String, Sequence)]) -> Result<(), Stop> {
        for cases in cases.chunks(rounds::AT_A_TIME) {
            let mut all = Vec::new();
            for (label, sequence) in cases {
                rounds::keep(g, label, sequence);
                all.push(Live::open(g, label, sequence).await?);
            }
            rounds::run(g, &mut all).await?;
        }
        Ok(())
    }

    fn judge(evidence: &Evidence, label: &str, sequence: &Sequence, _control: &str) -> Vec<Finding> {
        let mut judge = Judge::new(evidence);
        let replay = Replay::of(evidence, label, sequence, Counting::Documented);
        for (rule, seen, words) in &replay.held {
            judge.rule(rule).that(true, words.clone(), words.clone(), Some(seen.at));
        }
        if let Some(seen) = replay.silent {
            judge.rule(SERVED).expects_of(seen, &[outcome("an answer", |_| true)]);
        }
        if let Some(wrong) = &replay.wrong {
            let rule = broken(evidence, label, sequence, wrong);
            let acceptable = wrong.why.acceptable.iter().map(|answer| format!("{answer:?}"));
            let words = format!("by everything that came before: {}", acceptable.collect::<Vec<_>>().join(" or "));
            judge.rule(rule).expects_of(wrong.seen, &[outcome(words, |_| false)]);
        }
        judge.findings()
    }
}

async fn gather_interleavings(g: &mut Gather) -> Result<(), Stop> {
    g.keep_clear_of_month_end().await;
    gather::<Refreshes>(g).await
}

/// A sequence under way.
struct Live<'c> {
    label: String,
    /// What is still to come, the first of it being under way.
    steps: &'c [Step],
    place: usize,
    /// Requests of the step that were answered.
    answered: usize,
    /// Where the time passes: up to which moment (ms by which the suite has moved the clock).
    until_ms: Option<u64>,
    domains: Vec<Domain>,
    /// For each domain a token that was never issued.
    unknown: Vec<Token>,
    model: RefreshModel,
    patience: Patience,
}

impl rounds::Live for Live<'_> {
    async fn next(&mut self, g: &mut Gather) -> Result<Option<Request>, Stop> {
        while let Some(step) = self.steps.get(self.place) {
            let label = format!("{}/{}", self.label, self.place);
            match step {
                Step::Refresh { domain, token, ask, times } if self.answered < *times => {
                    let what = (*domain % DOMAINS, *token % TOKENS, *ask);
                    return Ok(Some(self.request(&format!("{label}.{}", self.answered + 1), what)));
                }
                Step::Refresh { .. } => self.answered = 0,
                Step::Pass { minutes } => {
                    if self.is_waiting(g, *minutes) {
                        return Ok(None);
                    }
                }
                change => self.change(g, &label, change).await?,
            }
            self.place += 1;
        }
        Ok(None)
    }

    async fn is_as_expected(&mut self, g: &mut Gather, at: usize, exchange: &Exchange) -> bool {
        let (Some(status), Some(Step::Refresh { domain, token, ask, .. })) =
            (exchange.status(), self.steps.get(self.place))
        else {
            return false;
        };
        let (what, moment) = ((*domain % DOMAINS, *token % TOKENS, *ask), Moment::of(exchange));
        if self.model.answered(what, status, moment, Seeing::Settled).is_ok() {
            self.answered += 1;
            return true;
        }
        let before = self.model.clone().answered(what, status, moment, Seeing::Unsettled).is_ok();
        let unseen = status == UNAUTHORIZED && *ask != Ask::UnknownToken;
        if !(before || unseen) || !self.patience.wait().await {
            return false;
        }
        g.mark_unsettled(at);
        if !before {
            return true;
        }
        let known = self.model.answered(what, status, moment, Seeing::Unsettled);
        known.expect("the same was acceptable a moment ago");
        true
    }

    fn stop(&mut self) {
        self.steps = &[];
    }

    async fn go_on(g: &mut Gather, all: &mut [Self]) -> Result<bool, Stop> {
        let now_ms = g.world().timekeeper.advanced_ms();
        let Some(next_ms) = all.iter().filter_map(|live| live.until_ms).min() else { return Ok(false) };
        g.let_pass(next_ms - now_ms).await?;
        Ok(true)
    }
}

impl<'c> Live<'c> {
    async fn open(g: &mut Gather, label: &str, sequence: &'c Sequence) -> Result<Live<'c>, Stop> {
        let mut domains = Vec::new();
        for number in 1..=DOMAINS {
            domains.push(g.domain(DomainWish::default().pages(PAGES).tokens(TOKENS)).await?);
            g.label_last_call(format!("{label}/domain-{number}"));
        }
        let unknown = domains.iter().map(|domain| unknown_token(g, &domain.tokens[0])).collect();
        let model = RefreshModel::new(g.evidence().clock, Counting::Documented, DOMAINS, TOKENS);
        let mut patience = Patience::new(g.world().settle);
        // New tokens may not be known at once.
        patience.begin();
        let (label, steps) = (label.to_owned(), &sequence.steps[..]);
        Ok(Live { label, steps, place: 0, answered: 0, until_ms: None, domains, unknown, model, patience })
    }

    /// True until so many minutes have passed since the first look, where time can be made to pass.
    fn is_waiting(&mut self, g: &Gather, minutes: u64) -> bool {
        if g.evidence().clock != ClockKind::Manual || !offers(g, Method::ClockAdvance) {
            return false;
        }
        let now_ms = g.world().timekeeper.advanced_ms();
        if now_ms < *self.until_ms.get_or_insert(now_ms + minutes * 60_000) {
            return true;
        }
        self.until_ms = None;
        self.model.pass();
        false
    }

    fn request(&mut self, label: &str, (domain, token, ask): (usize, usize, Ask)) -> Request {
        let unknown = &self.unknown[domain];
        let domain = &mut self.domains[domain];
        let body = match ask {
            Ask::Page | Ask::UnknownToken => json!({"urls": domain.fresh_pages(1)}),
            Ask::All => json!({"all": true}),
            Ask::Nothing => json!({}),
            Ask::NoPath => json!({"urls": ["about"]}),
        };
        refresh(label, if ask == Ask::UnknownToken { unknown } else { &domain.tokens[token] }, &body)
    }

    async fn change(&mut self, g: &mut Gather, label: &str, step: &Step) -> Result<(), Stop> {
        let method = match step {
            Step::Refresh { .. } | Step::Pass { .. } => return Ok(()),
            Step::Revoke { .. } => Method::TokenRevoke,
            Step::Plan { .. } | Step::Deactivate { .. } | Step::Exhaust { .. } => Method::DomainUpdate,
        };
        if !offers(g, method) || self.is_done(g, step) {
            return Ok(());
        }
        match step {
            Step::Revoke { domain, token } => {
                let (domain, token) = (&self.domains[domain % DOMAINS], token % TOKENS);
                g.revoke(domain, &domain.tokens[token]).await?;
            }
            Step::Plan { domain, plan } => self.update(g, *domain, json!({"plan": plan.name()})).await?,
            Step::Deactivate { domain } => self.update(g, *domain, json!({"active": false})).await?,
            Step::Exhaust { domain } => {
                self.update(g, *domain, json!({"renders_used": 1000, "monthly_render_limit": 1000})).await?;
            }
            Step::Refresh { .. } | Step::Pass { .. } => {}
        }
        g.label_last_call(label.to_owned());
        apply(&mut self.model, step);
        self.patience.begin();
        Ok(())
    }

    /// A revoked token cannot be revoked again.
    fn is_done(&self, g: &Gather, step: &Step) -> bool {
        let label = format!("{}/", self.label);
        let calls = g.evidence().fixtures.iter().filter(|call| call.label.starts_with(&label));
        let Step::Revoke { domain, token } = step else { return false };
        let id = Value::from(self.domains[domain % DOMAINS].tokens[token % TOKENS].id.as_str());
        calls.filter(|call| call.method == Method::TokenRevoke.name()).any(|call| call.params.get("id") == Some(&id))
    }

    async fn update(&self, g: &mut Gather, domain: usize, changes: Value) -> Result<(), Stop> {
        g.update_domain(&self.domains[domain % DOMAINS], changes).await
    }
}

/// A token of a live one's form that was never issued.
fn unknown_token(g: &mut Gather, token: &Token) -> Token {
    Token { id: token.id.clone(), value: Secret::new(never_issued(g.rng(), token.value.expose())) }
}

fn apply(model: &mut RefreshModel, step: &Step) {
    match step {
        Step::Refresh { .. } => {}
        Step::Revoke { domain, token } => model.revoke(domain % DOMAINS, token % TOKENS),
        Step::Plan { domain, plan } => model.set_plan(domain % DOMAINS, *plan == Plan::AgencyPlus),
        Step::Deactivate { domain } => model.deactivate(domain % DOMAINS),
        Step::Exhaust { domain } => model.exhaust(domain % DOMAINS),
        Step::Pass { .. } => model.pass(),
    }
}

/// An answer that nothing explains.
struct Wrong<'a> {
    seen: Seen<'a>,
    status: u16,
    what: (usize, usize, Ask),
    why: Unacceptable<Refreshed>,
    plan: Plan,
    revoked: bool,
    passed_min: u64,
}

/// What the evidence of one sequence amounts to.
struct Replay<'a> {
    held: Vec<(&'static str, Seen<'a>, String)>,
    wrong: Option<Wrong<'a>>,
    silent: Option<Seen<'a>>,
}

impl<'a> Replay<'a> {
    fn of(evidence: &'a Evidence, label: &str, sequence: &Sequence, counting: Counting) -> Replay<'a> {
        let mut model = RefreshModel::new(evidence.clock, counting, DOMAINS, TOKENS);
        let mut plans = [Plan::AgencyPlus; DOMAINS];
        let mut passed_min = 0;
        let mut replay = Replay { held: Vec::new(), wrong: None, silent: None };
        let own = format!("{label}/");
        let exchanges = evidence.exchanges.iter().enumerate().filter(|(_, exchange)| exchange.label.starts_with(&own));
        let mut exchanges = exchanges.peekable();
        for (place, step) in sequence.steps.iter().enumerate() {
            let name = format!("{label}/{place}");
            let Step::Refresh { domain, token, ask, .. } = step else {
                let made = evidence.fixtures.iter().any(|call| call.label == name && call.result.is_some());
                if let Step::Pass { minutes } = step {
                    passed_min += minutes;
                    model.pass();
                } else if made {
                    apply(&mut model, step);
                    if let Step::Plan { domain, plan } = step {
                        plans[domain % DOMAINS] = *plan;
                    }
                }
                continue;
            };
            let what = (domain % DOMAINS, token % TOKENS, *ask);
            let of_step = format!("{name}.");
            while let Some((at, exchange)) = exchanges.next_if(|(_, exchange)| exchange.label.starts_with(&of_step)) {
                let seen = Seen { at, exchange };
                let Some(status) = exchange.status() else {
                    replay.silent = Some(seen);
                    return replay;
                };
                let unsettled = exchange.label.ends_with("/unsettled");
                let seeing = if unsettled { Seeing::Unsettled } else { Seeing::Settled };
                let plan = plans[what.0];
                match model.answered(what, status, Moment::of(exchange), seeing) {
                    Ok(_) if unsettled => {}
                    // A new token that was not known yet.
                    Err(_) if unsettled && status == UNAUTHORIZED => {}
                    Ok(against) => replay.held.extend(
                        about(&against, *ask, plan)
                            .map(|rule| (rule, seen, format!("{status}, as everything before it demands"))),
                    ),
                    Err(why) => {
                        let revoked = model.has_revoked(what.0);
                        replay.wrong = Some(Wrong { seen, status, what, why, plan, revoked, passed_min });
                        return replay;
                    }
                }
            }
        }
        replay
    }
}

/// The rule that an answer is about; none if several conditions stand against the request.
fn about(against: &std::collections::BTreeSet<Refreshed>, ask: Ask, plan: Plan) -> Option<&'static str> {
    match against.iter().collect::<Vec<_>>()[..] {
        [] => (ask != Ask::All).then_some(SERVED),
        [only] => rule_of(*only, ask, plan),
        _ => None,
    }
}

fn rule_of(error: Refreshed, ask: Ask, plan: Plan) -> Option<&'static str> {
    Some(match (error, ask, plan) {
        (Refreshed::Unauthorized, Ask::UnknownToken, _) => UNKNOWN,
        (Refreshed::Unauthorized, _, _) => REVOKED,
        (Refreshed::Inactive, _, _) => INACTIVE,
        (Refreshed::PlanTooSmall, _, Plan::Pro) => PRO,
        (Refreshed::PlanTooSmall, _, Plan::Starter) => STARTER,
        (Refreshed::QuotaReached, _, _) => QUOTA,
        (Refreshed::Limited, _, _) => TEN,
        (Refreshed::Invalid, Ask::Nothing, _) => OBJECT,
        (Refreshed::Invalid, _, _) => NO_PATH,
        (Refreshed::PlanTooSmall, _, Plan::AgencyPlus) | (Refreshed::Served | Refreshed::Other, _, _) => return None,
    })
}

/// The rule that a wrong answer breaks.
fn broken(evidence: &Evidence, label: &str, sequence: &Sequence, wrong: &Wrong<'_>) -> &'static str {
    let explains = |counting: Counting| {
        let again = Replay::of(evidence, label, sequence, counting);
        again.wrong.is_none_or(|other| other.seen.at > wrong.seen.at)
    };
    let (_, _, ask) = wrong.what;
    let sure = wrong.why.against.iter().next().and_then(|error| rule_of(*error, ask, wrong.plan));
    match (sure, wrong.status) {
        (Some(TEN), 200..=299) if explains(Counting::BodiesFree) => BODIES,
        (Some(TEN), 200..=299) if explains(Counting::PathsFree) => PATHS,
        (Some(rule), _) => rule,
        (None, 429) if explains(Counting::Extended) => EXTENDED,
        (None, 429) if wrong.passed_min > HOUR_MIN => ANCHORED,
        (None, 429) => TEN,
        (None, 401) if wrong.revoked => REVOKED,
        (None, _) => SERVED,
    }
}

/// True if a kept case can be tried.
pub(super) fn understands(case: &Value) -> Result<(), serde_json::Error> {
    serde_json::from_value::<Sequence>(case.clone()).map(|_| ())
}
