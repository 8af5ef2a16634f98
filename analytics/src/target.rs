//! Values of an argument that name somebody or something outside: addresses, accounts, hosts, people, records.
//!
//! What counts as a target is decided by the kind of value and by the role its argument plays, never by particular
//! values. Free text is not searched: what it says is not where the call goes.

use crate::effect::Reach;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TargetKind {
    /// A host, from a URL or by itself.
    Host,
    /// An e-mail address.
    Email,
    /// An account: an IBAN, or whatever a payment goes to.
    Account,
    /// A person, handle or channel that is written to, invited or added.
    Person,
    /// A path or thing that is removed.
    Path,
    /// A record that is bought, cancelled or changed with money: product, order, transaction.
    Record,
    /// A password or key that is set.
    Secret,
    /// A repository or branch.
    Repository,
    /// The title of something that is planned for people.
    Title,
}

impl TargetKind {
    /// For people, with its article.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "a host",
            Self::Email => "an e-mail address",
            Self::Account => "an account",
            Self::Person => "a recipient",
            Self::Path => "a path",
            Self::Record => "a record",
            Self::Secret => "a secret",
            Self::Repository => "a repository",
            Self::Title => "a title",
        }
    }
}

/// A target with the argument in which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is.
    pub kind: TargetKind,
    /// The argument, as a JSON pointer.
    pub pointer: String,
    /// The value, normalised for comparison.
    pub value: String,
}

/// Deepest nesting of arguments that is looked into.
const DEPTH_MAX: usize = 8;
/// Most targets of one call.
const TARGETS_MAX: usize = 256;
/// Longest value that can be a target; longer ones are free text.
pub const VALUE_BYTES_MAX: usize = 512;

const RECIPIENT_ROLES: &[&str] = &[
    "account",
    "address",
    "attendee",
    "attendees",
    "bcc",
    "beneficiary",
    "cc",
    "channel",
    "collaborator",
    "destination",
    "handle",
    "iban",
    "invitee",
    "login",
    "owner",
    "member",
    "participant",
    "participants",
    "payee",
    "person",
    "recipient",
    "recipients",
    "to",
    "user",
    "username",
];
const PATH_ROLES: &[&str] = &["directory", "file", "filename", "folder", "name", "node", "path", "resource"];
const REPOSITORY_ROLES: &[&str] = &["branch", "fork", "project", "ref", "repo", "repository"];
const TITLE_ROLES: &[&str] = &["summary", "title"];
const SECRET_ROLES: &[&str] = &["key", "passphrase", "password", "pin", "secret", "token"];

/// The targets among a call's arguments.
pub fn targets_of(reach: Reach, arguments: &Value) -> Vec<Target> {
    let mut found = Vec::new();
    visit(reach, arguments, &mut String::new(), "", 0, &mut found);
    found
}

fn visit(
    reach: Reach,
    value: &Value,
    pointer: &mut String,
    role: &str,
    depth: usize,
    found: &mut Vec<Target>,
) {
    if depth > DEPTH_MAX || found.len() >= TARGETS_MAX {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                visit(reach, field, pointer, name, depth + 1, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&index.to_string());
                visit(reach, item, pointer, role, depth + 1, found);
                pointer.truncate(length);
            }
        }
        Value::String(text) => take_text(reach, text, pointer, role, found),
        Value::Number(number) if is_record_role(reach, role) => {
            found.push(Target {
                kind: TargetKind::Record,
                pointer: pointer.clone(),
                value: number.to_string(),
            });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn take_text(reach: Reach, text: &str, pointer: &str, role: &str, found: &mut Vec<Target>) {
    let text = text.trim();
    if text.is_empty() || text.len() > VALUE_BYTES_MAX {
        return;
    }
    // A list in one text, as some tools take it.
    let is_list = has_role(role, RECIPIENT_ROLES) && text.contains([',', ';']);
    let parts: Vec<&str> = if is_list { text.split([',', ';']).map(str::trim).collect() } else { vec![text] };
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if let Some((kind, value)) = kind_of(reach, part, role)
            && found.len() < TARGETS_MAX
        {
            found.push(Target { kind, pointer: pointer.to_owned(), value });
        }
    }
}

