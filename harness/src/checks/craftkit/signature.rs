//! Signatures as such: which digests are accepted, which are not, and what their absence means.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use rand::RngExt as _;
use serde_json::json;

use super::bodies::turn_accepted;
use super::{
    EXAMPLE_BODY, SIGNATURE, example_manifest, expect_acceptance, fresh_body, hook, own_error, same_refusal,
    send_first, sign, signed_hook, success, turn_into_refusal,
};
use crate::api::Api;
use crate::checks::judge::{Judge, RuleJudge, craftkit_error, not_success, refused};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Signed};
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[ACCEPTED_ONES, REFUSED_ONES];

/// Status of a refused signature.
pub(super) const UNAUTHORIZED: u16 = 401;
/// The step with a well-formed digest that belongs to no body.
pub(super) const MISMATCH: &str = "mismatch/random";
/// The step with a word that is no digest at all.
const WORD: &str = "malformed/word";
/// Code of a refused signature.
pub(super) const CODE: &str = "invalid_signature";

/// What a signature is made of and how it is written.
pub(super) struct Signing<'a> {
    pub(super) key: &'a [u8],
    pub(super) over: &'a [u8],
    pub(super) said: Signed,
}

impl<'a> Signing<'a> {
    /// An honest signature of these bytes under the template's secret.
    pub(super) fn honest(template: &'a Template, over: &'a [u8]) -> Signing<'a> {
        let key = format!("inbound-secret:{}", template.name);
        let said = Signed { key, over: "the body as sent".to_owned(), change: "none".to_owned() };
        Signing { key: template.inbound_secret.expose().as_bytes(), over, said }
    }

    /// Says that the bytes signed are others than those sent.
    pub(super) fn over(mut self, words: &str) -> Signing<'a> {
        words.clone_into(&mut self.said.over);
        self
    }

    /// Uses another key.
    fn keyed(mut self, key: &'a [u8], words: String) -> Signing<'a> {
        self.key = key;
        self.said.key = words;
        self
    }

    /// The request with this signature, changed as the words say.
    pub(super) fn changed(mut self, request: Request, words: &str, change: impl FnOnce(&str) -> String) -> Request {
        words.clone_into(&mut self.said.change);
        let value = change(&sign(self.key, self.over));
        let mut request = request.header(SIGNATURE, value);
        request.signed = Some(self.said);
        request
    }

    /// The request with this signature.
    pub(super) fn on(self, request: Request) -> Request {
        self.changed(request, "none", str::to_owned)
    }
}

const ACCEPTED_ONES: Check = Check {
    id: "craftkit/signature/accepted",
    rules: &[
        "craftkit.signature.valid",
        "craftkit.signature.absent",
        "craftkit.signature.mismatch",
        "craftkit.signature.header-case",
        "craftkit.signature.enforced",
    ],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_accepted_ones(g)),
    judge: judge_accepted_ones,
    sabotages: &[
        Sabotage {
            defect: "refuses the right digest of the documentation's example",
            turns_red: &["craftkit.signature.valid"],
            apply: |evidence| turn_into_refusal(evidence, "signed", UNAUTHORIZED, CODE),
        },
        Sabotage {
            defect: "accepts no signature where signatures are enforced",
            turns_red: &["craftkit.signature.valid"],
            apply: |evidence| turn_into_refusal(evidence, "enforced/signed", UNAUTHORIZED, CODE),
        },
        Sabotage {
            defect: "wants a signature where none is enforced",
            turns_red: &["craftkit.signature.absent"],
            apply: |evidence| turn_into_refusal(evidence, "unsigned", UNAUTHORIZED, CODE),
        },
        Sabotage {
            defect: "is content with any signature where signatures are enforced",
            turns_red: &["craftkit.signature.mismatch"],
            apply: |evidence| turn_accepted(evidence, "enforced/wrong"),
        },
        Sabotage {
            defect: "looks for the header's name letter by letter and finds no signature",
            turns_red: &["craftkit.signature.header-case"],
            apply: |evidence| {
                turn_into_refusal(evidence, "enforced/title-case", UNAUTHORIZED, CODE);
                turn_accepted(evidence, "wrong-title-case");
            },
        },
        Sabotage {
            defect: "verifies no signature under a name in capitals",
            turns_red: &["craftkit.signature.header-case"],
            apply: |evidence| turn_accepted(evidence, "wrong-title-case"),
        },
        Sabotage {
            defect: "knows no enforcement",
            turns_red: &["craftkit.signature.enforced"],
            apply: |evidence| turn_accepted(evidence, "enforced/unsigned"),
        },
        Sabotage {
            defect: "answers a missing signature with 403",
            turns_red: &["craftkit.signature.enforced"],
            apply: |evidence| turn_into_refusal(evidence, "enforced/unsigned", 403, "signature_required"),
        },
    ],
};

