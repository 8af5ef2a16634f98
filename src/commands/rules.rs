//! `ambit rules`: looks at rules of the customer's before they are put in force.

use crate::cli::RulesCommand;
use crate::config::Config;
use crate::output::{print, print_error};
use crate::rules::read;
use ambit_analytics::sigma::{Level, RuleSet, check, run_examples};
use ambit_schemas::ruleset::RuleDocument;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit code when the rules cannot be put in force, or an example fails.
const UNUSABLE: u8 = 2;

/// Runs the command.
pub fn run(config: &Config, command: &RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::Check { dir } => Ok(examine(&documents(config, dir.as_ref())?)),
        RulesCommand::List { dir } => {
            list(&documents(config, dir.as_ref())?, config.analyzer.rules_may_revoke)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn documents(config: &Config, dir: Option<&PathBuf>) -> anyhow::Result<Vec<RuleDocument>> {
    let dir: Option<&Path> = dir.or(config.analyzer.rules_dir.as_ref()).map(PathBuf::as_path);
    let dir = dir.context("name the folder of rules, or set `analyzer.rules_dir`")?;
    let documents = read(dir)?;
    if documents.is_empty() {
        bail!("{} has no *.yml or *.yaml: there are no rules in it", dir.display());
    }
    Ok(documents)
}

fn examine(documents: &[RuleDocument]) -> ExitCode {
    let problems = check(documents);
    for problem in &problems {
        print(&problem.to_string());
    }
    let errors = problems.iter().filter(|problem| problem.level == Level::Error).count();
    let examples = if errors == 0 { run_examples(documents) } else { Ok(Vec::new()) };
    let examples = match examples {
        Ok(examples) => examples,
        Err(error) => {
            print_error(&error.to_string());
            return ExitCode::from(UNUSABLE);
        }
    };
    let mut failed = 0;
    for example in &examples {
        if let Some(failure) = &example.failure {
            failed += 1;
            print(&format!("{}: {}: {}: {failure}", example.path, example.rule, example.name));
        }
    }
    let warnings = problems.len() - errors;
    print(&format!(
        "{} files: {errors} errors, {warnings} warnings; {} examples, {failed} failed",
        documents.len(),
        examples.len()
    ));
    if errors + failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNUSABLE) }
}

fn list(documents: &[RuleDocument], may_revoke: bool) -> anyhow::Result<()> {
    let set = RuleSet::compile(documents, may_revoke)
        .context("the rules cannot be used: see `ambit rules check`")?;
    print(&format!(
        "{:<42} {:>10} {:<8} {:<10} {:<16} title",
        "rule", "version", "severity", "maturity", "kind"
    ));
    for rule in set.summaries() {
        let maturity = format!("{:?}", rule.maturity).to_lowercase();
        let quiet = if rule.tells { "" } else { " (serves a correlation)" };
        print(&format!(
            "{:<42} {:>10} {:<8} {maturity:<10} {:<16} {}{quiet}",
            rule.id,
            rule.version,
            rule.severity.name(),
            rule.kind,
            rule.title
        ));
    }
    print(&format!("set {}", set.digest()));
    Ok(())
}
