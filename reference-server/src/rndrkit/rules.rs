//! The documented order of checks, as a pure function of state, request and time.

use std::sync::Arc;

use super::wire::{Accepted, Asked, Refusal, read};
use crate::clock::Millis;
use crate::parts::{Admission, Attempt, Charge, Limiter, Quota};
use crate::store::records::{Domain, Plan, Refresh, Token, Write};

/// A request, as far as the rules look at it.
#[derive(Debug, Clone)]
pub struct Command {
    /// The bearer token, if one was sent.
    pub bearer: Option<Vec<u8>>,
    /// What the body asks for, or why it asks for nothing.
    pub asked: Result<Asked, Refusal>,
    /// The number of the connection.
    pub connection: u64,
}

/// What the store knows that matters to the request.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The presented token and its domain, if the token was ever issued.
    pub owner: Option<(Token, Domain)>,
    /// What the limiter remembers, under the key it named.
    pub window: Option<Vec<i64>>,
    /// The domain's known paths; read for a full refresh only.
    pub known_paths: Vec<String>,
}

/// The parts that the rules ask.
#[derive(Clone)]
pub struct Judges {
    /// The hourly limit.
    pub limiter: Arc<dyn Limiter>,
    /// The monthly quota.
    pub quota: Arc<dyn Quota>,
}

/// A reply and what has to be stored before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is answered.
    pub reply: Result<Accepted, Refusal>,
    /// What is stored, also with a refusal: a refused request may count.
    pub writes: Vec<Write>,
}

/// Reads and decides a refresh.
pub trait RefreshRules: Send + Sync {
    /// Reads the body.
    ///
    /// # Errors
    /// The refusal that the body deserves.
    fn read(&self, content_type: Option<&[u8]>, body: &[u8]) -> Result<Asked, Refusal> {
        read(content_type, body)
    }

    /// Decides.
    fn decide(&self, judges: &Judges, state: &State, command: &Command, now: Millis) -> Decision;
}

/// The order of the reference.
#[derive(Debug)]
pub struct DocumentedOrder;

impl RefreshRules for DocumentedOrder {
    fn decide(&self, judges: &Judges, state: &State, command: &Command, now: Millis) -> Decision {
        decide(judges, state, command, now)
    }
}

/// Decides one refresh.
pub fn decide(judges: &Judges, state: &State, command: &Command, now: Millis) -> Decision {
    let mut writes = Vec::new();
    let reply = Case { judges, state, command, now }.check(&mut writes);
    Decision { reply, writes }
}

/// All that a decision depends on.
struct Case<'a> {
    judges: &'a Judges,
    state: &'a State,
    command: &'a Command,
    now: Millis,
}

impl Case<'_> {
    fn check(&self, writes: &mut Vec<Write>) -> Result<Accepted, Refusal> {
        let Case { judges, state, command, now } = *self;
        // rndrkit.auth.header-missing, .scheme-not-bearer, .token-empty
        if command.bearer.is_none() {
            return Err(Refusal::NoBearer);
        }
        // rndrkit.auth.token-unknown, .token-foreign, .token-revoked: revoked and unknown look the same.
        let (token, domain) = match &state.owner {
            Some((token, domain)) if !token.revoked => (token, domain),
            Some(_) | None => return Err(Refusal::UnknownToken),
        };
        // rndrkit.domain.inactive
        if !domain.active {
            return Err(Refusal::DomainInactive);
        }
        // rndrkit.plan.starter, .pro, .agency: Agency+ is one tier, not "Agency and more".
        match domain.plan {
            Plan::AgencyPlus => {}
            Plan::Starter | Plan::Pro | Plan::Agency => return Err(Refusal::PlanTooSmall),
        }
        // rndrkit.rate.counts-invalid-body, .counts-invalid-paths, .before-validation: the request counts
        // whatever its body holds, so it is counted before the body is judged.
        let attempt = attempt(token, domain, command, now);
        let Admission { admitted, state: counted } = judges.limiter.admit(state.window.as_deref(), &attempt);
        if let Some(state) = counted {
            writes.push(Write::PutWindow { key: judges.limiter.key(&attempt), state });
        }
        if !admitted {
            return Err(Refusal::RateLimited);
        }
        // rndrkit.body.*, rndrkit.paths.*
        let asked = command.asked.clone()?;
        // rndrkit.quota.reached, .full-refresh, .rejected-free
        let (full, paths) = match asked {
            Asked::Full => (true, state.known_paths.clone()),
            Asked::Paths(paths) => (false, paths),
        };
        let pages = paths.len();
        let charge = Charge { pages: pages as u64, full };
        let usage = judges.quota.charge(domain, charge, now).ok_or(Refusal::QuotaReached)?;
        // rndrkit.quota.counts-refreshes, rndrkit.selective.queues-paths, rndrkit.full.queues-known-paths
        let name = domain.name.clone();
        writes.push(Write::SetUsage { domain: name.clone(), usage });
        writes.push(Write::AppendRefresh(Refresh { domain: name.clone(), accepted_at: now, full, paths }));
        Ok(if full { Accepted::full(name) } else { Accepted::selective(name, pages) })
    }
}