async fn gather_accepted_ones(g: &mut Gather) -> Result<(), Stop> {
    let open = g.template(&example_manifest(), json!({})).await?;
    let enforcing = g.template(&example_manifest(), json!({"require_signature": true})).await?;
    let body = fresh_body(g);
    send_first(g, hook("unsigned", &open, body)).await;
    g.send(signed_hook("signed", &open, EXAMPLE_BODY)).await;
    let body = fresh_body(g);
    send_first(g, signed_hook("enforced/signed", &enforcing, body)).await;
    let title_case = |request: Request| Request { title_case: true, ..request };
    let wrong = wrong_digest(g);
    let requests = [
        hook("enforced/unsigned", &enforcing, fresh_body(g)),
        title_case(signed_hook("enforced/title-case", &enforcing, fresh_body(g))),
        mismatched(hook("enforced/wrong", &enforcing, fresh_body(g)), &wrong),
        mismatched(hook("wrong", &open, fresh_body(g)), &wrong),
        title_case(mismatched(hook("wrong-title-case", &open, fresh_body(g)), &wrong)),
    ];
    g.send_together(&requests).await;
    Ok(())
}

/// A well-formed digest that belongs to no body.
pub(super) fn wrong_digest(g: &mut Gather) -> String {
    hex::encode(g.rng().random::<[u8; 32]>())
}

/// The request with a well-formed digest that is not its body's.
pub(super) fn mismatched(request: Request, digest: &str) -> Request {
    let mut request = request.header(SIGNATURE, digest);
    let said = |text: &str| text.to_owned();
    request.signed =
        Some(Signed { key: said("none"), over: said("nothing"), change: said("64 random digits instead") });
    request
}

fn judge_accepted_ones(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    expect_acceptance(&mut judge, "craftkit.signature.valid", "signed", "unsigned");
    expect_acceptance(&mut judge, "craftkit.signature.valid", "enforced/signed", "signed");
    expect_acceptance(&mut judge, "craftkit.signature.absent", "unsigned", "signed");
    expect_refusal(&mut judge, "craftkit.signature.mismatch", "enforced/wrong", "enforced/signed");

    // Not seen, a header in capitals is missing: that shows where its absence is refused, and where a wrong one is.
    let rule = "craftkit.signature.header-case";
    expect_acceptance(&mut judge, rule, "enforced/title-case", "enforced/signed");
    judge
        .rule(rule)
        .control_fits("signed", &success())
        .control_fits("wrong", &refused())
        .expects("wrong-title-case", &[refused()]);

    let rule = "craftkit.signature.enforced";
    judge.rule(rule).control_fits("enforced/signed", &success()).expects("enforced/unsigned", &[not_success()]);
    let same = same_refusal(&judge, "enforced/wrong");
    let documented = own_error(UNAUTHORIZED, CODE);
    judge
        .rule(rule)
        .should_part()
        .control_fits("enforced/signed", &success())
        .expects("enforced/unsigned", &[documented, same]);
    judge.findings()
}

