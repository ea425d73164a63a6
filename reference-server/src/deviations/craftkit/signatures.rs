//! Signatures: what is verified, over which bytes, under which key, and how it is compared.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::{Value, json};
use sha2::Sha256;

use super::wraps::{answering, edged, edit, hook_token, refusing, signed_by};
use crate::craftkit::signature::{sign, verify};
use crate::craftkit::wire::Refusal;
use crate::deviations::Deviation;
use crate::http::{Answer, Inbound};
use crate::parts::{Edge, Parts};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "signature-never-verified",
        defect: "verifies no signature",
        why: "the check was left for later",
        turns_red: &["craftkit.signature.mismatch"],
        consequences: &[],
        change: |parts| verified_by(parts, |_, _, _| true),
    },
    Deviation {
        name: "signature-verified-where-enforced",
        defect: "verifies signatures only where they are enforced",
        why: "the switch was read as a switch for the whole check",
        turns_red: &["craftkit.signature.mismatch"],
        consequences: &[],
        change: |parts| {
            signed_by(parts, |signed| {
                let fits = |header| verify(signed.template.secret.expose(), signed.raw, header);
                !signed.template.require_signature || signed.header.is_some_and(fits)
            })
        },
    },
    Deviation {
        name: "enforcement-wants-any-signature",
        defect: "is content with any signature where signatures are enforced",
        why: "the enforcing branch looks whether the header is there and returns",
        turns_red: &["craftkit.signature.mismatch"],
        consequences: &[],
        change: |parts| {
            signed_by(parts, |signed| match signed.header {
                Some(_) if signed.template.require_signature => true,
                Some(header) => verify(signed.template.secret.expose(), signed.raw, header),
                None => !signed.template.require_signature,
            })
        },
    },
    Deviation {
        name: "signature-length-compared",
        defect: "compares the length of the digest only",
        why: "the test of the lengths was to come before the comparison, and the comparison got lost",
        turns_red: &["craftkit.signature.mismatch"],
        consequences: &[],
        change: |parts| verified_by(parts, |secret, raw, header| header.len() == sign(secret, raw).len()),
    },
    Deviation {
        name: "signature-mismatch-403",
        defect: "answers a wrong signature with 403",
        why: "the sender is known by its token and merely not allowed",
        turns_red: &["craftkit.signature.mismatch"],
        consequences: &[],
        change: |parts| mismatch_answered(parts, |answer| answer.status = StatusCode::FORBIDDEN),
    },
    Deviation {
        name: "signature-mismatch-another-code",
        defect: "answers a wrong signature with the code `unauthorized`",
        why: "the framework's 401 brings its own code",
        turns_red: &["craftkit.signature.mismatch"],
        consequences: &[],
        change: |parts| {
            mismatch_answered(parts, |answer| edit(answer, |body| body["error"]["code"] = json!("unauthorized")))
        },
    },
    Deviation {
        name: "signature-over-parsed-json",
        defect: "verifies signatures over the JSON parsed and written anew",
        why: "the framework hands out the parsed body only",
        turns_red: &["craftkit.signature.raw-body"],
        consequences: &[],
        change: |parts| verified_by(parts, |secret, raw, header| verify(secret, &compact(raw), header)),
    },
    Deviation {
        name: "signature-over-either-spelling",
        defect: "accepts a signature over the JSON written anew beside one over the bytes",
        why: "senders whose signatures failed were helped that way",
        turns_red: &["craftkit.signature.raw-body"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                verify(secret, raw, header) || verify(secret, &compact(raw), header)
            })
        },
    },
    Deviation {
        name: "signature-over-pretty-json",
        defect: "verifies signatures over the JSON written with indentation",
        why: "the logger's serializer was used",
        turns_red: &["craftkit.signature.valid"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                let value: Value = serde_json::from_slice(raw).unwrap_or_default();
                verify(secret, format!("{value:#}").as_bytes(), header)
            })
        },
    },
    Deviation {
        name: "signature-over-trimmed-body",
        defect: "verifies signatures over the body without white space around it",
        why: "bodies are trimmed when they are read as text",
        turns_red: &["craftkit.signature.raw-body"],
        consequences: &[],
        change: |parts| verified_by(parts, |secret, raw, header| verify(secret, raw.trim_ascii(), header)),
    },
    Deviation {
        name: "signature-over-unix-lines",
        defect: "verifies signatures over the body with its line ends made `\\n`",
        why: "the body is read line by line",
        turns_red: &["craftkit.signature.raw-body"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                let lines: Vec<&[u8]> = raw.split(|byte| *byte == b'\n').collect();
                let bare = lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                verify(secret, &bare.collect::<Vec<_>>().join(&b'\n'), header)
            })
        },
    },
    Deviation {
        name: "signature-over-the-first-chunk",
        defect: "verifies signatures over the first 16 KiB of the body",
        why: "a body that arrives in parts is hashed when the first part is there",
        turns_red: &["craftkit.signature.raw-body"],
        consequences: &[],
        change: |parts| {
            const CHUNK: usize = 16 * 1024;
            verified_by(parts, |secret, raw, header| verify(secret, &raw[..raw.len().min(CHUNK)], header))
        },
    },
    Deviation {
        name: "secret-decoded",
        defect: "keys signatures by the bytes that the secret spells in hexadecimal",
        why: "a secret of hexadecimal digits looks like an encoded key",
        turns_red: &["craftkit.signature.valid"],
        consequences: &[],
        change: |parts| verified_by(parts, |secret, raw, header| keyed_by_bytes(secret, raw) == header),
    },
    Deviation {
        name: "secret-decoded-too",
        defect: "accepts signatures keyed by the bytes that the secret spells, beside those keyed by its text",
        why: "the server once decoded secrets, and old senders still do",
        turns_red: &["craftkit.signature.secret-as-text"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                verify(secret, raw, header) || keyed_by_bytes(secret, raw) == header
            })
        },
    },
    Deviation {
        name: "signature-compared-as-far-as-sent",
        defect: "compares as many digits as were sent",
        why: "the comparison runs over the shorter of the two",
        turns_red: &["craftkit.signature.malformed"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                !header.is_empty() && sign(secret, raw).as_bytes().starts_with(header)
            })
        },
    },
    Deviation {
        name: "signature-read-as-far-as-hexadecimal",
        defect: "reads a signature as far as it is hexadecimal and forgets the rest",
        why: "that is how the language's decoder treats what it cannot read",
        turns_red: &["craftkit.signature.malformed"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                let digits = header.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                verify(secret, raw, &header[..digits])
            })
        },
    },
    Deviation {
        name: "signature-of-another-length-500",
        defect: "fails at a signature that has not 64 characters",
        why: "the comparison in constant time throws when the lengths differ",
        turns_red: &["craftkit.signature.malformed"],
        consequences: &[],
        change: |parts| {
            odd_signature_answered(parts, |header| header.len() != 64, StatusCode::INTERNAL_SERVER_ERROR, "internal")
        },
    },
    Deviation {
        name: "signature-not-hexadecimal-400",
        defect: "answers a signature that is not hexadecimal with 400",
        why: "headers are validated by a schema before anything else",
        turns_red: &["craftkit.signature.malformed"],
        consequences: &[],
        change: |parts| {
            let odd = |header: &[u8]| !header.iter().all(u8::is_ascii_hexdigit);
            odd_signature_answered(parts, odd, StatusCode::BAD_REQUEST, "invalid_request")
        },
    },
    Deviation {
        name: "signature-in-base64",
        defect: "accepts the digest in base64 as well",
        why: "other webhooks are signed so",
        turns_red: &["craftkit.signature.base64"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                let bytes = hex::decode(sign(secret, raw)).unwrap_or_default();
                verify(secret, raw, header) || STANDARD.encode(bytes).as_bytes() == header
            })
        },
    },
    Deviation {
        name: "signature-with-prefix",
        defect: "accepts `sha256=` in front of the digest",
        why: "another product's webhooks have it",
        turns_red: &["craftkit.signature.prefix"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                verify(secret, raw, header.strip_prefix(b"sha256=").unwrap_or(header))
            })
        },
    },
    Deviation {
        name: "signature-first-digits-compared",
        defect: "compares the first 32 digits of the digest",
        why: "the digest is stored in a column of 32 characters",
        turns_red: &["craftkit.signature.tampered"],
        consequences: &[],
        change: |parts| {
            const COMPARED: usize = 32;
            verified_by(parts, |secret, raw, header| {
                let right = sign(secret, raw);
                let is_digest = header.len() == right.len() && header.iter().all(u8::is_ascii_hexdigit);
                is_digest && header[..COMPARED] == right.as_bytes()[..COMPARED]
            })
        },
    },
    Deviation {
        name: "signature-digits-in-any-order",
        defect: "compares which digits a signature has and not where",
        why: "a comparison in constant time written by hand adds up differences, which cancel out",
        turns_red: &["craftkit.signature.tampered"],
        consequences: &[],
        change: |parts| {
            verified_by(parts, |secret, raw, header| {
                let (mut right, mut sent) = (sign(secret, raw).into_bytes(), header.to_vec());
                right.sort_unstable();
                sent.sort_unstable();
                right == sent
            })
        },
    },
    Deviation {
        name: "signature-header-lower-case-only",
        defect: "sees the signature only under a name in small letters",
        why: "header names are compared as text, and the tests sent them in small letters",
        turns_red: &["craftkit.signature.header-case"],
        consequences: &[],
        change: |parts| edged(parts, LowerCaseOnly),
    },
    Deviation {
        name: "signature-always-demanded",
        defect: "wants a signature on every request",
        why: "the documented switch for it was never built",
        turns_red: &["craftkit.signature.absent"],
        consequences: &[],
        change: |parts| {
            signed_by(parts, |signed| {
                signed.header.is_some_and(|header| verify(signed.template.secret.expose(), signed.raw, header))
            })
        },
    },
    Deviation {
        name: "enforcement-unknown",
        defect: "accepts requests without a signature where signatures are enforced",
        why: "the switch is saved and never read",
        turns_red: &["craftkit.signature.enforced"],
        consequences: &[],
        change: |parts| {
            signed_by(parts, |signed| {
                signed.header.is_none_or(|header| verify(signed.template.secret.expose(), signed.raw, header))
            })
        },
    },
    Deviation {
        name: "enforcement-answers-403",
        defect: "answers a missing signature with 403 `signature_required`",
        why: "what is missing deserved a code of its own",
        turns_red: &["craftkit.signature.enforced"],
        consequences: &[],
        change: |parts| {
            answering(parts, |request, answer| {
                let unsigned = hook_token(request).is_some() && request.header(&SIGNATURE).is_none();
                if unsigned && answer.status == StatusCode::UNAUTHORIZED {
                    answer.status = StatusCode::FORBIDDEN;
                    edit(answer, |body| body["error"]["code"] = json!("signature_required"));
                }
            })
        },
    },
];

