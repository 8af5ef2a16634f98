//! An envelope for one question alone: may this call be made under it? The analyzer asks the same clauses and says which
//! failed and why; whoever wants a plain yes or no, or compares it with another engine, asks here.

use crate::check::check_arguments;
use crate::compile::Compiled;
use crate::patterns::Patterns;
use ambit_schemas::Timestamp;
use ambit_schemas::envelope::{InvalidEnvelope, SignedEnvelope};
use ambit_schemas::event::Effect;
use serde_json::Value;

/// A compiled envelope.
#[derive(Debug)]
pub struct Bounds {
    compiled: Compiled,
}

/// A call that somebody wants to make.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// When.
    pub at: Timestamp,
    /// The tool's name.
    pub tool: &'a str,
    /// The server that offers it.
    pub server: Option<&'a str>,
    /// What it does.
    pub effect: Effect,
    /// Its arguments.
    pub arguments: &'a Value,
}

impl Bounds {
    /// Compiles an envelope; says nothing about who signed it.
    ///
    /// # Errors
    /// When the document is no valid envelope.
    pub fn new(signed: &SignedEnvelope) -> Result<Self, InvalidEnvelope> {
        Ok(Self { compiled: Compiled::new(signed, &mut Patterns::default())? })
    }

    /// Whether time, effect, tool, server and arguments are within it. What depends on other calls (budgets, approvals,
    /// where values came from) is not asked.
    pub fn allow(&self, asked: &Asked<'_>) -> bool {
        let compiled = &self.compiled;
        if !compiled.is_in_time(asked.at) || !compiled.may_have(asked.effect) {
            return false;
        }
        let mut grants = compiled.grants_of(asked.tool);
        if compiled.tolerates(&grants, asked.effect) {
            return true;
        }
        // A grant holds for its server alone.
        grants.retain(|grant| compiled.is_on_server(*grant, asked.server));
        !grants.is_empty() && check_arguments(compiled, &grants, asked.arguments).is_ok()
    }
}
