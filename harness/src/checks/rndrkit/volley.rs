//! Volleys: more requests in flight at one instant than a limit admits, each volley for a domain of its own.

use super::limit::{TOKENS, count_served, is_served, most_in_flight, surely_in_one_window};
use super::valid_with;
use crate::checks::judge::{Judge, Seen};
use crate::evidence::{Evidence, Exchange, Response};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::http::Request;

/// Volleys that must have overlapped before a race is ruled out.
pub const VOLLEYS_MIN: usize = 5;

/// Volleys sent to get as many that overlapped.
pub const VOLLEYS_MAX: usize = 8;

/// What a volley is made of.
pub struct Volley {
    /// Requests sent at once.
    pub size: usize,
    /// More than so many of them must be in flight at one instant.
    pub overlap_over: usize,
    /// Requests sent one by one afterwards while they are served: a count that lost updates still has room.
    pub follow_up: usize,
}

/// Steps of one volley.
fn steps(number: usize) -> (String, String) {
    (format!("volley-{number}"), format!("volley-{number}/after"))
}

/// Sends volleys until enough of them overlapped, each for a fresh domain.
///
/// # Errors
/// [`Stop::NotRun`] if the fixtures cannot make the domains.
pub async fn send_volleys(g: &mut Gather, wish: &DomainWish, volley: &Volley) -> Result<(), Stop> {
    let mut overlapped = 0;
    for number in 1..=VOLLEYS_MAX {
        let mut domain = g.domain(wish.clone().tokens(TOKENS)).await?;
        overlapped += usize::from(send_volley(g, number, &mut domain, volley).await);
        if overlapped == VOLLEYS_MIN {
            break;
        }
    }
    Ok(())
}

/// Sends one volley, and says whether its requests overlapped.
pub async fn send_volley(g: &mut Gather, number: usize, domain: &mut Domain, volley: &Volley) -> bool {
    let (at_once, after) = steps(number);
    let mut requests: Vec<Request> = Vec::new();
    for place in 0..volley.size {
        requests.push(valid_with(&at_once, domain, place % TOKENS));
    }
    let sent = g.send_volley(&requests).await;
    for place in 0..volley.follow_up {
        let exchange = g.send(valid_with(&after, domain, place % TOKENS)).await;
        if !is_served(&exchange) {
            break;
        }
    }
    let seen: Vec<Seen<'_>> = sent.iter().enumerate().map(|(at, exchange)| Seen { at, exchange }).collect();
    most_in_flight(&seen) > volley.overlap_over
}

/// A volley as it went.
pub struct Flown<'a> {
    /// The requests sent at once.
    pub at_once: Vec<Seen<'a>>,
    /// The requests sent one by one afterwards.
    pub after: Vec<Seen<'a>>,
}

impl<'a> Flown<'a> {
    /// All volleys in the evidence.
    pub fn all(judge: &Judge<'a>) -> Vec<Flown<'a>> {
        let volleys = (1..=VOLLEYS_MAX).map(|number| {
            let (at_once, after) = steps(number);
            Flown { at_once: judge.all(&at_once), after: judge.all(&after) }
        });
        volleys.filter(|flown| !flown.at_once.is_empty()).collect()
    }

    /// How many were served, at once and afterwards.
    pub fn served(&self) -> usize {
        count_served(&self.at_once) + count_served(&self.after)
    }

    /// Requests that got no answer: each of them may have been served.
    pub fn unanswered(&self) -> usize {
        self.at_once.iter().chain(&self.after).filter(|seen| seen.exchange.response.is_none()).count()
    }

    /// True if more than so many were in flight at one instant.
    pub fn overlaps(&self, more_than: usize) -> bool {
        most_in_flight(&self.at_once) > more_than
    }

    /// True if all of it surely lay in one window.
    pub fn is_in_one_window(&self, evidence: &Evidence) -> bool {
        surely_in_one_window(evidence, &[&self.at_once[..], &self.after[..]].concat())
    }
}

/// What volleys say of a ceiling.
pub enum Ceiling<'a> {
    /// It held in enough volleys that overlapped.
    Holds,
    /// A volley went above it, at this request.
    Exceeded(Seen<'a>),
    /// Nothing can be said.
    Unknown(String),
}

/// Whether any volley was served more than `ceiling`. A volley that exceeds it shows so whether or not its requests overlapped.
pub fn ceiling<'a>(evidence: &Evidence, volleys: &[Flown<'a>], ceiling: usize, overlap_over: usize) -> Ceiling<'a> {
    let judged = volleys.iter().filter(|flown| flown.is_in_one_window(evidence));
    let (mut good, mut unsure) = (0, 0);
    for flown in judged {
        let mut served = flown.at_once.iter().chain(&flown.after).filter(|seen| is_served(seen.exchange));
        if let Some(beyond) = served.nth(ceiling) {
            return Ceiling::Exceeded(*beyond);
        }
        unsure += usize::from(flown.served() + flown.unanswered() > ceiling);
        good += usize::from(flown.overlaps(overlap_over));
    }
    if unsure > 0 {
        return Ceiling::Unknown(format!("in {unsure} volleys requests got no answer and may have been served"));
    }
    if good < VOLLEYS_MIN {
        let sent = volleys.len();
        return Ceiling::Unknown(format!(
            "only {good} of {sent} volleys had more than {overlap_over} requests in flight at one instant, and {VOLLEYS_MIN} are needed"
        ));
    }
    Ceiling::Holds
}

