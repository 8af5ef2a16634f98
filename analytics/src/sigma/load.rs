//! From documents to a set of rules that can judge. The same documents always give the same set: what is checked here
//! decides what happened, so it changes with [`ENGINE`] only. What is merely unwise is told by [`super::check`].

use super::correlation::{Correlation, link};
use super::fields::{CATEGORIES, category_of};
use super::source::{Level, Problem, Source};
use super::yaml;
use ambit_schemas::Kind;
use ambit_schemas::finding::{Maturity, Severity};
use ambit_schemas::id::RuleId;
use ambit_schemas::ruleset::{InvalidRules, RuleDocument, RulesActivated, check_bounds, digest_of};
use ed25519_dalek::VerifyingKey;
use rsigma_eval::{CompiledRule, compile_rule};
use rsigma_parser::{
    CorrelationRule, Detection, Level as SigmaLevel, Modifier, SigmaCollection, SigmaRule, SigmaValue,
    Status, parse_sigma_yaml,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Part of every rule's version: changes whenever the verdicts of an unchanged rule may.
pub(crate) const ENGINE: &str = "ambit-sigma/1";
/// Most rules of a set.
const RULES_MAX: usize = 512;
/// Longest id of a rule, in bytes.
const ID_BYTES_MAX: usize = 64;
/// Longest title, in characters (Sigma: 256).
const TITLE_CHARS_MAX: usize = 256;
/// Largest compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Why a set cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSet {
    /// It is not what was signed, or too large.
    #[error(transparent)]
    Set(#[from] InvalidRules),
    /// Some of its rules cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Rules(Vec<Problem>),
}

/// What a rule is, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its stable id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// How bad its findings are.
    pub severity: Severity,
    /// How far it is trusted.
    pub maturity: Maturity,
    /// `detection`, or the kind of its correlation.
    pub kind: &'static str,
    /// Whether it gives findings of its own.
    pub tells: bool,
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub path: String,
}

/// What all rules have.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) id: RuleId,
    /// By what correlations refer to it: its id, its name.
    pub(super) names: Vec<String>,
    pub(super) version: u32,
    /// Names the rule with all that it refers to.
    pub(super) key: u64,
    pub(super) title: String,
    pub(super) severity: Severity,
    pub(super) maturity: Maturity,
    pub(super) controls: Vec<String>,
    /// Whether it gives findings of its own.
    pub(super) tells: bool,
    path: String,
}

/// A rule about one event.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) info: Info,
    pub(super) compiled: CompiledRule,
}

/// A set of rules, ready to judge.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) digest: String,
    pub(super) rules: Vec<Rule>,
    /// Those that others refer to come first.
    pub(super) correlations: Vec<Correlation>,
    /// Rules by the category of the events that they are about.
    by_category: Vec<Vec<usize>>,
}

impl RuleSet {
    /// Makes a set of documents.
    pub fn compile(documents: &[RuleDocument], may_revoke: bool) -> Result<Self, InvalidSet> {
        check_bounds(documents)?;
        let mut reading = Reading { may_revoke, ..Reading::default() };
        for document in documents {
            for part in yaml::parts(&document.text) {
                reading.take(Source { path: &document.path, part });
            }
        }
        reading.finish(digest_of(documents, may_revoke))
    }

    /// Makes a set of what stands in a shard, if one of these keys has signed it.
    pub(crate) fn activated(
        activated: &RulesActivated,
        trusted: &[VerifyingKey],
        must_be_signed: bool,
    ) -> Result<Self, InvalidSet> {
        Self::trust(activated, trusted, must_be_signed)?;
        Self::compile(&activated.documents, activated.may_revoke)
    }

    /// Whether a set that stands in a shard is what was signed, and by whom.
    pub(crate) fn trust(
        activated: &RulesActivated,
        trusted: &[VerifyingKey],
        must_be_signed: bool,
    ) -> Result<(), InvalidRules> {
        match activated.verify(trusted) {
            Err(InvalidRules::Untrusted) if !must_be_signed => Ok(()),
            other => other,
        }
    }

    /// Names the documents.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether there is no rule in it.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.correlations.is_empty()
    }

    /// What its rules are, by id.
    pub fn summaries(&self) -> Vec<Summary> {
        let rules = self.rules.iter().map(|rule| summary(&rule.info, "detection"));
        let correlations = self.correlations.iter().map(|one| summary(&one.info, one.kind()));
        let mut all: Vec<Summary> = rules.chain(correlations).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The rules that may match an event of a kind.
    pub(super) fn about(&self, kind: Kind) -> impl Iterator<Item = (usize, &Rule)> {
        let indices = category_of(kind).and_then(|category| self.by_category.get(category));
        indices.into_iter().flatten().filter_map(|index| Some((*index, self.rules.get(*index)?)))
    }
}

