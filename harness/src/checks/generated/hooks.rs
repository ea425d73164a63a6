//! Generated interleavings of hook requests with publications, enforcement and outages, held against the model of the contract.

use std::collections::BTreeSet;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::patience::Patience;
use super::rounds;
use super::trial::{Property, gather, judge, turn_one};
use crate::api::Api;
use crate::checks::craftkit::bodies::manifest;
use crate::checks::craftkit::{SIGNATURE, hook, hook_at, sign, signed_hook, variable};
use crate::checks::judge::{Judge, Seen, outcome};
use crate::checks::never_issued::never_issued;
use crate::checks::rndrkit::offers;
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Exchange, Response, Signed};
use crate::gather::{Gather, Stop, Template};
use crate::model::{HookModel, Hooked, Seeing, Sent, Unacceptable};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// Templates of a sequence, and whether each is published from the start.
const TEMPLATES: [bool; 2] = [true, false];
/// One sequence is generated for so many cases of the run.
const CASES_EACH: u32 = 8;

const ACCEPTED: &str = "craftkit.hook.accepted";
const UNKNOWN: &str = "craftkit.token.unknown";
const VALID: &str = "craftkit.signature.valid";
const MISMATCH: &str = "craftkit.signature.mismatch";
const ENFORCED: &str = "craftkit.signature.enforced";
const MALFORMED: &str = "craftkit.json.malformed";
const REQUIRED: &str = "craftkit.input.required";
const UNPUBLISHED: &str = "craftkit.version.unpublished";
const PUBLISHED: &str = "craftkit.version.published-later";
const UNAVAILABLE: &str = "craftkit.queue.unavailable";
const RECOVERS: &str = "craftkit.queue.recovers";

/// The check.
pub(super) const HOOKS: Check = Check {
    id: Hooks::CHECK,
    rules: &[
        ACCEPTED,
        UNKNOWN,
        VALID,
        MISMATCH,
        ENFORCED,
        MALFORMED,
        REQUIRED,
        UNPUBLISHED,
        PUBLISHED,
        UNAVAILABLE,
        RECOVERS,
    ],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]).generated().alone(),
    gather: |g| Box::pin(gather::<Hooks>(g)),
    judge: |evidence| judge::<Hooks>(&HOOKS, evidence),
    sabotages: &[
        Sabotage { defect: "fails now and then", turns_red: &[ACCEPTED], apply: |seen| turn(seen, 202, 500, ACCEPTED) },
        Sabotage { defect: "knows every token", turns_red: &[UNKNOWN], apply: |seen| turn(seen, 404, 202, UNKNOWN) },
        Sabotage {
            defect: "refuses a right signature",
            turns_red: &[VALID],
            apply: |seen| turn(seen, 202, 401, VALID),
        },
        Sabotage {
            defect: "accepts a wrong one",
            turns_red: &[MISMATCH],
            apply: |seen| turn(seen, 401, 202, MISMATCH),
        },
        Sabotage {
            defect: "forgets to demand one",
            turns_red: &[ENFORCED],
            apply: |seen| turn(seen, 401, 202, ENFORCED),
        },
        Sabotage {
            defect: "accepts what is no JSON",
            turns_red: &[MALFORMED],
            apply: |seen| turn(seen, 400, 202, MALFORMED),
        },
        Sabotage { defect: "misses nothing", turns_red: &[REQUIRED], apply: |seen| turn(seen, 400, 202, REQUIRED) },
        Sabotage {
            defect: "renders drafts",
            turns_red: &[UNPUBLISHED],
            apply: |seen| turn(seen, 409, 202, UNPUBLISHED),
        },
        Sabotage {
            defect: "does not see a publication",
            turns_red: &[PUBLISHED],
            apply: |seen| turn(seen, 202, 409, PUBLISHED),
        },
        Sabotage {
            defect: "accepts while it cannot queue",
            turns_red: &[UNAVAILABLE],
            apply: |seen| turn(seen, 503, 202, UNAVAILABLE),
        },
        Sabotage { defect: "stays down", turns_red: &[RECOVERS], apply: |seen| turn(seen, 202, 503, RECOVERS) },
    ],
};

fn turn(evidence: &mut Evidence, from: u16, to: u16, rule: &str) {
    let turned = Response::json_of(to, &json!({"error": {"code": "queue_unavailable", "message": "No."}}));
    turn_one::<Hooks>(&HOOKS, evidence, from, &turned, rule);
}

