//! Secrets that a text gives away by their shape. Each detector passes over the text once.

use super::names::{Says, is_placeholder, is_random, says};
use super::walk::is_aws_secret;
use super::{
    AGE, ASSIGNMENT, AWS_ACCESS_KEY_ID, AWS_SECRET, BASIC, BEARER, DATABRICKS, DIGITALOCEAN, GITHUB, GITLAB,
    GOOGLE, HUGGING_FACE, JWT, MODEL_API, NPM, PRIVATE_KEY, PYPI, SENDGRID, SHOPIFY, SLACK, SLACK_WEBHOOK,
    STRIPE, URL_PASSWORD, VAULT, is_hashed,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// A secret within a text: bytes `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rule: &'static str,
}

/// Which bytes follow a prefix.
#[derive(Debug, Clone, Copy)]
enum Set {
    Upper,
    Alnum,
    Word,
    Token,
}

impl Set {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Token => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/'),
        }
    }
}

/// A token by its beginning: rule, prefix, least bytes after it, whether just as many, which bytes.
struct Prefix(&'static str, &'static str, usize, bool, Set);

/// Longer prefixes of one beginning stand before shorter ones.
const PREFIXES: [Prefix; 45] = [
    Prefix(AWS_ACCESS_KEY_ID, "AKIA", 16, true, Set::Upper),
    Prefix(AWS_ACCESS_KEY_ID, "ASIA", 16, true, Set::Upper),
    Prefix(AWS_ACCESS_KEY_ID, "ABIA", 16, true, Set::Upper),
    Prefix(AWS_ACCESS_KEY_ID, "ACCA", 16, true, Set::Upper),
    Prefix(GITHUB, "ghp_", 36, false, Set::Alnum),
    Prefix(GITHUB, "gho_", 36, false, Set::Alnum),
    Prefix(GITHUB, "ghu_", 36, false, Set::Alnum),
    Prefix(GITHUB, "ghs_", 36, false, Set::Alnum),
    Prefix(GITHUB, "ghr_", 36, false, Set::Alnum),
    Prefix(GITHUB, "github_pat_", 29, false, Set::Word),
    Prefix(GITLAB, "glpat-", 20, false, Set::Word),
    Prefix(GITLAB, "gldt-", 20, false, Set::Word),
    Prefix(GITLAB, "glptt-", 20, false, Set::Word),
    Prefix(GITLAB, "glrt-", 20, false, Set::Word),
    Prefix(GITLAB, "glcbt-", 20, false, Set::Word),
    Prefix(GITLAB, "glsoat-", 20, false, Set::Word),
    Prefix(SLACK, "xoxb-", 19, false, Set::Word),
    Prefix(SLACK, "xoxp-", 19, false, Set::Word),
    Prefix(SLACK, "xoxa-", 19, false, Set::Word),
    Prefix(SLACK, "xoxr-", 19, false, Set::Word),
    Prefix(SLACK, "xoxs-", 19, false, Set::Word),
    Prefix(SLACK, "xoxe-", 19, false, Set::Word),
    Prefix(SLACK, "xapp-", 19, false, Set::Word),
    Prefix(SLACK_WEBHOOK, "hooks.slack.com/services/", 20, false, Set::Token),
    Prefix(STRIPE, "sk_live_", 16, false, Set::Alnum),
    Prefix(STRIPE, "sk_test_", 16, false, Set::Alnum),
    Prefix(STRIPE, "rk_live_", 16, false, Set::Alnum),
    Prefix(STRIPE, "rk_test_", 16, false, Set::Alnum),
    Prefix(STRIPE, "whsec_", 24, false, Set::Alnum),
    Prefix(GOOGLE, "AIza", 35, true, Set::Word),
    Prefix(GOOGLE, "ya29.", 20, false, Set::Word),
    Prefix(GOOGLE, "GOCSPX-", 24, false, Set::Word),
    Prefix(NPM, "npm_", 36, true, Set::Alnum),
    Prefix(PYPI, "pypi-AgE", 40, false, Set::Word),
    Prefix(VAULT, "hvs.", 20, false, Set::Word),
    Prefix(VAULT, "hvb.", 20, false, Set::Word),
    Prefix(VAULT, "hvr.", 20, false, Set::Word),
    Prefix(MODEL_API, "sk-", 21, false, Set::Word),
    Prefix(SENDGRID, "SG.", 40, false, Set::Token),
    Prefix(DIGITALOCEAN, "dop_v1_", 64, true, Set::Alnum),
    Prefix(HUGGING_FACE, "hf_", 34, false, Set::Alnum),
    Prefix(SHOPIFY, "shpat_", 32, true, Set::Alnum),
    Prefix(SHOPIFY, "shpss_", 32, true, Set::Alnum),
    Prefix(DATABRICKS, "dapi", 32, true, Set::Alnum),
    Prefix(AGE, "AGE-SECRET-KEY-1", 40, false, Set::Upper),
];

