//! What people are told of a finding, in chat and by pager. The texts come from findings, and so in part from whoever
//! attacks: they are shortened, and stripped of what would change how others read them.

use crate::outbox::Due;
use ambit_schemas::finding::Severity;
use ambit_schemas::response::Action;

/// Most characters of a title.
const TITLE_CHARS_MAX: usize = 120;
/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 1_000;
/// Most characters of a name.
const NAME_CHARS_MAX: usize = 200;

/// A finding in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) title: String,
    pub(super) reason: String,
    pub(super) severity: Severity,
    /// Labels and values, in the order in which they are shown.
    pub(super) facts: Vec<(&'static str, String)>,
}

impl Notice {
    pub(super) fn of(due: &Due) -> Self {
        let finding = &due.finding;
        let name = |text: &str| plain(text, NAME_CHARS_MAX);
        let mut facts = vec![
            ("Severity", finding.severity.name().to_owned()),
            ("Asked for", asked_for(due.action).to_owned()),
            ("Rule", name(finding.rule.id.as_str())),
            ("Tenant", name(finding.tenant.as_str())),
        ];
        if let Some(agent) = &finding.agent {
            facts.push(("Agent", name(agent.uid.as_str())));
        }
        if let Some(task) = &finding.task {
            facts.push(("Task", name(task.id.as_str())));
        }
        if let Some(tool) = &finding.tool {
            facts.push(("Tool", name(tool)));
        }
        facts.push(("Finding", name(finding.id.as_str())));
        Self {
            title: plain(&finding.title, TITLE_CHARS_MAX),
            reason: plain(&finding.reason, REASON_CHARS_MAX),
            severity: finding.severity,
            facts,
        }
    }
}

const fn asked_for(action: Action) -> &'static str {
    match action {
        Action::Restore => "that the agent may go on",
        Action::Notify => "nothing, for your information",
        Action::StepUp => "a human's approval before it goes on",
        Action::Pause => "a pause of the agent",
        Action::RevokeCredential => "the end of its credentials",
        Action::RevokeTask => "the end of the task",
        Action::RevokeTree => "the end of the whole delegation tree",
    }
}

/// One line without control, formatting and direction characters, cut to so many characters.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    for (count, letter) in text.chars().filter(|letter| !is_invisible(*letter)).enumerate() {
        if count == chars_max {
            line.push('…');
            break;
        }
        line.push(if letter.is_whitespace() || letter.is_control() { ' ' } else { letter });
    }
    line
}

/// What is not seen but changes what is: zero width, direction, tags.
const fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_line_of_visible_characters() {
        assert_eq!(plain("a\r\nb\tc\0d\u{85}", 99), "a  b c d ");
        assert_eq!(plain("pay\u{202e}gnp.exe\u{200b}", 99), "paygnp.exe");
        assert_eq!(plain("äöüß", 3), "äöü…");
        assert_eq!(plain("äöü", 3), "äöü");
    }
}
