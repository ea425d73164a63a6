//! How much of what a target says is kept, so that no target makes a report that nobody can open.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Response;

/// Bytes of an answer that is always kept: how many of these there are depends on how many requests the suite sends, and on nobody else.
pub const SHORT_ANSWER_MAX: usize = 2 * 1024;

/// Room for longer answers. Bytes are counted as they stand in a report.
#[derive(Debug)]
pub struct Room {
    /// Whose answers it is for, in words.
    of: &'static str,
    bytes: usize,
    left: AtomicUsize,
}

impl Room {
    /// Room for so many bytes of the answers of `of`, such as `this check`.
    pub const fn new(of: &'static str, bytes: usize) -> Room {
        Room { of, bytes, left: AtomicUsize::new(bytes) }
    }

    /// Takes so many bytes of it; false if there are not so many left. What is short takes none.
    pub fn take(&self, size: usize) -> bool {
        let without = |left: usize| left.checked_sub(size);
        size <= SHORT_ANSWER_MAX || self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, without).is_ok()
    }

    /// Why something longer is not kept.
    pub fn full(&self) -> String {
        let Room { of, bytes, .. } = self;
        format!("the answers of {of} that are longer than {SHORT_ANSWER_MAX} bytes come to more than {bytes} bytes")
    }
}

impl Response {
    /// The answer as far as there is room for it in all of these. One that is no JSON is judged as such however much of it there is, so
    /// that its beginning will do.
    ///
    /// # Errors
    /// Why it cannot be kept.
    pub fn within(mut self, rooms: &[&Room]) -> Result<Response, String> {
        let size = self.size();
        let Some(full) = rooms.iter().find(|room| !room.take(size)) else { return Ok(self) };
        if self.json().is_none() {
            self.body = self.body.shortened();
            if self.size() <= SHORT_ANSWER_MAX {
                return Ok(self);
            }
        }
        Err(full.full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Body;

    fn answered(body: &str) -> Response {
        Response { status: 200, headers: Vec::new(), body: Body::keep(body.as_bytes()) }
    }

    fn json(length: usize) -> Response {
        answered(&format!("\"{}\"", "a".repeat(length)))
    }

    #[test]
    fn short_answers_are_kept_without_end() {
        let none = Room::new("this check", 0);
        for _ in 0..100 {
            assert_eq!(json(1000).within(&[&none]), Ok(json(1000)));
        }
    }

    #[test]
    fn longer_answers_are_kept_until_the_room_is_full_and_then_say_so() {
        let (small, large) = (Room::new("this check", 10_000), Room::new("this run", 100_000));
        let rooms = [&small, &large];
        assert_eq!(json(4000).within(&rooms), Ok(json(4000)));
        assert_eq!(json(4000).within(&rooms), Ok(json(4000)));
        let why = json(4000).within(&rooms).unwrap_err();
        assert!(why.contains("this check") && why.contains("10000 bytes"), "{why}");
        assert_eq!(json(1000).within(&rooms), Ok(json(1000)));
    }

    #[test]
    fn of_what_is_no_json_the_beginning_is_kept_where_there_is_no_room() {
        let none = Room::new("this check", 0);
        let page = format!("<h1>{}</h1>", "a".repeat(5000));
        let kept = answered(&page).within(&[&none]).unwrap();
        let Body::Cut { length, sha256, first } = kept.body else { panic!("{:?}", kept.body) };
        let Body::Cut { sha256: whole, .. } = Body::keep(page.repeat(20).as_bytes()) else { panic!("not cut") };
        assert_eq!((length, sha256.len()), (page.len() as u64, whole.len()));
        assert!(page.starts_with(&first) && first.len() < 300, "{first}");
    }

    #[test]
    fn headers_need_room_too() {
        let none = Room::new("this check", 0);
        let mut response = answered("no JSON");
        response.headers = vec![("x".to_owned(), "y".repeat(SHORT_ANSWER_MAX))];
        assert!(response.within(&[&none]).is_err());
    }

    #[test]
    fn what_must_be_spelled_out_takes_as_much_room_as_in_a_report() {
        for text in ["plain", "a \"quoted\" \\ word", "\u{1}\u{1b}[2J\n\t", "ü €", "\u{202e}\u{9b}\u{61c}"] {
            let response = answered(text);
            let written = crate::report::json_text(&text);
            assert_eq!(response.size(), written.trim_end().len() - "\"\"".len(), "{text:?}");
        }
    }
}
