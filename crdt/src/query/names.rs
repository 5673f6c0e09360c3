//! The parts of a statement that name things: paths, calls of functions and aggregates, collections.

use super::aggregate::{AggregateCall, AggregateFunction};
use super::ast::{Expr, ExprKind, Segment};
use super::error::{Position, QueryError, did_you_mean, excerpt};
use super::functions::{FUNCTIONS, Function};
use super::lexer::Token;
use super::limits::{AGGREGATES_MAX, COLLECTION_NAME_BYTES_MAX};
use super::parser::{Aggregates, Parser, is_reserved};
use super::write::plain_names;
use crate::value::DEPTH_MAX;

/// Collections of this prefix describe the peer itself and cannot be written.
const SYSTEM_PREFIX: &str = "system:";

/// Refuses a collection name that the store could not keep.
///
/// # Errors
/// Says what is wrong with a name that is empty, longer than 128 bytes, or has control characters.
pub fn check_collection_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > COLLECTION_NAME_BYTES_MAX {
        return Err(format!(
            "a collection's name has 1 to {COLLECTION_NAME_BYTES_MAX} bytes, this one has {}",
            name.len()
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(format!(
            "the collection name {name:?} contains a control character"
        ));
    }
    Ok(())
}

/// Refuses a name that no collection of documents can have, with what to do; one of the peer itself is none either.
///
/// # Errors
/// The text says what is wrong and what to do.
pub fn check_writable_collection_name(name: &str) -> Result<(), String> {
    check_collection_name(name)?;
    match name.starts_with(SYSTEM_PREFIX) {
        true => Err(format!(
            "collection {name:?} would describe the peer itself; choose a name that does not begin with {SYSTEM_PREFIX}"
        )),
        false => Ok(()),
    }
}

/// A path as statements write it.
pub(crate) fn path_text(path: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for (step, name) in path.iter().enumerate() {
        if step > 0 {
            text.push('.');
        }
        let name = name.as_ref();
        let mut letters = name.chars();
        let is_plain = letters
            .next()
            .is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
        match is_plain && (step > 0 || !is_reserved(name)) {
            true => text.push_str(name),
            false => {
                text.push('"');
                text.push_str(&name.replace('"', "\"\""));
                text.push('"');
            }
        }
    }
    text
}

/// Whether a statement means to change the collection it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

fn is_field(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Path(path) if plain_names(path).is_some())
}

