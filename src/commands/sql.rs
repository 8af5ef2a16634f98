//! `ambit sql`: one SELECT, straight from the table, without a server.

use crate::cli::SqlArgs;
use crate::config::Config;
use crate::output::{print, print_error};
use crate::roles::parts::Parts;
use ambit_query_api::{Scope, SqlAnswer};
use serde_json::Value;

/// Widest column of a table, in letters.
const WIDTH_MAX: usize = 60;

/// Runs the command.
pub async fn run(config: &Config, args: &SqlArgs) -> anyhow::Result<()> {
    let parts = Parts { config };
    parts.must_have_store()?;
    // Whoever can read the files sees all of them.
    let session = parts.engine(parts.store().await?)?.session(Scope::all());
    let answer = session.sql(&args.query, args.limit).await?;
    if args.json {
        for row in &answer.rows {
            let names = answer.columns.iter().map(|column| column.name.clone());
            let object: serde_json::Map<String, Value> = names.zip(row.iter().cloned()).collect();
            print(&Value::Object(object).to_string());
        }
    } else {
        for line in table(&answer) {
            print(&line);
        }
    }
    if let Some(why) = &answer.incomplete {
        print_error(why);
    }
    Ok(())
}

/// The answer in columns.
fn table(answer: &SqlAnswer) -> Vec<String> {
    let shown = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => one_line(text),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    };
    let mut lines: Vec<Vec<String>> =
        vec![answer.columns.iter().map(|column| one_line(&column.name)).collect()];
    lines.extend(answer.rows.iter().map(|row| row.iter().map(shown).collect()));
    let mut widths = vec![0; answer.columns.len()];
    for (width, cell) in lines.iter().flat_map(|line| widths_of(line)).collect::<Vec<_>>() {
        if let Some(widest) = widths.get_mut(cell) {
            *widest = width.max(*widest);
        }
    }
    let line = |cells: &Vec<String>| -> String {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect()
}

fn widths_of(line: &[String]) -> impl Iterator<Item = (usize, usize)> {
    line.iter().enumerate().map(|(at, cell)| (cell.chars().count(), at))
}

/// A value on one line, cut where it is too wide.
fn one_line(text: &str) -> String {
    let mut letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut short: String = letters.by_ref().take(WIDTH_MAX).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_columns_on_one_line() {
        let text = "a\nb";
        assert_eq!(one_line(text), "a b");
        assert_eq!(one_line(&"x".repeat(100)).chars().count(), WIDTH_MAX + 1);
    }
}