/// As much of a token as must hold a digit.
const HEAD_BYTES: usize = 64;
/// Longest user information of a URL that is looked for a password, in bytes.
const USERINFO_BYTES_MAX: usize = 1_024;
/// Longest name before `=` or `:`.
const NAME_BYTES_MAX: usize = 64;
/// Shortest value of an assignment.
const VALUE_BYTES_MIN: usize = 6;

/// Bytes of which tokens are made.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'/' | b'~')
}

/// The secrets in a text, in order, without overlaps: of two that overlap, the one that begins first, then the longer.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    if text.len() < VALUE_BYTES_MIN {
        return spans;
    }
    private_keys(text, &mut spans);
    prefixes(text.as_bytes(), &mut spans);
    web_tokens(text, &mut spans);
    schemes(text, &mut spans);
    url_passwords(text, &mut spans);
    assignments(text, &mut spans);
    spans.retain(|span| text.get(span.start..span.end).is_some_and(|found| !is_hashed(found)));
    spans.sort_by_key(|span| (span.start, usize::MAX - span.end));
    let mut end = 0;
    spans.retain(|span| {
        let free = span.start >= end;
        if free {
            end = span.end;
        }
        free
    });
    spans
}

fn private_keys(text: &str, spans: &mut Vec<Span>) {
    let (begin, mut from) = ("-----BEGIN ", 0);
    while let Some(start) = text.get(from..).and_then(|rest| rest.find(begin)).map(|at| from + at) {
        from = start + begin.len();
        // The label ends with the line.
        let label: &str = text.get(from..).unwrap_or_default().split("-----").next().unwrap_or_default();
        if label.len() > 64 || !label.contains("PRIVATE KEY") {
            // A label that was read in vain is not read again.
            from += label.len().min(64);
            while !text.is_char_boundary(from) {
                from += 1;
            }
            continue;
        }
        // A key that was cut off is still part of a key.
        let rest = text.get(from..).unwrap_or_default();
        let close = rest.find("-----END ").map(|at| at + "-----END ".len());
        let length = close.and_then(|close| rest.get(close..)?.find("-----").map(|at| close + at + 5));
        from += length.unwrap_or(rest.len());
        spans.push(Span { start, end: from, rule: PRIVATE_KEY });
    }
}

fn prefixes(bytes: &[u8], spans: &mut Vec<Span>) {
    let (mut at, mut before) = (0, b' ');
    while let Some(byte) = bytes.get(at).copied() {
        let boundary = !before.is_ascii_alphanumeric() && before != b'_';
        let found = if boundary { prefix_at(bytes, at) } else { None };
        if let Some(span) = found {
            spans.push(span);
            before = b'A';
            at = span.end;
        } else {
            before = byte;
            at += 1;
        }
    }
}

fn prefix_at(bytes: &[u8], start: usize) -> Option<Span> {
    let rest = bytes.get(start..)?;
    let first = rest.first()?;
    for Prefix(rule, prefix, least, exact, set) in &PREFIXES {
        if prefix.as_bytes().first() != Some(first) || !rest.starts_with(prefix.as_bytes()) {
            continue;
        }
        let tail = rest.get(prefix.len()..).unwrap_or_default();
        // As many as are needed are looked at first: what is too short costs no more than that.
        let needed = tail.iter().take(*least).take_while(|byte| set.has(**byte)).count();
        // Words joined by dashes have the shape of some tokens, but no digits. Only the head is looked at, so that a
        // text made of such words is not read again from each of them.
        let plain = matches!(set, Set::Word | Set::Token)
            && !tail
                .iter()
                .take((*least).max(HEAD_BYTES))
                .take_while(|byte| set.has(**byte))
                .any(u8::is_ascii_digit);
        if needed < *least || plain {
            continue;
        }
        let length = if *exact {
            if tail.get(*least).is_some_and(|byte| Set::Word.has(*byte)) {
                continue;
            }
            *least
        } else {
            tail.iter().take_while(|byte| set.has(**byte)).count()
        };
        return Some(Span { start, end: start + prefix.len() + length, rule });
    }
    None
}

/// `eyJ...` `.` `...` `.` `...`: header, payload, signature.
fn web_tokens(text: &str, spans: &mut Vec<Span>) {
    if !text.contains("eyJ") {
        return;
    }
    let mut at = 0;
    let is_part = |byte: u8| Set::Word.has(byte) || byte == b'.';
    for run in text.split(|c: char| !u8::try_from(c).is_ok_and(is_part)) {
        let begin = run.as_ptr().addr() - text.as_ptr().addr();
        let mut parts = Vec::new();
        at = begin;
        for part in run.split('.') {
            parts.push((at, part));
            at += part.len() + 1;
        }
        let mut free = 0;
        for three in parts.windows(3) {
            let [(start, header), (second, payload), (third, signature)] = three else { continue };
            let Some(skip) = header.find("eyJ") else { continue };
            let start = start + skip;
            if start >= free && header.len() - skip >= 10 && payload.len() >= 10 && signature.len() >= 10 {
                free = third + signature.len();
                spans.push(Span { start, end: free, rule: JWT });
                debug_assert!(*second > start, "parts are in order");
            }
        }
    }
    debug_assert!(at <= text.len() + 1, "runs lie within the text");
}