static SIGNATURE: HeaderName = HeaderName::from_static(NAME);

const NAME: &str = "x-craftkit-signature";

/// Judges signatures that were sent: by secret, body and header. An absent one is judged as in the reference.
fn verified_by(parts: Parts, fits: fn(&str, &[u8], &[u8]) -> bool) -> Parts {
    signed_by(parts, move |signed| match signed.header {
        Some(header) => fits(signed.template.secret.expose(), signed.raw, header),
        None => !signed.template.require_signature,
    })
}

fn mismatch_answered(parts: Parts, change: fn(&mut Answer)) -> Parts {
    refusing(parts, move |refusal, answer| {
        if *refusal == Refusal::InvalidSignature {
            change(answer);
        }
    })
}

/// Answers refused signatures of some kind in another way.
fn odd_signature_answered(parts: Parts, is_odd: fn(&[u8]) -> bool, status: StatusCode, code: &'static str) -> Parts {
    answering(parts, move |request: &Inbound, answer| {
        let odd = hook_token(request).is_some() && request.header(&SIGNATURE).is_some_and(is_odd);
        if odd && answer.status == StatusCode::UNAUTHORIZED {
            answer.status = status;
            edit(answer, |body| body["error"]["code"] = json!(code));
        }
    })
}

/// The text without white space outside of strings, as writing parsed JSON anew leaves it. The order of keys stays,
/// as it does in most languages.
fn compact(raw: &[u8]) -> Vec<u8> {
    let (mut in_string, mut escaped) = (false, false);
    let kept = raw.iter().filter(|&&byte| {
        let outside = !in_string;
        match byte {
            b'"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && byte == b'\\' && !escaped;
        !(outside && byte.is_ascii_whitespace())
    });
    kept.copied().collect()
}

/// The signature under the bytes that the secret spells.
fn keyed_by_bytes(secret: &str, raw: &[u8]) -> Vec<u8> {
    let key = hex::decode(secret).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(raw);
    hex::encode(mac.finalize().into_bytes()).into_bytes()
}

/// Renames the header where it is not spelled in small letters.
struct LowerCaseOnly;

impl Edge for LowerCaseOnly {
    fn received(&self, bytes: &mut [u8]) {
        let mut at = 0;
        while at + NAME.len() <= bytes.len() {
            let name = &mut bytes[at..at + NAME.len()];
            if name.eq_ignore_ascii_case(NAME.as_bytes()) && name != NAME.as_bytes() {
                name.fill(b'x');
            }
            at += 1;
        }
    }
}
