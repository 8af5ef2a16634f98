//! A chain as a picture: Graphviz DOT and Mermaid.

use super::{ChainView, NodeView};
use std::collections::HashMap;
use std::fmt::Write;

/// Most letters of a label.
const LABEL_LETTERS: usize = 60;

impl ChainView {
    /// As Graphviz DOT: `dot -Tsvg`.
    pub fn to_dot(&self) -> String {
        let mut out =
            String::from("digraph chain {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        for node in &self.nodes {
            let label = quote(&label(node)).replace('\n', "\\n");
            let colour =
                colour(node).map_or_else(String::new, |colour| format!(", color=\"{colour}\", penwidth=2"));
            // Writing to a string does not fail.
            writeln!(out, "  {} [label={label}{colour}];", quote(&node.id)).unwrap_or_default();
        }
        for edge in &self.edges {
            let (from, to) = (quote(&edge.from), quote(&edge.to));
            writeln!(out, "  {from} -> {to} [label={}];", quote(&edge.kind)).unwrap_or_default();
        }
        out.push_str("}\n");
        out
    }

    /// As a Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            names.insert(&node.id, number);
            writeln!(out, "  n{number}[\"{}\"]", plain(&label(node))).unwrap_or_default();
            if let Some(colour) = colour(node) {
                writeln!(out, "  style n{number} stroke:{colour},stroke-width:2px").unwrap_or_default();
            }
        }
        for edge in &self.edges {
            if let (Some(from), Some(to)) = (names.get(edge.from.as_str()), names.get(edge.to.as_str())) {
                writeln!(out, "  n{from} -->|{}| n{to}", plain(&edge.kind)).unwrap_or_default();
            }
        }
        out
    }
}

fn label(node: &NodeView) -> String {
    let cut = |text: &str| -> String {
        text.chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(LABEL_LETTERS)
            .collect()
    };
    let who = node.agent.as_deref().map_or_else(String::new, |agent| format!("\n{}", cut(agent)));
    format!("{}{who}", cut(&node.title))
}

/// Text within quotation marks in Mermaid: what has a meaning there is written by its number.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("<br/>"),
            letter if letter.is_alphanumeric() || matches!(letter, ' ' | '.' | '-' | '_' | '/' | ':') => {
                out.push(letter);
            }
            letter => write!(out, "#{};", u32::from(letter)).unwrap_or_default(),
        }
    }
    out
}

fn colour(node: &NodeView) -> Option<&'static str> {
    match node.severity.as_deref()? {
        "critical" | "high" => Some("#c62828"),
        "medium" => Some("#ef6c00"),
        _ => Some("#f9a825"),
    }
}
