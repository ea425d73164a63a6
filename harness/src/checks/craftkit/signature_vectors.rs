//! The public signature vectors of `signature-vectors.json`, made for anybody's tests; checks take the spellings of bodies from them.

use std::sync::LazyLock;

use base64::Engine as _;
use serde::Deserialize;

static FILE: LazyLock<File> = LazyLock::new(|| {
    serde_json::from_str(include_str!("signature-vectors.json")).expect("a test has read the vectors' file")
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "written for readers")]
    description: Vec<String>,
    header: String,
    vectors: Vec<Vector>,
}

/// One vector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// Unique name.
    pub name: String,
    /// The vector of which this one is an edit.
    pub from: Option<String>,
    /// The secret's text.
    pub secret: String,
    /// The body.
    pub body: VectorBody,
    /// The header's value; `None` where none is sent.
    pub signature: Option<String>,
    /// What is said of the signature.
    pub verdict: Verdict,
    /// The kind of vector.
    pub flag: String,
    /// The rule or observation it belongs to.
    pub rule: String,
}

/// What is said of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It belongs to the body.
    Accept,
    /// It does not.
    Refuse,
    /// Left to the implementation or to the template's settings.
    Open,
}

/// A body, written so that every byte survives in a text file.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VectorBody {
    /// UTF-8.
    Text(String),
    /// Any bytes.
    Base64(String),
    /// A long text: `before`, then `text` several `times`, then `after`.
    Repeat {
        /// What comes first.
        before: String,
        /// What is repeated.
        text: String,
        /// How often.
        times: usize,
        /// What comes last.
        after: String,
        /// Bytes in all.
        length: usize,
    },
}

impl VectorBody {
    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            VectorBody::Text(text) => text.clone().into_bytes(),
            VectorBody::Base64(text) => {
                base64::engine::general_purpose::STANDARD.decode(text).expect("a test has decoded every body")
            }
            VectorBody::Repeat { before, text, times, after, .. } => {
                format!("{before}{}{after}", text.repeat(*times)).into_bytes()
            }
        }
    }
}

/// The header that the vectors are for.
pub fn header() -> &'static str {
    &FILE.header
}

/// Every vector.
pub fn all() -> &'static [Vector] {
    &FILE.vectors
}

/// The body of a vector that is text.
///
/// # Panics
/// If there is none of that name: the check would not send what it says.
pub fn text_of(name: &str) -> String {
    let vector = all().iter().find(|vector| vector.name == name);
    let vector = vector.unwrap_or_else(|| panic!("a check names the vector `{name}`, which is not there"));
    String::from_utf8(vector.body.bytes()).expect("checks take texts only")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::super::{EXAMPLE_BODY, SIGNATURE, sign};
    use super::*;
    use crate::catalogue;

    /// The signature as the documentation's shell example makes it.
    fn openssl(secret: &str, body: &[u8]) -> String {
        let mut child = Command::new("openssl")
            .args(["dgst", "-sha256", "-hmac", secret, "-hex"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("THE VECTORS WERE NOT PROVED: this test needs `openssl` on the PATH");
        child.stdin.take().expect("the pipe was asked for").write_all(body).expect("openssl reads its input");
        let output = child.wait_with_output().expect("openssl ends");
        assert!(output.status.success(), "openssl: {}", output.status);
        let text = String::from_utf8(output.stdout).expect("openssl prints text");
        text.split_whitespace().last().expect("openssl prints a digest").to_owned()
    }

    fn named(name: &str) -> &'static Vector {
        all().iter().find(|vector| vector.name == name).unwrap_or_else(|| panic!("no vector `{name}`"))
    }

    #[test]
    fn openssl_and_our_own_hmac_agree_with_every_vector() {
        for vector in all() {
            let body = vector.body.bytes();
            let right = openssl(&vector.secret, &body);
            assert_eq!(sign(vector.secret.as_bytes(), &body), right, "{}", vector.name);
            let written = vector.signature.as_deref();
            match vector.verdict {
                Verdict::Accept => assert_eq!(written, Some(&*right), "{}", vector.name),
                Verdict::Refuse => {
                    let written = written.unwrap_or_else(|| panic!("{}: a refused one is sent", vector.name));
                    // Letter case is open, so a refused one must be wrong beyond it.
                    assert!(!written.eq_ignore_ascii_case(&right), "{}", vector.name);
                }
                Verdict::Open => {
                    let digest = written.is_none_or(|text| text.is_empty() || text.eq_ignore_ascii_case(&right));
                    assert!(digest, "{}: open ones are right but for their spelling", vector.name);
                }
            }
        }
    }

    #[test]
    fn every_refused_vector_is_one_edit_away_from_an_accepted_one() {
        for vector in all().iter().filter(|vector| vector.verdict == Verdict::Refuse) {
            let from = vector.from.as_deref().unwrap_or_else(|| panic!("{} says not from what", vector.name));
            let from = named(from);
            assert_eq!(from.verdict, Verdict::Accept, "{}", vector.name);
            let edits = [
                vector.secret != from.secret,
                vector.body.bytes() != from.body.bytes(),
                vector.signature != from.signature,
            ];
            assert_eq!(edits.iter().filter(|edited| **edited).count(), 1, "{}", vector.name);
        }
    }

    #[test]
    fn vectors_have_unique_names_and_belong_to_known_rules() {
        let names: BTreeSet<&str> = all().iter().map(|vector| vector.name.as_str()).collect();
        assert_eq!(names.len(), all().len());
        let observed: BTreeSet<&str> = catalogue::observed::CRAFTKIT.iter().map(|probe| probe.id).collect();
        for vector in all() {
            let known = catalogue::find(&vector.rule).is_some() || observed.contains(&*vector.rule);
            assert!(known, "{}: no rule `{}`", vector.name, vector.rule);
        }
        assert_eq!(header(), SIGNATURE);
    }

    #[test]
    fn long_bodies_are_as_long_as_they_say() {
        let mut lengths = BTreeSet::new();
        for vector in all() {
            if let VectorBody::Repeat { length, .. } = vector.body {
                assert_eq!(vector.body.bytes().len(), length, "{}", vector.name);
                lengths.insert(length);
            }
        }
        assert_eq!(lengths, BTreeSet::from([64 * 1024, 1024 * 1024]));
    }

    #[test]
    fn the_documented_example_is_the_first_vector() {
        assert_eq!(text_of("example"), EXAMPLE_BODY);
        assert_eq!(all()[0].name, "example");
    }

    #[test]
    fn there_are_vectors_of_every_kind() {
        let flags: BTreeSet<&str> = all().iter().map(|vector| vector.flag.as_str()).collect();
        let wanted = [
            "Example",
            "Secret",
            "SecretAsText",
            "Spacing",
            "KeyOrder",
            "Unicode",
            "Escapes",
            "Length",
            "WrongSecret",
            "Respaced",
            "Reordered",
            "Reescaped",
            "Renormalized",
            "TamperedBody",
            "TamperedDigest",
            "OtherDigest",
            "Truncated",
            "Lengthened",
            "NotHex",
            "OtherHash",
            "Base64",
            "Prefixed",
            "DecodedSecret",
            "Absent",
            "EmptyHeader",
            "LetterCase",
            "EmptyBody",
            "NotUtf8",
        ];
        assert_eq!(flags, BTreeSet::from(wanted));
    }
}
