//! Outgoing webhooks as evidence: a receiver they can reach, and what arrived there.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use sha2::Sha256;

use super::{Gather, Stop, Subscription};
use crate::api::Api;
use crate::config::check_address;
use crate::evidence::{Body, Delivery, DeliverySignature};
use crate::target::receiver::{Answering, Received, Receiver};

/// The header of a delivery that carries its signature.
const SIGNATURE: &str = "x-craftkit-signature";

impl Gather {
    /// Opens a receiver for outgoing webhooks under a path that nobody guesses. It is there until it is dropped.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the target is on another machine, which cannot reach it, or if there is no port for it.
    pub async fn receiver(&mut self, answering: Answering) -> Result<Receiver, Stop> {
        const OWNED: bool = false;
        let client = self.world.clients.get(&Api::Craftkit).expect("a check runs only when its API is in scope");
        if check_address(client.base_url(), OWNED).is_err() {
            let why = format!("outgoing webhooks are received on loopback, which {} cannot reach", client.base_url());
            return Err(Stop::NotRun(why));
        }
        let path = format!("/{:032x}", self.rng.random::<u128>());
        let opened = Receiver::open(&path, answering, self.world.began).await;
        opened.map_err(|error| Stop::NotRun(format!("no receiver for outgoing webhooks could be opened: {error}")))
    }

    /// Waits until `done` says so of what has arrived, or `bound` of real time is over. All that has arrived by then is evidence
    /// under `label`, in the place of what an earlier look kept there. Returns what `done` says in the end.
    pub async fn deliveries(
        &mut self,
        label: &str,
        receiver: &Receiver,
        subscription: &Subscription,
        bound: Duration,
        done: impl Fn(&[Delivery]) -> bool,
    ) -> bool {
        let seen = |received: &[Received]| -> Vec<Delivery> {
            received.iter().map(|one| delivery(label, one, subscription.secret.expose())).collect()
        };
        let received = receiver.until(bound, |received| done(&seen(received))).await;
        let deliveries = seen(&received);
        let complete = done(&deliveries);
        self.evidence.deliveries.retain(|kept| kept.label != label);
        // Not in the room of the run: that another check was told too much must not hide a delivery.
        self.evidence.deliveries.extend(deliveries.into_iter().filter(|kept| self.room.take(kept.size())));
        complete
    }
}

fn delivery(label: &str, received: &Received, secret: &str) -> Delivery {
    Delivery {
        label: label.to_owned(),
        method: received.method.clone(),
        headers: received.headers.clone(),
        body: Body::keep(&received.body),
        signature: signature_of(received, secret),
        received_ns: received.received_ns,
        answered: received.answered,
    }
}

/// Compares the signature with the secret's, which the judge never sees.
fn signature_of(received: &Received, secret: &str) -> DeliverySignature {
    let Some((_, given)) = received.headers.iter().find(|(name, _)| name == SIGNATURE) else {
        return DeliverySignature::Absent;
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(&received.body);
    let matches = hex::decode(given).is_ok_and(|digest| mac.verify_slice(&digest).is_ok());
    if matches { DeliverySignature::Matches } else { DeliverySignature::Differs }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HMAC-SHA256 under the key `test_inbound_secret`, as `openssl dgst` computes it.
    const DIGEST_OF_EMPTY_OBJECT: &str = "b331e3c2511d0aceeee5118a979c8e9eb0af50ed2bf9604bb4233270f7ee779e";

    fn signature(given: Option<&str>, body: &str) -> DeliverySignature {
        let headers = given.map(|given| (SIGNATURE.to_owned(), given.to_owned())).into_iter().collect();
        let body = body.as_bytes().to_vec();
        let received = Received { method: "POST".to_owned(), headers, body, received_ns: 0, answered: 200 };
        signature_of(&received, "test_inbound_secret")
    }

    #[test]
    fn a_signature_matches_the_raw_body_only_bare_and_whole() {
        assert_eq!(signature(Some(DIGEST_OF_EMPTY_OBJECT), "{}"), DeliverySignature::Matches);
        assert_eq!(signature(Some(DIGEST_OF_EMPTY_OBJECT), "{ }"), DeliverySignature::Differs);
        assert_eq!(signature(Some(&format!("sha256={DIGEST_OF_EMPTY_OBJECT}")), "{}"), DeliverySignature::Differs);
        assert_eq!(signature(Some(&DIGEST_OF_EMPTY_OBJECT[..32]), "{}"), DeliverySignature::Differs);
        assert_eq!(signature(None, "{}"), DeliverySignature::Absent);
    }
}