const REFUSED_ONES: Check = Check {
    id: "craftkit/signature/refused",
    rules: &[
        "craftkit.signature.mismatch",
        "craftkit.signature.malformed",
        "craftkit.signature.base64",
        "craftkit.signature.per-template",
        "craftkit.signature.secret-as-text",
        "craftkit.signature.prefix",
    ],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_refused_ones(g)),
    judge: judge_refused_ones,
    sabotages: &[
        Sabotage {
            defect: "answers a wrong signature with 403",
            turns_red: &["craftkit.signature.mismatch"],
            apply: |evidence| {
                for (_, step) in STEPS {
                    turn_into_refusal(evidence, step, 403, CODE);
                }
            },
        },
        Sabotage {
            defect: "gives wrong signatures another code",
            turns_red: &["craftkit.signature.mismatch"],
            apply: |evidence| {
                for (_, step) in STEPS {
                    turn_into_refusal(evidence, step, UNAUTHORIZED, "unauthorized");
                }
            },
        },
        Sabotage {
            defect: "verifies signatures only where they are enforced",
            turns_red: &["craftkit.signature.mismatch"],
            apply: |evidence| turn_accepted(evidence, MISMATCH),
        },
        Sabotage {
            defect: "accepts the signature of any earlier body",
            turns_red: &["craftkit.signature.mismatch"],
            apply: |evidence| turn_accepted(evidence, "mismatch/other-body"),
        },
        Sabotage {
            defect: "fails comparing digests of unequal length",
            turns_red: &["craftkit.signature.malformed"],
            apply: |evidence| turn_into_refusal(evidence, "malformed/half", 500, "internal"),
        },
        Sabotage {
            defect: "compares as much of the digest as was sent",
            turns_red: &["craftkit.signature.malformed"],
            apply: |evidence| turn_accepted(evidence, "malformed/half"),
        },
        Sabotage {
            defect: "reads hexadecimal as far as it goes and forgets the rest",
            turns_red: &["craftkit.signature.malformed"],
            apply: |evidence| turn_accepted(evidence, "malformed/word-after"),
        },
        Sabotage {
            defect: "answers what is not hexadecimal as a bad request",
            turns_red: &["craftkit.signature.malformed"],
            apply: |evidence| turn_into_refusal(evidence, "malformed/not-hex", 400, "invalid_request"),
        },
        Sabotage {
            defect: "fails at a long header",
            turns_red: &["craftkit.signature.malformed"],
            apply: |evidence| turn_into_refusal(evidence, "malformed/1-kib", 500, "internal"),
        },
        Sabotage {
            defect: "takes base64 as well",
            turns_red: &["craftkit.signature.base64"],
            apply: |evidence| turn_accepted(evidence, "base64/standard"),
        },
        Sabotage {
            defect: "verifies with any secret of the project",
            turns_red: &["craftkit.signature.per-template"],
            apply: |evidence| turn_accepted(evidence, "per-template/same-project"),
        },
        Sabotage {
            defect: "verifies with one secret for everybody",
            turns_red: &["craftkit.signature.per-template"],
            apply: |evidence| turn_accepted(evidence, "per-template/other-project"),
        },
        Sabotage {
            defect: "decodes a secret that looks like hexadecimal",
            turns_red: &["craftkit.signature.secret-as-text"],
            apply: |evidence| accept_decoded(evidence, "secret-as-text/hex"),
        },
        Sabotage {
            defect: "decodes a secret that looks like base64",
            turns_red: &["craftkit.signature.secret-as-text"],
            apply: |evidence| accept_decoded(evidence, "secret-as-text/base64"),
        },
        Sabotage {
            defect: "takes off `sha256=`",
            turns_red: &["craftkit.signature.prefix"],
            apply: |evidence| turn_accepted(evidence, "prefix"),
        },
    ],
};

const PER_TEMPLATE: &str = "craftkit.signature.per-template";

/// Steps that every run sends, with their rules.
const STEPS: [(&str, &str); 16] = [
    ("craftkit.signature.mismatch", MISMATCH),
    ("craftkit.signature.mismatch", "mismatch/other-body"),
    ("craftkit.signature.malformed", "malformed/one-digit"),
    ("craftkit.signature.malformed", "malformed/half"),
    ("craftkit.signature.malformed", "malformed/one-short"),
    ("craftkit.signature.malformed", "malformed/one-byte-more"),
    ("craftkit.signature.malformed", "malformed/twice"),
    ("craftkit.signature.malformed", "malformed/1-kib"),
    ("craftkit.signature.malformed", "malformed/not-hex"),
    ("craftkit.signature.malformed", "malformed/word-after"),
    ("craftkit.signature.malformed", WORD),
    ("craftkit.signature.base64", "base64/standard"),
    ("craftkit.signature.base64", "base64/for-urls"),
    (PER_TEMPLATE, "per-template/same-project"),
    (PER_TEMPLATE, "per-template/other-project"),
    ("craftkit.signature.prefix", "prefix"),
];

/// Steps that are sent if the secret's text can be decoded so.
const DECODED: [&str; 2] = ["secret-as-text/hex", "secret-as-text/base64"];