/// The volleys in numbers, as findings say it.
pub fn in_numbers(volleys: &[Flown<'_>]) -> String {
    let each: Vec<String> = volleys
        .iter()
        .map(|flown| {
            let (served, sent) = (count_served(&flown.at_once), flown.at_once.len());
            match count_served(&flown.after) {
                0 => format!("{served} of {sent}"),
                later => format!("{served} of {sent} and {later} afterwards"),
            }
        })
        .collect();
    format!("served at once: {}", each.join(", "))
}

/// Gives the first request of a step that `which` picks another answer; for sabotages.
///
/// # Panics
/// If there is none: a sabotage that changes nothing would prove nothing.
pub fn change_first(evidence: &mut Evidence, label: &str, which: impl Fn(&Exchange) -> bool, answer: &Response) {
    let mut exchanges = evidence.exchanges.iter_mut().filter(|exchange| exchange.label == label);
    let exchange = exchanges.find(|exchange| which(exchange)).expect("a sabotage changes an answer that was given");
    exchange.response = Some(answer.clone());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::SentRequest;

    const CEILING: usize = 10;

    /// A volley of `sent` requests of which `served` are served; they overlap or come one after another.
    fn volley(number: usize, sent: usize, served: usize, overlap: bool) -> Vec<Exchange> {
        let (label, _) = steps(number);
        (0..sent)
            .map(|place| {
                let start_ns = place as u64 * 10;
                let (status, body) = if place < served { (200, json!({})) } else { (429, json!({})) };
                let (method, url) = ("POST".to_owned(), String::new());
                Exchange {
                    label: label.clone(),
                    request: SentRequest { method, url, headers: Vec::new(), body: None, signed: None },
                    response: Some(Response::json_of(status, &body)),
                    error: None,
                    start_ns,
                    end_ns: start_ns + if overlap { 1_000_000 } else { 5 },
                    advanced_ms: 0,
                    curl: String::new(),
                }
            })
            .collect()
    }

    fn judged(exchanges: Vec<Exchange>) -> &'static str {
        let evidence = Evidence { exchanges, ..Evidence::default() };
        let volleys = Flown::all(&Judge::new(&evidence));
        match ceiling(&evidence, &volleys, CEILING, CEILING) {
            Ceiling::Holds => "holds",
            Ceiling::Exceeded(_) => "exceeded",
            Ceiling::Unknown(_) => "unknown",
        }
    }

    fn five(last: Vec<Exchange>) -> Vec<Exchange> {
        (1..VOLLEYS_MIN).flat_map(|number| volley(number, 25, CEILING, true)).chain(last).collect()
    }

    #[test]
    fn five_volleys_that_overlap_rule_a_race_out() {
        assert_eq!(judged(five(volley(5, 25, CEILING, true))), "holds");
        assert_eq!(judged(five(Vec::new())), "unknown");
        assert_eq!(judged(Vec::new()), "unknown");
    }

    #[test]
    fn volleys_without_overlap_rule_nothing_out() {
        assert_eq!(judged(five(volley(5, 25, CEILING, false))), "unknown");
        assert_eq!(judged(five(volley(5, CEILING, CEILING, true))), "unknown");
    }

    #[test]
    fn a_ceiling_is_exceeded_with_or_without_overlap() {
        assert_eq!(judged(five(volley(5, 25, CEILING + 1, true))), "exceeded");
        assert_eq!(judged(volley(1, 25, CEILING + 1, false)), "exceeded");
    }

    #[test]
    fn a_request_served_afterwards_exceeds_the_ceiling_too() {
        let mut late = volley(1, 1, 1, true);
        late[0].label = steps(5).1;
        assert_eq!(judged(five([volley(5, 25, CEILING, true), late].concat())), "exceeded");
    }

    #[test]
    fn an_answer_that_never_came_may_have_been_one_too_many() {
        let mut last = volley(5, 25, CEILING, true);
        last[24].response = None;
        assert_eq!(judged(five(last)), "unknown");
    }
}
