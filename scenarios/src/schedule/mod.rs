//! What each scenario sends and when: pure functions of scenario, size, seed and limits.
//!
//! To add a scenario: give it a name and a line in [`Scenario`], and a function here that pushes its slots.

mod builder;
mod random;

use crate::plan::{Apis, Job, Limits, Plan, RefreshBody, RenderForm, Size, SizeError};
use crate::scenario::Scenario;
use builder::{Builder, Stream};

/// Nearer to a window's end than the tolerance answers are left open; this much farther away they are not.
const EDGE_MARGIN_MS: u64 = 1_000;

pub(crate) fn lay_out(
    scenario: Scenario,
    size: &Size,
    seed: u64,
    limits: &Limits,
    apis: Apis,
) -> Result<Plan, SizeError> {
    let builder = Builder::new(scenario, size, seed, *limits)?;
    match scenario {
        Scenario::FirstWindow => first_window(builder),
        Scenario::TokenSpread => token_spread(builder),
        Scenario::NoisyNeighbour => noisy_neighbour(builder),
        Scenario::WindowEdge => window_edge(builder),
        Scenario::QuotaDrain => quota_drain(builder),
        Scenario::InvalidMix => invalid_mix(builder),
        Scenario::InboundRenders => inbound_renders(builder),
        Scenario::QueueOutage => queue_outage(builder),
        Scenario::Revocation => revocation(builder),
        Scenario::Steady => steady(builder, apis),
    }
}

/// A volley on each domain, far beyond its limit, over all its tokens; then one request alone.
///
/// Whoever sends some of a volley away without need breaks no more than a *should*; a request that overlaps no other has no such excuse.
fn first_window(mut b: Builder) -> Result<Plan, SizeError> {
    let domains = b.domains(20)?;
    let tokens = b.tokens(b.limits.tokens)?;
    let volley = b.volley_size(4, domains)?;
    for domain in 0..domains {
        let order = b.tokens_in_turn(volley, tokens, domain);
        let jobs = order.into_iter().map(|token| b.pages(domain, token, 3)).collect();
        b.volley(jobs);
        b.alone(domain, domain % tokens);
    }
    b.finish()
}

/// Fewer requests by each token than the limit, more by all together, between two that come alone; then one more by each.
fn token_spread(mut b: Builder) -> Result<Plan, SizeError> {
    let domains = b.domains(8)?;
    let tokens = b.tokens(b.limits.tokens)?;
    if tokens < 2 {
        return Err(b.wrong("tokens", "at least 2", tokens));
    }
    let volley = b.volley_size(2, domains)?;
    for domain in 0..domains {
        b.alone(domain, 0);
        let order = b.tokens_in_turn(volley, tokens, domain);
        let jobs = order.into_iter().map(|token| b.pages(domain, token, 1)).collect();
        b.volley(jobs);
        b.alone(domain, 1);
        let once_more = (0..tokens).map(|token| b.pages(domain, token, 1)).collect();
        b.volley(once_more);
    }
    b.finish()
}

/// The first domain floods at random times; each of the others sends exactly what it is served, evenly.
fn noisy_neighbour(mut b: Builder) -> Result<Plan, SizeError> {
    let domains = b.domains(6)?;
    if domains < 2 {
        return Err(b.wrong("domains", "at least 2: one that floods, one that is flooded", domains));
    }
    let tokens = b.tokens(2)?;
    let flood = b.poisson_stream(300.0, 1_500)?;
    let neighbours = (domains - 1) * b.limits.requests;
    let mut jobs = Vec::new();
    for (index, due) in flood.dues.iter().enumerate() {
        jobs.push((*due, b.flood(0, index % tokens)));
    }
    for index in 0..neighbours {
        let due = flood.due_within(index, neighbours);
        let domain = 1 + index % (domains - 1);
        jobs.push((due, b.pages(domain, (index / (domains - 1)) % tokens, 1)));
    }
    if flood.dues.iter().all(Option::is_none) {
        // A closed loop sends in this order: the neighbours come all along, not after the flood.
        b.dice.shuffle("closed", &mut jobs);
    }
    let users = flood.users;
    b.stream(jobs, users);
    b.finish()
}