/// `Bearer` and `Basic` with what follows them.
fn schemes(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    for word in text.split_inclusive([' ', ':', '"', '\'', '=', ',', '\n', '\t']) {
        at += word.len();
        let name = word.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
        let (bearer, basic) = (name.eq_ignore_ascii_case("bearer"), name.eq_ignore_ascii_case("basic"));
        if !bearer && !basic {
            continue;
        }
        let tail = bytes.get(at..).unwrap_or_default();
        let length = tail.iter().take_while(|byte| is_token_byte(**byte) || **byte == b'=').count();
        let Some(token) = text.get(at..at + length) else { continue };
        let is_secret = if bearer {
            length >= 16 && token.bytes().any(|byte| byte.is_ascii_digit())
        } else {
            length >= 8 && is_user_and_password(token)
        };
        if is_secret {
            spans.push(Span { start: at, end: at + length, rule: if bearer { BEARER } else { BASIC } });
        }
    }
}

fn is_user_and_password(token: &str) -> bool {
    let bytes = STANDARD.decode(token).or_else(|_| STANDARD_NO_PAD.decode(token));
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| text.contains(':') && !text.chars().any(char::is_control))
}

fn url_passwords(text: &str, spans: &mut Vec<Span>) {
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        let ends =
            |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>') || *byte <= b' ';
        let length = rest.iter().take(USERINFO_BYTES_MAX).take_while(|byte| !ends(byte)).count();
        let authority = rest.get(..length).unwrap_or_default();
        let Some(host) = authority.iter().rposition(|byte| *byte == b'@') else { continue };
        let Some(colon) = authority.iter().position(|byte| *byte == b':') else { continue };
        let placeholder = || text.get(start + colon + 1..start + host).is_none_or(is_placeholder);
        if colon + 1 < host && !placeholder() {
            spans.push(Span { start: start + colon + 1, end: start + host, rule: URL_PASSWORD });
        }
    }
}

/// `name=value`, `"name": "value"`, `--name value`, where the name is that of a secret.
fn assignments(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut free = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if at < free || !matches!(byte, b'=' | b':' | b' ') {
            continue;
        }
        let Some(name) = name_before(text, at) else { continue };
        let flag = *byte == b' ';
        if flag && !name.starts_with("--") {
            continue;
        }
        let about = says(name);
        if !matches!(about, Says::Secret | Says::Perhaps) {
            continue;
        }
        let open = |byte: &u8| matches!(byte, b' ' | b'"' | b'\'' | b'\\' | b'=' | b'>');
        let start =
            at + 1 + bytes.get(at + 1..).unwrap_or_default().iter().take(4).take_while(|b| open(b)).count();
        let stops = |byte: &u8| {
            matches!(byte, b'"' | b'\'' | b'\\' | b',' | b';' | b'&' | b')' | b']' | b'}' | b'<' | b'>')
                || *byte <= b' '
        };
        let length = bytes.get(start..).unwrap_or_default().iter().take_while(|byte| !stops(byte)).count();
        free = start + length;
        let Some(value) = text.get(start..free) else { continue };
        let scheme = value.eq_ignore_ascii_case("bearer") || value.eq_ignore_ascii_case("basic");
        let secret = match about {
            Says::Secret => !scheme && is_mixed(value) && !is_placeholder(value),
            Says::Perhaps => is_random(value),
            Says::Nothing | Says::Identifier => false,
        };
        if secret {
            let rule = if is_aws_secret(value) { AWS_SECRET } else { ASSIGNMENT };
            spans.push(Span { start, end: free, rule });
        }
    }
}

/// The name that ends before `at`, a quote between them left out.
fn name_before(text: &str, at: usize) -> Option<&str> {
    let head = text.as_bytes().get(at.saturating_sub(NAME_BYTES_MAX)..at)?;
    let close = |byte: &&u8| matches!(byte, b'"' | b'\'' | b'\\' | b' ');
    let tail = head.iter().rev().take(3).take_while(close).count();
    let end = at - tail;
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = head.get(..head.len() - tail)?.iter().rev().take_while(is_name).count();
    text.get(end - length..end).filter(|name| name.len() >= 3)
}

/// Whether a value is no plain word: at least six bytes, letters with digits or signs.
fn is_mixed(value: &str) -> bool {
    let letters = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    let others = value.bytes().any(|byte| !byte.is_ascii_alphabetic() && !matches!(byte, b'.' | b':' | b'-'));
    value.len() >= VALUE_BYTES_MIN && letters && others
}
