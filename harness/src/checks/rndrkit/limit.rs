//! What the checks of limits share: spending one, reading answers as served or refused, and what surely lay in which order.
//!
//! Only `rndrkit.rate.ten-per-hour` judges that the limit is ten. All other checks first see how many requests the target serves when
//! they come one after another, and judge by that number: a limit of eleven is one defect, not ten.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{EDGE_MS, EXHAUSTION_MAX, LIMIT, WINDOW_MS, text, valid, valid_with};
use crate::checks::judge::{Acceptable, Judge, RNDRKIT_ERRORS, Seen, actual, outcome};
use crate::evidence::{Evidence, Exchange, Response};
use crate::gather::{Domain, Gather};
use crate::target::http::Request;

/// Tokens that a domain can have, and over which requests are spread.
pub const TOKENS: usize = 5;

/// Paths that one request may name.
pub const LIST_MAX: usize = 20;

/// What an answer means to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The request was served.
    Served,
    /// The limit refused it.
    Refused,
    /// Neither can be said: no answer, or one that has another cause.
    Unclear,
}

/// True for any success; that it is a 200 is the concern of other rules.
pub fn is_served(exchange: &Exchange) -> bool {
    exchange.response.as_ref().is_some_and(Response::is_success)
}

/// A success, as the outcome of a control.
pub fn served() -> Acceptable {
    outcome("a success (2xx)", Response::is_success)
}

/// How a target says that a limit is met: as documented, or as it was seen to say when the limit was surely met. That the words are
/// the documented ones is judged by one rule only.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    status: u16,
    error: &'static str,
    own: Option<&'a Response>,
}

impl<'a> Refusal<'a> {
    /// The documented refusal of the hourly limit.
    pub fn rate() -> Refusal<'a> {
        Refusal { status: 429, error: text::RATE, own: None }
    }

    /// The documented refusal of the render quota.
    pub fn quota() -> Refusal<'a> {
        Refusal { status: 403, error: text::QUOTA, own: None }
    }

    /// Takes answers like this one for the refusal, too, unless it is the documented answer to something else.
    pub fn or_like(self, own: &'a Response) -> Refusal<'a> {
        let other_cause = error_of(own).is_some_and(|error| error != self.error && RNDRKIT_ERRORS.contains(&&*error));
        if own.is_success() || other_cause { self } else { Refusal { own: Some(own), ..self } }
    }

    /// True for the documented refusal.
    pub fn is_documented(&self, response: &Response) -> bool {
        response.status == self.status && error_of(response).is_some_and(|error| error == self.error)
    }

    fn fits(&self, response: &Response) -> bool {
        let alike = |own: &Response| {
            // A text may hold the seconds to wait, so two texts need not be equal.
            let both_say = error_of(own).is_some() && error_of(response).is_some();
            own.status == response.status && (both_say || own.body == response.body)
        };
        self.is_documented(response) || self.own.is_some_and(|own| !self.is_documented(own) && alike(own))
    }

    /// What an answer means to this limit.
    pub fn read(&self, exchange: &Exchange) -> Answer {
        match &exchange.response {
            Some(response) if response.is_success() => Answer::Served,
            Some(response) if self.fits(response) => Answer::Refused,
            Some(_) | None => Answer::Unclear,
        }
    }
}

fn error_of(response: &Response) -> Option<String> {
    response.json()?.get("error").and_then(Value::as_str).map(str::to_owned)
}

/// A limit as the target showed it: requests for a fresh domain one after another, until one was refused.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// How many were served.
    pub served: usize,
    /// How the next one was refused.
    pub refusal: Refusal<'a>,
}

/// How many were served before the first that was not.
pub fn leading(series: &[Seen<'_>]) -> usize {
    series.iter().take_while(|seen| is_served(seen.exchange)).count()
}

/// How many were served at all.
pub fn count_served(series: &[Seen<'_>]) -> usize {
    series.iter().filter(|seen| is_served(seen.exchange)).count()
}

/// A series in numbers, as findings say it.
pub fn in_numbers(series: &[Seen<'_>]) -> String {
    let (sent, served, first) = (series.len(), count_served(series), leading(series));
    match series.get(first) {
        None => format!("served {served} of {sent}, no refusal"),
        Some(refused) if served == first => format!("served {served} of {sent}, then: {}", actual(refused.exchange)),
        Some(_) => format!("served {served} of {sent}, {first} of them before the first refusal"),
    }
}

/// Requests sent at once after a limit was met. Whoever keeps a count for each connection, as workers behind one address do, serves
/// some of them.
const CONFIRMING: usize = 4;

/// Reads the hourly limit from a step's series of requests, which must have been for a fresh domain.
///
/// # Errors
/// Why nothing can be read from it.
pub fn measured<'a>(judge: &Judge<'a>, label: &str) -> Result<Measured<'a>, String> {
    read_limit(judge.evidence(), &judge.all(label))
}

fn read_limit<'a>(evidence: &Evidence, series: &[Seen<'a>]) -> Result<Measured<'a>, String> {
    let served = leading(series);
    let Some(first) = series.first() else { return Err("the requests that find the limit were not sent".to_owned()) };
    let Some(refused) = series.get(served) else {
        return Err(format!("no limit was met within {} requests for one domain", series.len()));
    };
    if !surely_before(evidence, first.exchange, refused.exchange, WINDOW_MS) {
        return Err("the requests that find the limit may have taken longer than a window".to_owned());
    }
    let found = actual(refused.exchange);
    let Some(response) = &refused.exchange.response else {
        return Err(format!("request {} for a fresh domain got {found}", served + 1));
    };
    let documented = Refusal::rate();
    if served == 0 {
        return Err(format!("not even the first request for a fresh domain was served: {found}"));
    }
    // Before ten are spent, an undocumented refusal may come from something in front of the API.
    let refusal = if served >= LIMIT { documented.or_like(response) } else { documented };
    if !refusal.fits(response) {
        return Err(format!("request {} for a fresh domain was not refused by the limit: {found}", served + 1));
    }
    if count_served(series) > served {
        return Err(format!("the limit is not one of the domain: {}", in_numbers(series)));
    }
    Ok(Measured { served, refusal })
}