/// Three windows: a volley in each between two requests that come alone, late in the first and the last, and between windows a stream
/// during which the clock passes the end.
fn window_edge(mut b: Builder) -> Result<Plan, SizeError> {
    const WINDOWS: usize = 3;
    /// Requests of each domain shortly before the clock is moved over the end, and as many after.
    const AROUND: usize = 3;
    let domains = b.domains(6)?;
    let tokens = b.tokens(2)?;
    let volley = b.volley_size(2, domains * WINDOWS)?;
    let edge = b.limits.tolerance_ms + EDGE_MARGIN_MS;
    if b.limits.window_ms <= 2 * edge {
        return Err(b.wrong("window", "longer than twice the tolerance and a second", b.limits.window_ms));
    }
    b.drives_clock();
    for window in 0..WINDOWS {
        // Every other window is used up late: in the next one a limit that slides still counts what was served then.
        let late_ms = if window % 2 == 0 { b.limits.window_ms / 2 } else { 0 };
        if window == 0 {
            for domain in 0..domains {
                let jobs = (0..AROUND).map(|index| b.pages(domain, index % tokens, 1)).collect();
                b.volley(jobs);
            }
        }
        if late_ms > 0 {
            b.volley(vec![Job::Advance { ms: late_ms }]);
        }
        for domain in 0..domains {
            b.alone(domain, 0);
            let order = b.tokens_in_turn(volley, tokens, window * domains + domain);
            let jobs = order.into_iter().map(|token| b.pages(domain, token, 1)).collect();
            b.volley(jobs);
            b.alone(domain, tokens - 1);
        }
        if window + 1 == WINDOWS {
            break;
        }
        b.volley(vec![Job::Advance { ms: b.limits.window_ms - late_ms - edge }]);
        let mut jobs = Vec::new();
        for round in 0..2 * AROUND {
            if round == AROUND {
                jobs.push((None, Job::Advance { ms: 2 * edge }));
            }
            for domain in 0..domains {
                jobs.push((None, b.pages(domain, round % tokens, 1)));
            }
        }
        b.stream(jobs, domains);
    }
    b.finish()
}

/// The first domain is used up one request after the other, which shows when renders are charged; the others in volleys.
fn quota_drain(mut b: Builder) -> Result<Plan, SizeError> {
    let domains = b.domains(7)?;
    if domains < 2 {
        return Err(b.wrong("domains", "at least 2: one to be used up in turn, one at once", domains));
    }
    let tokens = b.tokens(2)?;
    // Less than the limit, so that it is the quota that refuses.
    let left = b.limits.requests / 2;
    b.renders_left(left as u64);
    for index in 0..=left {
        let job = b.pages(0, index % tokens, 1);
        b.volley(vec![job]);
    }
    let volley = b.volley_size(3, domains - 1)?;
    for domain in 1..domains {
        let order = b.tokens_in_turn(volley, tokens, domain);
        let jobs = order.into_iter().map(|token| b.pages(domain, token, 1)).collect();
        b.volley(jobs);
    }
    b.finish()
}

/// Volleys of which one half names paths, a quarter nothing, a quarter no path.
fn invalid_mix(mut b: Builder) -> Result<Plan, SizeError> {
    let domains = b.domains(12)?;
    let tokens = b.tokens(2)?;
    let volley = b.volley_size(4, domains)?;
    for domain in 0..domains {
        let mut jobs: Vec<Job> = (0..volley)
            .map(|index| {
                let token = index % tokens;
                match index % 4 {
                    0 => Job::Refresh { domain, token, body: RefreshBody::Missing, flood: false },
                    1 => Job::Refresh { domain, token, body: RefreshBody::NoPath, flood: false },
                    _ => b.pages(domain, token, 1),
                }
            })
            .collect();
        b.dice.shuffle("mix", &mut jobs);
        b.volley(jobs);
    }
    b.finish()
}