/// The attempt that a request makes on its domain's limit.
pub fn attempt<'a>(token: &'a Token, domain: &'a Domain, command: &Command, now: Millis) -> Attempt<'a> {
    Attempt { domain: &domain.name, token: &token.id, connection: command.connection, now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rndrkit::limiter::FixedWindow;
    use crate::rndrkit::quota::PeriodQuota;
    use crate::store::records::Usage;

    const NOW: Millis = 1_000_000;

    fn judges() -> Judges {
        Judges { limiter: Arc::new(FixedWindow::documented()), quota: Arc::new(PeriodQuota) }
    }

    fn command(body: &str) -> Command {
        Command {
            bearer: Some(b"rk_wh_x".to_vec()),
            asked: read(Some(b"application/json"), body.as_bytes()),
            connection: 1,
        }
    }

    /// A state in which a refresh is accepted.
    fn state() -> State {
        let token = Token { id: "t1".to_owned(), domain: "a.example".to_owned(), revoked: false };
        let domain = Domain {
            name: "a.example".to_owned(),
            plan: Plan::AgencyPlus,
            active: true,
            monthly_render_limit: Some(100),
            usage: Usage { renders_used: 0, period_start: NOW },
            created_at: NOW,
        };
        let known_paths = vec!["/".to_owned(), "/a".to_owned()];
        State { owner: Some((token, domain)), window: None, known_paths }
    }

    fn broken(state: &mut State, refusal: Refusal) {
        let (token, domain) = state.owner.as_mut().expect("owner");
        match refusal {
            Refusal::UnknownToken => token.revoked = true,
            Refusal::DomainInactive => domain.active = false,
            Refusal::PlanTooSmall => domain.plan = Plan::Agency,
            Refusal::RateLimited => state.window = Some(vec![NOW, 10]),
            Refusal::QuotaReached => domain.usage.renders_used = 100,
            Refusal::NoBearer | Refusal::NothingAsked | Refusal::NoValidPath => {}
        }
    }

    #[test]
    fn the_checks_come_in_their_order() {
        let order = [
            Refusal::UnknownToken,
            Refusal::DomainInactive,
            Refusal::PlanTooSmall,
            Refusal::RateLimited,
            Refusal::NothingAsked,
            Refusal::QuotaReached,
        ];
        for (place, expected) in order.into_iter().enumerate() {
            let mut state = state();
            for refusal in &order[place..] {
                broken(&mut state, *refusal);
            }
            let bodied = order[place..].contains(&Refusal::NothingAsked);
            let body = if bodied { "{}" } else { r#"{"urls":["/"]}"# };
            let decision = decide(&judges(), &state, &command(body), NOW);
            assert_eq!(decision.reply, Err(expected));
        }
    }

    #[test]
    fn a_request_without_a_bearer_token_is_told_so_first() {
        let mut command = command("{}");
        command.bearer = None;
        let decision = decide(&judges(), &State::default(), &command, NOW);
        assert_eq!(decision, Decision { reply: Err(Refusal::NoBearer), writes: Vec::new() });
    }

    #[test]
    fn early_refusals_count_for_nothing() {
        for refusal in [Refusal::UnknownToken, Refusal::DomainInactive, Refusal::PlanTooSmall] {
            let mut state = state();
            broken(&mut state, refusal);
            let decision = decide(&judges(), &state, &command("{}"), NOW);
            assert_eq!(decision, Decision { reply: Err(refusal), writes: Vec::new() });
        }
    }

    #[test]
    fn invalid_bodies_still_count() {
        let counted = vec![Write::PutWindow { key: "a.example".to_owned(), state: vec![NOW, 1] }];
        for body in ["{}", r#"{"urls":["about"]}"#, "{"] {
            let decision = decide(&judges(), &state(), &command(body), NOW);
            assert!(decision.reply.is_err());
            assert_eq!(decision.writes, counted, "{body}");
        }
    }

    #[test]
    fn a_refusal_for_the_quota_charges_nothing() {
        let mut state = state();
        broken(&mut state, Refusal::QuotaReached);
        for body in [r#"{"urls":["/"]}"#, r#"{"all":true}"#] {
            let decision = decide(&judges(), &state, &command(body), NOW);
            assert_eq!(decision.reply, Err(Refusal::QuotaReached));
            assert!(decision.writes.iter().all(|w| matches!(w, Write::PutWindow { .. })));
        }
    }

    #[test]
    fn an_accepted_list_is_counted_charged_and_queued() {
        let decision = decide(&judges(), &state(), &command(r#"{"urls":["/x","y","/x"]}"#), NOW);
        assert_eq!(decision.reply, Ok(Accepted::selective("a.example".to_owned(), 2)));
        let usage = Usage { renders_used: 2, period_start: NOW };
        let refresh = Refresh {
            domain: "a.example".to_owned(),
            accepted_at: NOW,
            full: false,
            paths: vec!["/x".to_owned(), "/x".to_owned()],
        };
        assert_eq!(
            decision.writes[1..],
            [Write::SetUsage { domain: "a.example".to_owned(), usage }, Write::AppendRefresh(refresh),]
        );
    }

    #[test]
    fn a_full_refresh_queues_and_charges_every_known_path() {
        let decision = decide(&judges(), &state(), &command(r#"{"all":true}"#), NOW);
        assert_eq!(decision.reply, Ok(Accepted::full("a.example".to_owned())));
        let usage = Usage { renders_used: 2, period_start: NOW };
        assert!(decision.writes.contains(&Write::SetUsage { domain: "a.example".to_owned(), usage }));
    }
}