/// True if surely less than `ms` of the target's time, by [`EDGE_MS`], lay between the decisions on two exchanges.
pub fn surely_before(evidence: &Evidence, first: &Exchange, later: &Exchange, ms: u64) -> bool {
    let (_, greatest) = evidence.elapsed_ms(first, later);
    greatest < ms.saturating_sub(EDGE_MS)
}

/// True if surely more than `ms` of the target's time, by [`EDGE_MS`], lay between the decisions on two exchanges.
pub fn surely_after(evidence: &Evidence, first: &Exchange, later: &Exchange, ms: u64) -> bool {
    let (least, _) = evidence.elapsed_ms(first, later);
    least >= ms + EDGE_MS
}

/// True if all of a volley or series were surely decided within one window, wherever it began among them.
pub fn surely_in_one_window(evidence: &Evidence, series: &[Seen<'_>]) -> bool {
    let first = series.iter().min_by_key(|seen| seen.exchange.start_ns);
    let last = series.iter().max_by_key(|seen| seen.exchange.end_ns);
    first.zip(last).is_some_and(|(first, last)| surely_before(evidence, first.exchange, last.exchange, WINDOW_MS))
}

/// The greatest number of requests that were in flight at one instant. One that ends when another begins does not overlap it.
pub fn most_in_flight(series: &[Seen<'_>]) -> usize {
    const ENDS: u8 = 0;
    const BEGINS: u8 = 1;
    let events: BTreeSet<(u64, u8, usize)> = series
        .iter()
        .filter(|seen| seen.exchange.start_ns < seen.exchange.end_ns)
        .flat_map(|seen| [(seen.exchange.start_ns, BEGINS, seen.at), (seen.exchange.end_ns, ENDS, seen.at)])
        .collect();
    let mut in_flight: usize = 0;
    let mut most = 0;
    for (_, event, _) in events {
        in_flight = if event == BEGINS { in_flight + 1 } else { in_flight.saturating_sub(1) };
        most = most.max(in_flight);
    }
    most
}

/// Says of all these rules that nothing follows.
pub fn all_inconclusive(judge: &mut Judge<'_>, rules: &[&'static str], why: &str) {
    for rule in rules {
        judge.rule(rule).inconclusive(why);
    }
}

/// Sends valid requests, one after another and spread over the domain's tokens, until one is not served, [`EXHAUSTION_MAX`] at most.
/// Returns the exchanges.
pub async fn spend(g: &mut Gather, label: &str, domain: &mut Domain) -> Vec<Exchange> {
    let mut sent = Vec::new();
    while sent.len() < EXHAUSTION_MAX && sent.last().is_none_or(is_served) {
        let token = sent.len() % domain.tokens.len();
        sent.push(g.send(valid_with(label, domain, token)).await);
    }
    sent
}

/// Spends a fresh domain's requests and confirms that they are spent, for [`measured`]. Returns the exchanges that found the limit.
pub async fn find_limit(g: &mut Gather, label: &str, domain: &mut Domain) -> Vec<Exchange> {
    let sent = spend(g, label, domain).await;
    if sent.last().is_some_and(|last| !is_served(last)) {
        confirm(g, label, domain).await;
    }
    sent
}

/// Sends some more requests at once, so that each takes a connection of its own.
pub async fn confirm(g: &mut Gather, label: &str, domain: &mut Domain) {
    let requests: Vec<Request> = (0..CONFIRMING).map(|_| valid(label, domain)).collect();
    g.send_together(&requests).await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::{ClockKind, SentRequest};

    /// Nanoseconds in a millisecond.
    const MS: u64 = 1_000_000;

    fn exchange(start_ns: u64, end_ns: u64, advanced_ms: u64, response: Option<Response>) -> Exchange {
        let request = SentRequest {
            method: "POST".to_owned(),
            url: String::new(),
            headers: Vec::new(),
            body: None,
            signed: None,
        };
        let (label, error, curl) = ("a".to_owned(), None, String::new());
        Exchange { label, request, response, error, start_ns, end_ns, advanced_ms, curl }
    }

    fn seen(exchanges: &[Exchange]) -> Vec<Seen<'_>> {
        exchanges.iter().enumerate().map(|(at, exchange)| Seen { at, exchange }).collect()
    }

    fn answers(answers: &[(u16, Value)]) -> Vec<Exchange> {
        let response = |(status, body): &(u16, Value)| Some(Response::json_of(*status, body));
        answers.iter().map(|answer| exchange(0, 1, 0, response(answer))).collect()
    }

    fn ok() -> (u16, Value) {
        (200, json!({"message": text::QUEUED}))
    }

    fn check_overlap(intervals: &[(u64, u64)], expected: usize) {
        let exchanges: Vec<Exchange> = intervals.iter().map(|(start, end)| exchange(*start, *end, 0, None)).collect();
        assert_eq!(most_in_flight(&seen(&exchanges)), expected, "{intervals:?}");
    }

    #[test]
    fn requests_in_flight_are_counted_at_one_instant() {
        check_overlap(&[], 0);
        check_overlap(&[(0, 9)], 1);
        check_overlap(&[(4, 4), (4, 4)], 0);
        check_overlap(&[(0, 5), (5, 9)], 1);
        check_overlap(&[(0, 6), (5, 9)], 2);
        check_overlap(&[(0, 9), (1, 2), (3, 4), (5, 6)], 2);
        check_overlap(&[(0, 9), (0, 9), (0, 9)], 3);
    }

    #[track_caller]
    fn check_measured(series: &[(u16, Value)], expected: Result<usize, &str>) {
        let exchanges = answers(series);
        let found = read_limit(&Evidence::default(), &seen(&exchanges)).map(|limit| limit.served);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_limit_is_read_from_what_the_target_does() {
        let documented = (429, json!({"error": text::RATE}));
        let other_words = (429, json!({"error": "slow down"}));
        let quota = (403, json!({"error": text::QUOTA}));
        let series = |served: usize, last: &(u16, Value)| [vec![ok(); served], vec![last.clone()]].concat();
        check_measured(&series(9, &documented), Ok(9));
        check_measured(&series(11, &documented), Ok(11));
        check_measured(&series(10, &other_words), Ok(10));
        check_measured(&series(4, &other_words), Err("request 5"));
        check_measured(&series(10, &quota), Err("not refused by the limit"));
        check_measured(&series(0, &documented), Err("not even the first"));
        check_measured(&[series(10, &documented), vec![ok()]].concat(), Err("not one of the domain"));
        check_measured(&vec![ok(); 25], Err("no limit was met"));
        check_measured(&[], Err("were not sent"));
    }

    #[test]
    fn a_series_longer_than_a_window_measures_nothing() {
        let mut exchanges = answers(&[ok(), (429, json!({"error": text::RATE}))]);
        exchanges[1].end_ns = WINDOW_MS * MS;
        assert!(read_limit(&Evidence::default(), &seen(&exchanges)).is_err());
    }

    #[test]
    fn a_target_that_words_its_refusal_otherwise_is_still_understood() {
        let own = Response::json_of(429, &json!({"error": "wait 3599 s"}));
        let refusal = Refusal::rate().or_like(&own);
        let read = |status, body: &Value| refusal.read(&answers(&[(status, body.clone())])[0]);
        assert_eq!(read(429, &json!({"error": "wait 12 s"})), Answer::Refused);
        assert_eq!(read(429, &json!({"error": text::RATE})), Answer::Refused);
        assert_eq!(read(429, &json!("proxy")), Answer::Unclear);
        assert_eq!(read(503, &json!({"error": "wait 12 s"})), Answer::Unclear);
        assert_eq!(read(200, &json!({})), Answer::Served);
    }

    #[test]
    fn a_documented_refusal_admits_no_other_words() {
        let own = Response::json_of(429, &json!({"error": text::RATE}));
        let refusal = Refusal::rate().or_like(&own);
        let other = &answers(&[(429, json!({"error": "from a proxy"}))])[0];
        assert_eq!(refusal.read(other), Answer::Unclear);
    }

    #[test]
    fn nothing_is_sure_near_the_edge() {
        let first = exchange(5 * MS, 9 * MS, 0, None);
        for clock in [ClockKind::Manual, ClockKind::System] {
            let evidence = Evidence { clock, ..Evidence::default() };
            let later = |after: u64| match clock {
                ClockKind::Manual => exchange(9 * MS, 9 * MS, after, None),
                ClockKind::System => exchange((9 + after) * MS, (9 + after) * MS, 0, None),
            };
            assert!(surely_after(&evidence, &first, &later(WINDOW_MS + EDGE_MS), WINDOW_MS));
            assert!(!surely_after(&evidence, &first, &later(WINDOW_MS + EDGE_MS - 1), WINDOW_MS));
            // The first may have been decided 4 ms before its answer came.
            assert!(surely_before(&evidence, &first, &later(WINDOW_MS - EDGE_MS - 5), WINDOW_MS));
            assert!(!surely_before(&evidence, &first, &later(WINDOW_MS - EDGE_MS - 4), WINDOW_MS));
        }
    }
}