/// What happens, one thing after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sequence {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    Hook { template: usize, sent: Sent },
    Publish { template: usize },
    Enforce { template: usize, enforced: bool },
    Queue { available: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let sent = prop_oneof![
        4 => Just(Sent::Fitting),
        3 => Just(Sent::Signed),
        1 => Just(Sent::Forged),
        1 => Just(Sent::Unfit),
        1 => Just(Sent::Malformed),
        1 => Just(Sent::UnknownToken),
    ];
    let template = || 0..TEMPLATES.len();
    prop_oneof![
        12 => (template(), sent).prop_map(|(template, sent)| Step::Hook { template, sent }),
        2 => prop::sample::select(vec![true, false]).prop_map(|available| Step::Queue { available }),
        1 => template().prop_map(|template| Step::Publish { template }),
        1 => (template(), any::<bool>()).prop_map(|(template, not)| Step::Enforce { template, enforced: !not }),
    ]
}

/// What holds for every sequence of hook requests.
pub(super) struct Hooks;

impl Property for Hooks {
    type Case = Sequence;

    const CHECK: &'static str = "craftkit/generated/interleavings";

    fn share(cases: u32) -> u32 {
        cases.div_ceil(CASES_EACH)
    }

    fn strategy() -> impl Strategy<Value = Sequence> {
        prop::collection::vec(step(), 8..=30).prop_map(|steps| Sequence { steps })
    }

    async fn try_cases(g: &mut Gather, cases: &[(String, Sequence)]) -> Result<(), Stop> {
        for cases in cases.chunks(rounds::AT_A_TIME) {
            let mut all = Vec::new();
            for (label, sequence) in cases {
                rounds::keep(g, label, sequence);
                all.push(Live::open(g, label, sequence).await?);
            }
            let went = rounds::run(g, &mut all).await;
            if let Some(last) = all.iter().find(|live| live.down) {
                last.end_outage(g).await?;
            }
            went?;
        }
        Ok(())
    }

    fn judge(evidence: &Evidence, label: &str, sequence: &Sequence, _control: &str) -> Vec<Finding> {
        let mut judge = Judge::new(evidence);
        let replay = Replay::of(evidence, label, sequence);
        for (rule, seen, words) in &replay.held {
            judge.rule(rule).that(true, words.clone(), words.clone(), Some(seen.at));
        }
        if let Some(seen) = replay.silent {
            judge.rule(ACCEPTED).expects_of(seen, &[outcome("an answer", |_| true)]);
        }
        if let Some((rule, seen, why)) = &replay.wrong {
            let acceptable = why.acceptable.iter().map(|answer| format!("{answer:?}"));
            let words = format!("by everything that came before: {}", acceptable.collect::<Vec<_>>().join(" or "));
            judge.rule(rule).expects_of(*seen, &[outcome(words, |_| false)]);
        }
        judge.findings()
    }
}

/// A sequence under way.
struct Live<'c> {
    label: String,
    steps: &'c [Step],
    place: usize,
    templates: Vec<Template>,
    /// A token that was never issued, in the form of those that were.
    unknown: String,
    model: HookModel,
    patience: Patience,
    /// The queue is down, for all sequences.
    down: bool,
}

