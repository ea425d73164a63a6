//! What a signature covers: the bytes of the body as they are sent, each of them.

use serde_json::json;

use super::bodies::turn_accepted;
use super::signature::{
    CODE, MISMATCH, Signing, UNAUTHORIZED, about_refusal, expect_refusal, mismatched, wrong_digest,
};
use super::{
    example_manifest, fresh, fresh_body, hook, is_accepted, send_first, signature_vectors, signed_hook, success,
    turn_into_refusal,
};
use crate::api::Api;
use crate::checks::judge::{Judge, not_success};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[BODY];

const RAW_BODY: &str = "craftkit.signature.raw-body";
const TAMPERED: &str = "craftkit.signature.tampered";

const BODY: Check = Check {
    id: "craftkit/signature/body",
    rules: &[RAW_BODY, TAMPERED],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_body(g)),
    judge: judge_body,
    sabotages: &[
        Sabotage {
            defect: "hashes the parsed JSON written anew",
            turns_red: &[RAW_BODY],
            apply: |evidence| {
                for name in ["spaced", "indented-crlf", "trailing-newline", "accented-escaped"] {
                    turn_into_refusal(evidence, &format!("sent/{name}"), UNAUTHORIZED, CODE);
                }
                turn_accepted(evidence, "otherwise/spaced");
            },
        },
        Sabotage {
            defect: "hashes the parsed JSON written anew, or else the bytes",
            turns_red: &[RAW_BODY],
            apply: |evidence| turn_accepted(evidence, "otherwise/trailing-newline"),
        },
        Sabotage {
            defect: "sorts the keys before hashing",
            turns_red: &[RAW_BODY],
            apply: |evidence| turn_accepted(evidence, "otherwise/reordered"),
        },
        Sabotage {
            defect: "turns line ends into single characters before hashing",
            turns_red: &[RAW_BODY],
            apply: |evidence| turn_accepted(evidence, "otherwise/indented-crlf"),
        },
        Sabotage {
            defect: "normalises text before hashing",
            turns_red: &[RAW_BODY],
            apply: |evidence| turn_accepted(evidence, "otherwise/accented-nfd"),
        },
        Sabotage {
            defect: "answers a body that was respaced on its way as a bad request",
            turns_red: &[RAW_BODY],
            apply: |evidence| turn_into_refusal(evidence, "otherwise/example", 400, "invalid_request"),
        },
        Sabotage {
            defect: "hashes only the first part of a long body that arrives in parts",
            turns_red: &[RAW_BODY],
            apply: |evidence| turn_into_refusal(evidence, "sent/64-kib", UNAUTHORIZED, CODE),
        },
        Sabotage {
            defect: "hashes at most 64 KiB",
            turns_red: &[TAMPERED],
            apply: |evidence| turn_accepted(evidence, LATE),
        },
        Sabotage {
            defect: "hashes the keys and not the values",
            turns_red: &[TAMPERED],
            apply: |evidence| turn_accepted(evidence, "tampered/last-byte-of-a-string"),
        },
        Sabotage {
            defect: "hashes only what the manifest knows",
            turns_red: &[TAMPERED],
            apply: |evidence| turn_accepted(evidence, "tampered/key-added"),
        },
        Sabotage {
            defect: "compares only the beginning of the digest",
            turns_red: &[TAMPERED],
            apply: |evidence| turn_accepted(evidence, "tampered/last-digit"),
        },
        Sabotage {
            defect: "compares the sum of the digits",
            turns_red: &[TAMPERED],
            apply: |evidence| turn_accepted(evidence, "tampered/digits-swapped"),
        },
        Sabotage {
            defect: "answers a body changed on its way with 400",
            turns_red: &[TAMPERED],
            apply: |evidence| turn_into_refusal(evidence, "tampered/row", 400, "invalid_input_data"),
        },
    ],
};

/// Vectors whose bodies say the same in two ways: what is sent, and what a wrong signature is made over.
const SPELLINGS: [(&str, &str); 7] = [
    ("example", "spaced"),
    ("spaced", "example"),
    ("indented-crlf", "indented-lf"),
    ("trailing-newline", "example"),
    ("reordered", "example"),
    ("accented-escaped", "accented-nfc"),
    ("accented-nfd", "accented-nfc"),
];

/// The vector of a long body.
const LONG: &str = "64-kib";
/// The step that changes a byte near the end of a long body.
const LATE: &str = "tampered/late-byte-of-a-long-string";

