//! Signatures of inbound requests: lower-case hexadecimal HMAC-SHA256 of the raw body.
//!
//! Only the bytes that were sent are hashed, so a body that is parsed and written again needs a
//! signature of its own (`craftkit.signature.raw-body`).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Bytes in an HMAC-SHA256 digest: the output length of SHA-256 (FIPS 180-4).
const DIGEST_BYTES: usize = 32;

/// The value of `x-craftkit-signature` for a body: 64 lower-case hexadecimal digits.
///
/// The key is the secret's text. A secret that happens to look like hexadecimal or base64 is not
/// decoded (`craftkit.signature.secret-as-text`).
pub fn sign(secret: &str, raw: &[u8]) -> String {
    hex::encode(digest(secret, raw))
}

/// Whether a header value is the signature of a body under a secret.
///
/// Anything but 64 lower-case hexadecimal digits is refused like any other mismatch: upper case,
/// a `sha256=` prefix, base64, surrounding space, two values joined by a comma.
pub fn verify(secret: &str, raw: &[u8], header: &[u8]) -> bool {
    // What is refused here depends on the header alone, so leaving early tells nothing.
    let Some(claimed) = decode(header) else {
        return false;
    };
    digest(secret, raw).ct_eq(&claimed).into()
}

fn digest(secret: &str, raw: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length, RFC 2104 section 2");
    mac.update(raw);
    mac.finalize().into_bytes().into()
}

