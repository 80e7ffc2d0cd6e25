//! Which names WITH gives to common table expressions, at every place of a query.

use std::ops::ControlFlow;

use sqlparser::ast::{Query, VisitMut, VisitorMut};

use super::view::folded;

/// Names of the common table expressions around the place that a visitor has reached.
#[derive(Debug, Default)]
pub(super) struct Scope(Vec<String>);

impl Scope {
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }
}

/// A visitor that must know which names are common table expressions: it calls [`Scoped::enter`] before a query and
/// [`Scoped::leave`] behind it.
pub(super) trait Scoped: VisitorMut + Sized {
    fn scope(&mut self) -> &mut Scope;

    /// An expression that does not see itself is visited here, before its name is known, and once more with its query:
    /// the visitor must leave alone what it has made of a name.
    fn enter(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        for cte in &mut with.cte_tables {
            if !with.recursive {
                VisitMut::visit(&mut cte.query, self)?;
            }
            self.scope().0.push(folded(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }

    fn leave(&mut self, query: &Query) {
        let ctes = query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        let names = &mut self.scope().0;
        names.truncate(names.len().saturating_sub(ctes));
    }
}
