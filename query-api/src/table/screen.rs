//! What keeps one tenant's rows from another's questions: conditions that could fail over a row, and would say so with
//! a part of it, see only rows that are within the scope already.
//!
//! The engine's optimizer moves conditions down to the files, where it may try them in any order. A [`Screen`] is a
//! step that none passes: what stands above it sees what the scope has let through. INVARIANT Q-3

use crate::text::FUNCTION;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;

/// Whether a condition can be tried on any row: it compares columns with constants, and never fails.
#[allow(clippy::wildcard_enum_match_arm, reason = "what is not known may fail")]
pub(super) fn is_harmless(filter: &Expr) -> bool {
    let mut harmless = true;
    let visited = filter.apply(|expr| {
        harmless &= match expr {
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::Like(_)
            | Expr::InList(_)
            | Expr::Between(_) => true,
            Expr::BinaryExpr(binary) => matches!(
                binary.op,
                Operator::And
                    | Operator::Or
                    | Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
            ),
            // The query of `match` is a constant that was read before; one that is wrong fails without any row.
            Expr::ScalarFunction(function) => matches!(function.name(), "coalesce" | FUNCTION),
            _ => false,
        };
        Ok(if harmless { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    harmless && visited.is_ok()
}

/// Hands its input on, and lets no condition through.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    input: Arc<dyn ExecutionPlan>,
}

impl Screen {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input }
    }
}

impl DisplayAs for Screen {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl ExecutionPlan for Screen {
    fn name(&self) -> &'static str {
        "Screen"
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input =
            children.into_iter().next().ok_or_else(|| exec_datafusion_err!("a screen has an input"))?;
        Ok(Arc::new(Self { input }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{cast, ident, lit};

    #[test]
    fn conditions_that_may_fail_over_a_row_are_told() {
        let number = || cast(ident("data"), arrow::datatypes::DataType::Int64);
        assert!(is_harmless(&ident("agent").eq(lit("a")).or(ident("data").like(lit("%x%")))));
        assert!(!is_harmless(&number().eq(lit(1))));
        assert!(!is_harmless(&ident("agent").eq(lit("a")).and(number().is_not_null())));
        assert!(!is_harmless(&(lit(1) / ident("offset")).gt(lit(0))));
    }
}
