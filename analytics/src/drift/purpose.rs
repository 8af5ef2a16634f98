//! Purposes by kind: `Answer ticket 4711 of ines@customer.example` and `Answer ticket 12 of li@client.example` ask for the
//! same work.

/// Words of a kind of purpose: what follows is seldom about the kind of work.
const WORDS_MAX: usize = 12;
/// Longest word that is taken in, in characters.
const WORD_CHARS_MAX: usize = 40;

/// The first words of a purpose, lower case, without those that name somebody or something: words with digits, addresses,
/// paths, and words that begin with a capital letter inside a sentence.
pub fn kind_of_purpose(purpose: &str) -> String {
    let (mut kind, mut begins) = (String::new(), true);
    let mut words = 0;
    for token in purpose.split_whitespace() {
        let ends = token.ends_with(['.', '!', '?', ':']);
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        let is_name = word.is_empty()
            || word.chars().count() > WORD_CHARS_MAX
            || word.chars().any(|c| !c.is_alphabetic() && c != '-' && c != '\'')
            || (!begins && word.chars().next().is_some_and(char::is_uppercase));
        begins = ends;
        if is_name {
            continue;
        }
        if words > 0 {
            kind.push(' ');
        }
        kind.extend(word.chars().flat_map(char::to_lowercase));
        words += 1;
        if words == WORDS_MAX {
            break;
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_addresses_do_not_make_another_kind() {
        let kind = kind_of_purpose("Answer ticket 4711 of ines@customer.example");
        assert_eq!(kind, "answer ticket of");
        assert_eq!(kind, kind_of_purpose("Answer ticket #12 of Li Wei, li@client.example"));
        assert_ne!(kind, kind_of_purpose("Close ticket 4711 of ines@customer.example"));
        assert_eq!(kind_of_purpose("Pay invoice-77.pdf of Stadtwerke. Then tell Emma"), "pay of then tell");
        assert_eq!(kind_of_purpose(""), "");
        assert_eq!(kind_of_purpose(&"so ".repeat(500)).split(' ').count(), WORDS_MAX);
    }
}
