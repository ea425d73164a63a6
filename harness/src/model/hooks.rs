//! CraftKit's side of the contract: the hook.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Conditions, Fact, Seeing, Unacceptable};

/// An answer of the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hooked {
    /// 202.
    Accepted,
    /// 400, the JSON or the data.
    Invalid,
    /// 401, a wrong signature.
    Forged,
    /// 400 to 499, no signature where one is demanded.
    Unsigned,
    /// 404.
    Unknown,
    /// 409.
    Unpublished,
    /// 503.
    Unavailable,
    /// Anything else.
    Other,
}

impl Hooked {
    fn all_of(status: u16) -> Vec<Hooked> {
        let own = match status {
            200..=299 => Hooked::Accepted,
            400 => Hooked::Invalid,
            401 => Hooked::Forged,
            404 => Hooked::Unknown,
            409 => Hooked::Unpublished,
            503 => Hooked::Unavailable,
            _ => Hooked::Other,
        };
        if (400..500).contains(&status) { vec![own, Hooked::Unsigned] } else { vec![own] }
    }
}

/// What is sent to the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// Data that fit, unsigned.
    Fitting,
    /// Data that fit, signed.
    Signed,
    /// Data that fit, wrongly signed.
    Forged,
    /// Data that lack what is required, signed.
    Unfit,
    /// No JSON, signed.
    Malformed,
    /// Data that fit, to a token that was never issued.
    UnknownToken,
}

/// CraftKit's side of the contract.
#[derive(Clone, Debug)]
pub struct HookModel {
    unpublished: Vec<Fact>,
    enforced: Vec<Fact>,
    down: Fact,
}

impl HookModel {
    /// New templates, some of them published.
    pub fn new(published: &[bool]) -> HookModel {
        let draft = |published: &bool| Fact { now: !published, before: !published };
        HookModel {
            unpublished: published.iter().map(draft).collect(),
            enforced: vec![Fact::NO; published.len()],
            // An outage that is over may still be remembered.
            down: Fact { now: false, before: true },
        }
    }

    /// The template was published.
    pub fn publish(&mut self, template: usize) {
        self.unpublished[template].set(false);
    }

    /// The template demands signatures, or no longer.
    pub fn enforce(&mut self, template: usize, enforced: bool) {
        self.enforced[template].set(enforced);
    }

    /// The queue went down or came back.
    pub fn set_queue(&mut self, available: bool) {
        self.down.set(!available);
    }

    /// Takes an answer in, and says what surely stood against the request.
    ///
    /// # Errors
    /// [`Unacceptable`] if nothing possible leads to it.
    pub fn answered(
        &mut self,
        template: usize,
        sent: Sent,
        status: u16,
        seeing: Seeing,
    ) -> Result<BTreeSet<Hooked>, Unacceptable<Hooked>> {
        let always = |holds: bool| (holds, holds);
        let mut conditions = Conditions::none();
        conditions.add(Hooked::Unavailable, self.down.holds(seeing));
        conditions.add(Hooked::Unknown, always(sent == Sent::UnknownToken));
        if sent != Sent::UnknownToken {
            conditions.add(Hooked::Unpublished, self.unpublished[template].holds(seeing));
            conditions.add(Hooked::Invalid, always(matches!(sent, Sent::Unfit | Sent::Malformed)));
            conditions.add(Hooked::Forged, always(sent == Sent::Forged));
            if sent == Sent::Fitting {
                conditions.add(Hooked::Unsigned, self.enforced[template].holds(seeing));
            }
        }
        if Hooked::all_of(status).into_iter().any(|answer| conditions.allow(answer, Hooked::Accepted)) {
            return Ok(conditions.sure);
        }
        Err(Unacceptable { acceptable: conditions.acceptable(Hooked::Accepted), against: conditions.sure })
    }
}