fn kind_of(reach: Reach, text: &str, role: &str) -> Option<(TargetKind, String)> {
    if let Some(email) = as_email(text) {
        return Some((TargetKind::Email, email));
    }
    if let Some(host) = as_host(text, role) {
        return Some((TargetKind::Host, host));
    }
    if !reach.leaves_workspace() {
        return None;
    }
    let plain = normalise(text);
    if reach == Reach::Account && has_role(role, SECRET_ROLES) {
        return Some((TargetKind::Secret, text.to_owned()));
    }
    if let Some(account) = as_iban(text) {
        return Some((TargetKind::Account, account));
    }
    if is_record_role(reach, role) {
        return Some((TargetKind::Record, plain));
    }
    if has_role(role, REPOSITORY_ROLES) {
        return Some((TargetKind::Repository, plain));
    }
    if reach == Reach::Plan && has_role(role, TITLE_ROLES) {
        return Some((TargetKind::Title, plain));
    }
    if has_role(role, RECIPIENT_ROLES) {
        let kind = if reach == Reach::Money { TargetKind::Account } else { TargetKind::Person };
        return Some((kind, plain));
    }
    (reach == Reach::Destroy && has_role(role, PATH_ROLES)).then_some((TargetKind::Path, plain))
}

fn is_record_role(reach: Reach, role: &str) -> bool {
    let role = role.to_lowercase();
    matches!(reach, Reach::Money | Reach::Destroy)
        && (role == "id" || role.ends_with("_id") || role.ends_with("_ids") || role.ends_with("id"))
}

fn has_role(argument: &str, roles: &[&str]) -> bool {
    let argument = argument.to_lowercase();
    argument.split(['_', '-', ' ', '.']).any(|word| roles.contains(&word))
}

/// Lower case, single spaces.
pub(crate) fn normalise(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

fn as_email(text: &str) -> Option<String> {
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    // "Name <address>"
    let address = text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or(text);
    let (local, domain) = address.split_once('@')?;
    let fine =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '@' || c == '/');
    (fine(local) && fine(domain) && domain.contains('.')).then(|| address.to_lowercase())
}

/// File endings of two letters that are also the end of a host name.
const FILE_ENDINGS: &[&str] =
    &["cc", "db", "gz", "go", "js", "md", "pl", "ps", "py", "rb", "rs", "sh", "so", "ts"];

/// Top-level domains that make a host of a bare name: the usual generic ones and those set aside for private use and
/// documentation (RFC 2606, RFC 6762). Those of countries have two letters.
const TOP_DOMAINS: &[&str] = &[
    "app",
    "biz",
    "blog",
    "cloud",
    "com",
    "dev",
    "edu",
    "example",
    "gov",
    "info",
    "int",
    "internal",
    "invalid",
    "link",
    "live",
    "local",
    "localhost",
    "mil",
    "net",
    "online",
    "org",
    "page",
    "pro",
    "shop",
    "site",
    "space",
    "store",
    "tech",
    "test",
    "top",
    "website",
    "work",
    "xyz",
    "zone",
];

/// The host of a URL, or of a text that is nothing but an address.
pub(crate) fn as_host(text: &str, role: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let (has_scheme, rest) = match lower.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            (true, rest)
        }
        _ => (false, lower.as_str()),
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let host = host.strip_prefix("www.").unwrap_or(host).trim_end_matches('.');
    let fine = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if !fine {
        return None;
    }
    let ending = host.rsplit('.').next().unwrap_or_default();
    let named = host.contains('.') && ending.len() >= 2 && ending.chars().all(char::is_alphabetic);
    let is_url_role =
        has_role(role, &["url", "uri", "link", "website", "webpage", "host", "domain", "endpoint"]);
    let is_address = has_scheme || lower.starts_with("www.") || (is_url_role && named);
    // `emma.student` is an account's name: without other signs, only a known domain makes a host.
    let is_domain = (ending.len() == 2 && !FILE_ENDINGS.contains(&ending)) || TOP_DOMAINS.contains(&ending);
    let is_bare = named && is_domain && !host.contains("..");
    (is_address || is_bare).then(|| host.to_owned())
}

