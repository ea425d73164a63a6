//! Access logs of nginx as histories. Pure but for reading lines.
//!
//! The format is nginx's `combined` with fields of its own behind:
//!
//! ```text
//! … "$http_user_agent" $msec $request_time "$upstream_status" "$domain"
//! ```
//!
//! The last two may be left out, from the end. A line is written when the request is over, so `$msec` is its end and `$msec` less
//! `$request_time` its start. Both are times that nginx took at the beginning of a round of its event loop and cut to milliseconds: the
//! start is early anyway, the end is put a millisecond later, and so is the start earlier.
//!
//! No value of a token is kept: a refresh's is not in the log, and a hook's, which stands in the path, becomes a short digest.

use std::io::{BufRead, Read as _};
use std::sync::Arc;

use scenarios::history::{Action, Event, Header, Invocation, Operation, Outcome, QuotaKind};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::TruncatedTail;

/// The longest line read.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// What nginx logs when the client went away before an answer: nobody knows what the target did.
const CLIENT_CLOSED: u16 = 499;

/// The log of one request; see the module.
pub const LOG_FORMAT: &str = r#"log_format hookproof '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                     '"$http_referer" "$http_user_agent" $msec $request_time "$upstream_status" "$hookproof_domain"';"#;

/// How to read a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NginxOptions {
    /// The domain of refreshes whose lines do not say theirs.
    pub domain: Option<String>,
}

/// Why a log cannot be read on. No message repeats what the line holds: it may be a secret.
#[derive(Debug, Error)]
pub enum NginxError {
    /// A line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        problem: LineProblem,
    },
    /// The file cannot be read.
    #[error("line {line}: cannot be read: {reason}")]
    Io {
        /// The number of the line that was to be read, from 1.
        line: u64,
        /// What the system says.
        reason: std::io::Error,
    },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LineProblem {
    /// It is longer than any line of a log.
    #[error("expected a line of at most {LINE_BYTES_MAX} bytes, found a longer one")]
    TooLong,
    /// It is not in the combined format.
    #[error("expected nginx's combined format, found no {0} where it should be")]
    NotCombined(&'static str),
    /// The times behind the combined format are missing or no times.
    #[error(
        "expected ` $msec $request_time` behind the combined format, such as `1760000000.123 0.005`, found no {0}; log with\n{LOG_FORMAT}"
    )]
    NoTime(&'static str),
    /// Nothing says which domain the refresh is for.
    #[error(
        "nothing says which domain this refresh is for; give --key DOMAIN, or log the domain as the last field:\n{LOG_FORMAT}"
    )]
    NoDomain,
    /// The domain's field holds a credential.
    #[error(
        "expected a domain's name as the last field, found a credential; let nginx log a name instead, with a `map` from $http_authorization to names"
    )]
    Credential,
    /// Something stands behind the last field.
    #[error("expected the end of the line after the domain, found more")]
    More,
}

/// Reads a log; an iterator over what its lines say, which begins with a header and ends after the first error.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    name: String,
    options: NginxOptions,
    line: u64,
    skipped: u64,
    next_n: u64,
    /// Further attempts of the last line.
    waiting: Vec<Event>,
    began: bool,
    ended: bool,
    truncated: Option<TruncatedTail>,
}

impl<R: BufRead> Lines<R> {
    /// Reads from `input`; the recorder is called after the log's `name`.
    pub fn new(input: R, name: &str, options: NginxOptions) -> Lines<R> {
        Lines {
            input,
            name: format!("nginx:{name}"),
            options,
            line: 0,
            skipped: 0,
            next_n: 1,
            waiting: Vec::new(),
            began: false,
            ended: false,
            truncated: None,
        }
    }

    /// Lines read so far.
    pub fn read(&self) -> u64 {
        self.line
    }

    /// Lines about other requests, or about such as never reached the target.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The last line, if it was cut off.
    pub fn truncated(&self) -> Option<TruncatedTail> {
        self.truncated
    }

