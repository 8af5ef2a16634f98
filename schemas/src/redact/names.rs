//! What a field's name says about its value.

use super::shapes::is_token_byte;

/// Names whose values are secrets whatever they look like, compared without case and separators.
const SECRET_NAMES: [&str; 37] = [
    "accesskeysecret",
    "accesstoken",
    "accountkey",
    "apikey",
    "apisecret",
    "apitoken",
    "authorization",
    "authtoken",
    "awssecretaccesskey",
    "bearertoken",
    "clientkey",
    "clientsecret",
    "clienttoken",
    "connectionstring",
    "cookie",
    "dbpassword",
    "encryptionkey",
    "idtoken",
    "masterpassword",
    "newpassword",
    "oldpassword",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "privatekey",
    "proxyauthorization",
    "pwd",
    "refreshtoken",
    "secret",
    "secretaccesskey",
    "secretkey",
    "secretstring",
    "sessiontoken",
    "setcookie",
    "signingkey",
    "xapikey",
];

/// Ends of names under which a random value is a secret.
const SECRET_ENDS: [&str; 8] =
    ["token", "secret", "key", "password", "passwd", "credential", "credentials", "auth"];

/// Fields that name a credential without being one.
const IDENTIFIERS: [&str; 8] =
    ["accesskeyid", "credentialuid", "credentials", "id", "parentuid", "previousuid", "uid", "username"];

/// Shortest text that is taken for random.
const RANDOM_BYTES_MIN: usize = 20;
/// Least entropy of a random text, in bits per byte. English words joined by dashes have about 3.5, and 20 random
/// letters and digits about 4.
const RANDOM_BITS_MIN: f64 = 3.6;
/// Least entropy of a random hexadecimal text (at most 4), in bits per byte.
const RANDOM_HEX_BITS_MIN: f64 = 3.0;
/// As much of a text as decides whether it is random.
const RANDOM_BYTES_READ: usize = 4_096;

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// Nothing.
    Nothing,
    /// The value identifies a credential: it is none.
    Identifier,
    /// A random value is a secret.
    Perhaps,
    /// The value is a secret.
    Secret,
}

/// What a field's name says of its value.
pub(super) fn says(name: &str) -> Says {
    // Longer names are sentences, not names.
    if name.len() > 128 {
        return Says::Nothing;
    }
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    // `http.request.header.authorization` is called by its last part.
    let last = plain(name.rsplit(['.', '/']).next().unwrap_or(name));
    let (plain, last) = (plain(name), last.as_str());
    let plain = plain.as_str();
    if IDENTIFIERS.contains(&last) {
        return Says::Identifier;
    }
    let ends = |list: &[&str]| list.iter().any(|end| plain.ends_with(end));
    if SECRET_NAMES.contains(&last)
        || ends(&["password", "passwd", "secretaccesskey", "clientsecret", "apikey"])
    {
        return Says::Secret;
    }
    if plain.contains("hash") || plain.contains("hmac") || plain.contains("accessor") {
        return Says::Nothing;
    }
    // `nextPageToken` and its like walk through lists.
    let pages = ["page", "next", "continu", "cursor", "partition", "sort", "primary", "foreign", "public"];
    if pages.iter().any(|word| plain.contains(word)) {
        return Says::Nothing;
    }
    if ends(&SECRET_ENDS) { Says::Perhaps } else { Says::Nothing }
}

/// Whether a text is as random as keys are: one token, long, of several classes of characters, with high entropy.
pub(super) fn is_random(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < RANDOM_BYTES_MIN || !bytes.iter().all(|byte| is_token_byte(*byte) || *byte == b'=') {
        return false;
    }
    let head = bytes.get(..RANDOM_BYTES_READ).unwrap_or(bytes);
    if is_uuid(head) {
        return false;
    }
    let has = |class: fn(&u8) -> bool| head.iter().any(class);
    let digits = has(u8::is_ascii_digit);
    if head.iter().all(u8::is_ascii_hexdigit) {
        return head.len() >= 32
            && digits
            && has(u8::is_ascii_alphabetic)
            && entropy(head) >= RANDOM_HEX_BITS_MIN;
    }
    // A path or a host is made of words between its separators.
    let longest = head.split(|byte| matches!(byte, b'/' | b'.')).map(<[u8]>::len).max().unwrap_or_default();
    digits && has(u8::is_ascii_alphabetic) && longest >= 12 && entropy(head) >= RANDOM_BITS_MIN
}

/// Whether a text under a name that calls it a secret may be one: what stands for a secret, or says that there is
/// none, is not.
pub(super) fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let starts = ["${", "$(", "{{", "<", "%(", "***", "env.", "[REDACTED", "REDACTED"];
    text.is_empty()
        || starts.iter().any(|start| text.starts_with(start))
        || text.bytes().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-'))
        || ["null", "none", "true", "false", "undefined", "nil", "hidden_due_to_security_reasons"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Shannon entropy of the bytes, in bits per byte.
#[allow(clippy::cast_precision_loss, reason = "at most 4,096 bytes are counted")]
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = bytes.len() as f64;
    let share = |count: &u32| f64::from(*count) / total;
    -counts.iter().filter(|count| **count > 0).map(|count| share(count) * share(count).log2()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_separators() {
        for name in ["Api-Key", "client_secret", "AWS_SECRET_ACCESS_KEY", "spring.datasource.password"] {
            assert_eq!(says(name), Says::Secret, "{name}");
        }
        assert_eq!(says("x-vault-token"), Says::Perhaps);
        assert_eq!(says("accessKeyId"), Says::Identifier);
        for name in ["hashed_token", "nextPageToken", "token_type", "client_token_accessor", "partition_key"]
        {
            assert_eq!(says(name), Says::Nothing, "{name}");
        }
    }

    #[test]
    fn random_texts_are_told_from_words_paths_and_ids() {
        for text in
            ["q7Zt3LkW9sXv2RbN8mYp4cJd", "9f86d081884c7d659a2feaa0c55ad015", "aB3/dE5+gH7kL9mN1pQ4rS6="]
        {
            assert!(is_random(text), "{text}");
        }
        for text in [
            "5b8efff7-9803-4103-8269-b633813fc60c",
            "the-quick-brown-fox-jumps-over",
            "short1A",
            "src/main/java/com/example1/App",
            "aaaaaaaaaaaaaaaaaaaaaaaa1111",
            "two words 1234567890 abcdef",
        ] {
            assert!(!is_random(text), "{text}");
        }
    }
}
