//! Secret values: made here, hashed here, never printed.
//!
//! What may be stored as a hash is stored as a hash. Only signing secrets are kept as text, because
//! an HMAC cannot be computed from a hash of its key.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The SHA-256 of a token or key, which is all that is stored of it.
pub type Digest = [u8; 32];

/// A text that must reach no log, no error and no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that is secret from now on.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// Gives the value out, for signing and for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Opens the control plane; without one there is no control plane.
#[derive(Clone)]
pub struct ControlToken(Secret);

impl ControlToken {
    /// Wraps the token that callers of the control plane have to send.
    pub fn new(value: impl Into<String>) -> ControlToken {
        ControlToken(Secret::new(value))
    }

    /// Says whether a presented value is this token, in constant time.
    pub fn matches(&self, presented: &[u8]) -> bool {
        // Comparing digests makes the time independent of the length too.
        let ours = digest(self.0.expose().as_bytes());
        bool::from(ours.ct_eq(&digest(presented)))
    }
}

impl fmt::Debug for ControlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlToken")
    }
}

/// Hashes a token or key as it is stored.
///
/// A plain hash suffices: the values are random and long, so there is nothing to guess.
pub fn digest(value: &[u8]) -> Digest {
    Sha256::digest(value).into()
}

/// Length of the random part of tokens and keys, as RndrKit's and CraftKit's pages show it.
const RANDOM_CHARS: usize = 32;

/// Makes a webhook token of RndrKit (rule `rndrkit.tokens.prefix`).
pub fn new_webhook_token() -> Secret {
    Secret(format!("rk_wh_{}", random_text::<RANDOM_CHARS>()))
}

/// Makes a project key of CraftKit.
pub fn new_api_key() -> Secret {
    Secret(format!("ck_live_{}", random_text::<RANDOM_CHARS>()))
}

/// Makes the token that stands in the URL of a template's inbound webhook.
pub fn new_inbound_token() -> Secret {
    Secret(random_text::<RANDOM_CHARS>())
}

/// Makes a signing secret: 64 lower-case hexadecimal digits.
///
/// The key of the HMAC is this text itself, not the 32 bytes it spells. It looks like hexadecimal on
/// purpose, so that a server which decodes it first gives other signatures and is found out
/// (rule `craftkit.signature.secret-as-text`).
pub fn new_signing_secret() -> Secret {
    Secret(hex::encode(rand::random::<[u8; 32]>()))
}

/// Makes `N` random characters that need no escaping in URLs and headers.
pub fn random_text<const N: usize>() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    rand::random::<[u8; N]>().iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

/// Makes a short random name part: lower-case hexadecimal, good in host names and slugs.
pub fn random_name() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_no_secret() {
        let token = ControlToken::new("very-secret");
        let shown = format!("{token:?} {:?}", Secret::new("very-secret"));
        assert!(!shown.contains("very-secret"), "{shown}");
    }

    #[test]
    fn only_the_whole_control_token_matches() {
        let token = ControlToken::new("very-secret");
        assert!(token.matches(b"very-secret"));
        assert!(!token.matches(b"very-secre"));
        assert!(!token.matches(b""));
    }

    #[test]
    fn tokens_have_their_documented_form() {
        let token = new_webhook_token();
        let random = token.expose().strip_prefix("rk_wh_").expect("prefix");
        assert_eq!(random.len(), RANDOM_CHARS);
        assert!(random.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
}