/// How the right digest is spelled wrongly: step, words, change.
type Misspelling = (&'static str, &'static str, fn(&str) -> String);

const MISSPELLINGS: [Misspelling; 12] = [
    ("malformed/one-digit", "only the first digit", |digest| digest[..1].to_owned()),
    ("malformed/half", "only the first half", |digest| digest[..32].to_owned()),
    ("malformed/one-short", "the last digit left out", |digest| digest[..63].to_owned()),
    ("malformed/one-byte-more", "`00` appended", |digest| format!("{digest}00")),
    ("malformed/twice", "written twice", |digest| digest.repeat(2)),
    ("malformed/1-kib", "written sixteen times", |digest| digest.repeat(16)),
    ("malformed/not-hex", "the first digit replaced by `g`", |digest| format!("g{}", &digest[1..])),
    ("malformed/word-after", "`zz` appended", |digest| format!("{digest}zz")),
    (WORD, "the word `undefined` instead", |_| "undefined".to_owned()),
    ("base64/standard", "written in base64", |digest| STANDARD.encode(bytes_of(digest))),
    ("base64/for-urls", "written in base64 for URLs", |digest| URL_SAFE_NO_PAD.encode(bytes_of(digest))),
    ("prefix", "`sha256=` put in front", |digest| format!("sha256={digest}")),
];

fn bytes_of(digest: &str) -> Vec<u8> {
    hex::decode(digest).expect("our own digests are hexadecimal")
}

/// Makes a server accept a digest under the decoded secret. The step is there only if the secret of the good run can be decoded.
fn accept_decoded(evidence: &mut Evidence, step: &str) {
    let sent = evidence.step(step).next().is_some();
    if !sent {
        let other = evidence.step(MISMATCH).map(|(_, exchange)| exchange.clone()).next();
        evidence
            .exchanges
            .extend(other.map(|exchange| crate::evidence::Exchange { label: step.to_owned(), ..exchange }));
    }
    turn_accepted(evidence, step);
}

async fn gather_refused_ones(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let sibling = g.template(&example_manifest(), json!({"project": template.project})).await?;
    let stranger = g.template(&example_manifest(), json!({})).await?;
    let body = fresh_body(g);
    send_first(g, signed_hook("signed", &template, body)).await;

    let mut requests = vec![mismatched(hook(MISMATCH, &template, fresh_body(g)), &wrong_digest(g))];
    let other = fresh_body(g);
    let signing = Signing::honest(&template, other.as_bytes()).over("another body");
    requests.push(signing.on(hook("mismatch/other-body", &template, fresh_body(g))));
    for (step, words, change) in MISSPELLINGS {
        let body = fresh_body(g);
        let signing = Signing::honest(&template, body.as_bytes());
        requests.push(signing.changed(hook(step, &template, body.clone()), words, change));
    }
    for (step, owner) in [("per-template/same-project", &sibling), ("per-template/other-project", &stranger)] {
        if owner.inbound_secret == template.inbound_secret {
            continue;
        }
        let body = fresh_body(g);
        requests.push(Signing::honest(owner, body.as_bytes()).on(hook(step, &template, body.clone())));
    }
    for (step, words, key) in decoded_keys(template.inbound_secret.expose()) {
        let body = fresh_body(g);
        let words = format!("inbound-secret:{} decoded as {words}", template.name);
        let signing = Signing::honest(&template, body.as_bytes()).keyed(&key, words);
        requests.push(signing.on(hook(step, &template, body.clone())));
    }
    g.send_together(&requests).await;
    Ok(())
}

/// What the secret's text would stand for: step, encoding, bytes.
fn decoded_keys(secret: &str) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let hexadecimal = hex::decode(secret).ok();
    let engines = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
    let base64 = engines.iter().find_map(|engine| engine.decode(secret).ok());
    let [as_hex, as_base64] = DECODED;
    let keys = [(as_hex, "hex", hexadecimal), (as_base64, "base64", base64)];
    keys.into_iter()
        .filter_map(|(step, words, key)| Some((step, words, key?)))
        .filter(|(_, _, key)| !key.is_empty())
        .collect()
}