impl rounds::Live for Live<'_> {
    async fn next(&mut self, g: &mut Gather) -> Result<Option<Request>, Stop> {
        while let Some(step) = self.steps.get(self.place) {
            let label = format!("{}/{}", self.label, self.place);
            match step {
                Step::Hook { template, sent } => {
                    let title = format!("Stock {}.{}", self.place, g.evidence().exchanges.len());
                    let template = &self.templates[template % TEMPLATES.len()];
                    return Ok(Some(request(&format!("{label}.1"), template, &self.unknown, *sent, &title)));
                }
                Step::Queue { available } if *available == self.down && offers(g, Method::QueueSet) => return Ok(None),
                change => self.change(g, &label, change).await?,
            }
            self.place += 1;
        }
        Ok(None)
    }

    async fn is_as_expected(&mut self, g: &mut Gather, at: usize, exchange: &Exchange) -> bool {
        let (Some(status), Some(Step::Hook { template, sent })) = (exchange.status(), self.steps.get(self.place))
        else {
            return false;
        };
        let template = template % TEMPLATES.len();
        if self.model.answered(template, *sent, status, Seeing::Settled).is_ok() {
            self.place += 1;
            return true;
        }
        let before = self.model.answered(template, *sent, status, Seeing::Unsettled).is_ok();
        let unseen = status == 404;
        if !(before || unseen) || !self.patience.wait().await {
            return false;
        }
        g.mark_unsettled(at);
        true
    }

    fn stop(&mut self) {
        self.steps = &[];
    }

    /// An outage begins or ends for all. Whoever has not come to its end waits for that.
    async fn go_on(g: &mut Gather, all: &mut [Self]) -> Result<bool, Stop> {
        if all.iter().all(|live| live.place >= live.steps.len()) {
            return Ok(false);
        }
        for live in all {
            if let Some(step) = live.steps.get(live.place) {
                live.change(g, &format!("{}/{}", live.label, live.place), step).await?;
                live.place += 1;
            }
            live.down = !live.down;
        }
        Ok(true)
    }
}

impl<'c> Live<'c> {
    async fn open(g: &mut Gather, label: &str, sequence: &'c Sequence) -> Result<Live<'c>, Stop> {
        let mut templates = Vec::new();
        for published in TEMPLATES {
            let manifest = manifest(&[variable("title", "text", true)], &[]);
            templates.push(g.template(&manifest, json!({ "published": published })).await?);
            g.label_last_call(format!("{label}/template-{}", templates.len()));
        }
        let unknown = never_issued(g.rng(), templates[0].inbound_token.expose());
        let mut patience = Patience::new(g.world().settle);
        // New templates may not be known at once.
        patience.begin();
        let (label, steps, model) = (label.to_owned(), &sequence.steps[..], HookModel::new(&TEMPLATES));
        Ok(Live { label, steps, place: 0, templates, unknown, model, patience, down: false })
    }

    async fn change(&mut self, g: &mut Gather, label: &str, step: &Step) -> Result<(), Stop> {
        let method = if matches!(step, Step::Queue { .. }) { Method::QueueSet } else { Method::TemplateUpdate };
        if !offers(g, method) {
            return Ok(());
        }
        match step {
            Step::Hook { .. } => return Ok(()),
            Step::Publish { template } => {
                let template = &self.templates[template % TEMPLATES.len()];
                g.update_template(template, json!({"published": true})).await?;
            }
            Step::Enforce { template, enforced } => {
                let template = &self.templates[template % TEMPLATES.len()];
                g.update_template(template, json!({"require_signature": enforced})).await?;
            }
            Step::Queue { available } => g.set_queue(*available).await?,
        }
        g.label_last_call(label.to_owned());
        apply(&mut self.model, step);
        self.patience.begin();
        Ok(())
    }

    /// Whoever comes next shall not meet an outage that it did not ask for.
    async fn end_outage(&self, g: &mut Gather) -> Result<(), Stop> {
        g.set_queue(true).await?;
        g.label_last_call(format!("{}/end", self.label));
        let last =
            request(&format!("{}/end.1", self.label), &self.templates[0], &self.unknown, Sent::Signed, "Stock again");
        g.settled(last, |exchange| !exchange.is(503)).await;
        Ok(())
    }
}

fn request(label: &str, template: &Template, unknown: &str, sent: Sent, title: &str) -> Request {
    let fitting = json!({ "title": title }).to_string();
    match sent {
        Sent::Fitting => hook(label, template, fitting),
        Sent::Signed => signed_hook(label, template, fitting),
        Sent::Unfit => signed_hook(label, template, json!({ "other": title }).to_string()),
        Sent::Malformed => signed_hook(label, template, format!("{{\"title\": \"{title}\"")),
        Sent::UnknownToken => hook_at(label, unknown, fitting),
        Sent::Forged => {
            let digest = sign(b"another key", fitting.as_bytes());
            let mut request = hook(label, template, fitting).header(SIGNATURE, digest);
            request.signed = Some(Signed {
                key: "another key".to_owned(),
                over: "the body as sent".to_owned(),
                change: "none".to_owned(),
            });
            request
        }
    }
}

fn apply(model: &mut HookModel, step: &Step) {
    match step {
        Step::Hook { .. } => {}
        Step::Publish { template } => model.publish(template % TEMPLATES.len()),
        Step::Enforce { template, enforced } => model.enforce(template % TEMPLATES.len(), *enforced),
        Step::Queue { available } => model.set_queue(*available),
    }
}

/// What the evidence of one sequence amounts to.
struct Replay<'a> {
    held: Vec<(&'static str, Seen<'a>, String)>,
    wrong: Option<(&'static str, Seen<'a>, Unacceptable<Hooked>)>,
    silent: Option<Seen<'a>>,
}