impl Parser<'_> {
    /// A collection's name. `system:name` needs no quotes.
    pub(super) fn collection(&mut self, access: Access) -> Result<String, QueryError> {
        let at = self.at();
        let is_system = self.sees("system") && self.second_is_adjacent();
        let mut name = self.name("a collection's name")?;
        if is_system && self.sees_symbol(":") && self.second_is_adjacent() {
            self.take();
            name = format!("{SYSTEM_PREFIX}{}", self.name("a collection's name")?);
        }
        check_collection_name(&name).map_err(|message| at.error(message))?;
        if access == Access::Write && name.starts_with(SYSTEM_PREFIX) {
            return Err(at.error(format!(
                "the collection {name} describes this peer and is read-only"
            )));
        }
        if self.sees_symbol(".") {
            return Err(self
                .at()
                .error("a collection's name with a dot is written in quotes, \"like.this\""));
        }
        Ok(name)
    }

    /// `place.city`, `tags[0]`, `"US Gross"`, `"a.b".c['d e']`
    pub(super) fn path(&mut self) -> Result<Expr, QueryError> {
        let at = self.at();
        let mut path = vec![Segment::Name(self.name("a field's name")?)];
        loop {
            if self.eat_symbol(".") {
                // After a dot a keyword is a plain name: nothing else could stand there.
                path.push(match self.peek().clone() {
                    Token::Word(name) | Token::Quoted(name) => Segment::Name(name),
                    _ => return Err(self.unexpected("a field's name after the dot", &[])),
                });
                self.take();
            } else if self.eat_symbol("[") {
                path.push(self.subscript()?);
            } else {
                break;
            }
            if path.len() > DEPTH_MAX {
                return Err(at.error(format!("a path has at most {DEPTH_MAX} steps")));
            }
        }
        if let Token::Number(number) = self.peek()
            && let Some(index) = number.strip_prefix('.')
        {
            return Err(self
                .at()
                .error(format!("an item of a list is written [{index}]")));
        }
        self.node(ExprKind::Path(path), at)
    }

    fn subscript(&mut self) -> Result<Segment, QueryError> {
        let segment = match self.peek() {
            Token::Text(name) => Segment::Name(name.clone()),
            Token::Number(digits) => Segment::Index(
                digits
                    .parse()
                    .map_err(|_| self.at().error("a list's index is a whole number from 0"))?,
            ),
            _ => {
                return Err(self.unexpected(
                    "a list's index from 0, or a field's name in single quotes",
                    &[],
                ));
            }
        };
        self.take();
        self.expect_symbol("]")?;
        Ok(segment)
    }

    /// `name(…)`: a function or an aggregate.
    pub(super) fn call(&mut self) -> Result<Expr, QueryError> {
        let at = self.at();
        let name = self.name("a function's name")?;
        let upper = name.to_ascii_uppercase();
        self.take();
        if let Some(function) = AggregateFunction::named(&upper) {
            return self.aggregate(function, &upper, at);
        }
        let Some((_, function, fewest, most)) =
            FUNCTIONS.iter().find(|(known, ..)| *known == upper)
        else {
            let known = FUNCTIONS.iter().map(|(known, ..)| *known);
            let hint = did_you_mean(&name, known.chain(AggregateFunction::NAMES));
            return Err(at.error(format!("unknown function {}{hint}", excerpt(&name))));
        };
        let arguments = self.expressions_until(")")?;
        if !(*fewest..=*most).contains(&arguments.len()) {
            let wanted = match (*fewest, *most) {
                (1, usize::MAX) => "at least 1 argument".to_owned(),
                (1, 1) => "1 argument".to_owned(),
                (fewest, most) => format!("{fewest} or {most} arguments"),
            };
            return Err(at.error(format!("{upper} takes {wanted}, not {}", arguments.len())));
        }
        if *function == Function::Conflicts && !arguments.first().is_some_and(is_field) {
            return Err(at.error(
                "CONFLICTS takes a field, as in CONFLICTS(place.city), and no item of a list",
            ));
        }
        self.node(ExprKind::Call(*function, arguments), at)
    }

    /// The rest of `COUNT(*)` or `SUM([DISTINCT] expression)`, after the parenthesis.
    fn aggregate(
        &mut self,
        function: AggregateFunction,
        name: &str,
        at: Position,
    ) -> Result<Expr, QueryError> {
        if let Aggregates::Forbidden(place) = self.context {
            return Err(at.error(format!("the aggregate {name} cannot stand {place}")));
        }
        let mut call = AggregateCall {
            function,
            argument: None,
            distinct: false,
            at,
        };
        if function == AggregateFunction::Count && self.eat_symbol("*") {
            self.expect_symbol(")")?;
        } else {
            self.context = Aggregates::Forbidden("inside another aggregate");
            call.distinct = self.eat("DISTINCT");
            let mut arguments = self.expressions_until(")")?;
            self.context = Aggregates::Allowed;
            call.argument = arguments.pop();
            if call.argument.is_none() || !arguments.is_empty() {
                return Err(at.error(format!("{name} takes 1 argument")));
            }
        }
        let known = self.aggregates.iter().position(|known| *known == call);
        let index = known.unwrap_or(self.aggregates.len());
        if known.is_none() {
            if index == AGGREGATES_MAX {
                return Err(at.error(format!(
                    "a SELECT computes at most {AGGREGATES_MAX} different aggregates"
                )));
            }
            self.aggregates.push(call);
        }
        self.node(ExprKind::Aggregate(index), at)
    }
}