/// Bodies with a byte changed inside a string; they stay JSON and fit the manifest.
const STRING_CHANGES: [Change; 4] = [
    ("tampered/first-byte-of-a-string", "the first byte of a text changed", |body| body.replacen("Acme", "Bcme", 1)),
    ("tampered/last-byte-of-a-string", "the last byte of a text changed", with_text_end_changed),
    ("tampered/row", "a byte in a row's text changed", |body| body.replacen("Widget", "Wadget", 1)),
    ("tampered/letter-case", "a letter of a text in the other case", |body| body.replacen("Acme", "acme", 1)),
];

/// Digests with one digit replaced by another.
const DIGIT_CHANGES: [Change; 3] = [
    ("tampered/first-digit", "the first digit replaced", |digest| with_digit_replaced(digest, 0)),
    ("tampered/middle-digit", "a digit in the middle replaced", |digest| with_digit_replaced(digest, 31)),
    ("tampered/last-digit", "the last digit replaced", |digest| with_digit_replaced(digest, 63)),
];

/// Other changes of the body, refused for this reason or that.
const OTHER_CHANGES: [Change; 6] = [
    ("tampered/number", "a number changed", |body| body.replacen("49.95", "49.96", 1)),
    ("tampered/key-added", "a key added", |body| body.replacen('{', "{\"extra\":1,", 1)),
    ("tampered/row-added", "a row added", |body| {
        body.replacen("}],", "},{\"name\":\"Gadget\",\"qty\":1,\"price\":1.5}],", 1)
    }),
    ("tampered/cut", "the last byte cut off", |body| body[..body.len() - 1].to_owned()),
    ("tampered/appended", "a letter appended", |body| format!("{body}x")),
    ("tampered/emptied", "nothing left", |_| String::new()),
];

/// The step of the one other change of the digest.
const SWAPPED: Change = ("tampered/digits-swapped", "two neighbouring digits exchanged", with_digits_swapped);

/// Step, words, change of a body or of a digest.
type Change = (&'static str, &'static str, fn(&str) -> String);

/// Every body ends the customer's name, the first text in it, with random digits.
fn with_text_end_changed(body: &str) -> String {
    let end = body.find("\"}").expect("a body has its customer's name");
    with_digit_replaced(body, end - 1)
}

fn with_digit_replaced(text: &str, at: usize) -> String {
    let replacement = if text[at..].starts_with('7') { "8" } else { "7" };
    format!("{}{replacement}{}", &text[..at], &text[at + 1..])
}

/// The first two neighbours that differ change places.
fn with_digits_swapped(digest: &str) -> String {
    let mut digits: Vec<char> = digest.chars().collect();
    let at = digits.windows(2).position(|pair| pair[0] != pair[1]).expect("no digest is one digit all over");
    digits.swap(at, at + 1);
    digits.into_iter().collect()
}

/// The body of a vector with a value that was never sent before.
fn spelled(vector: &str, value: &str) -> String {
    signature_vectors::text_of(vector).replacen("Acme Corp", value, 1)
}

async fn gather_body(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let body = fresh_body(g);
    send_first(g, signed_hook("signed", &template, body)).await;
    let mut requests = vec![mismatched(hook(MISMATCH, &template, fresh_body(g)), &wrong_digest(g))];
    for (sent, signed) in SPELLINGS {
        add_spelling(g, &template, sent, signed, &mut requests);
    }
    for (step, words, change) in STRING_CHANGES.into_iter().chain(OTHER_CHANGES) {
        let body = fresh_body(g);
        let signing = Signing::honest(&template, body.as_bytes()).over(&format!("the body before this: {words}"));
        requests.push(signing.on(hook(step, &template, change(&body))));
    }
    for (step, words, change) in DIGIT_CHANGES.into_iter().chain([SWAPPED]) {
        let body = fresh_body(g);
        let signing = Signing::honest(&template, body.as_bytes());
        requests.push(signing.changed(hook(step, &template, body.clone()), words, change));
    }
    g.send_together(&requests).await;
    gather_long(g, &template).await
}

/// A spelling without a signature, signed as it is sent, and with the signature of another spelling; each with a value of its own.
fn add_spelling(g: &mut Gather, template: &Template, sent: &str, signed: &str, requests: &mut Vec<Request>) {
    requests.push(hook(&format!("unsigned/{sent}"), template, spelled(sent, &fresh(g))));
    requests.push(signed_hook(&format!("sent/{sent}"), template, spelled(sent, &fresh(g))));
    let value = fresh(g);
    let over = spelled(signed, &value);
    let signing = Signing::honest(template, over.as_bytes()).over("the same data spelled otherwise");
    requests.push(signing.on(hook(&format!("otherwise/{sent}"), template, spelled(sent, &value))));
}