fn summary(info: &Info, kind: &'static str) -> Summary {
    Summary {
        id: info.id.to_string(),
        version: info.version,
        severity: info.severity,
        maturity: info.maturity,
        kind,
        tells: info.tells,
        title: info.title.clone(),
        path: info.path.clone(),
    }
}

#[derive(Default)]
struct Reading<'a> {
    may_revoke: bool,
    problems: Vec<Problem>,
    seen: BTreeMap<String, String>,
    rules: Vec<Rule>,
    correlations: Vec<(Info, CorrelationRule, Source<'a>)>,
}

impl<'a> Reading<'a> {
    fn take(&mut self, source: Source<'a>) {
        let taken = parse(source).and_then(|mut collection| {
            if let Some(rule) = collection.rules.pop() {
                return self.detection(source, &rule);
            }
            if let Some(rule) = collection.correlations.pop() {
                return self.correlation(source, rule);
            }
            let text = "filters are not supported: exclude with `and not` in the rule's condition";
            Err(vec![source.error("filter", text)])
        });
        self.problems.extend(taken.err().into_iter().flatten());
    }

    fn detection(&mut self, source: Source<'a>, rule: &SigmaRule) -> Result<(), Vec<Problem>> {
        let header = Header {
            id: rule.id.as_deref(),
            name: rule.name.as_deref(),
            title: &rule.title,
            level: rule.level,
            status: rule.status,
            tags: &rule.tags,
        };
        let Some(info) = self.info(source, &header)? else { return Ok(()) };
        check_logsource(source, rule)?;
        check_patterns(source, rule)?;
        let compiled = compile_rule(rule)
            .map_err(|error| vec![source.error("detection", format!("the rule cannot be used: {error}"))])?;
        self.rules.push(Rule { info, compiled });
        Ok(())
    }

    fn correlation(&mut self, source: Source<'a>, rule: CorrelationRule) -> Result<(), Vec<Problem>> {
        let header = Header {
            id: rule.id.as_deref(),
            name: rule.name.as_deref(),
            title: &rule.title,
            level: rule.level,
            status: rule.status,
            tags: &rule.tags,
        };
        if let Some(info) = self.info(source, &header)? {
            self.correlations.push((info, rule, source));
        }
        Ok(())
    }

    /// What all rules have; `None` for one that is no longer to be used.
    fn info(&mut self, source: Source<'a>, header: &Header<'_>) -> Result<Option<Info>, Vec<Problem>> {
        let mut problems = Vec::new();
        let id = header.id.unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(is_plain) {
            let text = format!(
                "the rule needs an `id`: a UUID, or at most {ID_BYTES_MAX} letters, digits, `-`, `_`, `.`"
            );
            problems.push(source.error("id", text));
        }
        let here = format!("{}:{}", source.path, source.line(1));
        let name = header.name.filter(|name| *name != id);
        for name in [Some(id), name].into_iter().flatten().filter(|name| !name.is_empty()) {
            if let Some(there) = self.seen.insert(name.to_owned(), here.clone()) {
                problems.push(source.error("id", format!("`{name}` is another rule's already: see {there}")));
            }
        }
        if header.title.trim().is_empty() || header.title.chars().count() > TITLE_CHARS_MAX {
            problems.push(
                source.error(
                    "title",
                    format!("the rule needs a `title` of at most {TITLE_CHARS_MAX} characters"),
                ),
            );
        }
        if header.level.is_none() {
            problems.push(
                source
                    .error("level", "the rule needs a `level`: informational, low, medium, high or critical"),
            );
        }
        if header.status.is_none() {
            problems.push(source.error("status", "the rule needs a `status`: experimental, test or stable"));
        }
        let (Some(level), Some(status), true) = (header.level, header.status, problems.is_empty()) else {
            return Err(problems);
        };
        let maturity = match status {
            // INVARIANT E-3
            Status::Stable if self.may_revoke => Maturity::Stable,
            Status::Stable | Status::Test => Maturity::Incubating,
            Status::Experimental => Maturity::Sandbox,
            Status::Deprecated | Status::Unsupported => return Ok(None),
        };
        let rule_id = RuleId::try_from(format!("R-{id}"))
            .map_err(|error| vec![source.error("id", error.to_string())])?;
        let (key, version) = version_of(&[ENGINE, source.part.text.trim()]);
        let names = [Some(id), header.name].into_iter().flatten().map(str::to_owned).collect();
        let controls =
            header.tags.iter().filter_map(|tag| tag.strip_prefix("control.")).map(str::to_uppercase);
        Ok(Some(Info {
            id: rule_id,
            names,
            version,
            key,
            title: header.title.to_owned(),
            severity: severity_of(level),
            maturity,
            controls: controls.collect(),
            tells: true,
            path: source.path.to_owned(),
        }))
    }

