//! What a tool does, read from its name when nobody says: names are cut into words, the words decide.
//!
//! Only kinds of words are listed, never names of particular tools. A name without a known verb counts as effectful.

use ambit_schemas::event::Effect;

/// How far a call reaches. Decides how bad it is when nobody granted the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// It only looks.
    Read,
    /// It only looks, at an address that stands in its arguments.
    Fetch,
    /// It changes what is the agent's own, or what is not final yet: files, drafts, carts, sessions.
    Local,
    /// It plans for people: calendars, reservations without payment.
    Plan,
    /// It sends something to somebody.
    Outbound,
    /// It removes something.
    Destroy,
    /// It changes who may do what: passwords, keys, members, permissions.
    Account,
    /// It moves money or commits to pay.
    Money,
    /// It runs code.
    Execute,
    /// Its name says nothing.
    Unknown,
}

impl Reach {
    /// The effect that goes with it.
    pub const fn effect(self) -> Effect {
        match self {
            Self::Read | Self::Fetch => Effect::Read,
            Self::Local | Self::Account => Effect::Update,
            Self::Plan | Self::Outbound | Self::Money | Self::Unknown => Effect::Create,
            Self::Destroy => Effect::Delete,
            Self::Execute => Effect::Execute,
        }
    }

    /// Whether a call reaches beyond the agent's own workspace.
    pub const fn leaves_workspace(self) -> bool {
        !matches!(self, Self::Read | Self::Fetch | Self::Local)
    }
}

const MONEY: &[&str] = &[
    "buy",
    "charge",
    "checkout",
    "donate",
    "invest",
    "money",
    "pay",
    "payment",
    "payout",
    "purchase",
    "refund",
    "transaction",
    "transfer",
    "withdraw",
    "wire",
    "certificate",
    "order",
];
const ACCOUNT: &[&str] = &[
    "apikey",
    "credential",
    "credentials",
    "grant",
    "invite",
    "key",
    "member",
    "passphrase",
    "password",
    "permission",
    "permissions",
    "policy",
    "role",
    "secret",
    "token",
    "user",
    "collaborator",
    "profile",
    "webhook",
    "ssh",
];
const DESTROY: &[&str] = &[
    "archive",
    "cancel",
    "clear",
    "delete",
    "destroy",
    "disable",
    "drop",
    "erase",
    "kill",
    "merge",
    "overwrite",
    "purge",
    "remove",
    "reset",
    "revoke",
    "rm",
    "terminate",
    "truncate",
    "unlink",
    "wipe",
];
const OUTBOUND: &[&str] = &[
    "comment", "email", "forward", "input", "mail", "message", "notify", "post", "publish", "push", "reply",
    "send", "share", "sms", "submit", "tweet", "upload",
];
const PLAN: &[&str] =
    &["book", "calendar", "event", "meeting", "participants", "reschedule", "reserve", "schedule"];
const EXECUTE: &[&str] =
    &["bash", "command", "eval", "exec", "execute", "python", "run", "script", "shell", "sql", "terminal"];
const FETCH: &[&str] = &[
    "browse", "crawl", "download", "fetch", "navigate", "open", "scrape", "visit", "webpage", "website",
    "url",
];
const LOCAL: &[&str] = &[
    "add", "append", "apply", "copy", "create", "draft", "edit", "login", "logout", "make", "mark", "mkdir",
    "move", "rename", "replace", "save", "set", "star", "update", "verify", "write",
];
const READ: &[&str] = &[
    "analyze",
    "calculate",
    "check",
    "compare",
    "compute",
    "count",
    "describe",
    "find",
    "get",
    "inspect",
    "list",
    "lookup",
    "parse",
    "query",
    "read",
    "retrieve",
    "search",
    "show",
    "status",
    "summarise",
    "summarize",
    "summary",
    "think",
    "total",
    "translate",
    "validate",
    "view",
    "access",
    "test",
    "tests",
    "ls",
    "cat",
    "grep",
    "head",
    "tail",
    "stat",
    "diff",
    "log",
];
/// What is not final yet: removing it or adding to it commits to nothing.
const DRAFTS: &[&str] = &["basket", "cart", "draft", "wishlist"];
/// Servers and namespaces that stand before the name.
const PREFIXES: &[&str] = &["mcp", "tool", "tools", "functions", "api", "default"];