    fn read_on(&mut self) -> Result<Option<Event>, NginxError> {
        if !self.began {
            self.began = true;
            return Ok(Some(Event::Header(header(&self.name))));
        }
        loop {
            if let Some(event) = self.waiting.pop() {
                return Ok(Some(event));
            }
            let line = self.line + 1;
            let mut bytes = Vec::with_capacity(256);
            let mut limited = self.input.by_ref().take(LINE_BYTES_MAX);
            limited.read_until(b'\n', &mut bytes).map_err(|reason| NginxError::Io { line, reason })?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.line = line;
            let whole = bytes.ends_with(b"\n");
            let read = if !whole && bytes.len() as u64 == LINE_BYTES_MAX {
                Err(LineProblem::TooLong)
            } else {
                parse(String::from_utf8_lossy(&bytes).trim_end(), &self.options)
            };
            match read {
                Ok(None) => self.skipped += 1,
                Ok(Some(logged)) => self.tell(logged),
                Err(_) if !whole && line > 1 => {
                    self.truncated = Some(TruncatedTail { line, bytes: bytes.len() as u64 });
                }
                Err(problem) => return Err(NginxError::Line { line, problem }),
            }
        }
    }

    /// Makes one operation of each attempt; of all but the last nobody knows whether the target counted them.
    fn tell(&mut self, logged: Logged) {
        let recorder: Arc<str> = self.name.as_str().into();
        for attempt in 0..logged.attempts {
            let invocation = Invocation {
                action: logged.action.clone(),
                due_ns: None,
                start_ns: logged.start_ns,
                server_start_ms: None,
            };
            let status = logged.status.filter(|_| attempt + 1 == logged.attempts);
            let outcome = Outcome { status, ..Outcome::at(logged.end_ns) };
            let operation = Operation { n: self.next_n, recorder: Arc::clone(&recorder), invocation };
            self.next_n += 1;
            self.waiting.push(Event::Completed(operation, outcome));
        }
        self.waiting.reverse();
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Event, NginxError>;

    fn next(&mut self) -> Option<Result<Event, NginxError>> {
        if self.ended {
            return None;
        }
        let read = self.read_on().transpose();
        self.ended = !matches!(read, Some(Ok(_)));
        read
    }
}

/// What a log says of itself: nothing but the documented limits, on a clock that counts from 1970.
fn header(name: &str) -> Header {
    const LIMIT: u64 = 10;
    const WINDOW_MS: u64 = 3_600_000;
    const TOLERANCE_MS: u64 = 2_000;
    Header {
        recorder: name.to_owned(),
        unix_ms: 0,
        skew_ms: 0,
        limit: LIMIT,
        window_ms: WINDOW_MS,
        tolerance_ms: TOLERANCE_MS,
        quota: QuotaKind::Reached,
        keys: [].into(),
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Logged {
    action: Action,
    start_ns: u64,
    end_ns: u64,
    status: Option<u16>,
    /// How many times nginx sent it to the target.
    attempts: usize,
}

/// Reads a line; none if it is about another request or one that never reached the target.
fn parse(line: &str, options: &NginxOptions) -> Result<Option<Logged>, LineProblem> {
    let after_time = line.split_once("] \"").ok_or(LineProblem::NotCombined("`[$time_local]`"))?.1;
    let (request, rest) = after_time.split_once("\" ").ok_or(LineProblem::NotCombined("`\"$request\"`"))?;
    let mut parts = rest.splitn(3, ' ');
    let status = parts.next().and_then(|text| text.parse::<u16>().ok()).ok_or(LineProblem::NotCombined("`$status`"))?;
    parts.next().filter(|text| is_number(text)).ok_or(LineProblem::NotCombined("`$body_bytes_sent`"))?;
    let rest = parts.next().ok_or(LineProblem::NotCombined("`\"$http_referer\"`"))?;
    let (_, rest) = quoted(rest).ok_or(LineProblem::NotCombined("`\"$http_referer\"`"))?;
    let (_, rest) = quoted(rest).ok_or(LineProblem::NotCombined("`\"$http_user_agent\"`"))?;
    let (end_ms, rest) = milliseconds(rest).ok_or(LineProblem::NoTime("`$msec`"))?;
    let (took_ms, rest) = milliseconds(rest).ok_or(LineProblem::NoTime("`$request_time`"))?;
    let (upstream, rest) = match quoted(rest) {
        Some((upstream, rest)) => (Some(upstream), rest),
        None => (None, rest),
    };
    let (domain, rest) = match quoted(rest) {
        Some((domain, rest)) => (Some(domain).filter(|domain| !matches!(*domain, "" | "-")), rest),
        None => (None, rest),
    };
    if !rest.trim().is_empty() {
        return Err(LineProblem::More);
    }
    let attempts = upstream.map_or(1, attempts);
    // nginx answered by itself; only when the client went away can the target have been asked all the same.
    if attempts == 0 && status != CLIENT_CLOSED {
        return Ok(None);
    }
    let Some(action) = action(request, domain, status, options)? else { return Ok(None) };
    const NS: u64 = 1_000_000;
    Ok(Some(Logged {
        action,
        start_ns: end_ms.saturating_sub(took_ms).saturating_sub(1).saturating_mul(NS),
        end_ns: end_ms.saturating_add(1).saturating_mul(NS),
        status: Some(status).filter(|status| *status != CLIENT_CLOSED && (100..=999).contains(status)),
        attempts: attempts.max(1),
    }))
}

/// What a request line asks for; none if the audit knows nothing of it.
fn action(
    request: &str,
    domain: Option<&str>,
    status: u16,
    options: &NginxOptions,
) -> Result<Option<Action>, LineProblem> {
    let mut words = request.split(' ');
    let (Some("POST"), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if path.ends_with("/api/webhook/refresh") {
        if domain.is_some_and(|domain| domain.contains("rk_wh_") || domain.contains(' ')) {
            return Err(LineProblem::Credential);
        }
        let domain = match domain.or(options.domain.as_deref()) {
            Some(domain) => domain.to_owned(),
            // A token that nobody knows belongs to no domain.
            None if status == 401 => return Ok(None),
            None => return Err(LineProblem::NoDomain),
        };
        return Ok(Some(Action::Refresh { domain, token: None, pages: None }));
    }
    let token = path.rsplit_once("/v1/hooks/").map(|(_, token)| token).filter(|token| !token.is_empty());
    Ok(token.map(|token| Action::Render { template: digest_name(token), token: None }))
}

/// A name for a template whose token must not be shown.
fn digest_name(token: &str) -> String {
    const SHOWN: usize = 8;
    let digest = hex::encode(Sha256::digest(token.as_bytes()));
    format!("template-{}", &digest[..SHOWN])
}

/// How many times nginx asked the target, as `$upstream_status` tells: `200`, `502, 200`, `502 : 200`, or `-` for never.
fn attempts(upstream: &str) -> usize {
    upstream.split([',', ':']).map(str::trim).filter(|status| status.parse::<u16>().is_ok()).count()
}

/// Takes a field in quotation marks; nginx writes a quotation mark inside as `\x22`.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('"')?.split_once('"')
}

/// Takes seconds with three decimals, as milliseconds.
fn milliseconds(text: &str) -> Option<(u64, &str)> {
    let text = text.trim_start();
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    let (seconds, thousandths) = word.split_once('.')?;
    let exact = thousandths.len() == 3 && is_number(thousandths) && is_number(seconds);
    let seconds: u64 = seconds.parse().ok().filter(|_| exact)?;
    Some((seconds.checked_mul(1_000)?.checked_add(thousandths.parse().ok()?)?, rest))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "ibt_a_very_secret_value";

    fn line(request: &str, status: u16, tail: &str) -> String {
        format!("127.0.0.1 - - [21/Nov/2026:22:00:00 +0000] \"{request}\" {status} 52 \"-\" \"curl/8.5.0\"{tail}")
    }

    fn refresh(status: u16, tail: &str) -> Result<Option<Logged>, LineProblem> {
        parse(&line("POST /api/webhook/refresh HTTP/1.1", status, tail), &NginxOptions::default())
    }

    fn of(domain: &str, status: Option<u16>, attempts: usize) -> Logged {
        let action = Action::Refresh { domain: domain.to_owned(), token: None, pages: None };
        // 1760000000.123 less 0.005, each a millisecond further out.
        Logged { action, start_ns: 1_760_000_000_117_000_000, end_ns: 1_760_000_000_124_000_000, status, attempts }
    }

    #[test]
    fn a_line_tells_an_interval_a_millisecond_wider_than_logged() {
        let full = " 1760000000.123 0.005 \"200\" \"example.com\"";
        assert_eq!(refresh(200, full), Ok(Some(of("example.com", Some(200), 1))));
    }

    #[test]
    fn a_client_that_went_away_leaves_the_outcome_unknown() {
        let tail = " 1760000000.123 0.005 \"-\" \"d1\"";
        assert_eq!(refresh(499, tail), Ok(Some(of("d1", None, 1))));
    }

    #[test]
    fn each_attempt_of_nginx_may_have_counted() {
        let tail = " 1760000000.123 0.005 \"502, 200\" \"d1\"";
        assert_eq!(refresh(200, tail), Ok(Some(of("d1", Some(200), 2))));
    }

    #[test]
    fn what_nginx_answered_by_itself_never_reached_the_target() {
        assert_eq!(refresh(429, " 1760000000.123 0.005 \"-\" \"d1\""), Ok(None));
    }

    #[test]
    fn other_requests_are_left_out() {
        let options = NginxOptions::default();
        for request in ["GET /api/webhook/refresh HTTP/1.1", "POST /other HTTP/1.1", "\\x16\\x03", "-"] {
            assert_eq!(parse(&line(request, 400, " 1760000000.123 0.005"), &options), Ok(None), "{request}");
        }
    }

    #[test]
    fn a_log_without_times_is_refused_with_the_format_to_use() {
        for tail in ["", " 1760000000.123", " 1760000000.12 0.005", " - 0.005", " \"200\""] {
            let problem = refresh(200, tail).expect_err("there are no times");
            assert!(matches!(problem, LineProblem::NoTime(_)), "{tail}: {problem}");
            assert!(problem.to_string().contains("$request_time"), "{problem}");
        }
    }

    #[test]
    fn a_domain_comes_from_the_line_or_from_the_command_line() {
        let tail = " 1760000000.123 0.005";
        assert_eq!(refresh(200, tail), Err(LineProblem::NoDomain));
        assert_eq!(refresh(401, tail), Ok(None));
        let named = NginxOptions { domain: Some("d9".to_owned()) };
        let text = line("POST /api/webhook/refresh HTTP/1.1", 200, tail);
        assert_eq!(parse(&text, &named), Ok(Some(of("d9", Some(200), 1))));
    }

    #[test]
    fn no_value_of_a_token_is_kept() {
        let tail = " 1760000000.123 0.005 \"202\" \"-\"";
        let text = line(&format!("POST /v1/hooks/{TOKEN}?x=1 HTTP/1.1"), 202, tail);
        let logged = parse(&text, &NginxOptions::default()).expect("the line is fine").expect("a hook is audited");
        assert!(!format!("{logged:?}").contains("secret"), "{logged:?}");
        assert!(matches!(&logged.action, Action::Render { template, .. } if template.starts_with("template-")));
        let credential = refresh(200, " 1760000000.123 0.005 \"200\" \"Bearer rk_wh_secret\"");
        assert_eq!(credential, Err(LineProblem::Credential));
        assert!(!LineProblem::Credential.to_string().contains("secret"));
    }

    #[test]
    fn a_line_in_another_format_is_refused_and_one_that_is_cut_off_is_left_out() {
        let good = line("POST /api/webhook/refresh HTTP/1.1", 200, " 1760000000.123 0.005 \"200\" \"d1\"");
        let read = |text: &str| {
            let mut lines = Lines::new(text.as_bytes(), "access.log", NginxOptions::default());
            let events = lines.by_ref().collect::<Result<Vec<Event>, NginxError>>();
            (events.map(|events| events.len()).map_err(|error| error.to_string()), lines.truncated())
        };
        assert_eq!(read(&format!("{good}\n{good}\n")), (Ok(3), None));
        let cut = format!("{good}\n{}", &good[..40]);
        assert_eq!(read(&cut), (Ok(2), Some(TruncatedTail { line: 2, bytes: 40 })));
        let (error, _) = read(&format!("{good}\nnonsense\n"));
        assert!(error.expect_err("no log").starts_with("line 2: expected nginx's combined format"));
    }
}