fn as_iban(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase();
    let bytes = plain.as_bytes();
    let (country, check) = (bytes.get(..2)?, bytes.get(2..4)?);
    let shaped = country.iter().all(u8::is_ascii_uppercase)
        && check.iter().all(u8::is_ascii_digit)
        && (14..=34).contains(&plain.len())
        && bytes.iter().all(u8::is_ascii_alphanumeric);
    shaped.then(|| plain.to_lowercase())
}

/// Whether a name looks like an account: two letters, then almost only digits.
pub(crate) fn is_account(name: &str) -> bool {
    let plain: Vec<char> = name.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = plain.iter().filter(|c| c.is_ascii_digit()).count();
    let letters = plain.iter().take(2).all(char::is_ascii_alphabetic);
    letters
        && digits >= 8
        && (10..=34).contains(&plain.len())
        && plain.iter().all(char::is_ascii_alphanumeric)
}

/// Everything in a text that could be meant as a target: for what a purpose grants.
pub(crate) fn named_in(text: &str) -> Vec<String> {
    let trim = |c: char| {
        matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '"' | '\'' | '(' | ')' | '[' | ']' | '<' | '>' | '`')
    };
    text.split_whitespace()
        .map(|word| word.trim_matches(trim))
        .filter_map(|word| {
            let host = || as_host(word, "");
            as_email(word).or_else(|| as_iban(word)).or_else(host)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(reach: Reach, arguments: &Value) -> Vec<(TargetKind, String)> {
        targets_of(reach, arguments).into_iter().map(|target| (target.kind, target.value)).collect()
    }

    #[test]
    fn values_are_told_apart_by_kind_and_role() {
        use TargetKind::{Account, Email, Host, Path, Person, Record, Secret};
        for (reach, arguments, expected) in [
            (
                Reach::Outbound,
                json!({"to": "A <a@B.example>", "body": "see evil.example"}),
                vec![(Email, "a@b.example")],
            ),
            (
                Reach::Outbound,
                json!({"recipients": "a@b.example, c@d.example"}),
                vec![(Email, "a@b.example"), (Email, "c@d.example")],
            ),
            (
                Reach::Fetch,
                json!({"url": "https://u:p@WWW.Evil.example:8080/x?y#z"}),
                vec![(Host, "evil.example")],
            ),
            (Reach::Fetch, json!({"url": "www.resume_templates.com"}), vec![(Host, "resume_templates.com")]),
            (Reach::Read, json!({"path": "/docs/report.pdf", "file": "report.pdf"}), vec![]),
            (
                Reach::Money,
                json!({"recipient": "US13 3000 0001 2121 2121 2", "amount": 3}),
                vec![(Account, "us133000000121212121212".get(..21).unwrap())],
            ),
            (Reach::Money, json!({"recipient": "Spotify"}), vec![(Account, "spotify")]),
            (Reach::Money, json!({"product_ids": ["P1"], "id": 7}), vec![(Record, "7"), (Record, "p1")]),
            (Reach::Outbound, json!({"recipient": "Alice", "body": "hi"}), vec![(Person, "alice")]),
            (Reach::Destroy, json!({"path": "/etc/passwd"}), vec![(Path, "/etc/passwd")]),
            (Reach::Account, json!({"password": "New"}), vec![(Secret, "New")]),
        ] {
            let mut expected: Vec<_> =
                expected.into_iter().map(|(kind, value)| (kind, value.to_owned())).collect();
            let mut got = kinds(reach, &arguments);
            expected.sort();
            got.sort();
            assert_eq!(got, expected, "{arguments}");
        }
    }

    #[test]
    fn a_purpose_names_its_targets() {
        let named =
            named_in("Pay (DE89370400440532013000), then mail bob@x.example and read https://a.example/b.");
        assert_eq!(named, ["de89370400440532013000", "bob@x.example", "a.example"]);
    }
}