fn judge_refused_ones(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for (rule, step) in STEPS {
        if rule == PER_TEMPLATE && judge.one(step).is_none() {
            let why = "there is no other secret to sign with, which craftkit.template.own-credentials judges";
            judge.rule(rule).inconclusive(why);
            continue;
        }
        expect_refusal(&mut judge, rule, step, "signed");
    }
    let rule = "craftkit.signature.secret-as-text";
    let sent: Vec<&str> = DECODED.into_iter().filter(|step| judge.one(step).is_some()).collect();
    match (sent.is_empty(), judge.one("prefix")) {
        (true, None) => judge.rule(rule).inconclusive("the check ended before it was tried"),
        (true, Some(_)) => judge.rule(rule).not_applicable("the secret's text is neither hexadecimal nor base64"),
        (false, _) => {}
    }
    for step in sent {
        expect_refusal(&mut judge, rule, step, "signed");
    }
    judge.findings()
}

/// Begins a finding about a refused signature: the same with a right one is accepted, and wrong ones are refused at all.
pub(super) fn about_refusal<'j, 'a>(judge: &'j mut Judge<'a>, rule: &'static str, control: &str) -> RuleJudge<'j, 'a> {
    judge.rule(rule).control_fits(control, &success()).control_fits(MISMATCH, &refused())
}

/// A finding that a signature was refused as the documents say, or as this target refuses a plain mismatch: only
/// `craftkit.signature.mismatch` is about how that answer reads.
pub(super) fn expect_refusal(judge: &mut Judge<'_>, rule: &'static str, step: &str, control: &str) {
    let documented = craftkit_error(UNAUTHORIZED, CODE);
    if rule == "craftkit.signature.mismatch" {
        return judge.rule(rule).control_fits(control, &success()).expects(step, &[documented]);
    }
    let mut acceptable = vec![documented, same_refusal(judge, MISMATCH)];
    // To most servers these are values of a wrong length; how those are answered is the concern of `craftkit.signature.malformed`.
    let is_misspelled = matches!(rule, "craftkit.signature.base64" | "craftkit.signature.prefix");
    if is_misspelled {
        acceptable.push(same_refusal(judge, WORD));
    }
    let about = about_refusal(judge, rule, control);
    let about = if is_misspelled { about.control_fits(WORD, &refused()) } else { about };
    about.expects(step, &acceptable);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Status;

    #[track_caller]
    fn check_decoded(secret: &str, expected: &[(&str, &[u8])]) {
        let keys = decoded_keys(secret);
        let found: Vec<(&str, &[u8])> = keys.iter().map(|(_, words, key)| (*words, key.as_slice())).collect();
        assert_eq!(found, expected);
    }

    fn evidence_of(steps: &[&str]) -> Evidence {
        let exchange = |label: &&str| {
            serde_json::from_value(json!({
                "label": label, "request": {"method": "POST", "url": "", "headers": []}, "response": null,
                "start_ns": 0, "end_ns": 0, "advanced_ms": 0, "curl": "",
            }))
            .expect("an exchange")
        };
        Evidence { exchanges: steps.iter().map(exchange).collect(), ..Evidence::default() }
    }

    #[test]
    fn a_secret_that_cannot_be_decoded_makes_its_rule_inapplicable() {
        let status_of = |steps: &[&str]| {
            let findings = judge_refused_ones(&evidence_of(steps));
            let found = findings.into_iter().find(|finding| finding.rule == "craftkit.signature.secret-as-text");
            found.map(|finding| finding.status)
        };
        assert_eq!(status_of(&["signed", "prefix"]), Some(Status::NotApplicable));
        assert_eq!(status_of(&["signed"]), Some(Status::Inconclusive));
        assert_eq!(status_of(&["signed", "prefix", "secret-as-text/hex"]), Some(Status::Inconclusive));
    }

    #[test]
    fn a_secret_is_decoded_only_as_what_it_can_be() {
        check_decoded("whsec.plain text", &[]);
        check_decoded("", &[]);
        check_decoded("a1b2c", &[]);
        check_decoded("a1b2c3", &[("hex", &[0xa1, 0xb2, 0xc3])]);
        check_decoded("c2VjcmV0IQ==", &[("base64", b"secret!")]);
        check_decoded("c2VjcmV0IQ", &[("base64", b"secret!")]);
        check_decoded("_-8", &[("base64", &[0xff, 0xef])]);
        check_decoded(
            "abcdef12",
            &[("hex", &[0xab, 0xcd, 0xef, 0x12]), ("base64", &[0x69, 0xb7, 0x1d, 0x79, 0xfd, 0x76])],
        );
    }
}
