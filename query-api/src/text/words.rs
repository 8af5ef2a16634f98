//! Words: what a text is cut into, for the index, for queries, and for rows that are read without an index.
//!
//! A word is a run of letters and digits, in lower case; a character of a script that is written without spaces is a
//! word by itself. So `https://files.evil.example/a_b` has the words `https`, `files`, `evil`, `example`, `a`, `b`, and is
//! found whole, as the phrase of its words, as well as by each part.

/// Longest word, in bytes: of a longer one (Base64, say) only the beginning counts.
pub(crate) const WORD_BYTES_MAX: usize = 128;

/// Cuts texts into words, with one buffer for all of them.
#[derive(Debug, Default)]
pub(crate) struct Words {
    word: String,
}

impl Words {
    /// Calls `each` with every word of a text, in order.
    pub(crate) fn of(&mut self, text: &str, mut each: impl FnMut(&str)) {
        self.word.clear();
        for letter in text.chars() {
            if stands_alone(letter) {
                self.end(&mut each);
                self.word.push(letter);
                self.end(&mut each);
            } else if letter.is_alphanumeric() {
                self.push(letter);
            } else {
                self.end(&mut each);
            }
        }
        self.end(&mut each);
    }

    fn push(&mut self, letter: char) {
        if letter.is_ascii() {
            if self.word.len() < WORD_BYTES_MAX {
                self.word.push(letter.to_ascii_lowercase());
            }
            return;
        }
        // Some letters become a letter and a mark (`İ`): the mark would end the word when it is read again.
        for lower in letter.to_lowercase().filter(|lower| lower.is_alphanumeric()) {
            if self.word.len() + lower.len_utf8() <= WORD_BYTES_MAX {
                self.word.push(lower);
            }
        }
    }

    fn end(&mut self, each: &mut impl FnMut(&str)) {
        if !self.word.is_empty() {
            each(&self.word);
            self.word.clear();
        }
    }
}

/// Letters of Chinese, Japanese and Korean, and of other scripts that put no space between words (Unicode blocks from
/// CJK radicals to compatibility ideographs, Thai, Lao, Khmer, Burmese).
fn stands_alone(letter: char) -> bool {
    matches!(letter,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{2E80}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
        && letter.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        Words::default().of(text, |word| all.push(word.to_owned()));
        all
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(
            words("Mail Emma.Johnson@bluesparrow.tech!"),
            ["mail", "emma", "johnson", "bluesparrow", "tech"]
        );
        assert_eq!(words("/etc/pass_wd ÄRGER 10.0.0.7"), ["etc", "pass", "wd", "ärger", "10", "0", "0", "7"]);
        assert_eq!(words("請求書 2026年"), ["請", "求", "書", "2026", "年"]);
        assert!(words(" -- \u{1F600} ").is_empty());
    }

    #[test]
    fn of_a_long_word_the_beginning_counts() {
        let (long, longer) = ("x".repeat(WORD_BYTES_MAX), "x".repeat(10_000));
        assert_eq!(words(&longer), [long.as_str()]);
        let mixed = words(&format!("{}é", "x".repeat(WORD_BYTES_MAX - 1)));
        assert_eq!(mixed, ["x".repeat(WORD_BYTES_MAX - 1)], "no letter is cut in two");
    }
}