/// Every form of request on a template that asks for signatures and on one that does not.
fn inbound_renders(mut b: Builder) -> Result<Plan, SizeError> {
    let Stream { dues, users } = b.constant_stream(150.0, 1_500)?;
    b.templates(2, 1);
    let jobs = dues.iter().enumerate().map(|(index, due)| {
        let forms =
            [RenderForm::Signed, RenderForm::Signed, RenderForm::Unsigned, RenderForm::Tampered, RenderForm::Invalid];
        let form = forms[b.dice.below("form", index, forms.len())];
        (*due, Job::Render { template: b.dice.below("template", index, 2), form })
    });
    let jobs = jobs.collect();
    b.stream(jobs, users);
    b.finish()
}

/// Renders all the time, and two outages in between.
fn queue_outage(mut b: Builder) -> Result<Plan, SizeError> {
    /// When the queue goes down and comes back, as parts of the stream.
    const OUTAGES: [(f64, bool); 4] = [(0.2, false), (0.4, true), (0.6, false), (0.7, true)];
    let Stream { dues, users } = b.constant_stream(150.0, 1_500)?;
    b.templates(1, 0);
    let mut jobs: Vec<(Option<u64>, Job)> = Vec::new();
    let turns = OUTAGES.map(|(part, available)| ((part * dues.len() as f64) as usize, available));
    for (index, due) in dues.iter().enumerate() {
        for (_, available) in turns.iter().filter(|(at, _)| *at == index) {
            jobs.push((*due, Job::Queue { available: *available }));
        }
        let form = [RenderForm::Signed, RenderForm::Unsigned][b.dice.below("form", index, 2)];
        jobs.push((*due, Job::Render { template: 0, form }));
    }
    b.takes_queue_down();
    b.stream(jobs, users);
    b.finish()
}

/// Part of the limit by all tokens, then a volley in which the first token is revoked, then one without it.
fn revocation(mut b: Builder) -> Result<Plan, SizeError> {
    let domains = b.domains(6)?;
    let tokens = b.tokens(3)?;
    if tokens < 2 {
        return Err(b.wrong("tokens", "at least 2: one to revoke, one to go on with", tokens));
    }
    b.revokes();
    let volley = b.volley_size(2, domains * 2)?;
    for domain in 0..domains {
        let served_before = b.limits.requests * 7 / 10;
        let first = (0..served_before).map(|index| b.pages(domain, index % tokens, 1)).collect();
        b.volley(first);
        let order = b.tokens_in_turn(volley, tokens, domain);
        let mut jobs: Vec<Job> = order.into_iter().map(|token| b.pages(domain, token, 1)).collect();
        jobs.insert(b.dice.below("revoke", domain, volley), Job::Revoke { domain, token: 0 });
        b.volley(jobs);
        let order = b.tokens_in_turn(volley, tokens - 1, domain);
        let last = order.into_iter().map(|token| b.pages(domain, 1 + token, 1)).collect();
        b.volley(last);
    }
    b.finish()
}

/// Arrivals at one rate over many domains and, where there is a template, half of them signed renders.
fn steady(mut b: Builder, apis: Apis) -> Result<Plan, SizeError> {
    let Stream { dues, users } = b.stream_as_sized(200.0, 2_500)?;
    let domains = if apis.rndrkit { b.domains(20)? } else { 0 };
    let tokens = b.tokens(2)?;
    if apis.craftkit {
        b.templates(1, 0);
    }
    let mut jobs = Vec::new();
    for (index, due) in dues.iter().enumerate() {
        let render = apis.craftkit && (!apis.rndrkit || index % 2 == 1);
        let job = if render {
            Job::Render { template: 0, form: RenderForm::Signed }
        } else {
            let domain = b.dice.below("domain", index, domains);
            b.pages(domain, b.dice.below("token", index, tokens), 3)
        };
        jobs.push((*due, job));
    }
    b.stream(jobs, users);
    b.finish()
}