    fn finish(mut self, digest: String) -> Result<RuleSet, InvalidSet> {
        let count = self.rules.len() + self.correlations.len();
        if count > RULES_MAX {
            return Err(InvalidRules::TooLarge { what: "rules:", found: count, most: RULES_MAX }.into());
        }
        let mut correlations = Vec::new();
        match link(&mut self.rules, std::mem::take(&mut self.correlations)) {
            Ok(linked) => correlations = linked,
            Err(problems) => self.problems.extend(problems),
        }
        if !self.problems.is_empty() {
            self.problems.sort();
            return Err(InvalidSet::Rules(self.problems));
        }
        let of = |category: &&str| {
            let is_of = |rule: &Rule| {
                rule.compiled.logsource.category.as_deref().is_none_or(|asked| asked == *category)
            };
            (0..).zip(&self.rules).filter(|(_, rule)| is_of(rule)).map(|(index, _)| index).collect()
        };
        let by_category = CATEGORIES.iter().map(of).collect();
        Ok(RuleSet { digest, rules: self.rules, correlations, by_category })
    }
}

struct Header<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
    title: &'a str,
    level: Option<SigmaLevel>,
    status: Option<Status>,
    tags: &'a [String],
}

const fn severity_of(level: SigmaLevel) -> Severity {
    match level {
        SigmaLevel::Informational => Severity::Info,
        SigmaLevel::Low => Severity::Low,
        SigmaLevel::Medium => Severity::Medium,
        SigmaLevel::High => Severity::High,
        SigmaLevel::Critical => Severity::Critical,
    }
}

/// A key and a version, never 0, of what a rule consists of.
pub(super) fn version_of(parts: &[&str]) -> (u64, u32) {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let key = digest.finalize().iter().take(8).fold(0_u64, |key, byte| (key << 8) | u64::from(*byte));
    let version = u32::try_from(key >> 33).unwrap_or(1);
    (key, version.max(1))
}

/// The one rule of a document.
pub(super) fn parse(source: Source<'_>) -> Result<SigmaCollection, Vec<Problem>> {
    let text = source.part.text;
    yaml::walk(text)
        .map_err(|unusable| vec![source.problem(Level::Error, source.line(unusable.line), unusable.why)])?;
    if text.lines().any(|line| line.starts_with("action:")) {
        return Err(vec![source.error("action", "`action` is not supported: write each rule whole")]);
    }
    let collection = parse_sigma_yaml(text).map_err(|error| vec![source.error("", error.to_string())])?;
    if collection.errors.is_empty() {
        return Ok(collection);
    }
    let at = |text: &str| if text.contains("Condition") { "condition" } else { "" };
    Err(collection.errors.iter().map(|text| source.error(at(text), text.clone())).collect())
}

fn check_logsource(source: Source<'_>, rule: &SigmaRule) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    if rule.logsource.product.as_deref() != Some("ambit") {
        problems
            .push(source.error("product", "`logsource` needs `product: ambit`: no other events are judged"));
    }
    let category = rule.logsource.category.as_deref();
    if category.is_some_and(|category| !CATEGORIES.contains(&category)) {
        problems.push(source.error("category", format!("`category` is none of {}", CATEGORIES.join(", "))));
    }
    if rule.logsource.service.is_some() || !rule.logsource.custom.is_empty() {
        problems.push(source.error("service", "`logsource` takes `product` and `category` only"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What the matcher would take and not do as it says, or at too high a price.
fn check_patterns(source: Source<'_>, rule: &SigmaRule) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for detection in rule.detection.named.values() {
        each_item(detection, &mut |item| {
            let name = item.field.name.as_deref().unwrap_or_default();
            if item.field.has_modifier(Modifier::Expand) {
                problems.push(source.error(name, "`|expand` is not supported: there are no placeholders"));
            }
            if !item.field.has_modifier(Modifier::Re) {
                return;
            }
            for value in &item.values {
                let SigmaValue::String(pattern) = value else { continue };
                let built = regex::RegexBuilder::new(&pattern.original).size_limit(REGEX_BYTES_MAX).build();
                if let Err(error) = built {
                    problems
                        .push(source.error(name, format!("the regular expression cannot be used: {error}")));
                }
            }
        });
    }
    problems.sort();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Every comparison of a detection.
pub(super) fn each_item(detection: &Detection, take: &mut dyn FnMut(&rsigma_parser::DetectionItem)) {
    match detection {
        Detection::AllOf(items) => items.iter().for_each(take),
        Detection::AnyOf(parts) | Detection::And(parts) => {
            for part in parts {
                each_item(part, take);
            }
        }
        Detection::ArrayMatch { body, .. } => each_item(body, take),
        Detection::Conditional { named, .. } => named.values().for_each(|part| each_item(part, take)),
        Detection::Keywords(_) => {}
    }
}
