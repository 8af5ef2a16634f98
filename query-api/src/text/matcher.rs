//! Whether an event has what is looked for: the meaning of a query, read off the row itself.

use super::query::{Phrase, TextQuery};
use super::walk::{Place, walk};
use super::words::Words;

/// Follows one phrase through a text, word by word: bit `n` says that the words so far end with the phrase's first
/// `n + 1` words.
#[derive(Debug)]
struct Follower<'a> {
    phrase: &'a Phrase,
    state: u64,
    found: bool,
}

impl Follower<'_> {
    fn word(&mut self, word: &str) {
        let words = self.phrase.words();
        let last = words.len().saturating_sub(1);
        let mut fits: u64 = 0;
        for (at, wanted) in words.iter().enumerate() {
            let fit =
                if at == last && self.phrase.is_prefix() { word.starts_with(wanted) } else { word == wanted };
            fits |= u64::from(fit) << at;
        }
        self.state = ((self.state << 1) | 1) & fits;
        self.found |= self.state & (1 << last) != 0;
    }
}

/// Looks for a query in events. One for many rows.
#[derive(Debug)]
pub(crate) struct Matcher<'a> {
    place: Place,
    followers: Vec<Follower<'a>>,
    words: Words,
}

impl<'a> Matcher<'a> {
    /// Looks for a query in a place of events.
    pub(crate) fn new(query: &'a TextQuery, place: Place) -> Self {
        let follow = |phrase| Follower { phrase, state: 0, found: false };
        Self { place, followers: query.phrases().iter().map(follow).collect(), words: Words::default() }
    }

    /// Whether an event's data has every phrase, each within one text of the place. What is not JSON is one text.
    pub(crate) fn matches(&mut self, data: &str) -> bool {
        self.begin();
        let place = self.place;
        let is_json = walk(data, &mut |found, text| {
            if place == Place::Data || place == found {
                self.text(text);
            }
        })
        .is_ok();
        if !is_json {
            self.begin();
            if place == Place::Data {
                self.text(data);
            }
        }
        self.followers.iter().all(|follower| follower.found)
    }

    fn begin(&mut self) {
        for follower in &mut self.followers {
            follower.found = false;
        }
    }

    /// A phrase stands within one text: every text begins anew.
    fn text(&mut self, text: &str) {
        for follower in &mut self.followers {
            follower.state = 0;
        }
        let (words, followers) = (&mut self.words, &mut self.followers);
        words.of(text, |word| {
            for follower in followers.iter_mut().filter(|follower| !follower.found) {
                follower.word(word);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(query: &str, place: Place, data: &str) -> bool {
        Matcher::new(&TextQuery::parse(query).unwrap(), place).matches(data)
    }

    #[test]
    fn phrases_stand_within_one_text() {
        let data = r#"{"tool_call":{"name":"send_email","arguments":{"to":"a.b@evil.example","text":"pay the invoice"}}}"#;
        for query in [
            "invoice",
            "\"pay the\"",
            "inv*",
            "a.b@evil.example",
            "\"the inv\"*",
            "send_email invoice",
            "evil",
        ] {
            assert!(matches(query, Place::Data, data), "{query}");
        }
        for query in
            ["\"the pay\"", "voice", "\"example text\"", "invoice missing", "\"evil invoice\"", "tool_call"]
        {
            assert!(!matches(query, Place::Data, data), "{query}");
        }
        assert!(
            matches("invoice to", Place::Arguments, data) && !matches("send_email", Place::Arguments, data)
        );
    }

    #[test]
    fn repeated_words_do_not_mislead() {
        let data = r#"["a a b", "b a"]"#;
        assert!(matches("\"a b\"", Place::Data, data) && matches("\"a a b\"", Place::Data, data));
        assert!(!matches("\"b b\"", Place::Data, data) && !matches("\"a b b\"", Place::Data, data));
    }

    #[test]
    fn what_is_not_json_is_one_text_and_one_row_does_not_mark_the_next() {
        let query = TextQuery::parse("half").unwrap();
        let mut matcher = Matcher::new(&query, Place::Data);
        assert!(matcher.matches("{\"a\": \"half") && !matcher.matches("{}") && matcher.matches("[\"half\"]"));
        assert!(!matches("half", Place::Arguments, "{\"arguments\": \"half"));
    }
}