/// A body of 64 KiB may be refused for its length. Only where it is not, something follows from its signature.
async fn gather_long(g: &mut Gather, template: &Template) -> Result<(), Stop> {
    let [unsigned, signed, original] = [fresh(g), fresh(g), fresh(g)].map(|value| spelled(LONG, &value));
    let long = g.send(hook(&format!("unsigned/{LONG}"), template, unsigned)).await;
    if !is_accepted(&long) {
        return Ok(());
    }
    // The repeated letter ends the last text, a few bytes before the body does.
    let changed = original.replacen("a\"}}", "b\"}}", 1);
    let signing = Signing::honest(template, original.as_bytes()).over("the body before its last text was changed");
    let requests = [signed_hook(&format!("sent/{LONG}"), template, signed), signing.on(hook(LATE, template, changed))];
    g.send_together(&requests).await;
    Ok(())
}

fn judge_body(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for (name, _) in SPELLINGS {
        expect_acceptance_as_sent(&mut judge, name);
        expect_refusal(&mut judge, RAW_BODY, &format!("otherwise/{name}"), &format!("sent/{name}"));
    }
    for (step, _, _) in STRING_CHANGES.into_iter().chain(DIGIT_CHANGES) {
        expect_refusal(&mut judge, TAMPERED, step, "signed");
    }
    for (step, _, _) in OTHER_CHANGES.into_iter().chain([SWAPPED]) {
        about_refusal(&mut judge, TAMPERED, "signed").expects(step, &[not_success()]);
    }
    if judge.one(&format!("unsigned/{LONG}")).is_some_and(|seen| is_accepted(seen.exchange)) {
        expect_acceptance_as_sent(&mut judge, LONG);
        expect_refusal(&mut judge, TAMPERED, LATE, &format!("sent/{LONG}"));
    }
    judge.findings()
}

/// A spelling refused without a signature, too, is refused for itself; and where no signature is accepted, spelling explains nothing.
fn expect_acceptance_as_sent(judge: &mut Judge<'_>, name: &str) {
    let step = format!("sent/{name}");
    let accepted = judge.one(&step).is_some_and(|seen| is_accepted(seen.exchange));
    let about = judge.rule(RAW_BODY);
    let about = if accepted {
        about
    } else {
        about.control_fits(&format!("unsigned/{name}"), &success()).control_fits("signed", &success())
    };
    about.expects(&step, &[success()]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::EXAMPLE_BODY;
    use super::*;

    #[test]
    fn every_change_changes_something() {
        let body = EXAMPLE_BODY.replace("Acme Corp", "Acme Corp 0f1e2d3c4b57");
        for (step, _, change) in STRING_CHANGES.into_iter().chain(OTHER_CHANGES) {
            assert_ne!(change(&body), body, "{step}");
        }
        let digests = ["0".repeat(62) + "17", "7".repeat(63) + "0", "8".repeat(32) + &"7".repeat(32)];
        for digest in digests {
            for (step, _, change) in DIGIT_CHANGES.into_iter().chain([SWAPPED]) {
                let changed = change(&digest);
                assert_ne!(changed, digest, "{step}");
                assert_eq!(changed.len(), digest.len(), "{step}");
            }
        }
    }

    #[test]
    fn a_changed_string_leaves_the_body_json_of_the_same_shape() {
        let body = EXAMPLE_BODY.replace("Acme Corp", "Acme Corp 0f1e2d3c4b57");
        for (step, _, change) in STRING_CHANGES {
            let changed: serde_json::Value = serde_json::from_str(&change(&body)).unwrap_or_else(|_| panic!("{step}"));
            assert_eq!(change(&body).len(), body.len(), "{step}");
            let keys: BTreeSet<&String> = changed.as_object().expect("an object").keys().collect();
            assert_eq!(keys.len(), 3, "{step}");
        }
    }

    #[test]
    fn two_spellings_say_the_same_in_other_bytes() {
        for (sent, signed) in SPELLINGS.into_iter().filter(|(sent, _)| *sent != "accented-nfd") {
            let [sent, signed] = [sent, signed].map(|name| spelled(name, "Acme Corp 1"));
            assert_ne!(sent, signed);
            let values = [sent, signed].map(|text| serde_json::from_str::<serde_json::Value>(&text).expect("JSON"));
            assert_eq!(values[0], values[1]);
        }
    }

    #[test]
    fn the_late_byte_of_the_long_body_can_be_changed() {
        let long = spelled(LONG, "Acme Corp 1");
        assert!(long.ends_with("a\"}}"));
        assert_eq!(long.matches("a\"}}").count(), 1);
    }
}