impl<'a> Replay<'a> {
    fn of(evidence: &'a Evidence, label: &str, sequence: &Sequence) -> Replay<'a> {
        let mut model = HookModel::new(&TEMPLATES);
        let mut past = Past { outage: false, published: TEMPLATES.map(|published| !published) };
        let mut replay = Replay { held: Vec::new(), wrong: None, silent: None };
        let own = format!("{label}/");
        let exchanges = evidence.exchanges.iter().enumerate().filter(|(_, exchange)| exchange.label.starts_with(&own));
        let mut exchanges = exchanges.peekable();
        for (place, step) in sequence.steps.iter().enumerate() {
            let name = format!("{label}/{place}");
            let Step::Hook { template, sent } = step else {
                if evidence.fixtures.iter().any(|call| call.label == name && call.result.is_some()) {
                    apply(&mut model, step);
                    past.outage |= *step == Step::Queue { available: false };
                }
                continue;
            };
            let template = template % TEMPLATES.len();
            let of_step = format!("{name}.");
            while let Some((at, exchange)) = exchanges.next_if(|(_, exchange)| exchange.label.starts_with(&of_step)) {
                let seen = Seen { at, exchange };
                let Some(status) = exchange.status() else {
                    replay.silent = Some(seen);
                    return replay;
                };
                if exchange.label.ends_with("/unsettled") {
                    continue;
                }
                match model.answered(template, *sent, status, Seeing::Settled) {
                    Ok(against) => replay.held.extend(
                        about(&against, *sent, template, &past)
                            .into_iter()
                            .map(|rule| (rule, seen, format!("{status}, as everything before it demands"))),
                    ),
                    Err(why) => {
                        let rule = broken(&why, *sent, template, status, &past);
                        replay.wrong = Some((rule, seen, why));
                        return replay;
                    }
                }
            }
        }
        replay
    }
}

/// What happened so far.
struct Past {
    outage: bool,
    /// Templates that were published later, if they are published at all.
    published: [bool; 2],
}

/// The rules that an acceptable answer is about; none if several conditions stand against the request.
fn about(against: &BTreeSet<Hooked>, sent: Sent, template: usize, past: &Past) -> Vec<&'static str> {
    match against.iter().collect::<Vec<_>>()[..] {
        [] => {
            let mut rules = vec![if sent == Sent::Signed { VALID } else { ACCEPTED }];
            rules.extend(past.outage.then_some(RECOVERS));
            rules.extend(past.published[template].then_some(PUBLISHED));
            rules
        }
        [only] => rule_of(*only, sent).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn rule_of(error: Hooked, sent: Sent) -> Option<&'static str> {
    Some(match error {
        Hooked::Unknown => UNKNOWN,
        Hooked::Unavailable => UNAVAILABLE,
        Hooked::Unpublished => UNPUBLISHED,
        Hooked::Forged => MISMATCH,
        Hooked::Unsigned => ENFORCED,
        Hooked::Invalid if sent == Sent::Malformed => MALFORMED,
        Hooked::Invalid => REQUIRED,
        Hooked::Accepted | Hooked::Other => return None,
    })
}

/// The rule that a wrong answer breaks.
fn broken(why: &Unacceptable<Hooked>, sent: Sent, template: usize, status: u16, past: &Past) -> &'static str {
    match (why.against.iter().next().and_then(|error| rule_of(*error, sent)), status) {
        (Some(rule), _) => rule,
        (None, 503) if past.outage => RECOVERS,
        (None, 409) if past.published[template] => PUBLISHED,
        (None, 401) if sent == Sent::Signed => VALID,
        (None, _) => ACCEPTED,
    }
}

/// True if a kept case can be tried.
pub(super) fn understands(case: &Value) -> Result<(), serde_json::Error> {
    serde_json::from_value::<Sequence>(case.clone()).map(|_| ())
}