fn decode(header: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    // The decoder takes upper case too; a signature has one spelling only.
    if header.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut claimed = [0; DIGEST_BYTES];
    hex::decode_to_slice(header, &mut claimed).ok()?;
    Some(claimed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use proptest::prelude::*;

    const SECRET: &str = "test_inbound_secret";

    /// The body of the documented shell example.
    const EXAMPLE: &[u8] =
        br#"{"customer":{"name":"Acme Corp"},"items":[{"name":"Widget","qty":5,"price":9.99}],"total":49.95}"#;
    const EXAMPLE_DIGEST: &str = "1453da17704d07618fc7445d814a19c127ed4a71e6018122c4b2ce324c4ac463";

    /// The same data as Python's `json.dumps` spaces it.
    const SPACED: &[u8] = br#"{"customer": {"name": "Acme Corp"}, "items": [{"name": "Widget", "qty": 5, "price": 9.99}], "total": 49.95}"#;
    const SPACED_DIGEST: &str = "604828d5492ab4f03f401b9f43adb66ff6758c0c5b63cbc2caba8563c3823010";

    #[track_caller]
    fn check_vector(raw: &[u8], length: usize, expected: &str) {
        assert_eq!(raw.len(), length);
        assert_eq!(sign(SECRET, raw), expected);
        assert!(verify(SECRET, raw, expected.as_bytes()));
    }

    #[track_caller]
    fn check_refused(header: &[u8]) {
        let shown = String::from_utf8_lossy(header);
        assert!(!verify(SECRET, EXAMPLE, header), "accepted {shown:?}");
    }

    #[test]
    fn the_documented_example_body_has_the_published_digest() {
        check_vector(EXAMPLE, 96, EXAMPLE_DIGEST);
    }

    #[test]
    fn the_example_with_python_spacing_has_the_published_digest() {
        check_vector(SPACED, 107, SPACED_DIGEST);
    }

    #[test]
    fn an_empty_object_has_the_published_digest() {
        let digest = "b331e3c2511d0aceeee5118a979c8e9eb0af50ed2bf9604bb4233270f7ee779e";
        check_vector(b"{}", 2, digest);
    }

    #[test]
    fn an_empty_body_has_the_published_digest() {
        let digest = "f26964c0fb0bb89473d4d5528a6136c5a0f93155cfa5ea1bfddf74a4a8644dac";
        check_vector(b"", 0, digest);
    }

    #[test]
    fn a_body_that_is_not_json_has_the_published_digest() {
        let digest = "3b84b37a9815aaeacfe999502cc174b53705a646c3d648662121fadd2a454c2a";
        check_vector(br#"{"customer":"#, 12, digest);
    }

    #[test]
    fn a_signature_of_the_same_json_spaced_otherwise_is_refused() {
        check_refused(SPACED_DIGEST.as_bytes());
        assert!(!verify(SECRET, SPACED, EXAMPLE_DIGEST.as_bytes()));
    }

    #[test]
    fn a_signature_under_another_secret_is_refused() {
        check_refused(sign("test_inbound_secret_2", EXAMPLE).as_bytes());
    }

    #[test]
    fn a_signature_keyed_by_the_decoded_secret_is_refused() {
        let secret = "00112233445566778899aabbccddeeff";
        let key = hex::decode(secret).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(EXAMPLE);
        let header = hex::encode(mac.finalize().into_bytes());
        assert!(!verify(secret, EXAMPLE, header.as_bytes()));
    }

    #[test]
    fn a_secret_longer_than_a_hash_block_and_an_empty_one_both_sign() {
        for secret in ["", &"k".repeat(1000)] {
            assert!(verify(secret, b"{}", sign(secret, b"{}").as_bytes()));
        }
    }

    #[test]
    fn upper_case_hexadecimal_is_refused() {
        check_refused(EXAMPLE_DIGEST.to_uppercase().as_bytes());
        // One digit is enough.
        check_refused(EXAMPLE_DIGEST.replacen('d', "D", 1).as_bytes());
    }

    #[test]
    fn a_sha256_prefix_is_refused() {
        check_refused(format!("sha256={EXAMPLE_DIGEST}").as_bytes());
        check_refused(format!("0x{EXAMPLE_DIGEST}").as_bytes());
    }

    #[test]
    fn base64_of_the_right_digest_is_refused() {
        let digest = hex::decode(EXAMPLE_DIGEST).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&digest);
        check_refused(base64.as_bytes());
        check_refused(&digest);
    }

    #[test]
    fn an_empty_header_is_refused() {
        check_refused(b"");
    }

    #[test]
    fn a_digest_cut_short_or_lengthened_is_refused() {
        for length in [1, 2, 32, 62, 63] {
            check_refused(&EXAMPLE_DIGEST.as_bytes()[..length]);
        }
        for extra in ["0", "00", " ", "\n", ", ", EXAMPLE_DIGEST] {
            check_refused(format!("{EXAMPLE_DIGEST}{extra}").as_bytes());
            check_refused(format!("{extra}{EXAMPLE_DIGEST}").as_bytes());
        }
    }

    #[test]
    fn a_repeated_header_joined_by_a_comma_is_refused() {
        check_refused(format!("{EXAMPLE_DIGEST}, {EXAMPLE_DIGEST}").as_bytes());
    }

    #[test]
    fn sixty_four_bytes_that_are_not_hexadecimal_are_refused() {
        check_refused(&[b'z'; 64]);
        check_refused(&[0xff; 64]);
        check_refused(&[0; 64]);
        check_refused("é".repeat(32).as_bytes());
    }

    #[test]
    fn a_kibibyte_of_header_is_refused() {
        check_refused(&[b'a'; 1024]);
        check_refused(&[b'('; 1024]);
    }

    #[test]
    fn a_digest_with_any_one_digit_changed_is_refused() {
        for at in 0..EXAMPLE_DIGEST.len() {
            let mut header = EXAMPLE_DIGEST.as_bytes().to_vec();
            header[at] = if header[at] == b'0' { b'1' } else { b'0' };
            check_refused(&header);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_signed_verifies(
            secret in ".*",
            raw in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let header = sign(&secret, &raw);
            prop_assert_eq!(header.len(), 2 * DIGEST_BYTES);
            prop_assert!(verify(&secret, &raw, header.as_bytes()));
        }

        #[test]
        fn no_other_header_verifies(header in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assume!(header != EXAMPLE_DIGEST.as_bytes());
            prop_assert!(!verify(SECRET, EXAMPLE, &header));
        }

        #[test]
        fn a_changed_byte_of_the_body_never_verifies(at in 0..EXAMPLE.len(), flip in 1u8..) {
            let mut raw = EXAMPLE.to_vec();
            raw[at] ^= flip;
            prop_assert!(!verify(SECRET, &raw, EXAMPLE_DIGEST.as_bytes()));
        }
    }
}