/// Words that join two names into one.
const JOINS: &[&str] = &["and", "then", "plus"];

/// What a tool of that name does; of one that does several things, what reaches furthest.
pub fn classify(name: &str) -> Reach {
    let words = words(name);
    let known = |part: &[String]| Some(reach_of(part)).filter(|reach| *reach != Reach::Unknown);
    let parts = words.split(|word| JOINS.contains(&word.as_str()));
    parts.filter_map(known).max().unwrap_or(Reach::Unknown)
}

fn reach_of(words: &[String]) -> Reach {
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let verb = words.iter().find(|word| {
        [READ, FETCH, LOCAL, PLAN, OUTBOUND, DESTROY, MONEY, EXECUTE]
            .iter()
            .any(|list| list.contains(&word.as_str()))
            || ACCOUNT.contains(&word.as_str())
    });
    let Some(verb) = verb else { return Reach::Unknown };
    let verb = verb.as_str();
    if READ.contains(&verb) {
        return if has(&["webpage", "website", "url", "browse"]) { Reach::Fetch } else { Reach::Read };
    }
    if has(DRAFTS) && !has(&["checkout", "pay", "buy", "purchase", "send"]) {
        return Reach::Local;
    }
    if FETCH.contains(&verb) {
        return Reach::Fetch;
    }
    // The noun tells more than the verb: sending money is a payment, deleting a password is not tidying up.
    if EXECUTE.contains(&verb) {
        return Reach::Execute;
    }
    if matches!(verb, "verify" | "login" | "logout") {
        return Reach::Local;
    }
    if DESTROY.contains(&verb) {
        return if has(MONEY) { Reach::Money } else { Reach::Destroy };
    }
    if has(MONEY) {
        return Reach::Money;
    }
    if has(ACCOUNT) {
        return Reach::Account;
    }
    if has(PLAN) {
        return Reach::Plan;
    }
    if has(OUTBOUND) {
        return Reach::Outbound;
    }
    Reach::Local
}

/// Lower-case words of a name in snake, kebab, dotted, path or camel case.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut previous_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            previous_lower = false;
            continue;
        }
        if c.is_uppercase() && previous_lower && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        previous_lower = c.is_lowercase() || c.is_numeric();
        word.extend(c.to_lowercase());
    }
    if !word.is_empty() {
        words.push(word);
    }
    while words.len() > 1 && words.first().is_some_and(|first| PREFIXES.contains(&first.as_str())) {
        words.remove(0);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_their_words() {
        for (name, reach) in [
            ("get_balance", Reach::Read),
            ("listFiles", Reach::Read),
            ("search_emails", Reach::Read),
            ("get_user_info", Reach::Read),
            ("verify_transaction", Reach::Local),
            ("browse_webpage", Reach::Fetch),
            ("get_webpage", Reach::Fetch),
            ("read_and_forward", Reach::Outbound),
            ("list-then-delete-branches", Reach::Destroy),
            ("find_and_replace", Reach::Local),
            ("search_and_summarize", Reach::Read),
            ("terms_and_conditions", Reach::Unknown),
            ("send_money", Reach::Money),
            ("mcp__bank__sendMoney", Reach::Money),
            ("checkout_selected_cart", Reach::Money),
            ("cart_remove_product", Reach::Local),
            ("git.delete_branch", Reach::Destroy),
            ("update_password", Reach::Account),
            ("invite_user_to_slack", Reach::Account),
            ("add_user_to_channel", Reach::Account),
            ("send_email", Reach::Outbound),
            ("post_webpage", Reach::Outbound),
            ("create_calendar_event", Reach::Plan),
            ("reserve_hotel", Reach::Plan),
            ("create_file", Reach::Local),
            ("run_shell", Reach::Execute),
            ("frobnicate", Reach::Unknown),
            ("", Reach::Unknown),
        ] {
            assert_eq!(classify(name), reach, "{name}");
        }
    }
}
